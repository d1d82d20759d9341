"""What is run, killed at any moment, is compared with the same loop written down plainly."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.decoding import typed_event
from llem.domain.events import (
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentInterrupted,
    ExperimentRunning,
    SessionStarted,
    StudyExtended,
)
from llem.domain.sensing import SensorReport
from llem.domain.spec import Limits
from llem.projections.failures import KINDS, FailureFold

MORE = 12
"""So many outcomes a trial has in store: more than any retries ask for."""


class Study:
    """A journal, its fold, and what may be recorded in it."""

    def __init__(self, make, retries, threshold):
        self.make = make
        self.chain = make.chain()
        study, *_ = make.plan()
        limits = Limits(consecutive_failures=threshold)
        self.fold = FailureFold()
        self.record(study.model_copy(update={"retries": retries, "limits": limits}))
        self.begin()

    def record(self, event):
        self.fold.apply(self.chain.append(event))

    def begin(self):
        host = self.make.host()
        self.record(SessionStarted(command="run", llem_version="1", pid=1, host=host, sensors=SensorReport()))

    def attempt(self, trial, number, outcome):
        about = {"trial": trial, "attempt": number}
        self.record(ExperimentRunning(**about, log_file="l", launcher="a"))
        ends = {
            "ok": ExperimentCompleted(
                **about, result_file="r", result_sha256=self.make.sha, headline=self.make.headline()
            ),
            "memory": ExperimentFailed(**about, error_type="OutOfMemory", error_message="", phase="load"),
            "killed": ExperimentFailed(**about, error_type="WorkerKilled", error_message="", phase="load"),
            "interrupted": ExperimentInterrupted(**about, reason="SIGKILL", phase="load"),
        }
        self.record(ends[outcome])

    def kill(self):
        """End the session and begin the next, with the fold that its journal gives."""
        rebuilt = FailureFold().apply_all(row for row in self.chain.rows if row.kind in KINDS)
        assert rebuilt == self.fold
        self.fold = rebuilt
        self.begin()


@pytest.fixture
def study(make):
    return lambda retries=0, threshold=None: Study(make, retries, threshold)


outcomes = st.lists(st.sampled_from(["ok", "memory", "killed", "killed"]), min_size=MORE, max_size=MORE)


def plainly(trials, retries, threshold):
    """Return what must be tried: (trial, outcome) in order."""
    tried, in_a_row = [], 0
    for trial, store in enumerate(trials):
        if threshold is not None and in_a_row > threshold:
            break
        results = []
        while not results or (results[-1] == "killed" and len(results) <= retries):
            results.append(store[len(results)])
        tried += [(trial, result) for result in results]
        in_a_row = in_a_row + 1 if results[-1] == "killed" else 0 if results[-1] == "ok" else in_a_row
    return tried


@given(
    trials=st.lists(outcomes, max_size=8),
    retries=st.integers(0, 3),
    threshold=st.none() | st.integers(1, 4),
    kills=st.lists(st.sampled_from(["", "", "before", "during"]), min_size=40, max_size=40),
)
def test_what_is_tried_is_what_the_plan_allows_whoever_is_killed(make, trials, retries, threshold, kills):
    study, tried, kills = Study(make, retries, threshold), [], iter(kills)
    for number, store in enumerate(trials):
        if study.fold.has_stopped:
            break
        trial, attempt, left = f"t{number}", 0, iter(store)
        while not attempt or study.fold.is_due(trial):
            kill = next(kills, "")
            if kill == "before":
                study.kill()
            attempt += 1
            if kill == "during":
                study.attempt(trial, attempt, "interrupted")
                study.kill()
                attempt += 1
            outcome = next(left)
            study.attempt(trial, attempt, outcome)
            tried.append((number, outcome))
    assert tried == plainly(trials, retries, threshold)


def test_a_threshold_of_one_is_exactly_one(study):
    one = study(threshold=1)
    assert (one.fold.is_open, one.fold.has_stopped) == (False, False)
    one.attempt("a", 1, "killed")
    assert (one.fold.is_open, one.fold.has_stopped) == (True, False)
    one.attempt("b", 1, "killed")
    assert (one.fold.is_open, one.fold.has_stopped) == (False, True)
    assert one.fold.last == "WorkerKilled, b"


def test_a_session_after_the_stop_begins_with_a_probe(study):
    two = study(threshold=2)
    for trial in "abc":
        two.attempt(trial, 1, "killed")
    assert two.fold.has_stopped
    two.begin()
    assert two.fold.is_open
    two.attempt("a", 2, "ok")
    assert (two.fold.is_open, two.fold.in_a_row) == (False, 0)


def test_a_grid_that_runs_out_of_memory_opens_nothing(study):
    one = study(threshold=1, retries=3)
    for trial in "abcdefgh":
        one.attempt(trial, 1, "memory")
        assert not one.fold.is_due(trial)
    assert (one.fold.in_a_row, one.fold.is_open) == (0, False)


def test_what_failed_for_good_has_its_retries_again_in_the_next_session(study):
    one = study(retries=1)
    for attempt in (1, 2):
        one.attempt("a", attempt, "killed")
    assert not one.fold.is_due("a")
    one.begin()
    one.attempt("a", 3, "killed")
    assert one.fold.is_due("a")


def test_an_extension_changes_retries_and_threshold_from_then_on(study, make):
    one = study(retries=0, threshold=1)
    same = {
        "study_design_hash": make.sha,
        "llem_version": "1",
        "cycles": 2,
        "sequence": [],
        "added": 0,
        "summaries": (),
    }
    one.record(StudyExtended(**same, limits=Limits(consecutive_failures=None), retries=2))
    assert (one.fold.retries, one.fold.threshold) == (2, None)
    one.record(StudyExtended(**same, limits=Limits(consecutive_failures=4)))
    assert (one.fold.retries, one.fold.threshold) == (2, 4)


def test_a_journal_of_before_limits_has_neither_retries_nor_a_breaker(make):
    chain, fold = make.chain(), FailureFold()
    study, *_ = make.plan()
    row = chain.append(study)
    data = study.data()
    del data["retries"]
    data["limits"] = {"trial_s": 60.0, "study_s": None}
    old = row._replace(v=2, data=json.dumps(data))
    fold.apply(old)
    assert (fold.retries, fold.threshold) == (0, None)
    event = typed_event(old)
    assert (event.retries, event.limits.trial_s, event.limits.silence_s) == (0, 60.0, None)
