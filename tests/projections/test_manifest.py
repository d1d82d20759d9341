import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llem.domain.errors import JournalError
from llem.domain.events import (
    CURRENT_VERSION,
    BaselineMeasured,
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentInterrupted,
    ExperimentRunning,
    ExperimentSkipped,
    PhaseEntered,
    ResultRejected,
    SessionEnded,
    SessionStarted,
    StudyCompleted,
)
from llem.domain.manifest import StudyManifest
from llem.domain.order import in_cycles
from llem.domain.sensing import SensorReport
from llem.journal.journal import Journal
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold, runs_again
from llem.projections.results import study_result

STATUSES = ("pending", "running", "completed", "failed", "interrupted", "skipped")


def folded(rows):
    return ManifestFold().apply_all(rows)


@given(st.data())
def test_the_rebuilt_manifest_equals_the_live_one_after_every_event(make, simulate, data):
    chain = make.chain()
    simulate(data.draw, chain)
    live = ManifestFold()
    for number, row in enumerate(chain.rows, start=1):
        live.apply(row)
        rebuilt = folded(chain.rows[:number])
        assert live == rebuilt
        assert live.manifest() == rebuilt.manifest()


@given(st.data())
def test_any_prefix_of_a_journal_folds_into_a_manifest_that_adds_up(make, simulate, data):
    chain = make.chain()
    simulate(data.draw, chain)
    fold = ManifestFold()
    assert fold.manifest() is None
    for row in chain.rows:
        fold.apply(row)
        manifest = fold.manifest()
        assert StudyManifest.model_validate_json(manifest.model_dump_json()) == manifest
        assert sum(getattr(manifest, status) for status in STATUSES) == manifest.total_experiments
        assert [entry.status for entry in manifest.experiments].count("completed") == manifest.completed
        assert len(manifest.experiments) == manifest.total_experiments
        assert (manifest.journal_seq, manifest.journal_hash) == (row.seq, row.hash)
        for entry in manifest.experiments:
            assert (entry.headline is not None) == (entry.result_file is not None) == (entry.status == "completed")
            assert (entry.status == "pending") or (entry.attempts > 0) or entry.status == "skipped"
            assert entry.completed_at is None or entry.status in ("completed", "failed", "interrupted", "skipped")


@given(st.data())
def test_the_counts_that_are_kept_are_those_that_a_recount_finds(make, simulate, data):
    chain = make.chain()
    simulate(data.draw, chain)
    fold = ManifestFold()
    for row in chain.rows:
        fold.apply(row)
        standing = [state.status for state in fold.trials.values()]
        assert fold.counts() == {status: standing.count(status) for status in STATUSES}
        assert fold.count(*STATUSES[1:]) == len(standing) - standing.count(STATUSES[0])
    fold.lay_to_rest()
    standing = [state.status for state in fold.trials.values()]
    assert fold.counts() == {status: standing.count(status) for status in STATUSES}


@given(st.data())
def test_the_manifest_says_what_the_session_did(make, simulate, data):
    chain = make.chain()
    simulator = simulate(data.draw, chain)
    manifest = folded(chain.rows).manifest()
    assert {entry.trial: entry.status for entry in manifest.experiments} == simulator.status
    assert {entry.trial: entry.attempts for entry in manifest.experiments} == simulator.attempts
    assert manifest.status == simulator.study


@given(st.data())
def test_a_spoiled_result_is_kept_when_its_trial_runs_again_and_none_is_named_twice(make, simulate, data):
    chain = make.chain()
    simulator = simulate(data.draw, chain)
    fold = folded(chain.rows)
    for trial, state in fold.trials.items():
        assert [kept.result_file for kept in state.superseded] == simulator.spoiled[trial]
        assert all(kept.headline["invalid"] == ["idle_drift"] for kept in state.superseded)
        assert state.result_file == (simulator.result[trial] if state.status == "completed" else None)
        names = [*simulator.spoiled[trial], *([state.result_file] if state.result_file else [])]
        assert len(set(names)) == len(names)
        assert state.invalid == (() if simulator.valid[trial] or not state.result_file else ("idle_drift",))
    entries = {entry.trial: entry.invalid_results for entry in fold.manifest().experiments}
    assert entries == {trial: len(files) for trial, files in simulator.spoiled.items()}
    result = study_result(fold)
    listed = [one for summary in result.experiments for one in summary.invalid_cycles]
    assert sum(one.ran_again for one in listed) == sum(entries.values())
    assert sum(not one.ran_again for one in listed) == sum(summary.n_invalid for summary in result.experiments)


@settings(max_examples=15)
@given(data=st.data())
def test_a_journal_on_disk_folds_as_its_events_did_live(make, simulate, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    live = ManifestFold()
    with Journal(path) as journal:
        sink = Sink(journal, live)
        simulate(data.draw, sink)
        assert folded(journal.rows()) == live
    with open_reader(path) as reader:
        assert folded(reader.rows()).manifest() == live.manifest()


class Sink:
    """Appends to a journal and folds live, as a session does."""

    def __init__(self, journal, fold):
        self.journal, self.fold = journal, fold

    def append(self, event):
        self.fold.apply(self.journal.append(event))

    @property
    def session(self):
        return self.journal.session

    @session.setter
    def session(self, number):
        self.journal.session = number


@given(st.data())
def test_laying_to_rest_leaves_no_trial_running_and_changes_no_other(make, simulate, data):
    chain = make.chain()
    simulator = simulate(data.draw, chain)
    fold = folded(chain.rows)
    fold.lay_to_rest()
    manifest = fold.manifest()
    expected = {t: "interrupted" if status == "running" else status for t, status in simulator.status.items()}
    assert {entry.trial: entry.status for entry in manifest.experiments} == expected
    assert manifest.status != "running"


ABOUT = {"trial": "e0_c1", "attempt": 1}
RUNNING = ExperimentRunning(**ABOUT, log_file="l", launcher="local")
FAILED = ExperimentFailed(**ABOUT, error_type="OutOfMemory", error_message="too big", phase="load")
INTERRUPTED = ExperimentInterrupted(**ABOUT, reason="SIGINT", phase="warmup")
SKIPPED = ExperimentSkipped(trial="e0_c1", reason="does not fit")
REJECTED = ResultRejected(**ABOUT, file="results/r.json", reason="the file is missing")
AGAIN = ExperimentRunning(trial="e0_c1", attempt=2, log_file="l", launcher="local")
PHASE = PhaseEntered(**ABOUT, phase="measure", t_ns=1)


@pytest.fixture(scope="session")
def one_trial(make):
    """Return a function from events to the fold of a study with one trial and these events after its start."""
    completed = ExperimentCompleted(**ABOUT, result_file="r.json", result_sha256=make.sha, headline=make.headline())
    started = SessionStarted(command="run", llem_version="0.2", pid=1, host=make.host(), sensors=SensorReport())

    def fold(*events):
        chain = make.chain()
        for event in [*make.plan(1, 1), *events]:
            named = {"completed": completed, "started": started}
            chain.append(named[event] if isinstance(event, str) else event)
        return folded(chain.rows)

    return fold


@pytest.mark.parametrize(
    ("events", "study", "trial"),
    [
        ([], "planned", ("pending", 0, None, None)),
        (["started"], "running", ("pending", 0, None, None)),
        (["started", RUNNING], "running", ("running", 1, None, None)),
        (["started", RUNNING, PHASE], "running", ("running", 1, None, None)),
        (["started", RUNNING, "completed"], "running", ("completed", 1, None, "r.json")),
        (["started", RUNNING, FAILED], "running", ("failed", 1, "OutOfMemory", None)),
        (["started", RUNNING, INTERRUPTED], "running", ("interrupted", 1, "Interrupted", None)),
        (["started", SKIPPED], "running", ("skipped", 0, "Skipped", None)),
        (["started", RUNNING, "completed", REJECTED], "running", ("pending", 1, "ResultRejected", None)),
        (["started", RUNNING, FAILED, AGAIN], "running", ("running", 2, None, None)),
        (["started", SessionEnded(reason="interrupted")], "interrupted", ("pending", 0, None, None)),
        (
            [
                "started",
                RUNNING,
                "completed",
                StudyCompleted(completed=1, failed=0, skipped=0),
                SessionEnded(reason="finished"),
            ],
            "completed",
            ("completed", 1, None, "r.json"),
        ),
        (
            [
                "started",
                RUNNING,
                FAILED,
                StudyCompleted(completed=0, failed=1, skipped=0),
                SessionEnded(reason="finished"),
            ],
            "failed",
            ("failed", 1, "OutOfMemory", None),
        ),
        (
            ["started", SKIPPED, StudyCompleted(completed=0, failed=0, skipped=1), SessionEnded(reason="finished")],
            "failed",
            ("skipped", 0, "Skipped", None),
        ),
        (
            [
                "started",
                RUNNING,
                FAILED,
                StudyCompleted(completed=0, failed=1, skipped=0),
                SessionEnded(reason="finished"),
                "started",
                SessionEnded(reason="interrupted"),
            ],
            "interrupted",
            ("failed", 1, "OutOfMemory", None),
        ),
    ],
)
def test_where_a_study_of_one_trial_stands(one_trial, events, study, trial):
    manifest = one_trial(*events).manifest()
    (entry,) = manifest.experiments
    assert manifest.status == study
    assert (entry.status, entry.attempts, entry.error_type, entry.result_file) == trial
    assert getattr(manifest, entry.status) == manifest.total_experiments == 1


def test_a_study_of_which_some_trials_have_a_result_is_partial(make, one_trial):
    chain = make.chain()
    for event in make.plan(2, 1):
        chain.append(event)
    chain.append(ExperimentCompleted(**ABOUT, result_file="r", result_sha256=make.sha, headline=make.headline()))
    chain.append(ExperimentSkipped(trial="e1_c1", reason="does not fit"))
    chain.append(StudyCompleted(completed=1, failed=0, skipped=1))
    chain.append(SessionEnded(reason="finished"))
    assert folded(chain.rows).manifest().status == "partial"


def test_the_times_of_a_study_are_those_of_its_first_session_and_its_end(one_trial):
    fold = one_trial("started", RUNNING, FAILED, StudyCompleted(completed=0, failed=1, skipped=0))
    manifest = fold.manifest()
    assert f"{manifest.started_at:%H:%M:%S} {manifest.completed_at:%H:%M:%S}" == "03:04:08 03:04:11"
    resumed = one_trial("started", StudyCompleted(completed=0, failed=1, skipped=0), "started").manifest()
    assert resumed.started_at == manifest.started_at
    assert resumed.completed_at is None


def test_the_version_is_that_of_the_last_session(one_trial):
    assert one_trial().manifest().llem_version == "0.0.1"
    assert one_trial("started").manifest().llem_version == "0.2"


def test_the_manifest_lists_trials_in_the_order_in_which_they_run(make):
    chain = make.chain()
    study, *experiments = make.plan(3, 3)
    for event in [study, *experiments]:
        chain.append(event)
    trials = [entry.trial for entry in folded(chain.rows).manifest().experiments]
    assert trials == [f"e{i}_c{c}" for i, c in in_cycles(study.sequence)]


def test_a_kind_that_this_llem_does_not_know_is_refused_and_not_skipped(make):
    chain = make.chain()
    row = chain.append(make.plan()[0])
    with pytest.raises(JournalError, match="upgrade llem"):
        folded([row, row._replace(seq=2, kind="gpu_melted")])
    with pytest.raises(JournalError, match="upgrade llem"):
        folded([row._replace(v=CURRENT_VERSION["study_planned"] + 1)])


@pytest.mark.parametrize("event", [RUNNING, PHASE, FAILED, INTERRUPTED, SKIPPED, REJECTED], ids=lambda e: e.kind)
def test_an_event_of_a_trial_that_was_never_planned_is_refused(make, event):
    chain = make.chain()
    for planned in make.plan(1, 1):
        chain.append(planned)
    chain.append(event.model_copy(update={"trial": "stranger"}))
    with pytest.raises(JournalError, match=f"Event 3 .{event.kind}. does not fit the events before it"):
        folded(chain.rows)


@pytest.mark.parametrize("data", ["{}", "[]", "null", '"text"'])
def test_an_event_whose_data_is_not_of_its_kind_is_refused(make, data):
    chain = make.chain()
    for planned in make.plan(1, 1):
        chain.append(planned)
    row = chain.append(FAILED)._replace(data=data)
    with pytest.raises(JournalError, match="does not fit"):
        folded([*chain.rows[:2], row])


def test_the_manifest_as_json_has_the_fields_of_the_design(one_trial):
    exported = json.loads(one_trial("started", RUNNING, "completed").manifest().model_dump_json())
    assert list(exported) == [
        "schema_version",
        "study_name",
        "study_design_hash",
        "llem_version",
        "status",
        "started_at",
        "completed_at",
        "total_experiments",
        *STATUSES,
        "journal_seq",
        "journal_hash",
        "experiments",
    ]
    assert list(exported["experiments"][0]) == [
        "trial",
        "config_hash",
        "config_summary",
        "cycle",
        "status",
        "result_file",
        "error_type",
        "error_message",
        "started_at",
        "completed_at",
        "attempts",
        "headline",
    ]


@pytest.mark.parametrize(
    ("reruns", "kept", "invalid", "again"),
    [
        (2, 0, ("idle_drift",), True),
        (2, 1, ("token_count", "idle_drift"), True),
        (2, 2, ("idle_drift",), False),
        (0, 0, ("idle_drift",), False),
        (2, 0, ("token_count",), False),
        (2, 0, (), False),
    ],
)
def test_a_trial_runs_again_for_what_may_pass_up_to_the_limit(make, reruns, kept, invalid, again):
    study, *experiments = make.plan(1, 1)
    chain = make.chain()
    for event in (study.model_copy(update={"reruns": reruns}), *experiments):
        chain.append(event)
    for attempt in range(1, kept + 2):
        about = {"trial": "e0_c1", "attempt": attempt}
        chain.append(ExperimentRunning(**about, log_file="logs/x.log", launcher="local"))
        codes = invalid if attempt == kept + 1 else ("idle_drift",)
        name = f"r{attempt}.json"
        headline = make.headline(invalid=codes)
        chain.append(ExperimentCompleted(**about, result_file=name, result_sha256=make.sha, headline=headline))
    fold = folded(chain.rows)
    (state,) = fold.trials.values()
    assert (state.invalid_results, state.status) == (kept, "completed")
    assert runs_again(fold, state, {"idle_drift"}) is again


def test_a_plan_of_before_reruns_never_runs_a_trial_again(make):
    study, *experiments = make.plan(1, 1)
    chain = make.chain()
    for event in (study, *experiments):
        chain.append(event)
    fold = folded(chain.rows)
    del fold.study["reruns"]
    (state,) = fold.trials.values()
    state.status, state.headline = "completed", {"invalid": ["idle_drift"]}
    assert not runs_again(fold, state, {"idle_drift"})


def test_the_samples_of_baselines_and_checks_are_known(make):
    chain = make.chain()
    for event in make.plan(1, 1):
        chain.append(event)
    about = {"powers": (), "why": "first", "start_ns": 1, "end_ns": 2}
    chain.append(BaselineMeasured(**about, samples_file="baseline_s1_1.json.gz", samples_sha256=make.sha))
    chain.append(BaselineMeasured(**about))
    assert folded(chain.rows).samples == {"baseline_s1_1.json.gz": make.sha}
