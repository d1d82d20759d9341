from types import SimpleNamespace

import pytest

from llem.domain.errors import SensorError
from llem.domain.sensing import SensorReport, Temperature
from llem.study.recorders import MAX_FAILED_STARTS, TRY_AGAIN_S, Recorders
from llem.study.signals import EndingSignals


def test_a_recorder_that_will_not_start_is_not_tried_at_every_trial_but_again_after_a_while(tmp_path):
    tries, now = [], [0.0]

    def start(sensors, log, signals):
        tries.append(sensors)
        raise SensorError("The recorder does not answer.", remedy="See logs/recorder.log.")

    with EndingSignals() as signals:
        recorders = Recorders(["nvml"], tmp_path / "recorder.log", signals, start, clock=lambda: now[0])
        report = recorders.open()
        assert [(missing.sensor, missing.reason) for missing in report.unavailable] == [
            ("recorder", "The recorder does not answer.")
        ]
        for more in range(3):
            for trial in range(5):
                with pytest.raises(SensorError):
                    recorders.begin(tmp_path / f"{trial}.json.gz")
            assert len(tries) == MAX_FAILED_STARTS + more
            now[0] += TRY_AGAIN_S


class Client:
    """A recorder that tells one temperature, or fails."""

    report = SensorReport()

    def __init__(self):
        self.broken = self.closed = False

    def temperatures(self):
        if self.broken:
            raise SensorError("The recorder died.", remedy="See logs/recorder.log.")
        return (Temperature(device="GPU-1", temperature_c=50),)

    def close(self):
        self.closed = True


def test_a_recorder_that_fails_to_tell_temperatures_is_given_up_and_none_is_started_in_its_place(tmp_path):
    clients = []

    def start(sensors, log, signals):
        clients.append(Client())
        return clients[-1]

    recorders = Recorders(["nvml"], tmp_path / "recorder.log", SimpleNamespace(), start)
    with pytest.raises(SensorError, match="No recorder is running"):
        recorders.temperatures()
    recorders.open()
    assert recorders.temperatures() == (Temperature(device="GPU-1", temperature_c=50),)
    clients[0].broken = True
    with pytest.raises(SensorError, match="The recorder died"):
        recorders.temperatures()
    with pytest.raises(SensorError, match="No recorder is running"):
        recorders.temperatures()
    assert clients[0].closed
    assert len(clients) == 1


def test_a_record_is_worth_more_than_a_temperature(tmp_path, make):
    clients = []

    class Recording(Client):
        report = SensorReport(channels=(make.channel(),))

        def begin(self, samples):
            pass

        def finish(self):
            return "stopped"

    def start(sensors, log, signals):
        clients.append(Recording())
        return clients[-1]

    recorders = Recorders(["nvml"], tmp_path / "recorder.log", SimpleNamespace(), start)
    recorders.begin(tmp_path / "a.jsonl.gz")
    clients[0].broken = True
    with pytest.raises(SensorError, match="The recorder died"):
        recorders.temperatures()
    assert not clients[0].closed
    assert recorders.finish() == "stopped"
    with pytest.raises(SensorError, match="The recorder died"):
        recorders.temperatures()
    assert clients[0].closed
    assert len(clients) == 1
