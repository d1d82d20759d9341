import pytest

from llem.domain.errors import SensorError
from llem.domain.messages import GoOn, PhaseMessage
from llem.domain.sensing import Temperature
from llem.study.soak import SoakWatcher


class Bench:
    """A watcher with a clock of its own, and devices that are as warm as ``warmth(second)`` says."""

    def __init__(self, warmth, devices=("GPU-1",)):
        self.now = 0.0
        self.asked = 0
        self.told = []
        self.devices = devices
        self._warmth = warmth
        self.watcher = SoakWatcher(self._ask, self.told.append, over_s=30, clock=lambda: self.now)

    def _ask(self):
        self.asked += 1
        found = self._warmth(self.now)
        if isinstance(found, Exception):
            raise found
        return found

    def enter(self, phase):
        self.watcher.entered(PhaseMessage(phase=phase, t_ns=0, devices=self.devices if phase == "soak" else ()))

    def until(self, seconds):
        while self.now < seconds and not self.told:
            self.now += 0.5
            self.watcher.tick()


def warm(temperature_c, device="GPU-1", **changes):
    return Temperature(device=device, temperature_c=temperature_c, **changes)


def test_the_worker_goes_on_once_its_devices_were_steady_for_the_whole_time():
    bench = Bench(lambda now: [warm(40 + min(now, 20), clock_mhz=1980)])
    bench.enter("soak")
    bench.until(100)
    assert bench.told == [GoOn(steady=True)]
    assert 49 <= bench.now <= 51


def test_devices_are_asked_once_a_second_and_only_while_the_worker_soaks():
    bench = Bench(lambda now: [warm(now)])
    bench.enter("warmup")
    bench.until(5)
    assert bench.asked == 0
    bench.enter("soak")
    bench.until(15)
    assert 10 <= bench.asked <= 11
    bench.enter("measure")
    bench.until(25)
    assert bench.asked <= 11
    assert bench.told == []


def test_a_device_that_this_worker_does_not_use_may_change_as_it_likes():
    bench = Bench(lambda now: [warm(60), warm(now, "GPU-2")])
    bench.enter("soak")
    bench.until(40)
    assert bench.told == [GoOn(steady=True)]


@pytest.mark.parametrize(
    ("warmth", "reason"),
    [
        ([], "no sensor of this study tells the temperature of GPU-1"),
        ([warm(50, "GPU-2")], "no sensor of this study tells the temperature of GPU-1"),
        ([warm(None, reason="Not Supported")], "GPU-1: Not Supported"),
        (SensorError("The recorder died.", remedy="See logs/recorder.log."), "The recorder died."),
    ],
    ids=["no thermometer", "of another device", "mute", "no recorder"],
)
def test_nobody_soaks_for_nothing(warmth, reason):
    bench = Bench(lambda now: warmth)
    bench.enter("soak")
    assert bench.told == [GoOn(steady=None, reason=reason)]
    bench.until(5)
    assert bench.asked == 1


def test_a_device_that_tells_nothing_is_named_beside_the_verdict_on_the_others():
    bench = Bench(lambda now: [warm(60), warm(None, "GPU-2", reason="Not Supported")], devices=("GPU-1", "GPU-2"))
    bench.enter("soak")
    bench.until(40)
    assert bench.told == [GoOn(steady=True, reason="GPU-2: Not Supported")]


def test_a_recorder_that_dies_in_the_middle_ends_the_soak():
    died = SensorError("The recorder died.", remedy="See logs/recorder.log.")
    bench = Bench(lambda now: [warm(60)] if now < 10 else died)
    bench.enter("soak")
    bench.until(40)
    assert bench.told == [GoOn(steady=None, reason="The recorder died.")]
    assert bench.now < 12


def test_what_never_settles_is_left_to_the_limit_of_the_worker():
    bench = Bench(lambda now: [warm(60 + now % 3)])
    bench.enter("soak")
    bench.until(300)
    assert bench.told == []
