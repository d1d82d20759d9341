import hashlib
import json
import math
import os
import subprocess
import sys
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from llem.domain import spec
from llem.domain.identity import (
    Hasher,
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
LITERAL_HASH = "745c20622fbc72204c38c071141e95875783f6ec43a15b2feea01ba32659d344"
DESIGN_HASH = "68a381cc478e80b87554d97a10996e3d05e61676e9d3b883124515d7512abc58"


GOLDEN = {
    "a hub model, all defaults": (
        {"model": "meta-llama/Llama-3.2-1B"},
        "f22fa236dd4bc2d798b1c5db1caebd7d5c78e7017e4528ed648b884a08f7327e",
    ),
    "an architecture, all defaults": (
        {"model": {"config": "llama"}},
        "658014250ce5e901d83dc80a4c10038edae26df2295e19dccf0314bb075707b3",
    ),
    "random ids": (
        {
            "model": "gpt2",
            "prompts": {"source": "synthetic", "count": 4, "input_tokens": 96, "seed": 3},
            "batch_size": 4,
        },
        "a4dd2f42e64701b6c4328e6bc48cffd50035ab203630328eb1f2729fa5bcf7cc",
    ),
    "texts with a hash": (
        {
            "model": "gpt2",
            "prompts": {
                "source": "jsonl",
                "path": "p.jsonl",
                "field": "prompt",
                "count": 4,
                "order": "shuffled",
                "seed": 2,
                "input_tokens": 96,
                "sha256": "c" * 64,
            },
        },
        "3e384db7ee0a3daded9bb66d0afa1b7997865b472c619461586972e20c60a98b",
    ),
    "texts without a hash": (
        {"model": "gpt2", "prompts": {"source": "jsonl", "path": "p.jsonl"}},
        "262147d7ccefd6e47156264e86068c5dfdc6ceb11b8a8aa6e24a138ee19dd0a8",
    ),
    "options of an engine": (
        {
            "model": "gpt2",
            "engine": "another",
            "engine_options": {
                "device": "cuda:1",
                "device_map": None,
                "torch_compile": {"mode": "max-autotune", "dynamic": False},
                "quantization_config": {"bits": 4.0, "modules": ["k_proj", "é"]},
            },
        },
        "236962db4252b472a411d9c0ce4d209995d6e4f3156eef162a3ec3b94dde4d44",
    ),
    "a method of its own": (
        {
            "model": "gpt2",
            "measurement": {
                "sensors": ["nvml"],
                "warmup_passes": 5,
                "min_window_s": 60,
                "min_passes": 5,
                "guard_s": 0.25,
                "latency_passes": 0,
                "count_flops": False,
            },
            "generation": {
                "output_tokens": 1,
                "stop": "natural",
                "do_sample": True,
                "temperature": 1,
                "top_k": 50,
                "seed": 9,
            },
        },
        "76ea831a589f4993393633c28be49f4703079eb4e47befc54c47f94616e0de26",
    ),
}


def literal() -> ExperimentConfig:
    return ExperimentConfig.model_validate(LITERAL)


def test_a_literal_configuration_has_the_same_hash_in_every_release():
    assert config_hash(literal()) == LITERAL_HASH


@pytest.mark.parametrize(("tree", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_literal_configurations_of_every_kind_have_the_same_hashes_in_every_release(tree, expected):
    assert config_hash(ExperimentConfig.model_validate(tree)) == expected


def test_the_hash_is_that_of_a_text_that_anyone_can_write_down():
    # printf %s '{"batch_size":…}' | sha256sum
    text = (
        '{"batch_size":1,"dtype":"auto","engine":"transformers","engine_options":{},"generation":{"do_sample":false,'
        '"output_tokens":64,"seed":0,"stop":"forced","temperature":null,"top_k":null,"top_p":null},"measurement":'
        '{"bare_idle_s":5,"count_flops":true,"guard_s":0.7,"latency_passes":1,"min_passes":3,"min_window_s":10,'
        '"phases":true,"sensors":"auto","soak_max_s":120,"warmup_max_s":60,"warmup_passes":2},"model":"gpt2","prompts":{"count":4,"field":"prompt","input_tokens":96,'
        '"order":"shuffled","seed":2,"sha256":"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",'
        '"source":"jsonl"}}'
    )
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN["texts with a hash"][1]


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


# Between them they have every field of a configuration, each of which another value can take the place of.
EVERY_FIELD = {
    "random ids": {"model": "gpt2", "generation": {"do_sample": True}, "engine_options": {"device": "cpu"}},
    "texts": {
        "model": {"config": "llama", "hidden_size": 64, "rope": {"factors": [1.5, 2.5]}},
        "prompts": {"source": "jsonl", "path": "p.jsonl", "sha256": "a" * 64},
        "generation": {"do_sample": True},
        "engine_options": {"torch_compile": {"mode": "default"}},
    },
    "texts without a hash": {
        "model": "gpt2",
        "prompts": {"source": "jsonl", "path": "p.jsonl"},
        "generation": {"do_sample": True},
    },
}
STANDS_FOR_ANOTHER = {("prompts", "source"), ("prompts", "path")}
"""Paths that need a word of their own: see the tests below."""


def literals(annotation: Any) -> Iterator[Any]:
    """Yield the values of every ``Literal`` in a type."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    for inner in typing.get_args(annotation):
        if not isinstance(inner, str | int):
            yield from literals(inner)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield every model in a type, and those in their fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for inner in typing.get_args(annotation):
        yield from models_in(inner)


MODELS = list(dict.fromkeys(models_in(ExperimentConfig)))
WORDS = [word for model in MODELS for field in model.model_fields.values() for word in literals(field.annotation)]
OTHERS = [97, 3, 1, 0, True, False, 0.25, 0.5, "another", "b" * 64, ["nvml"], {"key": 1}, None, *WORDS]


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a JSON tree that holds no others."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inside:
        yield from leaves(value, (*path, key))
    if path and not isinstance(tree, dict | list):
        yield path


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copied = dict(tree) if isinstance(tree, dict) else list(tree)
    copied[path[0]] = replaced(copied[path[0]], path[1:], value)
    return copied


def changed(config: ExperimentConfig, path: tuple[Any, ...]) -> list[ExperimentConfig]:
    """Return every valid configuration that has another value at ``path`` and is not equal."""
    tree = config.model_dump(mode="json")
    found = []
    for other in OTHERS:
        try:
            one = ExperimentConfig.model_validate(replaced(tree, path, other))
        except ValidationError:
            continue
        if canonical_json(one.model_dump(mode="json")) != canonical_json(tree):
            found.append(one)
    return found


CHANGES = [
    pytest.param(tree, path, id=f"{name}: {'.'.join(map(str, path))}")
    for name, tree in EVERY_FIELD.items()
    for path in leaves(ExperimentConfig.model_validate(tree).model_dump(mode="json"))
    if path not in STANDS_FOR_ANOTHER
]


@pytest.mark.parametrize(("tree", "path"), CHANGES)
def test_every_field_that_can_change_a_figure_changes_the_hash(tree, path):
    config = ExperimentConfig.model_validate(tree)
    others = changed(config, path)
    assert others, "no other value fits: give one in OTHERS"
    assert config_hash(config) not in {config_hash(other) for other in others}
    assert len({config_hash(other) for other in others}) == len(
        {canonical_json(other.model_dump(mode="json")) for other in others}
    )


def test_the_configurations_above_have_every_field_of_every_part():
    seen = {
        (type(part), name)
        for tree in EVERY_FIELD.values()
        for config in [ExperimentConfig.model_validate(tree)]
        for part in (config, *(getattr(config, name) for name in ExperimentConfig.model_fields))
        if isinstance(part, BaseModel)
        for name in type(part).model_fields
    }
    assert {(model, name) for model in MODELS for name in model.model_fields} == seen
    assert {spec.ModelConfig, SyntheticPrompts, JsonlPrompts, Generation, Measurement} < set(MODELS)


def test_another_source_of_prompts_changes_the_hash():
    hashes = {config_hash(ExperimentConfig.model_validate(tree)) for tree in EVERY_FIELD.values()}
    assert len(hashes) == len(EVERY_FIELD)


def test_a_prompt_file_that_was_not_read_counts_by_its_path(make):
    one, other = (make.config(prompts={"source": "jsonl", "path": path}) for path in ("a.jsonl", "b.jsonl"))
    assert config_hash(one) != config_hash(other)


MODEL_TREES = st.sampled_from(["gpt2", "a/b"]) | st.fixed_dictionaries(
    {"config": st.just("llama")}, optional={"seed": st.integers(0, 2), "x": JSON_VALUES}
)
SECTIONS = {
    "dtype": st.sampled_from(["auto", "float16"]),
    "batch_size": st.integers(1, 2),
    "prompts": st.fixed_dictionaries({"source": st.just("synthetic"), "count": st.integers(2, 4)})
    | st.fixed_dictionaries(
        {"source": st.just("jsonl"), "path": st.sampled_from(["a", "b"])},
        optional={"sha256": st.sampled_from(["a" * 64, "b" * 64])},
    ),
    "generation": st.fixed_dictionaries({}, optional={"seed": st.integers(0, 2), "output_tokens": st.just(64)}),
    "measurement": st.fixed_dictionaries({}, optional={"guard_s": st.sampled_from([0, 0.0, 0.7, 1])}),
    "engine_options": st.dictionaries(st.text(max_size=2), JSON_VALUES, max_size=2),
}
CONFIGS = st.fixed_dictionaries({"model": MODEL_TREES}, optional=SECTIONS).map(ExperimentConfig.model_validate)


@given(st.lists(CONFIGS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_many_configurations_hash_as_each_alone_whatever_they_share_and_in_any_order(configs, draw):
    # As a plan has them: some that hold the very sections of others.
    mixed = [
        one.model_copy(update={"generation": draw.choice(configs).generation, "measurement": other.measurement})
        for one in configs
        for other in configs[:2]
    ]
    every = [*configs, *mixed]
    expected = {id(config): config_hash(config) for config in every}
    draw.shuffle(every)
    hasher = Hasher()
    assert [hasher(config) for config in every] == [expected[id(config)] for config in every]
    again = ExperimentConfig.model_validate(configs[0].model_dump())
    assert hasher(again) == expected[id(configs[0])]


def test_a_hasher_does_not_take_a_new_section_for_one_that_is_gone(make):
    hasher = Hasher()
    hashes = {hasher(make.config(generation={"seed": seed})) for seed in range(300)}
    assert len(hashes) == 300


@given(CONFIGS, CONFIGS)
def test_equal_configurations_and_only_they_have_one_hash(one, other):
    def known(config):
        tree = config.model_dump(mode="json")
        if tree["prompts"].get("sha256"):
            del tree["prompts"]["path"]
        return canonical_json(tree)

    assert (config_hash(one) == config_hash(other)) == (known(one) == known(other))


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


def test_settings_that_came_later_change_a_hash_only_where_they_change_something(make):
    plain = config_hash(make.config())
    assert config_hash(make.config(environment={}, measurement={"isolation": "auto"})) == plain
    others = [
        make.config(measurement={"isolation": "exec"}),
        make.config(environment={"OMP_NUM_THREADS": "1"}),
        make.config(environment={"OMP_NUM_THREADS": "2"}),
    ]
    assert len({plain, *map(config_hash, others)}) == 4
