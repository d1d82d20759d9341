import pytest

from llem.domain.carbon import CarbonFactor
from llem.domain.events import ExperimentPlanned, ExperimentRunning, SessionStarted, StudyExtended
from llem.domain.sensing import SensorReport
from llem.domain.spec import Limits
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold
from llem.projections.results import study_result

OTHER = "b" * 64


def extended(*, cycles, sequence, added, summaries, limits=Limits(), **more):  # noqa: B008 - frozen
    return StudyExtended(
        study_design_hash=OTHER,
        llem_version="0.0.2",
        cycles=cycles,
        limits=limits,
        sequence=sequence,
        added=added,
        summaries=summaries,
        **more,
    )


def joining(make, index, size):
    return ExperimentPlanned(
        index=index,
        label=f"e{index}",
        config=make.config(batch_size=size),
        config_hash=f"{index}" * 64,
        config_summary={"batch_size": size, "dtype": "auto"},
        result_stem=f"e{index}",
    )


@pytest.fixture
def chain(make):
    """Return the rows of a study of two experiments in two cycles that is extended by one of each."""
    chain = make.chain()
    for event in make.plan(experiments=2, cycles=2):
        chain.append(event)
    summaries = ({"batch_size": 1, "dtype": "auto"}, {"batch_size": 2, "dtype": "auto"})
    limits = Limits(trial_s=5)
    chain.append(extended(cycles=3, sequence=[0, 1, 2, 2, 2], added=1, summaries=summaries, limits=limits))
    chain.append(joining(make, 2, 8))
    return chain


def test_nothing_planned_is_an_empty_plan():
    assert PlanFold().apply_all([]) == PlanFold(study=None, experiments={}, host=None)


def test_a_plan_is_as_it_was_recorded(make):
    chain = make.chain()
    study, *experiments = make.plan(experiments=2, cycles=2)
    for event in (study, *experiments):
        chain.append(event)
    fold = PlanFold().apply_all(chain.rows)
    assert fold.study == study
    assert list(fold.experiments.items()) == list(enumerate(experiments))


def test_an_extended_plan_has_what_it_had_and_what_was_added(make, chain):
    study, *experiments = make.plan(experiments=2, cycles=2)
    fold = PlanFold().apply_all(chain.rows)
    assert fold.study == study.model_copy(
        update={
            "study_design_hash": OTHER,
            "cycles": 3,
            "limits": Limits(trial_s=5),
            "sequence": [*study.sequence, 0, 1, 2, 2, 2],
        }
    )
    assert list(fold.experiments) == [0, 1, 2]
    assert [planned.config_summary for planned in fold.experiments.values()] == [
        {"batch_size": 1, "dtype": "auto"},
        {"batch_size": 2, "dtype": "auto"},
        {"batch_size": 8, "dtype": "auto"},
    ]
    assert [fold.experiments[index].config for index in (0, 1)] == [planned.config for planned in experiments]
    assert [fold.experiments[index].label for index in (0, 1)] == [planned.label for planned in experiments]


def test_a_plan_is_extended_again(make, chain):
    summaries = tuple({"batch_size": size} for size in (1, 2, 8))
    chain.append(extended(cycles=4, sequence=[0, 1, 2], added=0, summaries=summaries))
    fold = PlanFold().apply_all(chain.rows)
    assert fold.study.cycles == 4
    assert fold.study.limits == Limits()
    assert sorted(fold.study.sequence) == [0] * 4 + [1] * 4 + [2] * 4
    assert [planned.config_summary for planned in fold.experiments.values()] == list(summaries)


def test_an_extension_settles_the_carbon_from_then_on(make, chain):
    summaries = tuple({"batch_size": size} for size in (1, 2, 8))
    carbon = CarbonFactor(intensity_g_per_kwh=56, source="RTE", pue=1)
    for declared in (carbon, None):
        chain.append(extended(cycles=3, sequence=[], added=0, summaries=summaries, carbon=declared))
        assert PlanFold().apply_all(chain.rows).study.carbon == declared
        assert study_result(ManifestFold().apply_all(chain.rows)).carbon == declared


def test_the_machine_is_that_of_the_last_session(make, chain):
    for name in ("first", "second"):
        host = make.host().model_copy(update={"name": name})
        chain.append(SessionStarted(command="run", llem_version="0.1", pid=1, host=host, sensors=SensorReport()))
    assert PlanFold().apply_all(chain.rows).host.name == "second"


def test_what_says_nothing_of_the_plan_passes(make, chain):
    before = PlanFold().apply_all(chain.rows)
    chain.append(ExperimentRunning(trial="e0_c1", attempt=1, log_file="logs/x.log", launcher="local"))
    assert PlanFold().apply_all(chain.rows) == before


def test_rows_may_come_in_parts(chain):
    whole = PlanFold().apply_all(chain.rows)
    for cut in range(len(chain.rows) + 1):
        assert PlanFold().apply_all(chain.rows[:cut]).apply_all(chain.rows[cut:]) == whole


def test_every_prefix_of_an_extended_plan_folds_into_a_manifest_of_the_same_trials(chain):
    expected = [0, 2, 4, 6, 9]  # the study alone; its experiments, two cycles each; a cycle more; one that joins
    for number in range(1, len(chain.rows) + 1):
        rows = chain.rows[:number]
        manifest = ManifestFold().apply_all(rows).manifest()
        plan = PlanFold().apply_all(rows)
        assert manifest.total_experiments == len(manifest.experiments) == expected[number - 1]
        assert manifest.pending == expected[number - 1]
        assert len(plan.experiments) * plan.study.cycles == expected[number - 1]
        assert manifest.study_design_hash == plan.study.study_design_hash


def test_an_extension_makes_a_finished_study_unfinished_and_leaves_what_was_done(make, chain):
    fold = ManifestFold().apply_all(chain.rows)
    assert [entry.trial for entry in fold.manifest().experiments[4:]] == ["e0_c3", "e1_c3", "e2_c1", "e2_c2", "e2_c3"]
    assert fold.status() == "planned"
    assert not fold.finished


def test_an_extension_that_does_not_fit_the_plan_is_damage_and_no_traceback(make):
    from llem.domain.errors import JournalError

    chain = make.chain()
    for event in make.plan(experiments=2, cycles=2):
        chain.append(event)
    chain.append(extended(cycles=3, sequence=[0], added=0, summaries=({},)))
    for fold in (ManifestFold(), PlanFold()):
        with pytest.raises(JournalError, match="does not fit"):
            fold.apply_all(chain.rows)


def test_an_extension_before_any_plan_is_damage(make):
    from llem.domain.errors import JournalError

    chain = make.chain()
    chain.append(extended(cycles=3, sequence=[], added=0, summaries=()))
    with pytest.raises(JournalError, match="there is no study to extend"):
        ManifestFold().apply_all(chain.rows)
