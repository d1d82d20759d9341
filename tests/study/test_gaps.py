import math

import pytest

from llem.domain.errors import SensorError
from llem.domain.sensing import Temperature
from llem.domain.spec import CoolDown, Gaps
from llem.study.gaps import NO_THERMOMETER, TICK_S, GapKeeper, gap_between

COOL = CoolDown(cool_to_c=45.0, at_most_s=60.0)


class World:
    """A clock that moves when the keeper pauses, devices with temperatures over time, and someone who looks on."""

    def __init__(self, heat=lambda now: [50.0]):
        self.now = 1000.0
        self.heat = heat
        self.asked_at, self.shown, self.warnings, self.ticks_at = [], [], [], []

    def clock(self):
        return self.now

    def pause(self, seconds):
        assert 0 <= seconds <= TICK_S
        self.now += seconds

    def ask(self):
        """Return the temperatures now; text in their place is the reason why one is unknown."""
        self.asked_at.append(self.now - 1000)
        told = enumerate(self.heat(self.now - 1000))
        return [
            Temperature(device=f"GPU-{n}", temperature_c=None, reason=heat)
            if isinstance(heat, str)
            else Temperature(device=f"GPU-{n}", temperature_c=heat)
            for n, heat in told
        ]

    def idle(self, idle):
        self.shown.append(idle)

    def warn(self, text):
        self.warnings.append(text)

    def tick(self):
        self.ticks_at.append(self.now - 1000)

    def keeper(self, deadline_s=None, **gaps):
        deadline = None if deadline_s is None else 1000 + deadline_s
        return GapKeeper(
            Gaps(**gaps),
            ask=self.ask,
            pause=self.pause,
            watcher=self,
            session_ends=lambda: math.inf if deadline is None else deadline,
            clock=self.clock,
        )


def waited(world, planned, **options):
    """Return what the gap between two trials was."""
    keeper = world.keeper(between_trials=planned, **options)
    assert keeper.before("a_c1", 1) is None
    return keeper.before("b_c1", 1)


@pytest.mark.parametrize(
    ("between_cycles", "cycles", "expected"),
    [
        (None, (1, 1), ("trials", 5.0)),
        (None, (1, 2), ("trials", 5.0)),
        (9.0, (1, 1), ("trials", 5.0)),
        (9.0, (1, 2), ("cycles", 9.0)),
        (9.0, (3, 2), ("cycles", 9.0)),
        (0.0, (1, 2), ("cycles", 0.0)),
        (COOL, (1, 2), ("cycles", COOL)),
    ],
)
def test_the_gap_between_cycles_holds_where_one_begins_and_the_plan_has_one(between_cycles, cycles, expected):
    assert gap_between(Gaps(between_trials=5.0, between_cycles=between_cycles), *cycles) == expected


def test_a_gap_of_seconds_is_waited_whole_and_recorded_as_it_was():
    world = World()
    event = waited(world, 10.25)
    assert event.trial == "b_c1"
    assert (event.between, event.planned, event.waited_s) == ("trials", 10.25, 10.25)
    assert (event.temperature_c, event.reason) == (None, None)
    assert world.asked_at == []
    assert world.warnings == []


def test_the_first_trial_of_a_session_waits_for_nothing():
    world = World()
    assert world.keeper(between_trials=60.0, between_cycles=60.0).before("a_c3", 3) is None
    assert world.now == 1000


def test_a_gap_of_no_seconds_is_no_event():
    keeper = World().keeper(between_trials=5.0, between_cycles=0.0)
    assert keeper.before("a_c1", 1) is None
    assert keeper.before("a_c2", 2) is None
    assert keeper.before("b_c2", 2).between == "trials"


def test_time_is_told_and_the_gap_counted_down_twice_a_second():
    world = World()
    waited(world, 2.0)
    assert world.ticks_at == [0.5, 1.0, 1.5, 2.0]
    assert [idle.left_s for idle in world.shown] == [2.0, 1.5, 1.0, 0.5]
    assert {idle.trial for idle in world.shown} == {"b_c1"}


def test_a_cool_down_ends_when_the_hottest_device_is_cool_and_asks_once_a_second():
    world = World(lambda now: [30.0, 60.0 - now])
    event = waited(world, COOL)
    assert (event.waited_s, event.temperature_c, event.reason) == (15.0, 45.0, None)
    assert world.asked_at == [float(second) for second in range(16)]
    assert world.shown[0].temperature_c == 60.0
    assert world.shown[-1].temperature_c == 46.0


def test_what_is_cool_already_is_not_waited_for_but_recorded():
    event = waited(World(lambda now: [45.0]), COOL)
    assert (event.waited_s, event.temperature_c, event.reason) == (0.0, 45.0, None)


def test_what_does_not_cool_down_is_waited_for_as_long_as_was_planned():
    world = World(lambda now: [46.0])
    event = waited(world, COOL)
    assert (event.waited_s, event.temperature_c, event.reason) == (60.0, 46.0, "not cool within at_most_s")
    assert world.warnings == []


@pytest.mark.parametrize(
    ("heat", "reason"),
    [(lambda now: [], NO_THERMOMETER), (lambda now: ["Not Supported"], "GPU-0: Not Supported")],
    ids=["no thermometer", "mute"],
)
def test_without_a_temperature_the_whole_time_is_waited_with_the_reason_and_one_warning(heat, reason):
    world = World(heat)
    keeper = world.keeper(between_trials=COOL)
    keeper.before("a_c1", 1)
    for trial in ("b_c1", "c_c1"):
        event = keeper.before(trial, 1)
        assert (event.waited_s, event.temperature_c, event.reason) == (60.0, None, reason)
    assert world.warnings == [f"no temperature can be read ({reason}): a cool-down takes its whole at_most_s"]


def test_a_device_that_tells_nothing_is_named_and_the_others_decide():
    event = waited(World(lambda now: [50.0 - now, "GPU is lost"]), COOL)
    assert (event.waited_s, event.temperature_c, event.reason) == (5.0, 45.0, "GPU-1: GPU is lost")
    event = waited(World(lambda now: [50.0, "GPU is lost"]), COOL)
    assert event.reason == "not cool within at_most_s; GPU-1: GPU is lost"


def test_a_temperature_that_failed_once_is_asked_again():
    event = waited(World(lambda now: ["busy"] if now < 3 else [40.0]), COOL)
    assert (event.waited_s, event.temperature_c, event.reason) == (3.0, 40.0, None)


def test_a_recorder_that_dies_makes_the_temperature_unknown_and_is_not_asked_again_in_that_gap():
    def heat(now):
        if now >= 3:
            raise SensorError("The recorder died.", remedy="See logs/recorder.log.")
        return [50.0]

    world = World(heat)
    event = waited(world, COOL)
    assert (event.waited_s, event.temperature_c, event.reason) == (60.0, None, "The recorder died.")
    assert world.asked_at == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("planned", [60.0, COOL], ids=["seconds", "cool-down"])
def test_a_gap_ends_at_the_deadline_of_the_session_and_is_then_no_gap(planned):
    world = World()
    assert waited(world, planned, deadline_s=7.2) is None
    assert world.now == pytest.approx(1007.2)


@pytest.mark.parametrize("planned", [60.0, COOL], ids=["seconds", "cool-down"])
def test_whatever_a_pause_raises_ends_the_gap_at_once(planned):
    class Ended(BaseException):
        pass

    def end(seconds):
        raise Ended

    world = World()
    world.pause = end
    with pytest.raises(Ended):
        waited(world, planned)
    assert world.ticks_at == []
