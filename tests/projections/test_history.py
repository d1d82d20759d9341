from datetime import datetime, timedelta

import pytest

from llem.domain.events import ExperimentCompleted, ExperimentFailed, ExperimentRunning, PhaseEntered, StudyExtended
from llem.domain.identity import config_hash
from llem.domain.spec import Limits
from llem.projections.history import HistoryFold, TrialCost


@pytest.fixture
def chain(make):
    """Return a journal in which an event comes every second, the plan of two experiments first."""
    chain = make.chain()
    for event in make.plan(experiments=2, cycles=2):
        chain.append(event)
    return chain


def run(make, chain, trial, *, attempt=1, seconds=1, failed=False, **headline):
    """Append an attempt that takes some seconds."""
    about = {"trial": trial, "attempt": attempt}
    chain.append(ExperimentRunning(**about, log_file="logs/x.log", launcher="local"))
    for _ in range(seconds - 1):
        chain.append(make.plan()[1].model_copy(update={"label": "passing-time"}))
    if failed:
        chain.append(ExperimentFailed(**about, error_type="Crashed", error_message="", phase="load"))
        return
    done = make.headline(**{"duration_s": 0.25, **headline})
    chain.append(ExperimentCompleted(**about, result_file=f"{trial}.json", result_sha256=make.sha, headline=done))


def first_and_second(make):
    return [config_hash(make.config(batch_size=size)) for size in (1, 2)]


def test_a_study_that_never_ran_has_no_history(make, chain):
    assert HistoryFold().apply_all(chain.rows).trials == {}


def test_a_trial_took_the_time_from_its_start_to_its_result(make, chain):
    first, second = first_and_second(make)
    run(make, chain, "e0_c1", seconds=3)
    run(make, chain, "e1_c1", seconds=1)
    run(make, chain, "e0_c2", seconds=2, duration_s=1.5)
    trials = HistoryFold().apply_all(chain.rows).trials
    assert {key: [cost.duration_s for cost in costs] for key, costs in trials.items()} == {
        first: [3.0, 2.0],
        second: [1.0],
    }
    assert [cost.overhead_s for cost in trials[first]] == [2.75, 0.5]


@pytest.mark.parametrize("set_by_s", [-86_400, 86_400])
def test_a_clock_that_is_set_while_a_trial_runs_changes_nothing(make, chain, set_by_s):
    begun = chain.append(ExperimentRunning(trial="e0_c1", attempt=1, log_file="logs/x.log", launcher="local"))
    told = datetime.fromisoformat(begun.recorded_at)

    def happened(event, after_s):
        recorded_at = (told + timedelta(seconds=after_s)).isoformat()
        chain.rows[-1] = chain.append(event)._replace(recorded_at=recorded_at)

    entered = {"trial": "e0_c1", "attempt": 1}
    happened(PhaseEntered(**entered, phase="load", t_ns=7_000_000_000), 2)
    happened(PhaseEntered(**entered, phase="measure", t_ns=9_000_000_000), set_by_s + 4)
    happened(PhaseEntered(**entered, phase="teardown", t_ns=99_000_000_000), set_by_s + 94)
    happened(
        ExperimentCompleted(**entered, result_file="x.json", result_sha256=make.sha, headline=make.headline()),
        set_by_s + 95,
    )
    ((cost,),) = HistoryFold().apply_all(chain.rows).trials.values()
    assert cost.duration_s == 2 + 92 + 1


def test_what_failed_gives_nothing_and_a_retry_counts_from_its_own_start(make, chain):
    first, _ = first_and_second(make)
    run(make, chain, "e0_c1", seconds=5, failed=True)
    run(make, chain, "e0_c1", attempt=2, seconds=2)
    run(make, chain, "e1_c1", seconds=5, failed=True)
    trials = HistoryFold().apply_all(chain.rows).trials
    assert {key: [cost.duration_s for cost in costs] for key, costs in trials.items()} == {first: [2.0]}


def test_journals_add_up_by_configuration_though_their_labels_differ(make, chain):
    first, second = first_and_second(make)
    run(make, chain, "e0_c1", seconds=1)
    other = make.chain()
    study, one, two = make.plan(experiments=2, cycles=2)
    for event in (study, two.model_copy(update={"label": "e0"}), one.model_copy(update={"label": "e1"})):
        other.append(event)
    run(make, other, "e0_c1", seconds=2)
    run(make, other, "e1_c1", seconds=3)
    fold = HistoryFold().apply_all(chain.rows).apply_all(other.rows)
    assert {key: [cost.duration_s for cost in costs] for key, costs in fold.trials.items()} == {
        first: [1.0, 3.0],
        second: [2.0],
    }


def test_a_trial_that_was_left_running_in_one_journal_is_not_begun_in_the_next(make, chain):
    chain.append(ExperimentRunning(trial="e0_c1", attempt=1, log_file="logs/x.log", launcher="local"))
    other = make.chain()
    for event in make.plan(experiments=2, cycles=2):
        other.append(event)
    fold = HistoryFold().apply_all(chain.rows)
    run(make, other, "e0_c1", seconds=1)
    assert [cost.duration_s for costs in fold.apply_all(other.rows).trials.values() for cost in costs] == [1.0]


def test_experiments_that_joined_by_an_extension_are_history_too(make, chain):
    chain.append(
        StudyExtended(
            study_design_hash=make.sha,
            llem_version="0.1",
            cycles=2,
            limits=Limits(),
            sequence=[2, 2],
            added=1,
            summaries=({}, {}),
        )
    )
    joined = make.plan(experiments=3)[3]
    chain.append(joined)
    run(make, chain, "e2_c1", seconds=4)
    trials = HistoryFold().apply_all(chain.rows).trials
    assert {key: [cost.duration_s for cost in costs] for key, costs in trials.items()} == {joined.config_hash: [4.0]}


def test_a_clock_that_was_set_back_gives_no_negative_time(make):
    assert TrialCost(duration_s=0.0, headline=make.headline(duration_s=12.0)).overhead_s == 0.0
