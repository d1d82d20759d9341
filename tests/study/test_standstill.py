import pytest

from llem.study.standstill import STOOD_STILL_S, Standstill, Standstills


class World:
    """Two clocks, and standstills by them."""

    def __init__(self):
        self.monotonic = self.since_boot = 100.0
        self.standstills = Standstills(lambda: self.monotonic, lambda: self.since_boot)

    def runs(self, seconds):
        self.monotonic += seconds
        self.since_boot += seconds

    def machine_sleeps(self, seconds):
        self.since_boot += seconds


@pytest.fixture
def world():
    return World()


def test_who_wakes_up_in_time_or_a_little_late_has_not_stood_still(world):
    for slept_s in (0.0, 0.3, 0.75, 0.75 + STOOD_STILL_S * 0.9):
        with world.standstills.sleeping(0.75):
            world.runs(slept_s)
    assert world.standstills.seen == []


def test_who_wakes_up_much_too_late_was_stopped_from_outside(world):
    with world.standstills.sleeping(0.5):
        world.runs(60.5)
    assert world.standstills.seen == [Standstill(60.0, 60.0, asked_for=False)]
    assert "stopped from outside" in world.standstills.seen[0].describe()
    assert world.standstills.counted_s == 60.0
    assert world.standstills.awake_s() == 100.5


def test_a_machine_that_sleeps_leaves_a_hole_that_no_limit_has_counted(world):
    with world.standstills.sleeping(0.5):
        world.runs(0.5)
        world.machine_sleeps(3600)
    assert world.standstills.seen == [Standstill(3600.0, 0.0, asked_for=False)]
    assert world.standstills.counted_s == 0.0


def test_a_stop_by_ctrl_z_is_noted_once_however_short_it_is(world):
    with world.standstills.sleeping(0.5):
        world.runs(0.2)
        with world.standstills.stopping():
            world.runs(100.0)
        world.runs(0.3)
    with world.standstills.stopping():
        world.runs(0.1)
    assert [standstill.asked_for for standstill in world.standstills.seen] == [True, True]
    assert world.standstills.counted_s == pytest.approx(100.1)
    assert world.standstills.seen[0].describe() == "stopped for 100.0 s by SIGTSTP"
