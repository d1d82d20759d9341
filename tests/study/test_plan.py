import os
from pathlib import Path

import pytest

from llem.domain.errors import LlemError
from llem.domain.identity import config_hash
from llem.journal.journal import Journal
from llem.study.load import load_study
from llem.study.plan import plan_study


@pytest.fixture
def planned(tmp_path):
    """Return a function from a study's text, without name and model, to its plan."""

    def of(text="", head="name: tiny\nmodel: {config: llama}\n", folder=tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / "study.yaml").write_text(head + text)
        return plan_study(load_study(folder / "study.yaml"))

    return of


def test_a_grid_becomes_one_experiment_for_each_point_and_one_result_for_each_cycle(planned):
    study, experiments = planned("cycles: 3\nsweep: {batch_size: [1, 2], dtype: [float32, float16]}\n")
    assert (study.declared, study.cycles, len(experiments)) == (4, 3, 4)
    assert [experiment.index for experiment in experiments] == [0, 1, 2, 3]
    assert [experiment.config_summary for experiment in experiments] == [
        {"dtype": dtype, "batch_size": size} for size in (1, 2) for dtype in ("float32", "float16")
    ]
    assert len({experiment.result_stem for experiment in experiments}) == 4
    assert [sorted(study.sequence[start : start + 4]) for start in (0, 4, 8)] == [[0, 1, 2, 3]] * 3


def test_equal_configurations_fold_into_one_experiment(planned):
    study, experiments = planned("sweep: {batch_size: [2, 1, 2], dtype: [auto]}\n")
    assert (study.declared, len(experiments)) == (3, 2)
    assert [experiment.config.batch_size for experiment in experiments] == [2, 1]
    assert [sorted(study.sequence[start : start + 2]) for start in (0, 2, 4, 6, 8)] == [[0, 1]] * 5


def test_prompts_of_one_content_under_two_names_are_one_experiment_under_the_first(planned, tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"text": "hello"}\n')
    study, (experiment,) = planned("prompts: {source: jsonl}\nsweep: {prompts.path: [a.jsonl, b.jsonl]}\n")
    assert study.declared == 2
    assert experiment.config.prompts.path == "a.jsonl"


def test_a_sweep_over_a_setting_of_the_method_stays_as_many_experiments(planned):
    _, experiments = planned("sweep: {measurement.warmup_passes: [0, 1, 2]}\n")
    assert len(experiments) == 3


def test_comments_names_and_the_order_of_keys_leave_the_design_as_it_is(planned, tmp_path):
    one, _ = planned("cycles: 2\ndtype: float32\nsweep: {batch_size: [1, 2]}\n")
    other, _ = planned(
        "sweep: {batch_size: [1, 2]} # the same\ndtype: float32\ncycles: 2\nlimits: {trial_s: 5}\n",
        head="model: {config: llama}\nname: other\n",
        folder=tmp_path / "elsewhere",
    )
    assert one.study_design_hash == other.study_design_hash
    assert one.seed == other.seed
    assert one.sequence == other.sequence


@pytest.mark.parametrize(
    "change",
    [
        "cycles: 3\n",
        "order: sequential\n",
        "gaps: {between_trials: 1}\n",
        "seed: 1\n",
        "dtype: float16\n",
        "sweep: {batch_size: [2, 1]}\n",
    ],
)
def test_what_changes_the_design_changes_its_hash(planned, change):
    base = {"cycles": "cycles: 2\n", "sweep": "sweep: {batch_size: [1, 2]}\n"}
    one, _ = planned("".join(base.values()))
    other, _ = planned("".join({**base, change.partition(":")[0]: change}.values()))
    assert one.study_design_hash != other.study_design_hash


def test_a_seed_that_is_given_is_kept_and_zero_is_a_seed(planned):
    assert planned("seed: 0\n")[0].seed == 0
    assert planned("seed: 42\n")[0].seed == 42


def test_a_study_without_a_seed_gets_the_same_one_each_time(planned):
    assert planned()[0].seed == planned()[0].seed


def test_a_sequential_study_runs_in_the_order_of_the_file(planned):
    study, _ = planned("order: sequential\ncycles: 2\nsweep: {batch_size: [4, 2, 1]}\n")
    assert study.sequence == [0, 0, 1, 1, 2, 2]


def test_a_label_is_the_beginning_of_the_hash_and_is_unique(planned):
    _, experiments = planned("sweep: {batch_size: [1, 2, 4, 8]}\n")
    for experiment in experiments:
        assert experiment.config_hash == config_hash(experiment.config)
        assert experiment.config_hash.startswith(experiment.label)
        assert len(experiment.label) == 8
        assert experiment.result_stem == f"llama-random_transformers_auto_{experiment.label}"
    assert len({experiment.label for experiment in experiments}) == 4


def test_the_plan_comes_back_from_the_journal_as_it_was(planned, make):
    study, experiments = planned("cycles: 2\nsweep: {batch_size: [1, 2], measurement.guard_s: [0.5, 1.0]}\n")
    chain = make.chain()
    for event in [study, *experiments]:
        assert chain.append(event).event() == event


def test_a_study_in_a_folder_whose_name_is_no_text_is_planned_or_refused_with_a_reason(make, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "study.yaml").write_text("name: a\nmodel: {config: llama}\n")
    try:
        study, _ = plan_study(load_study(folder / "study.yaml"))
    except LlemError:
        return
    with Journal(tmp_path / "journal.db") as journal:
        assert journal.append(study).event() == study
