import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.identity import (
    build_config_summary,
    canonical_json,
    config_hash,
    derived_seed,
    result_filename,
    result_stem,
    study_design_hash,
    summary_text,
    unique_prefix_length,
    varying_keys,
)
from llem.domain.spec import ExperimentConfig, Gaps, Generation, JsonlPrompts, Measurement, SyntheticPrompts

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)

LITERAL = {
    "model": {"config": "llama", "hidden_size": 64, "rope_theta": 10000.0, "tie_word_embeddings": True},
    "engine": "transformers",
    "dtype": "float32",
    "batch_size": 4,
    "prompts": {"source": "synthetic", "count": 8, "input_tokens": 32, "seed": 1},
    "generation": {"output_tokens": 16, "do_sample": True, "temperature": 0.7, "top_p": 0.9},
    "measurement": {"min_window_s": 10, "warmup_passes": 2, "sensors": ["nvml", "rapl"]},
    "engine_options": {"device": "cpu", "torch_compile": False},
}
# A hash that changes orphans every result that was ever compared by it: never adapt these to the code.
LITERAL_HASH = "9a04cef4899698767a2d259229b96cdcd15765c56003680871d2930f78dfdcc0"
DESIGN_HASH = "68a381cc478e80b87554d97a10996e3d05e61676e9d3b883124515d7512abc58"


def literal() -> ExperimentConfig:
    return ExperimentConfig.model_validate(LITERAL)


def test_a_literal_configuration_has_the_same_hash_in_every_release():
    assert config_hash(literal()) == LITERAL_HASH


def test_a_literal_design_has_the_same_hash_in_every_release():
    assert study_design_hash(["a" * 64, "b" * 64], cycles=3, order="blocks", seed=42, gaps=Gaps()) == DESIGN_HASH


def test_the_seed_derived_from_the_experiments_is_the_same_in_every_release():
    assert derived_seed(["a" * 64, "b" * 64]) == 732104046


@pytest.mark.parametrize("hash_seed", ["0", "1", "12345"])
def test_hashes_do_not_depend_on_the_process(hash_seed):
    script = (
        "import json, sys\n"
        "from llem.domain.identity import config_hash, study_design_hash\n"
        "from llem.domain.spec import ExperimentConfig, Gaps\n"
        "print(config_hash(ExperimentConfig.model_validate(json.load(sys.stdin))))\n"
        "print(study_design_hash(['a' * 64, 'b' * 64], cycles=3, order='blocks', seed=42, gaps=Gaps()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(LITERAL),
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [LITERAL_HASH, DESIGN_HASH]


@given(st.permutations(list(LITERAL)))
def test_the_order_of_keys_does_not_change_the_hash(keys):
    assert config_hash(ExperimentConfig.model_validate({key: LITERAL[key] for key in keys})) == LITERAL_HASH


@given(JSON_VALUES)
def test_canonical_text_survives_a_trip_through_json(value):
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(max_size=3), st.integers(-(2**53), 2**53), max_size=4))
def test_integral_floats_and_integers_are_one_value(tree):
    assert canonical_json({key: float(value) for key, value in tree.items()}) == canonical_json(tree)


def test_canonical_text_of_a_literal_value():
    value = {"b": [1.0, -0.0, 0.5, (2.0,)], "a": {"é": None, "z": True}, "1e3": 1e3}
    assert canonical_json(value) == '{"1e3":1000,"a":{"z":true,"é":null},"b":[1,0,0.5,[2]]}'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_say_is_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"deep": [value]})


def test_true_and_one_are_two_values():
    assert canonical_json({"a": True}) != canonical_json({"a": 1})


def test_one_and_one_point_zero_are_one_configuration(make):
    whole, point = make.config(model={"config": "llama", "x": 1}), make.config(model={"config": "llama", "x": 1.0})
    assert config_hash(whole) == config_hash(point)


# Another valid value for every field: a field that is added and forgotten here fails the test below.
OTHER = {
    ExperimentConfig: {
        "model": {"config": "gpt2", "hidden_size": 64},
        "engine": "another",
        "dtype": "bfloat16",
        "batch_size": 2,
        "prompts": {"source": "synthetic", "count": 3},
        "generation": {"output_tokens": 5},
        "measurement": {"guard_s": 0.1},
        "engine_options": {"device": "cuda"},
    },
    Generation: {
        "output_tokens": 65,
        "stop": "natural",
        "do_sample": False,
        "temperature": 0.25,
        "top_k": 7,
        "top_p": 0.25,
        "seed": 1,
    },
    Measurement: {
        "sensors": ["nvml"],
        "warmup_passes": 3,
        "min_window_s": 10.5,
        "min_passes": 4,
        "guard_s": 0.8,
        "latency_passes": 2,
        "count_flops": False,
    },
    SyntheticPrompts: {"source": None, "count": 9, "input_tokens": 129, "seed": 1},
    JsonlPrompts: {
        "source": None,
        "path": "other.jsonl",
        "field": "prompt",
        "count": 9,
        "order": "shuffled",
        "seed": 1,
        "input_tokens": 100,
        "sha256": "b" * 64,
    },
}
WHERE = {
    ExperimentConfig: {},
    Generation: {"generation": {"do_sample": True}},
    Measurement: {"measurement": {}},
    SyntheticPrompts: {"prompts": {"source": "synthetic"}},
    JsonlPrompts: {"prompts": {"source": "jsonl", "path": "p.jsonl"}},
}
CHANGES = [
    pytest.param(cls, name, id=f"{cls.__name__}.{name}")
    for cls in OTHER
    for name in cls.model_fields
    if name != "source"
]


@pytest.mark.parametrize(("cls", "name"), CHANGES)
def test_every_field_that_can_change_a_figure_changes_the_hash(make, cls, name):
    base = WHERE[cls]
    if base:
        ((section, options),) = base.items()
        changes = {section: {**options, name: OTHER[cls][name]}}
        if name in ("do_sample",):
            changes = {section: {}}
    else:
        changes = {name: OTHER[cls][name]}
    before, after = make.config(**base), make.config(**changes)
    assert before != after
    assert config_hash(before) != config_hash(after)


@pytest.mark.parametrize("key", ["hidden_size", "seed", "config", "new"])
def test_every_key_of_a_random_model_changes_the_hash(make, key):
    other = {"config": "llama", "hidden_size": 64, key: "gpt2" if key == "config" else 99}
    assert config_hash(make.config()) != config_hash(make.config(model=other))


def test_a_prompt_file_counts_by_its_content_and_not_by_its_place(make):
    def hash_of(path, sha256):
        return config_hash(make.config(prompts={"source": "jsonl", "path": path, "sha256": sha256}))

    assert hash_of("a.jsonl", "a" * 64) == hash_of("/b/c.jsonl", "a" * 64)
    assert hash_of("a.jsonl", "a" * 64) != hash_of("a.jsonl", "b" * 64)


@pytest.mark.parametrize(
    "change", [{"cycles": 4}, {"order": "sequential"}, {"seed": 43}], ids=lambda change: next(iter(change))
)
def test_every_part_of_the_plan_changes_the_design(change):
    plan = {"cycles": 3, "order": "blocks", "seed": 42, "gaps": Gaps()}
    hashes = ["a" * 64, "b" * 64]
    assert study_design_hash(hashes, **plan) != study_design_hash(hashes, **{**plan, **change})


def test_the_order_of_the_experiments_is_part_of_the_design():
    plan = {"cycles": 3, "order": "blocks", "seed": 42, "gaps": Gaps()}
    assert study_design_hash(["a", "b"], **plan) != study_design_hash(["b", "a"], **plan)


def test_a_literal_result_file_has_a_literal_name():
    assert (
        result_filename(result_stem(literal(), LITERAL_HASH[:8]), 2)
        == f"llama-random_transformers_float32_{LITERAL_HASH[:8]}_c2.json"
    )


@pytest.mark.parametrize(
    ("model", "first_part"),
    [
        ("meta-llama/Llama-3.2-1B", "Llama-3.2-1B"),
        ("../../etc/passwd", "passwd"),
        ("..", "x"),
        ("/", "model"),
        ("a/..", "x"),
        ("models/tiny/", "tiny"),
        ("evil\n; rm -rf ~", "evil-rm--rf"),
        ("con\x00trol\x1b[31m", "con-trol-31m"),
        ("モデル", "x"),
        (".hidden", "hidden"),
        ("-flag", "flag"),
    ],
)
def test_a_result_file_has_a_safe_name_whatever_the_model_is_called(make, model, first_part):
    config = make.config(model=model)
    assert result_filename(result_stem(config, "c" * 8), 1) == f"{first_part}_transformers_auto_cccccccc_c1.json"


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_model_or_architecture_can_leave_the_results_folder(model, architecture):
    for source in (model, {"config": architecture}):
        config = ExperimentConfig.model_validate({"model": source})
        name = result_filename(result_stem(config, "c" * 8), 12)
        assert name.isascii()
        assert "/" not in name
        assert name.isprintable()
        assert not name.startswith((".", "-"))
        assert name.endswith("_c12.json")
        assert len(name) < 200


@given(st.sets(st.text("01", min_size=20, max_size=20), min_size=1, max_size=20))
def test_the_unique_prefix_is_the_shortest_that_tells_all_apart(hashes):
    length = unique_prefix_length(hashes)
    assert length >= 8
    assert len({text[:length] for text in hashes}) == len(hashes)
    assert length == 8 or len({text[: length - 1] for text in hashes}) < len(hashes)


def test_equal_hashes_need_no_longer_prefix():
    assert unique_prefix_length(["a" * 64, "a" * 64]) == 8


def test_a_summary_shows_what_varies_and_nothing_else(make):
    configs = [
        make.config(batch_size=size, engine_options={"attn_implementation": attn})
        for size in (1, 8)
        for attn in ("eager", "sdpa")
    ]
    varying = varying_keys(configs)
    assert varying == ["batch_size", "transformers.attn_implementation"]
    summary = build_config_summary(configs[1], varying)
    assert summary == {"batch_size": 1, "transformers.attn_implementation": "sdpa"}
    assert summary_text(summary) == "batch_size=1 attn_implementation=sdpa"


def test_a_study_of_one_experiment_is_summed_up_by_model_engine_and_dtype(make):
    config = make.config(dtype="float16")
    assert varying_keys([config]) == []
    summary = build_config_summary(config, [])
    assert summary == {"model": "llama-random", "engine": "transformers", "dtype": "float16"}


def test_a_key_that_only_some_experiments_have_varies(make):
    configs = [make.config(model={"config": "gpt2", "n_layer": 2}), make.config(model={"config": "gpt2"})]
    assert varying_keys(configs) == ["model.n_layer"]
    assert [build_config_summary(config, ["model.n_layer"]) for config in configs] == [
        {"model.n_layer": 2},
        {"model.n_layer": None},
    ]


def test_a_text_summary_keeps_longer_names_where_short_ones_are_equal():
    summary = {"prompts.seed": 1, "generation.seed": 2, "dtype": "float32", "model.window": None}
    assert summary_text(summary) == "prompts.seed=1 generation.seed=2 dtype=float32 window=null"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (True, 1),
        (False, 0),
        ("1", 1),
        (None, 1),
        ([1], [2]),
        ([True], [1]),
        ({}, {"a": 1}),
        ({"a": 1}, {"a": 2}),
    ],
)
def test_two_experiments_that_differ_have_different_summaries(make, one, other):
    configs = [make.config(model={"config": "llama", "x": value}) for value in (one, other)]
    assert config_hash(configs[0]) != config_hash(configs[1])
    summaries = [build_config_summary(config, varying_keys(configs)) for config in configs]
    assert canonical_json(summaries[0]) != canonical_json(summaries[1])
