"""When the bare devices are measured, and what becomes of a recording that fails."""

import math
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from llem.domain.errors import SensorError
from llem.domain.recording import Stopped
from llem.domain.result import Finding, RecorderCost
from llem.domain.sensing import SensorReport
from llem.domain.spec import Measurement
from llem.sensors.base import Reading
from llem.sensors.samples import SampleWriter
from llem.study.baselines import LEAD_IN_S, MAX_AGE_S, Baselines

S = 1_000_000_000


class Desk:
    """A session with a meter of 20 W, whose time passes as it is waited."""

    def __init__(self, make, place: Path, deadline: float | None = None) -> None:
        self.place = place
        self.channel = make.channel()
        self.report = SensorReport(channels=(self.channel,))
        self.now_s = 100.0
        self.events = []
        self.waited_s = 0.0
        self.told = []
        self.failing = None
        self.ended = False
        self.stands_still_s = 0.0
        self.baselines = Baselines(
            lambda number: place / f"baseline_{number}.jsonl.gz",
            self,
            self.events.append,
            pause=self.pause,
            watcher=self,
            session_ends=lambda: math.inf if deadline is None else deadline,
            clock=lambda: self.now_s,
        )

    def pause(self, seconds: float) -> None:
        if self.ended:
            raise KeyboardInterrupt
        self.now_s += seconds + self.stands_still_s
        self.stands_still_s = 0.0
        self.waited_s += seconds

    def measuring_baseline(self, why: str, left_s: float) -> None:
        self.told.append((why, round(left_s, 6)))

    def tick(self) -> None:
        """Nothing moves."""

    def begin(self, samples: Path) -> None:
        if self.failing == "begin":
            raise SensorError("It does not record.", remedy="…")
        self.samples = samples
        samples.with_name(samples.name + ".part").touch()

    def finish(self) -> Stopped:
        if self.failing == "finish":
            raise SensorError("The recorder died.", remedy="…")
        self.samples.with_name(self.samples.name + ".part").unlink()
        writer = SampleWriter(self.samples, [self.channel])
        writer.write(
            [Reading(self.channel.id, tick * S // 10, tick * S // 10 + 1000, tick * 2.0) for tick in range(90)]
        )
        return Stopped(sha256=writer.finish(), cost=RecorderCost(cpu_s=0, wall_s=0, edges=90))

    def measurement(self, **changes):
        return Measurement.model_validate({"bare_idle_s": 2.0, **changes})

    def trial(self, idle_w=None, *codes, config_hash="a", **measurement):
        """Run one trial and return why a baseline was measured before it, if one was."""
        before = len(self.events)
        self.baselines.before(self.measurement(**measurement))
        found = tuple(Finding(code=code, message="…") for code in codes)
        figures = SimpleNamespace(power_context_idle_w=idle_w)
        self.baselines.completed(
            SimpleNamespace(config_hash=config_hash, figures=figures, validity=found, warnings=())
        )
        return self.events[-1].why if len(self.events) > before else None


@pytest.fixture
def desk(make, tmp_path):
    return Desk(make, tmp_path)


def test_the_first_trial_of_a_session_finds_one_and_the_next_ones_use_it(desk):
    assert [desk.trial(50.0), desk.trial(50.0), desk.trial(51.0)] == ["first", None, None]
    (event,) = desk.events
    assert (event.samples_file, len(event.samples_sha256)) == ("baseline_1.jsonl.gz", 64)
    assert [power.channel for power in event.powers] == [desk.channel.id]
    assert (desk.place / event.samples_file).is_file()


def test_it_takes_its_time_and_a_lead_in_and_tells_how_long_still(desk):
    desk.trial()
    assert desk.waited_s == pytest.approx(2.0 + LEAD_IN_S)
    assert desk.told == [("first", 2.2), ("first", 2.0), ("first", 1.5), ("first", 1.0), ("first", 0.5)]


def test_after_work_the_devices_get_as_long_to_fall_back(desk):
    desk.trial()
    desk.waited_s = 0.0
    desk.trial(None, "idle_drift")
    desk.trial()
    assert desk.waited_s == pytest.approx(2 * 2.0 + LEAD_IN_S)


def test_an_hour_makes_one_old(desk):
    desk.trial()
    desk.now_s += MAX_AGE_S - 1
    assert desk.trial() is None
    desk.now_s += 2
    assert [desk.trial(), desk.trial()] == ["age", None]


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([(50.0,), (50.0, "idle_drift"), (50.0,), (50.0,)], ["first", None, "drift", None]),
        ([(50.0,), (53.0,), (53.0,), (53.0,)], ["first", None, "drift", None]),
        ([(50.0,), (52.0,), (54.0,), (54.0,)], ["first", None, None, None]),
        ([(50.0,), (None,), (60.0,), (60.0,)], ["first", None, None, "drift"]),
        ([(None,), (None,), (60.0,), (60.0,)], ["first", None, None, None]),
    ],
    ids=["a finding", "a jump", "small steps", "over a gap", "nothing to compare"],
)
def test_drift_of_the_idle_power_asks_for_another(desk, trials, expected):
    assert [desk.trial(*trial) for trial in trials] == expected


def test_an_idle_power_is_compared_with_the_last_one_of_the_same_experiment(desk):
    assert desk.trial(50.0, config_hash="a") == "first"
    assert desk.trial(90.0, config_hash="b") is None
    assert desk.trial(50.0, config_hash="a") is None
    assert desk.trial(80.0, config_hash="b") is None
    assert desk.trial(50.0, config_hash="a") == "drift"


@pytest.mark.parametrize("measurement", [{"bare_idle_s": 0}, {"sensors": []}, {"sensors": ["rapl"]}])
def test_there_is_none_for_a_trial_that_wants_none_or_reads_no_meter(desk, measurement):
    assert desk.trial(**measurement) is None
    assert desk.trial() == "first"


def test_a_model_needs_no_baseline(desk, make):
    desk.report = SensorReport(channels=(make.channel(provenance="modelled"), make.channel(kind="temperature_c")))
    assert desk.trial() is None


def test_at_the_start_it_is_measured_for_the_first_trial_that_asks_for_one(desk):
    desk.baselines.at_start([desk.measurement(bare_idle_s=0), desk.measurement(sensors=["rapl"]), desk.measurement()])
    assert [event.why for event in desk.events] == ["first"]
    assert desk.waited_s == pytest.approx(2.0 + LEAD_IN_S)
    assert [desk.trial(bare_idle_s=0), desk.trial()] == [None, None]


def test_at_the_start_there_is_none_where_no_trial_asks_for_one(desk):
    desk.baselines.at_start([])
    desk.baselines.at_start([desk.measurement(bare_idle_s=0)])
    assert (desk.events, desk.waited_s) == ([], 0.0)


def test_one_that_failed_at_the_start_lets_the_devices_fall_back_before_it_is_tried_again(desk):
    desk.failing = "begin"
    desk.baselines.at_start([desk.measurement()])
    desk.failing, desk.waited_s = None, 0.0
    assert desk.trial() == "first"
    assert desk.waited_s == pytest.approx(2 * 2.0 + LEAD_IN_S)


class BrokenMeter:
    """Reads more watts than can be summed up, in real time."""

    def __init__(self, make) -> None:
        self.channel = make.channel(kind="power_w", averages_over_s=0.0)
        self.report = SensorReport(channels=(self.channel,))

    def begin(self, samples: Path) -> None:
        self.samples, self.from_ns = samples, time.monotonic_ns()

    def finish(self) -> Stopped:
        writer = SampleWriter(self.samples, [self.channel])
        times_ns = range(self.from_ns, time.monotonic_ns(), S // 100)
        writer.write([Reading(self.channel.id, at_ns, at_ns + 1000, 1e308) for at_ns in times_ns])
        return Stopped(sha256=writer.finish(), cost=RecorderCost(cpu_s=0, wall_s=0, edges=len(times_ns)))


def test_readings_beyond_arithmetic_are_an_unknown_power_with_that_reason(desk, make):
    baselines = Baselines(
        lambda number: desk.place / "baseline", BrokenMeter(make), desk.events.append, pause=time.sleep, watcher=desk
    )
    baselines.before(desk.measurement(bare_idle_s=0.4))
    (power,) = desk.events[0].powers
    assert (power.power_w, desk.events[0].samples_file) == (None, None)
    assert power.reason == "no power can be made of its readings: intermediate overflow in fsum"
    assert list(desk.place.iterdir()) == []


@pytest.mark.parametrize("when", ["begin", "finish"])
def test_a_recorder_that_fails_costs_the_baseline_and_is_tried_once_more(desk, when):
    desk.failing = when
    assert [desk.trial() for _ in range(4)] == ["first", "first", None, None]
    (power,) = desk.events[0].powers
    assert (power.power_w, power.reason) == (None, "It does not record." if when == "begin" else "The recorder died.")
    assert (desk.events[0].samples_file, desk.events[0].samples_sha256) == (None, None)
    assert list(desk.place.iterdir()) == []
    desk.failing = None
    desk.now_s += MAX_AGE_S + 1
    assert [desk.trial(), desk.trial(None, "idle_drift"), desk.trial()] == ["age", None, "drift"]
    assert desk.events[2].samples_file == "baseline_3.jsonl.gz"


def test_a_baseline_that_would_end_after_the_session_is_not_begun(make, tmp_path):
    desk = Desk(make, tmp_path, deadline=102.1)
    assert [desk.trial(), desk.events, desk.waited_s] == [None, [], 0.0]
    assert Desk(make, tmp_path, deadline=102.3).trial() == "first"


def test_what_ends_the_wait_ends_the_baseline_without_an_event(desk):
    desk.ended = True
    with pytest.raises(KeyboardInterrupt):
        desk.trial()
    assert desk.events == []


def test_one_in_which_the_session_stood_still_is_unknown_and_measured_once_more(desk):
    desk.stands_still_s = 10.0  # in the lead-in, where it harms nothing
    assert desk.trial() == "first"
    assert desk.events[-1].samples_file == "baseline_1.jsonl.gz"

    def stand_still() -> None:
        desk.stands_still_s = 3600.0 if desk.told[-1][1] == 1.0 else 0.0

    desk.tick = stand_still
    desk.trial(None, "idle_drift")
    assert desk.trial() == "drift"
    event = desk.events[-1]
    assert (event.powers[0].power_w, event.samples_file) == (None, None)
    assert "stood still" in event.powers[0].reason
    assert not (desk.place / "baseline_2.jsonl.gz").exists()
    desk.tick = lambda: None
    assert desk.trial() == "first"
    assert desk.events[-1].samples_file == "baseline_3.jsonl.gz"
