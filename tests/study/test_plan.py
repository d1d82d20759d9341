import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.decoding import typed_event
from llem.domain.errors import InputError
from llem.domain.identity import config_hash
from llem.journal.journal import Journal
from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import plan_study


@pytest.fixture
def planned(tmp_path):
    """Return a function from a study's text, without name and model, to the events of its plan."""

    def of(text="", head="name: tiny\nmodel: {config: llama}\n", folder=tmp_path, settings=()):
        folder.mkdir(exist_ok=True)
        (folder / "study.yaml").write_text(head + text)
        plan = plan_study(load_study(folder / "study.yaml", settings, machine=UnknownMachine()))
        assert plan.trials == len(plan.study.sequence) == plan.study.cycles * len(plan.experiments)
        return plan.study, plan.experiments

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
    assert (study.declared, study.duplicates, len(experiments)) == (3, 1, 2)
    assert [experiment.config.batch_size for experiment in experiments] == [2, 1]
    assert [sorted(study.sequence[start : start + 2]) for start in (0, 2, 4, 6, 8)] == [[0, 1]] * 5


def test_prompts_of_one_content_under_two_names_are_one_experiment_under_the_first(planned, tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"text": "hello"}\n')
    study, (experiment,) = planned("prompts: {source: jsonl}\nsweep: {prompts.path: [a.jsonl, b.jsonl]}\n")
    assert study.declared == 2
    assert experiment.config.prompts.path == "a.jsonl"


def test_a_sweep_over_a_setting_of_the_method_stays_as_many_experiments(planned):
    study, experiments = planned("sweep: {measurement.warmup_passes: [0, 1, 2]}\n")
    assert (study.declared, study.duplicates, len(experiments)) == (3, 0, 3)


def test_comments_names_and_the_order_of_keys_leave_the_design_as_it_is(planned, tmp_path):
    one, _ = planned("cycles: 2\ndtype: float32\nsweep: {batch_size: [1, 2]}\n")
    other, _ = planned(
        "sweep: {batch_size: [1, 2]} # the same\ndtype: float32\ncycles: 2\nlimits: {trial_s: 50}\n"
        "carbon: {country: FRA}\n",
        head="model: {config: llama}\nname: other\n",
        folder=tmp_path / "elsewhere",
    )
    assert one.study_design_hash == other.study_design_hash
    assert one.seed == other.seed
    assert one.sequence == other.sequence
    assert (one.carbon, other.carbon.country) == (None, "FRA")


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
        assert typed_event(chain.append(event)) == event


def test_a_study_in_a_folder_whose_name_is_no_text_is_planned_or_refused_with_a_reason(make, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "study.yaml").write_text("name: a\nmodel: {config: llama}\n")
    try:
        study = plan_study(load_study(folder / "study.yaml", machine=UnknownMachine())).study
    except InputError:
        return
    with Journal(tmp_path / "journal.db") as journal:
        assert typed_event(journal.append(study)) == study


def test_what_was_left_out_is_kept_in_the_plan_with_its_reason_and_its_values(planned, tmp_path):
    study, _ = planned("sweep: {batch_size: [1, 0], dtype: [float32, float16, fp16]}\nexclude: [{dtype: float16}]\n")
    where = f"{tmp_path}/study.yaml"
    assert study.declared == 6
    assert [skipped.model_dump(mode="json") for skipped in study.skipped] == [
        {
            "kind": "excluded",
            "reason": f"{where}:4:11: exclude: dtype: float16",
            "points": [{"batch_size": 1, "dtype": "float16"}, {"batch_size": 0, "dtype": "float16"}],
        },
        {
            "kind": "invalid",
            "reason": (
                f"{where}:3:55: dtype: input should be 'auto', 'float32', 'float16' or 'bfloat16'; found 'fp16'"
            ),
            "points": [{"batch_size": 1, "dtype": "fp16"}],
        },
        {
            "kind": "invalid",
            "reason": f"{where}:3:25: batch_size: input should be greater than 0; found 0",
            "points": [{"batch_size": 0, "dtype": "float32"}],
        },
        {
            "kind": "invalid",
            "reason": (
                f"{where}:3:55: dtype: input should be 'auto', 'float32', 'float16' or 'bfloat16'; found 'fp16'; "
                f"{where}:3:25: batch_size: input should be greater than 0; found 0"
            ),
            "points": [{"batch_size": 0, "dtype": "fp16"}],
        },
    ]


def test_the_axes_are_what_the_file_spans(planned_files):
    plan = planned_files(
        {
            "study.yaml": (
                "name: tiny\nmodel: {config: llama}\nexperiments: [{dtype: float32}, {}]\n"
                "sweep:\n  batch_size: [1, 2]\n  zip: {generation.seed: [1, 2], prompts.count: [8, 9]}\n"
                "  g: [{}, {model.hidden_size: [64, 128]}]\n"
            )
        }
    )
    assert plan.axes == [
        ("experiments", [{"dtype": "float32"}, {}]),
        ("batch_size", [{"batch_size": 1}, {"batch_size": 2}]),
        (
            "generation.seed + prompts.count",
            [{"generation.seed": 1, "prompts.count": 8}, {"generation.seed": 2, "prompts.count": 9}],
        ),
        ("g", [{}, {"model.hidden_size": 64}, {"model.hidden_size": 128}]),
    ]
    assert len(plan.experiments) == 2 * 2 * 2 * 3


def test_the_sources_are_the_study_file_and_its_bases_as_they_were_given(planned_files, tmp_path):
    files = {
        "study.yaml": "base: a.yaml # first\nname: tiny\n",
        "a.yaml": "base: b/b.yaml\n",
        "b/b.yaml": "\ufeffmodel: gpt2\r\n",
    }
    assert planned_files(files).sources == [(f"{tmp_path}/{name}", files[name].encode()) for name in files]


def test_each_value_says_where_it_came_from(planned_files, tmp_path, monkeypatch):
    monkeypatch.setenv("LLEM_TEST_TEXTS", "texts.jsonl")
    monkeypatch.delenv("LLEM_TEST_MODEL", raising=False)
    plan = planned_files(
        {
            "study.yaml": (
                "base: common.yaml\nname: tiny\nprofile: quick\nmodel: ${LLEM_TEST_MODEL:gpt2}\n"
                "prompts: {path: '${LLEM_TEST_TEXTS}'}\nmeasurement: {min_passes: 9}\n"
                "sweep:\n  dtype: [float32, float16]\n"
            ),
            "common.yaml": "generation:\n  seed: 1\n  output_tokens: 8\ncycles: 4\n",
            "texts.jsonl": '{"text": "a"}\n',
        },
        ["generation.seed=2", "order=reverse", "batch_size=1"],
    )
    assert plan.study.origins == {
        "measurement.warmup_passes": "profile quick",
        "measurement.warmup_max_s": "profile quick",
        "measurement.soak_max_s": "profile quick",
        "measurement.min_window_s": "profile quick",
        "measurement.bare_idle_s": "profile quick",
        "measurement.phases": "profile quick",
        "measurement.min_passes": "study line 6",
        "generation.output_tokens": f"base {tmp_path}/common.yaml line 3",
        "generation.seed": "command line",
        "batch_size": "command line",
        "cycles": f"base {tmp_path}/common.yaml line 4",
        "name": "study line 2",
        "profile": "study line 3",
        "model": "study line 4, default of ${LLEM_TEST_MODEL}",
        "prompts.path": "study line 5, ${LLEM_TEST_TEXTS} from the environment",
        "order": "command line",
    }
    assert [experiment.origins for experiment in plan.experiments] == [{"dtype": "sweep dtype line 8"}] * 2


def test_a_value_of_an_inherited_axis_says_which_file_it_came_from(planned_files, tmp_path):
    plan = planned_files(
        {
            "study.yaml": "base: common.yaml\nname: tiny\nmodel: gpt2\n",
            "common.yaml": "\n\n\nsweep: {dtype: [float32, float16]}\n",
        }
    )
    assert all("common.yaml" in experiment.origins["dtype"] for experiment in plan.experiments)


def test_an_order_that_these_cycles_cannot_balance_is_told(planned_files):
    text = "name: a\nmodel: gpt2\norder: latin_square\nsweep: {batch_size: [1, 2, 4]}\n"
    assert planned_files({"study.yaml": text}).warnings == [
        "latin_square of 3 experiments is balanced after 6 cycles, or a multiple; this study has 5"
    ]
    assert planned_files({"study.yaml": text + "cycles: 12\n"}).warnings == []


STUDY = """
base: common.yaml
name: everywhere
profile: quick
sweep:
  dtype: [float32, float16]
  g: [{}, {generation: {do_sample: true, top_k: [5, 50]}}, {prompts: {path: texts.jsonl}}]
  zip: {batch_size: [1, 2], measurement.guard_s: [0.5, 1.0]}
exclude: [{generation.top_k: 50, batch_size: '> 1'}, {dtype: float16, prompts.source: jsonl}]
order: shuffle
"""
# What this study is, on any machine and in any release: never adapt these to the code.
DESIGN_HASH = "601649208db8c603841e444cd62d10523cb0124db651e6b5aacc9c9ab5043939"
SEED = 3679325683
SEQUENCE = [0, 11, 6, 1, 10, 3, 0, 8, 4, 8, 2, 4, 9, 11, 6, 10, 5, 7, 3, 5, 7, 1, 9, 2]
PLAN = """
import sys
from pathlib import Path
from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import plan_study

plan = plan_study(load_study(Path(sys.argv[1]), machine=UnknownMachine()))
for event in (plan.study, *plan.experiments):
    print(event.model_dump_json(exclude={"base_dir"}))
"""


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory):
    """Return a folder with a study that uses much of the grammar."""
    folder = tmp_path_factory.mktemp("everywhere")
    (folder / "study.yaml").write_text(STUDY)
    (folder / "common.yaml").write_text("model: {config: llama, hidden_size: 64, x: {b: 1.0, a: [é]}}\ncycles: 2\n")
    (folder / "texts.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    return folder


def planned_elsewhere(folder, study, hash_seed):
    done = subprocess.run(
        [sys.executable, "-c", PLAN, study],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_study_is_the_same_plan_in_every_process_and_from_every_folder(everywhere, tmp_path):
    study, *experiments = planned_elsewhere(everywhere, "study.yaml", "0")
    assert (study["study_design_hash"], study["seed"], study["sequence"]) == (DESIGN_HASH, SEED, SEQUENCE)
    # Reasons name the file as it was named, so the same name is given from both folders.
    whole = str(everywhere / "study.yaml")
    plans = [planned_elsewhere(folder, whole, seed) for folder, seed in ((tmp_path, "1"), ("/", "12345"))]
    assert plans[0] == plans[1]
    assert plans[0][1:] == experiments
    assert {**plans[0][0], "skipped": 0, "origins": 0} == {**study, "skipped": 0, "origins": 0}


SIZES = st.lists(st.integers(1, 8), min_size=1, max_size=5)


@given(SIZES, SIZES, st.integers(1, 4))
def test_declared_points_are_experiments_duplicates_and_skips_and_each_experiment_has_its_cycles(
    tmp_path_factory, sizes, counts, cycles
):
    path = tmp_path_factory.mktemp("any") / "study.yaml"
    path.write_text(
        f"name: a\nmodel: gpt2\ncycles: {cycles}\nsweep: {{batch_size: {sizes}, prompts.count: {counts}}}\n"
        f"exclude: [{{batch_size: 8}}]\nexperiments: [{{}}, {{generation.seed: 1}}]\n"
    )
    fitting = {(size, count) for size in sizes for count in counts if size <= count and size != 8}
    if not fitting:
        with pytest.raises(InputError):
            load_study(path, machine=UnknownMachine())
        return
    plan = plan_study(load_study(path, machine=UnknownMachine()))
    skipped = sum(len(found.points) for found in plan.study.skipped)
    assert plan.study.declared == 2 * len(sizes) * len(counts)
    assert len(plan.experiments) == 2 * len(fitting)
    assert plan.study.declared == len(plan.experiments) + plan.study.duplicates + skipped
    assert sorted(plan.study.sequence) == sorted(cycles * list(range(2 * len(fitting))))
    assert len({experiment.config_hash for experiment in plan.experiments}) == len(plan.experiments)
