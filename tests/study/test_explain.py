import pytest

from llem.study.explain import Explained, explain
from llem.study.load import load_study
from llem.study.plan import plan_study

HEAD = "name: tiny\nmodel: {config: llama}\n"
STUDY_KEYS = [
    "name",
    "profile",
    "cycles",
    "order",
    "seed",
    "reruns",
    "retries",
    "gaps.between_trials",
    "gaps.between_cycles",
    "limits.start_s",
    "limits.load_s",
    "limits.warmup_s",
    "limits.measurement_s",
    "limits.silence_s",
    "limits.trial_s",
    "limits.clean_s",
    "limits.study_s",
    "limits.energy_kwh",
    "limits.consecutive_failures",
    "limits.cool_down_s",
]


@pytest.fixture
def explained(tmp_path):
    """Return a function from a study's text and settings to key → (values, origins)."""

    def of(text="", *settings, head=HEAD, **bases):
        for name, content in bases.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        (tmp_path / "study.yaml").write_text(head + text)
        found = explain(plan_study(load_study(tmp_path / "study.yaml", settings)))
        return {one.key: (list(one.values), list(one.origins)) for one in found}

    return of


def test_a_bare_study_is_llem_s_defaults(explained):
    found = explained()
    told = {key: origins for key, (_, origins) in found.items() if origins != ["default"] and key != "prompts.source"}
    assert told == {
        "name": ["study line 1"],
        "model": ["study line 2"],
        "seed": ["derived from the design"],
    }
    assert [*found][: len(STUDY_KEYS)] == STUDY_KEYS
    assert found["cycles"] == ([5], ["default"])
    assert found["measurement.min_window_s"] == ([10.0], ["default"])
    assert found["transformers.torch_compile"] == ([False], ["default"])
    assert found["gaps.between_trials"] == ([0.0], ["default"])


def test_a_declared_country_is_explained_as_the_number_that_it_stands_for(explained):
    found = explained("carbon:\n  country: FRA\n", "carbon.pue=1.3", base="carbon: {pue: 2}\n")
    told = {key.removeprefix("carbon."): value for key, value in found.items() if key.startswith("carbon")}
    (intensity,), origins = told["intensity_g_per_kwh"]
    assert (intensity > 0, origins) == (True, ["implied by carbon.country"])
    assert told["source"][1] == ["implied by carbon.country"]
    assert told["country"] == (["FRA"], ["study line 4"])
    assert told["pue"] == ([1.3], ["command line"])


def test_a_declared_intensity_is_explained_by_its_lines_and_its_pue_by_the_default(explained):
    found = explained("carbon: {intensity_g_per_kwh: 56, source: RTE}\n")
    assert found["carbon.intensity_g_per_kwh"] == ([56.0], ["study line 3"])
    assert found["carbon.source"] == (["RTE"], ["study line 3"])
    assert found["carbon.pue"] == ([1.0], ["default"])
    assert explained()["carbon"] == ([None], ["default"])


def test_every_key_of_an_experiment_is_there(explained):
    from llem.study.grammar import GRAMMAR

    keys = {f"{section}.{key}" for (section,), names in list(GRAMMAR.keys.items())[1:] for key in names}
    jsonl_only = {"prompts.path", "prompts.field", "prompts.order"}
    declared = {key for key in keys if key.startswith("carbon.")}  # nothing of it holds unless it is declared
    assert keys - jsonl_only - declared - set(explained()) == set()


ORIGINS = {
    "the study": ("batch_size: 2\n", (), "batch_size", [2], ["study line 3"]),
    "a section": ("prompts:\n  count: 4\n", (), "prompts.count", [4], ["study line 4"]),
    "the rest of that section": ("prompts:\n  count: 4\n", (), "prompts.seed", [0], ["default"]),
    "a profile": ("profile: quick\n", (), "measurement.min_passes", [2], ["profile quick"]),
    "a profile's cycles": ("profile: publish\n", (), "cycles", [7], ["profile publish"]),
    "the study over a profile": ("profile: quick\ncycles: 4\n", (), "cycles", [4], ["study line 4"]),
    "an anchor": ("x-n: &n 4\nbatch_size: *n\n", (), "batch_size", [4], ["study line 4"]),
    "a merge key": (
        "x-g: &g {output_tokens: 4}\ngeneration: {<<: *g}\n",
        (),
        "generation.output_tokens",
        [4],
        ["study line 3"],
    ),
    "an axis": ("sweep:\n  batch_size: [1, 2]\n", (), "batch_size", [1, 2], ["sweep batch_size line 4"]),
    "an axis of several lines": (
        "sweep:\n  batch_size:\n    - 1\n    - 2\n",
        (),
        "batch_size",
        [1, 2],
        ["sweep batch_size line 5", "sweep batch_size line 6"],
    ),
    "a group and its baseline": (
        "sweep:\n  g:\n    - {}\n    - {batch_size: 2}\n",
        (),
        "batch_size",
        [1, 2],
        ["default", "sweep g line 6"],
    ),
    "a group over the study": (
        "batch_size: 4\nsweep:\n  g:\n    - {}\n    - {batch_size: 2}\n",
        (),
        "batch_size",
        [4, 2],
        ["study line 3", "sweep g line 7"],
    ),
    "a zip": (
        "sweep:\n  zip: {batch_size: [1, 2], prompts.count: [3, 4]}\n",
        (),
        "prompts.count",
        [3, 4],
        ["sweep zip line 4"],
    ),
    "a listed experiment": (
        "experiments:\n  - {batch_size: 1}\n  - {batch_size: 2}\n",
        (),
        "batch_size",
        [1, 2],
        ["experiments[0] line 4", "experiments[1] line 5"],
    ),
    "the command line": ("batch_size: 2\n", ("batch_size=3",), "batch_size", [3], ["command line"]),
    "the command line over a sweep": (
        "sweep:\n  batch_size: [1, 2]\n",
        ("batch_size=3",),
        "batch_size",
        [3],
        ["command line"],
    ),
    "a section of the command line over a sweep": (
        "sweep:\n  prompts.seed: [1, 2]\n",
        ("prompts={seed: 3}",),
        "prompts.seed",
        [3],
        ["command line"],
    ),
    "the command line's cycles": ("cycles: 2\n", ("cycles=3",), "cycles", [3], ["command line"]),
    "a seed": ("seed: 5\n", (), "seed", [5], ["study line 3"]),
    "a part of gaps": ("gaps:\n  between_trials: 3\n", (), "gaps.between_trials", [3.0], ["study line 4"]),
    "the part of gaps beside it": ("gaps:\n  between_trials: 3\n", (), "gaps.between_cycles", [None], ["default"]),
    "a key of the model": (
        "sweep:\n  model.hidden_size: [64, 128]\n",
        (),
        "model",
        [{"config": "llama", "seed": 0, "hidden_size": size} for size in (64, 128)],
        ["study line 2", "sweep model.hidden_size line 4"],
    ),
    "an option of the engine": (
        "transformers:\n  torch_compile: true\n",
        (),
        "transformers.torch_compile",
        [True],
        ["study line 4"],
    ),
}


@pytest.mark.parametrize(("text", "settings", "key", "values", "origins"), ORIGINS.values(), ids=ORIGINS)
def test_a_value_is_told_with_where_it_comes_from(explained, text, settings, key, values, origins):
    assert explained(text, *settings)[key] == (values, origins)


def test_a_seed_that_is_null_is_derived(explained):
    given, origins = explained("seed:\n")["seed"]
    assert origins == ["derived from the design"]
    assert given == explained()["seed"][0]


def test_base_files_are_named_with_their_lines(explained):
    found = explained(
        "base: near.yaml\nprompts: {count: 4}\n",
        near="base: far.yaml\nbatch_size: 2\nprompts: {seed: 7}\n",
        far="cycles: 3\nbatch_size: 4\n",
    )
    (origin,) = found["batch_size"][1]
    assert origin.startswith("base ")
    assert origin.endswith("near.yaml line 2")
    (origin,) = found["cycles"][1]
    assert origin.endswith("far.yaml line 1")
    (origin,) = found["prompts.seed"][1]
    assert origin.endswith("near.yaml line 3")
    assert found["prompts.count"] == ([4], ["study line 4"])


def test_a_sweep_that_the_study_file_does_not_hold_is_told_with_who_does(explained):
    (origin,) = explained("base: near.yaml\n", near="sweep:\n  batch_size: [1, 2]\n")["batch_size"][1]
    assert "near.yaml line 2" in origin
    (origin,) = explained("", "sweep.batch_size=[1, 2]")["batch_size"][1]
    assert "command line" in origin


def test_a_variable_is_told_with_what_it_gave(explained, monkeypatch, tmp_path):
    monkeypatch.setenv("TEXTS", "texts.jsonl")
    (tmp_path / "texts.jsonl").write_text('{"text": "hello"}\n')
    values, (origin,) = explained("prompts:\n  path: ${TEXTS:other.jsonl}\n")["prompts.path"]
    assert values == ["texts.jsonl"]
    assert origin.startswith("study line 4, ")
    assert "TEXTS" in origin


def test_values_and_origins_stand_there_once_each_however_many_experiments(explained):
    found = explained("sweep: {batch_size: [1, 2], prompts.seed: [1, 2, 3], dtype: [float32]}\n")
    assert found["batch_size"][0] == [1, 2]
    assert found["dtype"] == (["float32"], ["sweep dtype line 3"])
    assert found["model"] == ([{"config": "llama", "seed": 0}], ["study line 2"])


def test_an_explanation_goes_into_json_and_back(explained, tmp_path):
    explained("sweep: {batch_size: [1, 2]}\n")
    for one in explain(plan_study(load_study(tmp_path / "study.yaml"))):
        assert Explained.model_validate_json(one.model_dump_json()) == one
