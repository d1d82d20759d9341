import pytest

from llem.domain.errors import SensorError
from llem.study.recorders import MAX_FAILED_STARTS, Recorders
from llem.study.signals import EndingSignals


def test_a_recorder_that_will_not_start_is_not_tried_at_every_trial(tmp_path):
    tries = []

    def start(sensors, log, signals):
        tries.append(sensors)
        raise SensorError("The recorder does not answer.", remedy="See logs/recorder.log.")

    with EndingSignals() as signals:
        recorders = Recorders(["nvml"], tmp_path / "recorder.log", signals, start)
        report = recorders.open()
        assert [(missing.sensor, missing.reason) for missing in report.unavailable] == [
            ("recorder", "The recorder does not answer.")
        ]
        for trial in range(5):
            with pytest.raises(SensorError):
                recorders.begin(tmp_path / f"{trial}.jsonl.gz")
        assert len(tries) == MAX_FAILED_STARTS
