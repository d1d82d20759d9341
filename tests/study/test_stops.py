import math
from types import SimpleNamespace

import pytest

from llem.domain.errors import EnvironmentNotFitError
from llem.domain.spec import Limits
from llem.projections.failures import FailureFold
from llem.projections.manifest import ManifestFold
from llem.projections.trials import TrialState
from llem.study.stops import MOST_CUT_SHORT, Stops


class Looking:
    def __init__(self):
        self.warned, self.left_s = [], []

    def warn(self, text):
        self.warned.append(text)

    def idle(self, idle):
        self.left_s.append(idle.left_s)

    def tick(self):
        pass


class Desk:
    """Stops over a clock that moves when somebody waits."""

    def __init__(self, *, in_a_row=0, deadline=lambda: math.inf, fail_fast=False, **limits):
        self.now = 0.0
        self.watcher = Looking()
        self.limits = Limits(**limits)
        self.failures = FailureFold(
            threshold=self.limits.consecutive_failures, in_a_row=in_a_row, last="WorkerKilled, a"
        )
        self.stops = Stops(
            self.limits,
            ManifestFold(),
            self.failures,
            session_ends=deadline,
            fail_fast=fail_fast,
            pause=self.wait,
            watcher=self.watcher,
            clock=lambda: self.now,
        )

    def wait(self, seconds):
        self.now += seconds


def result(energy_j, provenance="counter"):
    return SimpleNamespace(figures=SimpleNamespace(energy_total_j=energy_j), provenance=provenance)


def test_a_breaker_that_opens_cools_down_once_before_its_probe():
    desk = Desk(consecutive_failures=2, cool_down_s=7.0)
    assert desk.stops.before("a") is None
    assert desk.now == 0
    desk.failures.in_a_row = 2
    assert desk.stops.before("c") is None
    assert desk.now == pytest.approx(7.0)
    assert desk.watcher.left_s[0] == 7.0
    assert "2 trials in a row failed by their environment (the last: WorkerKilled, a)" in desk.watcher.warned[0]
    desk.stops.before("d")  # the probe said nothing about the environment, so this is the next one
    assert desk.now == pytest.approx(7.0)
    desk.failures.in_a_row = 3
    assert desk.stops.before("e").reason == "breaker"


def test_a_breaker_that_opens_again_cools_down_again():
    desk = Desk(consecutive_failures=1, cool_down_s=3.0)
    for in_a_row in (0, 1, 0, 1):
        desk.failures.in_a_row = in_a_row
        assert desk.stops.before("a") is None
    assert desk.now == pytest.approx(6.0)


def test_a_session_that_finds_the_breaker_open_probes_at_once():
    desk = Desk(consecutive_failures=2, in_a_row=2, cool_down_s=7.0)
    assert desk.stops.before("a") is None
    assert desk.now == 0


def test_a_cool_down_ends_with_the_session_s_time():
    desk = Desk(consecutive_failures=1, cool_down_s=60.0, deadline=lambda: 2.0, study_s=2.0)
    desk.stops.before("a")
    desk.failures.in_a_row = 1
    assert desk.stops.before("b").reason == "study_deadline"
    assert desk.now < 3


def test_measured_energy_is_a_budget_and_what_is_modelled_or_unknown_is_not_in_it():
    desk = Desk(energy_kwh=1e-6)
    for energy_j, provenance in [(3.0, "counter"), (None, "none"), (1000.0, "modelled"), (0.5, "sampled")]:
        desk.stops.after(TrialState("a", 0, 1, "", {}, ""), result(energy_j, provenance))
    assert desk.stops.before("b") is None
    desk.stops.after(TrialState("a", 0, 1, "", {}, ""), result(0.1))
    stop = desk.stops.before("b")
    assert (stop.reason, stop.detail) == ("energy_budget", "limits.energy_kwh = 1e-06, measured 1e-06 kWh")


@pytest.mark.parametrize(
    ("fail_fast", "due", "reason"), [(True, False, "fail_fast"), (True, True, None), (False, False, None)]
)
def test_the_first_failure_ends_a_session_that_is_to_fail_fast_unless_it_is_tried_again(fail_fast, due, reason):
    desk = Desk(fail_fast=fail_fast)
    if due:
        desk.failures.retries, desk.failures._tries["a"] = 1, 1
    state = TrialState("a", 0, 1, "", {}, "", status="failed", error_type="OutOfMemory")
    desk.stops.after(state, None)
    stop = desk.stops.before("b")
    assert (stop and stop.reason) == reason
    assert stop is None or stop.detail == "a failed: OutOfMemory"


def test_a_session_that_is_stopped_again_and_again_comes_to_an_end():
    desk = Desk()
    state = TrialState("a", 0, 1, "hash", {}, "a.json", status="interrupted")
    for _ in range(MOST_CUT_SHORT - 1):
        desk.stops.after(state, None)
        assert desk.stops.before("a") is None
    state.status = "completed"
    desk.stops.after(state, None)
    state.status = "interrupted"
    for _ in range(MOST_CUT_SHORT):
        assert desk.stops.before("a") is None
        desk.stops.after(state, None)
    with pytest.raises(EnvironmentNotFitError, match="stopped again and again"):
        desk.stops.before("a")


def test_a_session_that_stood_still_has_that_much_longer():
    ends = [5.0]
    desk = Desk(study_s=5.0, deadline=lambda: ends[0])
    desk.now = 6.0
    assert desk.stops.out_of_time().reason == "study_deadline"
    ends[0] += 3600.0
    assert desk.stops.out_of_time() is None
