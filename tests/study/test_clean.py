import pytest

from llem.domain.errors import SensorError
from llem.domain.faults import cause_of
from llem.domain.sensing import DeviceUse
from llem.study.clean import LOOK_EVERY_S, PATIENCE_S, TOLERANCE_BYTES, CleanDevices

GIB = 1 << 30


class World:
    """A clock that moves when somebody pauses, and devices whose use is a function of the time."""

    def __init__(self, uses, clean_s=10.0, deadline_s=None):
        self.now, self.asked, self.warnings, self.ticks, self.uses = 0.0, 0, [], 0, uses
        self.clean = CleanDevices(
            self.ask,
            clean_s,
            pause=self.pause,
            watcher=self,
            deadline=deadline_s,
            clock=lambda: self.now,
        )

    def ask(self):
        self.asked += 1
        return self.uses(self.now)

    def pause(self, seconds):
        self.now += seconds

    def warn(self, text):
        self.warnings.append(text)

    def tick(self):
        self.ticks += 1

    def before(self, at_s=100.0):
        """Return the fault of a trial that is due at ``at_s``, and how long it waited."""
        self.now, self.asked = at_s, 0
        return self.clean.before("e0_c1"), self.now - at_s


def use(memory_bytes, *processes, device="GPU-1"):
    return DeviceUse(device=device, memory_bytes=memory_bytes, processes=processes)


@pytest.mark.parametrize("more_bytes", [-GIB, 0, TOLERANCE_BYTES])
def test_a_clean_device_is_asked_once_and_costs_no_wait(more_bytes):
    world = World(lambda now: [use(GIB + more_bytes if now else GIB)])
    assert world.before() == (None, 0.0)
    assert (world.asked, world.ticks) == (1, 0)


def test_memory_that_comes_back_is_waited_for_and_a_short_wait_is_not_told():
    world = World(lambda now: [use(8 * GIB if 100 <= now < 101 else GIB)])
    assert world.before() == (None, 1.0)
    assert world.ticks == 1 / LOOK_EVERY_S
    assert world.warnings == []


def test_a_long_wait_is_told_once_with_what_is_left():
    world = World(lambda now: [use(GIB), use(None, *([7, 8] if 100 <= now < 105 else []), device="GPU-2")])
    assert world.before() == (None, 5.0)
    (warning,) = world.warnings
    assert warning.startswith(
        "e0_c1 waits for clean GPUs, 10 s at most: GPU-2 still has processes of this study (7, 8)"
    )
    assert PATIENCE_S < 5


def test_what_stays_is_a_fault_of_the_environment_that_names_device_and_limit():
    world = World(lambda now: [use(9 * GIB, 7) if now else use(GIB)])
    fault, waited_s = world.before()
    assert waited_s == 10.0
    assert fault.error_type == "DeviceNotClean"
    for said in ("(7)", "9.00 GiB of the memory of GPU-1 are used, 1.00 GiB when", "limits.clean_s (10 s)", "=null"):
        assert said in fault.message
    assert cause_of(fault.error_type, fault.message) == "environment"


def test_a_device_that_a_later_recorder_finds_first_has_no_memory_to_compare_with():
    world = World(lambda now: [use(GIB), use(70 * GIB, device="GPU-2")] if now else [use(GIB)])
    assert world.before() == (None, 0.0)


def test_without_the_limit_nobody_looks():
    world = World(lambda now: pytest.fail("asked"), clean_s=None)
    assert world.before() == (None, 0.0)


def test_where_no_device_was_told_of_nobody_asks_again():
    world = World(lambda now: [])
    assert world.before() == (None, 0.0)
    assert world.asked == 0


def test_a_recorder_that_does_not_answer_holds_no_trial_up():
    def uses(now):
        if now:
            raise SensorError("The recorder died.", remedy="See logs/recorder.log.")
        return [use(GIB)]

    assert World(uses).before() == (None, 0.0)


def test_the_end_of_the_session_ends_the_wait_and_is_no_fault_of_the_trial():
    world = World(lambda now: [use(9 * GIB if now else GIB)], deadline_s=103.0)
    assert world.before() == (None, 3.0)
