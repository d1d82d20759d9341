"""The check names summed and true counters rightly, with the real library and recorder."""

from pathlib import Path
from typing import Any

import pytest
from simulated_gpu import SimulatedDevice

from llem.study.checking import CheckSettings, check_now
from llem.study.recording import RecorderClient
from llem.study.signals import EndingSignals


class Nobody:
    def checking(self, left_s: float) -> None:
        """Nobody looks on."""

    def warn(self, text: str) -> None:
        """Nobody listens."""

    def tick(self) -> None:
        """Nobody waits."""


@pytest.fixture
def check(nvml_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function from a simulated GPU's flaws to the check of its sensors, idle for some seconds."""

    def of(**flaws: Any) -> Any:
        for name, value in nvml_of(SimulatedDevice(power_average_s=1.0, **flaws)).items():
            monkeypatch.setenv(name, value)
        with EndingSignals() as signals:
            recorder = RecorderClient(["nvml"], tmp_path / "log", signals)
            try:
                event = check_now(
                    recorder,
                    recorder.report,
                    tmp_path / "samples",
                    tmp_path / "load.log",
                    signals,
                    Nobody(),
                    CheckSettings(idle_s=3.0, load_s=0.0),
                )
            finally:
                recorder.close()
        assert event is not None
        return event.check

    return of


@pytest.mark.parametrize("seen_s", [None, 0.025], ids=["sees all", "sees 25 of 100 ms"])
@pytest.mark.parametrize("summed", [True, False], ids=["a sum", "a true integral"])
def test_summed_and_true_counters_are_named_rightly(check: Any, summed: bool, seen_s: float | None) -> None:
    (device,) = check(noise_w=0.5, seen_s=seen_s, summed=summed).devices
    assert (device.counter_is_sum, device.grade) == (summed, "good"), device.why
    assert device.residual_w < 0.02 if summed else device.residual_w > 0.3


@pytest.mark.parametrize(("power_gain", "grade"), [(1.03, "doubtful"), (1.06, "poor")])
def test_a_gain_error_of_one_channel_is_graded_and_turns_no_answer_round(
    check: Any, power_gain: float, grade: str
) -> None:
    found = check(noise_w=0.5, summed=True, power_gain=power_gain)
    (device,) = found.devices
    assert (device.counter_is_sum, device.grade) == (True, grade)
    (period,) = [channel.period_s for channel in found.channels if channel.channel == device.counter]
    assert period.median == pytest.approx(0.1, rel=0.005)
