"""What the grammar refuses: each mistake with its file, line, column, path, what was found and what was expected."""

import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from llem.domain.errors import InputError, StudyFileError
from llem.study.load import ManyTrialsError, load_study
from llem.study.machine import UnknownMachine

# Two lines, so that the third is where a case begins.
HEAD = "name: tiny\nmodel: {config: llama}\n"
KEYS_OF_AN_EXPERIMENT = (
    "batch_size, dtype, engine, environment, generation, measurement, model, prompts, transformers"
)


@pytest.fixture
def told(planned_files, tmp_path):
    """Return a function from the files of a study to what its author is told, one line a problem."""

    def of(text, settings=(), *, files=None, head=HEAD, two=False):
        with pytest.raises(InputError) as refused:
            planned_files({"study.yaml": head + text, **(files or {})}, settings, two=two)
        assert refused.value.exit_code == 2
        assert refused.value.remedy
        return refused.value.message.replace(f"{tmp_path}/", "").splitlines()

    return of


STRUCTURE = {
    "experiments is a number": (
        "experiments: 5\n",
        ["study.yaml:3:1: experiments: expected a list of mappings; found 5"],
    ),
    "experiments is a mapping": (
        "experiments: {batch_size: 1}\n",
        ["study.yaml:3:1: experiments: expected a list of mappings; found {'batch_size': 1}"],
    ),
    "experiments is nothing": (
        "experiments:\n",
        ["study.yaml:3:1: experiments: expected a list of mappings; found None"],
    ),
    "experiments is an empty list": (
        "experiments: []\n",
        ["study.yaml:3:1: experiments: expected a list of mappings; an empty one leaves no experiment"],
    ),
    "experiments of scalars and lists": (
        "experiments: [5, [a], null]\n",
        [
            "study.yaml:3:15: experiments.0: expected a mapping of keys to values, {} for none; found 5",
            "study.yaml:3:18: experiments.1: expected a mapping of keys to values, {} for none; found ['a']",
            "study.yaml:3:23: experiments.2: expected a mapping of keys to values, {} for none; found None",
        ],
    ),
    "sweep is a list": (
        "sweep: [batch_size]\n",
        ["study.yaml:3:1: sweep: expected a mapping of keys to lists of values; found ['batch_size']"],
    ),
    "sweep is a text": (
        "sweep: batch_size\n",
        ["study.yaml:3:1: sweep: expected a mapping of keys to lists of values; found 'batch_size'"],
    ),
    "an axis is a scalar": (
        "sweep:\n  batch_size: 4\n",
        ["study.yaml:4:3: sweep.batch_size: expected a list of values; found 4"],
    ),
    "an axis is nothing": (
        "sweep:\n  batch_size:\n",
        ["study.yaml:4:3: sweep.batch_size: expected a list of values; found None"],
    ),
    "an axis is a mapping": (
        "sweep:\n  dtype: {a: float32}\n",
        ["study.yaml:4:3: sweep.dtype: expected a list of values; found {'a': 'float32'}"],
    ),
    "an axis is empty": (
        "sweep:\n  batch_size: []\n",
        ["study.yaml:4:3: sweep.batch_size: expected a list of values; an empty one leaves no experiment"],
    ),
    "a group of scalars is probably a mistyped key": (
        "sweep:\n  bacth_size: [1, 2]\n",
        ["study.yaml:4:3: sweep.bacth_size: unknown key 'bacth_size'; did you mean 'batch_size'?"],
    ),
    "a group of scalars far from any key": (
        "sweep:\n  sizes: [1, 2]\n",
        [f"study.yaml:4:3: sweep.sizes: unknown key 'sizes'; expected one of {KEYS_OF_AN_EXPERIMENT}"],
    ),
    "a group of lists": (
        "sweep:\n  g: [[{batch_size: 1}]]\n",
        [f"study.yaml:4:3: sweep.g: unknown key 'g'; expected one of {KEYS_OF_AN_EXPERIMENT}"],
    ),
    "a group is a mapping": (
        "sweep:\n  g: {batch_size: [1, 2]}\n",
        ["study.yaml:4:3: sweep.g: expected a list of mappings; found {'batch_size': [1, 2]}"],
    ),
    "a group with an entry that is none": (
        "sweep:\n  g:\n    - {}\n    - 5\n    - [{batch_size: 1}]\n",
        [
            "study.yaml:6:7: sweep.g.1: expected a mapping of keys to values, {} for none; found 5",
            "study.yaml:7:7: sweep.g.2: expected a mapping of keys to values, {} for none; found [{'batch_size': 1}]",
        ],
    ),
    "an empty group": (
        "sweep: {g: []}\n",
        ["study.yaml:3:9: sweep.g: expected a list of mappings; an empty one leaves no experiment"],
    ),
    "an empty list inside a group's entry": (
        "sweep:\n  g:\n    - {}\n    - {dtype: float16, batch_size: []}\n",
        ["study.yaml:6:24: sweep.g.1.batch_size: expected a list of values; an empty one leaves no experiment"],
    ),
    "an empty list inside a section inside a group's entry": (
        "sweep:\n  g:\n    - {}\n    - generation:\n        top_k: []\n",
        ["study.yaml:7:9: sweep.g.1.generation.top_k: expected a list of values; an empty one leaves no experiment"],
    ),
    "an unknown key in a group's entry is told once": (
        "sweep:\n  g:\n    - {bacth_size: 1}\n",
        ["study.yaml:5:8: sweep.g.0.bacth_size: unknown key 'bacth_size'; did you mean 'batch_size'?"],
    ),
    "an unknown key in a listed experiment is told once": (
        "experiments:\n  - {batch_size: 1}\n  - {generation.temprature: 1}\n",
        [
            "study.yaml:5:6: experiments.1.generation.temprature: unknown key 'temprature'; "
            "did you mean 'temperature'?"
        ],
    ),
    "a listed experiment with a key of the whole study": (
        "experiments:\n  - {cycles: 2}\n",
        [
            "study.yaml:4:6: experiments.0.cycles: 'cycles' belongs to the whole study, "
            "so no experiment can have its own"
        ],
    ),
    "a listed experiment with a note": (
        "experiments:\n  - {x-note: 2}\n",
        [f"study.yaml:4:6: experiments.0.x-note: unknown key 'x-note'; expected one of {KEYS_OF_AN_EXPERIMENT}"],
    ),
    "a section beside its own dotted keys": (
        "experiments:\n  - {generation: {seed: 1}, generation.top_k: 5}\n",
        [
            "study.yaml:4:6: experiments.0.generation: 'generation' stands here both as a section and with dotted "
            "keys: choose one"
        ],
    ),
    "zip is a scalar": (
        "sweep:\n  zip: 5\n",
        ["study.yaml:4:3: sweep.zip: expected axes that move together, as a mapping; found 5"],
    ),
    "zip is empty": (
        "sweep:\n  zip: {}\n",
        ["study.yaml:4:3: sweep.zip: expected axes that move together, as a mapping; found {}"],
    ),
    "zip is an empty list": (
        "sweep:\n  zip: []\n",
        ["study.yaml:4:3: sweep.zip: expected axes that move together, as a mapping; found []"],
    ),
    "a zip among several is a scalar": (
        "sweep:\n  zip:\n    - {batch_size: [1]}\n    - 5\n",
        ["study.yaml:6:7: sweep.zip.1: expected axes that move together, as a mapping; found 5"],
    ),
    "zipped axes of unequal lengths": (
        "sweep:\n  zip: {batch_size: [1, 2], dtype: [float32], generation.seed: [1, 2, 3]}\n",
        [
            "study.yaml:4:3: sweep.zip: axes that move together need as many values each: batch_size has 2, "
            "dtype has 1, generation.seed has 3"
        ],
    ),
    "a zipped axis is a scalar": (
        "sweep:\n  zip:\n    batch_size: 4\n    dtype: [float32, float16]\n",
        ["study.yaml:5:5: sweep.zip.batch_size: expected a list of values; found 4"],
    ),
    "a zipped axis is unknown": (
        "sweep:\n  zip:\n    bacth_size: [4, 8]\n    dtype: [float32, float16]\n",
        ["study.yaml:5:5: sweep.zip.bacth_size: unknown key 'bacth_size'; did you mean 'batch_size'?"],
    ),
    "sweeping a key of the whole study": (
        "sweep:\n  order: [blocks, shuffle]\n",
        ["study.yaml:4:3: sweep.order: 'order' belongs to the whole study, so no experiment can have its own"],
    ),
    "exclude is a mapping": (
        "exclude: {batch_size: 1}\n",
        ["study.yaml:3:1: exclude: expected a list of conditions; found {'batch_size': 1}"],
    ),
    "only is a scalar": ("only: 5\n", ["study.yaml:3:1: only: expected a list of conditions; found 5"]),
    "conditions that are none": (
        "exclude: [5, {}, [a]]\n",
        [
            "study.yaml:3:11: exclude.0: expected keys with the values that they must have; found 5",
            "study.yaml:3:14: exclude.1: expected keys with the values that they must have; found {}",
            "study.yaml:3:18: exclude.2: expected keys with the values that they must have; found ['a']",
        ],
    ),
    "conditions with values that hold for no point": (
        "only:\n  - {generation: {seed: 1}}\n  - {batch_size: []}\n  - {batch_size: [[1]]}\n"
        "  - {batch_size: '> many'}\n  - {bacth_size: 1}\n  - {cycles: 1}\n",
        [
            "study.yaml:4:6: only.0.generation: a condition compares with a value or a list of values; use dotted "
            "keys for what lies in a section",
            "study.yaml:5:6: only.1.batch_size: an empty list of values holds for no point",
            "study.yaml:6:6: only.2.batch_size: a condition compares with a value or a list of values; use dotted "
            "keys for what lies in a section",
            "study.yaml:7:6: only.3.batch_size: > compares with a number; found 'many'",
            "study.yaml:8:6: only.4.bacth_size: unknown key 'bacth_size'; did you mean 'batch_size'?",
            "study.yaml:9:6: only.5.cycles: 'cycles' belongs to the whole study, so no experiment can have its own",
        ],
    ),
    "a dotted key at the top": (
        "generation.seed: 1\n",
        [
            "study.yaml:3:1: generation.seed: dotted keys are for sweeps and lists of experiments: "
            "write generation: {seed: …}"
        ],
    ),
    "a dotted key at the top, below no section": (
        "name.x: 1\nbatch_size.y: 2\n",
        [
            "study.yaml:3:1: name.x: unknown key 'name.x'; did you mean 'name'?",
            "study.yaml:4:1: batch_size.y: unknown key 'batch_size.y'; did you mean 'batch_size'?",
        ],
    ),
    "a dotted key that begins with x- lies below no other": (
        "x-a: 1\nx-a.b: 2\nbatch_size: many\n",
        ["study.yaml:5:1: batch_size: input should be a valid integer; found 'many'"],
    ),
    "an engine that is nothing, in the sweep": (
        "sweep:\n  engine: [null]\n",
        ["study.yaml:4:12: engine: unknown engine None; expected one of transformers"],
    ),
    "an engine that is nothing, in a listed experiment": (
        "experiments: [{engine: null}]\n",
        ["study.yaml:3:16: engine: unknown engine None; expected one of transformers"],
    ),
    "an unknown profile": (
        "profile: quik\n",
        ["study.yaml:3:1: profile: input should be 'quick', 'standard' or 'publish'; found 'quik'"],
    ),
    "a profile that is a list": (
        "profile: [quick]\n",
        ["study.yaml:3:1: profile: input should be 'quick', 'standard' or 'publish'; found ['quick']"],
    ),
    "an unknown order": (
        "order: random\n",
        [
            "study.yaml:3:1: order: input should be 'blocks', 'sequential', 'interleave', 'reverse', 'shuffle' or "
            "'latin_square'; found 'random'"
        ],
    ),
    "cycles that are no count": (
        "cycles: 2.5\n",
        ["study.yaml:3:1: cycles: input should be a valid integer; found 2.5"],
    ),
    "an unknown key of the gaps": (
        "gaps: {between_cylces: 5}\n",
        ["study.yaml:3:8: gaps.between_cylces: unknown key 'between_cylces'; did you mean 'between_cycles'?"],
    ),
    "a sampling option that the sweep gives, without sampling": (
        "sweep:\n  generation.temperature: [0.5]\n",
        ["study.yaml:4:28: generation: temperature would have no effect without 'do_sample: true'"],
    ),
}


@pytest.mark.parametrize(("text", "messages"), STRUCTURE.values(), ids=STRUCTURE)
def test_a_mistake_in_the_grammar_is_told_with_its_place_and_what_was_expected(told, text, messages):
    assert told(text) == messages


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("experiments:\n  - {batch_size: 1}\n  - {generation: {temprature: 1}}\n", "5:19"),
        ("sweep:\n  g:\n    - {}\n    - {generation: {temprature: 1}}\n", "6:21"),
        ("sweep:\n  generation:\n    - {}\n    - {temprature: 1}\n", "6:8"),
    ],
    ids=["listed experiment", "group", "axis of sections"],
)
def test_a_key_that_cannot_be_is_a_mistake_in_a_section_as_with_dots_and_skips_nothing_silently(told, text, place):
    (line,) = told(text)
    assert line.startswith(f"study.yaml:{place}: ")
    assert line.endswith("unknown key 'temprature'; did you mean 'temperature'?")


def test_a_key_that_does_not_suit_the_source_of_prompts_is_not_explained_by_itself(planned_files):
    files = {
        "study.yaml": HEAD + "prompts: {path: p.jsonl}\nsweep: {prompts.source: [jsonl, synthetic]}\n",
        "p.jsonl": '{"text": "a"}\n',
    }
    (skipped,) = planned_files(files).study.skipped
    assert skipped.points == ({"prompts.source": "synthetic"},)
    assert "did you mean 'path'" not in skipped.reason


def test_options_of_two_engines_cannot_stand_in_one_experiment(told):
    text = (
        "experiments:\n  - {engine: transformers, vllm.max_num_seqs: 1}\n"
        "  - {vllm.path: a, transformers.device: cpu}\n"
    )
    cannot = "cannot stand in an experiment of"
    assert told(text, two=True) == [
        f"study.yaml:4:28: experiments.0.vllm.max_num_seqs: options of vllm {cannot} transformers",
        f"study.yaml:5:20: experiments.1.transformers.device: options of transformers {cannot} vllm",
    ]


def test_all_mistakes_of_all_kinds_are_told_at_once_in_the_order_of_the_file(told):
    text = (
        "name: ../up\nmodel: {config: llama}\ncylces: 3\nlimits: {trial_s: -1}\ngaps: 5\n"
        "experiments: [5]\nsweep: {sizes: [1], zip: 3}\nonly: [5]\nexclude: {a: b}\ndtype: fp16\n"
    )
    lines = told(text, head="")
    places = [line.split(": ")[0] for line in lines]
    assert list(dict.fromkeys(places)) == [
        f"study.yaml:{place}" for place in ("1:1", "3:1", "4:10", "5:1", "6:15", "7:9", "7:21", "8:8", "9:1", "10:1")
    ]


ALL_SKIPPED = {
    "each value its own reason": (
        "sweep:\n  batch_size: [0, many]\n  dtype: [float32, fp16]\n",
        [
            "study.yaml:4:16: batch_size: input should be greater than 0; found 0",
            "study.yaml:4:19: batch_size: input should be a valid integer; found 'many'",
            "study.yaml:5:20: dtype: input should be 'auto', 'float32', 'float16' or 'bfloat16'; found 'fp16'",
        ],
    ),
    "by conditions": (
        "sweep: {batch_size: [1, 2]}\nexclude: [{dtype: auto}]\n",
        ["study.yaml:4:1: exclude: leaves none of the 2 grid points"],
    ),
    "by only, beside an exclude that left out nothing": (
        "sweep: {batch_size: [1, 2]}\nonly: [{batch_size: 99}]\nexclude: [{dtype: float32}]\n",
        ["study.yaml:4:1: only: leaves none of the 2 grid points"],
    ),
}


@pytest.mark.parametrize(("text", "messages"), ALL_SKIPPED.values(), ids=ALL_SKIPPED)
def test_a_grid_of_which_no_point_is_left_is_an_error_with_the_reasons(told, text, messages):
    assert told(text) == messages


def test_a_grid_that_values_and_conditions_empty_together_tells_of_both(told):
    lines = told("sweep: {batch_size: [1, 0]}\nexclude: [{batch_size: 1}]\n")
    assert any(line.startswith("study.yaml:3:25: batch_size: input should be greater than 0") for line in lines)
    assert any(line.startswith("study.yaml:4:") and "exclude" in line for line in lines)


def test_a_rule_of_the_engine_that_leaves_nothing_is_an_error_with_its_reason(told):
    text = "dtype: float32\nsweep: {vllm.quantization: [awq], batch_size: [1, 2]}\n"
    assert told(text, two=True) == ["study.yaml:4:29: vllm.quantization: awq needs float16; found float32"]


NO_PLAIN_YAML = {
    "a date": ("batch_size: 2026-01-02\n", "3:13: batch_size: a date is no value of a study: put it in quotes"),
    "a date deep in a sweep": (
        "sweep: {model.x: [2026-01-02]}\n",
        "3:19: sweep.model.x.0: a date is no value of a study: put it in quotes",
    ),
    "binary": ("dtype: !!binary aGk=\n", "3:8: dtype: no value of a study is of this kind"),
    "a set": ("generation: !!set {seed}\n", "3:13: generation: no value of a study is of this kind"),
    "an ordered map": ("generation: !!omap [seed: 1]\n", "3:13: generation: no value of a study is of this kind"),
    "pairs": ("generation: !!pairs [seed: 1]\n", "3:13: generation: no value of a study is of this kind"),
    "a tag of its own": ("dtype: !mine float32\n", "3:8: is no YAML: could not determine a constructor"),
    "a null key": ("sweep:\n  ~: [1]\n", "4:3: sweep: the key '~' is no text: put it in quotes"),
    "a key that YAML takes for a switch": ("sweep: {on: [1]}\n", "3:9: sweep: the key 'on' is no text: put it"),
    "an infinite float": ("sweep: {model.x: [1.0e+999]}\n", "3:19: sweep.model.x.0: a number must be finite"),
    "a float by its tag": ("batch_size: !!float inf\n", "3:13: batch_size: a number must be finite; found inf"),
    "a negative infinite float": ("batch_size: -1.0e+999\n", "3:13: batch_size: a number must be finite"),
    "an infinite float in base 60": (
        f"sweep: {{model.x: [{'9' * 400}:30.5]}}\n",
        "3:19: sweep.model.x.0: a number must be finite",
    ),
    "a tab in the indentation": (
        "generation:\n\tseed: 1\n",
        "4:1: is no YAML: found character that cannot start any token",
    ),
    "an alias without its anchor": ("generation: {seed: *one}\n", "3:20: is no YAML: found undefined alias"),
    "an anchor that contains itself": ("x-a: &a [*a]\n", "3:6: x-a.0: an alias contains itself"),
    "a merge of itself": ("generation: &a {<<: *a}\n", "3:13: generation: an alias contains itself"),
    "a merge of a scalar": ("generation: {<<: 5}\n", "3:18: is no YAML: expected a mapping or list of mappings"),
    "a key that stands twice in an entry": (
        "sweep:\n  g:\n    - batch_size: 1\n      dtype: auto\n      batch_size: 2\n",
        "7:7: sweep.g.0.batch_size: stands twice; the first is on line 5",
    ),
    "an axis that stands twice": (
        "sweep:\n  batch_size: [1]\n  batch_size: [2]\n",
        "5:3: sweep.batch_size: stands twice; the first is on line 4",
    ),
    "deep nesting": (f"x-a: {'[' * 60}{']' * 60}\n", "3:55: nests deeper than 50 levels"),
}


@pytest.mark.parametrize(("text", "message"), NO_PLAIN_YAML.values(), ids=NO_PLAIN_YAML)
def test_what_yaml_would_let_pass_is_refused_where_it_stands(told, text, message):
    (line,) = told(text)
    assert line.startswith(f"study.yaml:{message}")


def test_yaml_of_another_version_says_1e999_is_a_text_and_so_it_is_no_number(told):
    assert told("batch_size: 1e999\n") == [
        "study.yaml:3:1: batch_size: input should be a valid integer; found '1e999'"
    ]


def test_a_mistake_in_a_mapping_merged_from_a_list_of_anchors_has_a_place(told):
    text = "x-a: &a {seed: none}\nx-b: &b {output_tokens: 4}\ngeneration:\n  <<: [*a, *b]\n"
    (line,) = told(text)
    assert line.startswith(("study.yaml:3:", "study.yaml:5:", "study.yaml:6:"))
    assert line.endswith("generation.seed: input should be a valid integer; found 'none'")


@pytest.mark.parametrize(
    "value",
    [
        *("!!float [1]", "!!float ''", "!!float {a: 1}", "!!int ''", "!!int x", "!!bool ''", "!!bool x", "!!str [a]"),
        *("!!map []", "!!seq {}", "!!timestamp x", "{? !!str [a] : 1}", "{? !!str {a: 1} : 1}", "{? !!bool x : 1}"),
    ],
)
def test_a_tag_that_does_not_fit_its_value_is_refused_at_its_line(told, value):
    assert all(line.startswith("study.yaml:3:") for line in told(f"batch_size: {value}\n"))


@pytest.mark.parametrize("key", ["batch_size", "seed", "generation: {seed", "model: {config: llama, x"], ids=str)
def test_a_number_longer_than_python_would_print_is_refused_at_its_line(told, key):
    closing = "}" if "{" in key else ""
    lines = told(f"{key}: 0x{'f' * 5000}{closing}\n", head="name: tiny\n" + HEAD[11:] * (not key.startswith("model")))
    assert any(line.startswith(("study.yaml:2:", "study.yaml:3:")) for line in lines)


def test_a_chain_of_aliases_of_any_depth_is_refused_and_harms_nothing(told):
    links = [f"x-{n}: &a{n} {'[' * 45}{f'*a{n - 1}' if n else 1}{']' * 45}\n" for n in range(70)]
    (line,) = told("".join(links))
    assert "nests deeper than" in line


BASES = {
    "missing": ("base: nowhere.yaml\n", {}, ["study.yaml:3:1: base: there is no file nowhere.yaml"]),
    "a folder": ("base: shared\n", {"shared/a.yaml": ""}, ["study.yaml:3:1: base: there is no file shared"]),
    "nothing": ("base:\n", {}, ["study.yaml:3:1: base: expected the path of a YAML file; found None"]),
    "an empty text": ("base: ''\n", {}, ["study.yaml:3:1: base: expected the path of a YAML file; found ''"]),
    "a list": (
        "base: [a.yaml, b.yaml]\n",
        {},
        ["study.yaml:3:1: base: expected the path of a YAML file; found ['a.yaml', 'b.yaml']"],
    ),
    "itself": (
        "base: study.yaml\n",
        {},
        ["study.yaml:3:1: base: study.yaml leads back to itself: study.yaml → study.yaml"],
    ),
    "itself by a detour": (
        "base: shared/../study.yaml\n",
        {"shared/a.yaml": ""},
        ["study.yaml:3:1: base: shared/../study.yaml leads back to itself: study.yaml → study.yaml"],
    ),
    "a cycle": (
        "base: shared/a.yaml\n",
        {"shared/a.yaml": "base: b.yaml\n", "shared/b.yaml": "dtype: auto\nbase: ../study.yaml\n"},
        ["shared/b.yaml:2:1: base: ../study.yaml leads back to itself: study.yaml → a.yaml → b.yaml → study.yaml"],
    ),
    "missing at the end of a chain": (
        "base: shared/a.yaml\n",
        {"shared/a.yaml": "base: nowhere.yaml\n"},
        ["shared/a.yaml:1:1: base: there is no file shared/nowhere.yaml"],
    ),
    "no YAML": (
        "base: a.yaml\n",
        {"a.yaml": "dtype: [\n"},
        ["a.yaml:2:1: is no YAML: did not find expected node content"],
    ),
    "a base that holds a list": (
        "base: a.yaml\n",
        {"a.yaml": "- dtype\n"},
        ["a.yaml:1:1: holds a sequence; expected a mapping of keys to values"],
    ),
    "an empty base": (
        "base: a.yaml\n",
        {"a.yaml": ""},
        ["a.yaml: is empty; expected a study, such as examples/quickstart.yaml"],
    ),
    "a base that is no text": ("base: a.yaml\n", {"a.yaml": b"\xff"}, ["a.yaml: is not UTF-8 text: byte 0 is 0xff"]),
    "a key that stands twice": (
        "base: a.yaml\n",
        {"a.yaml": "dtype: auto\ndtype: auto\n"},
        ["a.yaml:2:1: dtype: stands twice; the first is on line 1"],
    ),
    "a home that nobody has": (
        "base: ~nobody-of-this-name/a.yaml\n",
        {},
        ["study.yaml:3:1: base: there is no file ~nobody-of-this-name/a.yaml"],
    ),
}


@pytest.mark.parametrize(("text", "files", "messages"), BASES.values(), ids=BASES)
def test_a_base_that_cannot_be_used_is_told_where_it_is_named_or_is_wrong(told, text, files, messages):
    assert told(text, files=files) == messages


@pytest.mark.parametrize("name", ['"a\\0b"', "a" * 5000], ids=["null byte", "too long"])
def test_a_base_that_no_system_can_open_is_told(told, name):
    (line,) = told(f"base: {name}\n")
    assert line.startswith("study.yaml:3:1: base: ")


def test_a_base_that_is_a_link_to_itself_is_told(told, tmp_path):
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (line,) = told("base: loop.yaml\n")
    assert line.startswith("study.yaml:3:1: base: ")


@pytest.mark.parametrize(
    "text", ['model: "a\\0b"\n', 'model: gpt2\nprompts: {path: "a\\0b"}\n'], ids=["model", "prompts"]
)
def test_a_path_in_a_base_elsewhere_that_no_system_can_open_is_told(told, text):
    lines = told("base: deeper/base.yaml\n", files={"deeper/base.yaml": text}, head="name: tiny\n")
    assert all(line.startswith("deeper/base.yaml:") for line in lines)


def test_a_chain_of_bases_has_an_end(told):
    files = {f"{n}.yaml": f"base: {n + 1}.yaml\n" for n in range(40)}
    (line,) = told("base: 0.yaml\n", files=files)
    assert line == "19.yaml:1:1: base: the chain of base files is longer than 20"


def test_mistakes_inside_a_base_are_told_with_the_name_of_the_base_after_those_of_the_study(told):
    files = {
        "shared/a.yaml": "cylces: 3\ndtype: fp16\nsweep:\n  batch_size: 4\n  prompts.path: [nowhere.jsonl]\n",
        "b.yaml": "base: shared/a.yaml\nlimits: {trial_s: -1}\nexclude: 5\n",
    }
    assert told("base: b.yaml\norder: random\n", files=files) == [
        "study.yaml:4:1: order: input should be 'blocks', 'sequential', 'interleave', 'reverse', 'shuffle' or "
        "'latin_square'; found 'random'",
        "b.yaml:2:10: limits.trial_s: input should be greater than 0; found -1",
        "b.yaml:3:1: exclude: expected a list of conditions; found 5",
        "shared/a.yaml:1:1: cylces: unknown key 'cylces'; did you mean 'cycles'?",
        "shared/a.yaml:2:1: dtype: input should be 'auto', 'float32', 'float16' or 'bfloat16'; found 'fp16'",
        "shared/a.yaml:4:3: sweep.batch_size: expected a list of values; found 4",
    ]


def test_a_point_skipped_for_a_value_of_a_base_names_the_base(planned_files, tmp_path):
    plan = planned_files(
        {"study.yaml": HEAD + "base: a.yaml\n", "a.yaml": "sweep: {batch_size: [1, 0]}\nexclude: [{batch_size: 9}]\n"}
    )
    (skipped,) = plan.study.skipped
    assert skipped.reason == f"{tmp_path}/a.yaml:1:25: batch_size: input should be greater than 0; found 0"
    assert plan.warnings == [f"{tmp_path}/a.yaml:2:11: exclude: batch_size: 9: holds for no grid point"]


ONLY_IN = "a variable may stand in base, model, prompts.path only"
VARIABLES = {
    "in a data type": ("dtype: ${NOWHERE:auto}\n", f"3:1: dtype: {ONLY_IN}; found '${{NOWHERE:auto}}'"),
    "in an axis": (
        "sweep: {dtype: ['${NOWHERE:auto}']}\n",
        f"3:17: sweep.dtype.0: {ONLY_IN}; found '${{NOWHERE:auto}}'",
    ),
    "in an option of the engine": (
        "transformers: {device: '${NOWHERE:cpu}'}\n",
        f"3:16: transformers.device: {ONLY_IN}; found '${{NOWHERE:cpu}}'",
    ),
    "in a model's configuration": (
        "sweep: {model.config: ['${NOWHERE:llama}']}\n",
        f"3:24: sweep.model.config.0: {ONLY_IN}; found '${{NOWHERE:llama}}'",
    ),
    "without a value or a default": (
        "prompts: {path: '${NOWHERE}'}\n",
        "3:11: prompts.path: the environment has no NOWHERE: set it, or give a default: ${NOWHERE:default}",
    ),
    "as a shell writes it": (
        "prompts: {path: '${NOWHERE:-p.jsonl}'}\n",
        "3:11: prompts.path: write ${NOWHERE:p.jsonl}, without the dash after the colon",
    ),
    "in the name of the base, not set": (
        "base: ${NOWHERE}\n",
        "3:1: base: the environment has no NOWHERE: set it, or give a default: ${NOWHERE:default}",
    ),
}


@pytest.mark.parametrize(("text", "message"), VARIABLES.values(), ids=VARIABLES)
def test_a_variable_is_refused_where_a_setting_would_depend_on_the_machine_unseen(told, monkeypatch, text, message):
    monkeypatch.delenv("NOWHERE", raising=False)
    assert told(text) == [f"study.yaml:{message}"]


def test_a_variable_that_is_no_text_is_told(told, monkeypatch):
    monkeypatch.setenv("NOWHERE", "caf\udce9")
    for text in ("prompts: {path: '${NOWHERE}'}\n", "experiments: [{model: '${NOWHERE}'}]\n", "base: ${NOWHERE}\n"):
        assert all(line.startswith("study.yaml:3:") for line in told(text))


@dataclass
class Setting:
    """A mistake on the command line, and what its author is told."""

    settings: tuple[str, ...]
    messages: list[str]
    study: str = field(default="")


SETTINGS = {
    "no equals sign": Setting(("batch_size",), ["--set batch_size: batch_size: expected dotted.key=value"]),
    "no key": Setting(("=5",), ["--set =5: a part between the dots is empty"]),
    "no value": Setting(("dtype=",), ["--set dtype=: dtype: is empty; expected a value; write null for none"]),
    "an unknown key": Setting(
        ("bacth_size=2",),
        ["--set bacth_size=2: bacth_size: unknown key 'bacth_size'; did you mean 'batch_size'?"],
    ),
    "an unknown key of a section": Setting(
        ("generation.temprature=1",),
        [
            "--set generation.temprature=1: generation.temprature: unknown key 'temprature'; "
            "did you mean 'temperature'?"
        ],
    ),
    "an unknown key of the study's sections": Setting(
        ("limits.trail_s=5",),
        ["--set limits.trail_s=5: limits.trail_s: unknown key 'trail_s'; did you mean 'trial_s'?"],
    ),
    "an unknown axis": Setting(
        ("sweep.generation.sede=[1]",),
        ["--set sweep.generation.sede=[1]: sweep.generation.sede: unknown key 'sede'; did you mean 'seed'?"],
    ),
    "a base": Setting(("base=a.yaml",), ["--set base=a.yaml: base: a base is named in the study file"]),
    "no YAML": Setting(
        ("batch_size=[1",),
        ["--set batch_size=[1: batch_size: is no YAML: did not find expected ',' or ']'"],
    ),
    "a date": Setting(
        ("dtype=2026-01-02",),
        ["--set dtype=2026-01-02: dtype: a date is no value of a study: put it in quotes"],
    ),
    "an object": Setting(
        ("dtype=!!python/object/apply:os.system [ls]",),
        [
            "--set dtype=!!python/object/apply:os.system [ls]: dtype: is no YAML: could not determine a constructor "
            "for the tag 'tag:yaml.org,2002:python/object/apply:os.system'"
        ],
    ),
    "a wrong value, which the study has right": Setting(
        ("batch_size=many",),
        ["command line: batch_size: input should be a valid integer; found 'many'"],
        study="batch_size: 4\nsweep: {batch_size: [1, 2]}\n",
    ),
    "a wrong value in a section": Setting(
        ("generation.seed=many",),
        ["command line: generation.seed: input should be a valid integer; found 'many'"],
        study="generation: {seed: 4}\n",
    ),
    "a wrong key of the whole study, which the study has right": Setting(
        ("cycles=many", "order=random", "limits.trial_s=0"),
        [
            "command line: cycles: input should be a valid integer; found 'many'",
            "command line: limits.trial_s: input should be greater than 0; found 0",
            "command line: order: input should be 'blocks', 'sequential', 'interleave', 'reverse', 'shuffle' or "
            "'latin_square'; found 'random'",
        ],
        study="cycles: 4\norder: blocks\nlimits: {trial_s: 5}\n",
    ),
    "an axis that is no list": Setting(
        ("sweep.batch_size=4",),
        ["command line: sweep.batch_size: expected a list of values; found 4"],
        study="sweep: {batch_size: [1, 2]}\n",
    ),
    "below what is no section": Setting(
        ("model.hidden_size=64",),
        ["command line: model.hidden_size: 'model' is no section here, so nothing lies below it"],
        study="experiments: [{model: gpt2}]\n",
    ),
    "a name that climbs": Setting(
        ("name=../up",),
        ["command line: name: string should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'; found '../up'"],
    ),
    "several at once": Setting(
        ("a=1", "batch_size", "base=b"),
        [
            f"--set a=1: a: unknown key 'a'; expected one of {KEYS_OF_AN_EXPERIMENT}",
            "--set base=b: base: a base is named in the study file",
            "--set batch_size: batch_size: expected dotted.key=value",
        ],
    ),
}


@pytest.mark.parametrize("case", SETTINGS.values(), ids=SETTINGS)
def test_a_mistake_on_the_command_line_is_told_with_what_was_typed(told, case):
    assert sorted(told(case.study, case.settings)) == sorted(case.messages)


@pytest.mark.parametrize("name", ["../up", "a/b", "/tmp/x", "..", ".hidden", "-flag", "a b", "''", "5", "~", "[a]"])
def test_a_study_cannot_be_named_so_that_its_folder_lies_elsewhere(told, name):
    (line,) = told(f"name: {name}\nmodel: gpt2\n", head="")
    assert line.startswith("study.yaml:1:1: name: ")


def axis(key, values):
    return f"{key}: [{', '.join(map(str, range(1, values + 1)))}]"


def test_a_hundred_thousand_trials_are_planned_and_one_more_experiment_asks_first(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(HEAD + f"cycles: 50000\nsweep: {{{axis('generation.seed', 2)}}}\n")
    assert len(load_study(path, machine=UnknownMachine()).experiments) == 2
    path.write_text(HEAD + f"cycles: 50000\nsweep: {{{axis('generation.seed', 3)}}}\n")
    with pytest.raises(ManyTrialsError, match=r"spans 150,000 trials, more than 100,000") as asked:
        load_study(path, machine=UnknownMachine())
    assert asked.value.exit_code == 2
    assert asked.value.trials == 150_000
    assert "--yes" in asked.value.remedy
    assert len(load_study(path, machine=UnknownMachine(), many=True).experiments) == 3


def test_points_that_the_grid_does_not_have_are_not_counted_as_trials(tmp_path, two_engines):
    path = tmp_path / "study.yaml"
    # Two points, of vllm: transformers is not asked for.
    path.write_text(HEAD + "cycles: 40000\nsweep: {vllm.max_num_seqs: [1], batch_size: [1, 2]}\n")
    assert len(load_study(path, machine=UnknownMachine(), grammar=two_engines).experiments) == 2


def axes(*keys):
    return ", ".join(axis(key, 1000) for key in keys)


HUGE = {
    "axes": axes("batch_size", "generation.seed", "prompts.seed", "prompts.count"),
    "small grids within a group": f"g: [{{{axes('batch_size', 'generation.seed', 'prompts.seed', 'model.x')}}}]",
    "a small grid within a section": f"g: [{{generation: {{{axes('seed', 'output_tokens', 'top_k', 'top_p')}}}}}]",
    "many small grids in one group": f"g: [{', '.join(20 * ['{' + axes('batch_size', 'generation.seed') + '}'])}], "
    + axes("prompts.seed")
    + ", model.x: ["
    + "1, " * 50
    + "]",
    "many groups": ", ".join(f"g{n}: [{{{axes('batch_size', 'generation.seed')}}}]" for n in range(4)),
    "zips, axes and groups": (
        f"zip: {{{axes('batch_size')}}}, {axes('generation.seed')}, g: [{{{axes('prompts.seed', 'model.x')}}}]"
    ),
}
LOAD = """
import resource, sys
from pathlib import Path
from llem.domain.errors import LlemError
from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import plan_study

resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))  # a flood ends here, and not this machine
try:
    plan_study(load_study(Path(sys.argv[1]), many=True, machine=UnknownMachine()))
except LlemError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def load_elsewhere(path):
    """Plan a study in a process that may take 2 GiB and a minute: enough for anything but a flood."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], check=False, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("sweep", HUGE.values(), ids=HUGE)
def test_a_grid_beyond_all_measure_is_refused_at_once_whoever_means_it(tmp_path, sweep):
    path = tmp_path / "study.yaml"
    path.write_text(HEAD + f"sweep: {{{sweep}}}\n")
    returned, said = load_elsewhere(path)
    assert returned == 2, said[-500:]
    assert "points; llem plans at most 1,000,000" in said


def test_cycles_beyond_all_measure_are_refused_at_once_whoever_means_them(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(HEAD + "cycles: 1000000000000\n")
    returned, said = load_elsewhere(path)
    assert returned == 2, said[-500:]


def test_a_file_larger_than_memory_is_refused_by_its_size(tmp_path):
    path = tmp_path / "study.yaml"
    with path.open("wb") as file:
        file.truncate(8 << 30)  # sparse: it takes no space
    returned, said = load_elsewhere(path)
    assert returned == 2, said[-500:]
    assert "a study file may have 1,000,000" in said


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty"])
def test_a_device_is_no_study_file_and_is_not_read_for_ever(path):
    returned, said = load_elsewhere(path)
    assert (returned, path in said) == (2, True), said[-500:]


def test_problems_are_data_too(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(HEAD + "sweep:\n  bacth_size: [1]\n")
    with pytest.raises(StudyFileError) as refused:
        load_study(path, machine=UnknownMachine())
    (problem,) = refused.value.problems
    assert (problem.path, problem.line, problem.column, problem.file) == ("sweep.bacth_size", 4, 3, None)
    assert refused.value.file == str(path)
