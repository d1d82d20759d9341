"""The JSON Schema of study files: it lets through what llem takes, and marks what an editor can know to be wrong."""

import json
import runpy
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from llem.domain.meanings import meanings
from llem.domain.spec import Carbon, CoolDown, ExperimentConfig, Gaps, Limits, StudySettings
from llem.study.grammar import GRAMMAR
from llem.study.schema import schema_text, study_schema
from llem.study.starter import starter_study
from llem.study.yaml_source import read_yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
STUDIES = sorted(EXAMPLES.rglob("*.yaml"))
TABLE = runpy.run_path(str(Path(__file__).with_name("test_grammar_table.py")))["CASES"]
SCHEMA = study_schema()


def errors(tree, schema=SCHEMA):
    """Return where the schema finds ``tree`` wrong."""
    found = Draft202012Validator(schema).iter_errors(tree)
    return sorted({".".join(map(str, error.absolute_path)) for error in found})


@pytest.fixture
def found_in(tmp_path):
    """Return a function from a study's text to where the schema finds it wrong."""

    def of(text, schema=SCHEMA):
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return errors(read_yaml(path).tree, schema)

    return of


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(schema_text()) == SCHEMA


def test_every_reference_leads_somewhere_and_nothing_is_defined_for_nobody():
    text = schema_text()
    named = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert named == set(SCHEMA["$defs"])


def test_the_text_is_the_same_every_time_and_ascii():
    assert schema_text() == schema_text()
    assert schema_text().isascii()


def test_the_schema_beside_the_examples_is_this_llems():
    kept = (EXAMPLES / "study.schema.json").read_text()
    assert kept == schema_text(), "renew it: llem schema > examples/study.schema.json"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_is_valid_and_names_the_schema_on_its_first_line(path):
    line = path.read_text().splitlines()[0]
    mark, _, named = line.partition("$schema=")
    assert mark == "# yaml-language-server: "
    assert (path.parent / named).resolve() == EXAMPLES / "study.schema.json"
    assert errors(read_yaml(path).tree) == []


@pytest.mark.parametrize("model", [None, "./a folder: mine", "gpt2"])
def test_the_study_that_init_writes_is_valid(found_in, model):
    assert found_in(starter_study(Path("study.yaml"), engine="transformers", model=model)) == []


# A value that llem itself finds wrong is skipped with its grid point; an editor marks it.
SOUND = [case for case in TABLE if " invalid" not in case.funnel]


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.rule)
def test_what_the_grammar_takes_is_valid(found_in, two_engines, case):
    schema = study_schema(two_engines) if case.two else SCHEMA
    assert found_in(case.head + case.study, schema) == []
    for name, text in case.files.items():
        if name.endswith(".yaml"):
            assert found_in(text, schema) == []


TAKEN = {
    "a base file has no name and no model": "dtype: float32\n",
    "an engine's section may be empty": "transformers:\n",
    "null takes away an inherited axis, group and zip": "sweep: {batch_size: null, a group: null, zip: null}\n",
    "a model whose architecture a sweep gives": "model: {hidden_size: 8}\nsweep: {model.config: [a, b]}\n",
    "prompts without a source": "prompts: {path: texts.jsonl, count: 4}\n",
    "variables in paths and names": "base: ${B:b.yaml}\nmodel: ${M:gpt2}\nprompts: {path: '${P}'}\n",
    "keys deep in a mapping": "sweep: {model.rope.type: [a, {b: 1}], transformers.torch_compile.mode: [default]}\n",
    "lists of sensors": "sweep: {measurement.sensors: [auto, [], [nvml, rapl]]}\n",
    "a grid of lists of sensors": "sweep: {reading: [{measurement.sensors: [auto, [nvml]]}]}\n",
    "a grid in a section of a group": "sweep: {g: [{generation: {seed: [1, 2], stop: natural}}, {}]}\n",
    "sections in a list in a group": "sweep: {g: [{generation: [{seed: 1}, {seed: 2}]}]}\n",
    "several sets of zipped axes": "sweep: {zip: [{batch_size: [1, 2]}, {generation.seed: [1], model: [gpt2]}]}\n",
    "conditions": "only: [{batch_size: '>= 2', dtype: [float32, '!= auto']}]\nexclude: [{model.anything: [1, x]}]\n",
    "whole numbers for seconds": "limits: {trial_s: 9}\ngaps: {between_trials: {cool_to_c: 50, at_most_s: 9}}\n",
    "notes of one's own": "x-notes: [1, {a: b}]\n",
}


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_the_schema_is_not_stricter_than_the_grammar(found_in, text):
    assert found_in(text) == []


WRONG = {
    "unknown key": ("cylces: 3\n", [""]),
    "unknown key in a section": ("generation: {temprature: 1}\n", ["generation"]),
    "unknown key of the engine": ("transformers: {attn_implementatoin: sdpa}\n", ["transformers"]),
    "unknown key in limits": ("limits: {trail_s: 5}\n", ["limits"]),
    "unknown key in carbon": ("carbon: {land: FRA}\n", ["carbon"]),
    "a PUE below 1": ("carbon: {country: FRA, pue: 0.9}\n", ["carbon"]),
    "unknown axis": ("sweep: {generation.temprature: [1]}\n", ["sweep"]),
    "unknown axis without a dot": ("sweep: {bacth_size: [1]}\n", ["sweep.bacth_size.0"]),
    "an axis of a key of the study": ("sweep: {cycles: [1, 2]}\n", ["sweep"]),
    "unknown key in a group": ("sweep: {g: [{bacth_size: 1}]}\n", ["sweep.g.0"]),
    "unknown key in a zip": ("sweep: {zip: {bacth_size: [1]}}\n", ["sweep.zip"]),
    "unknown key in an experiment": ("experiments: [{generation.temprature: 1}]\n", ["experiments.0"]),
    "unknown key in a condition": ("exclude: [{bacth_size: 1}]\n", ["exclude.0"]),
    "a dotted key at the top": ("generation.seed: 1\n", [""]),
    "a key of the study in an experiment": ("experiments: [{cycles: 2}]\n", ["experiments.0"]),
    "what llem fills in": ("prompts: {path: a, sha256: b}\n", ["prompts"]),
    "nothing in a section": ("generation:\n", ["generation"]),
    "text for a number": ("batch_size: '4'\n", ["batch_size"]),
    "text for a number in an axis": ("sweep: {batch_size: [1, '4']}\n", ["sweep.batch_size.1"]),
    "text for a number in a group": ("sweep: {g: [{batch_size: '4'}]}\n", ["sweep.g.0.batch_size"]),
    "text for a number in a condition": ("exclude: [{batch_size: '4'}]\n", ["exclude.0.batch_size"]),
    "text for yes or no": ("generation: {do_sample: 'yes'}\n", ["generation.do_sample"]),
    "yes for a number": ("cycles: true\n", ["cycles"]),
    "a fraction for a whole number": ("cycles: 2.5\n", ["cycles"]),
    "a number for a text": ("name: 5\n", ["name"]),
    "out of range": (
        "generation: {output_tokens: 0, top_p: 1.5}\n",
        ["generation.output_tokens", "generation.top_p"],
    ),
    "wrong choice": ("dtype: fp16\norder: random\n", ["dtype", "order"]),
    "wrong choice in an axis": ("sweep: {dtype: [fp16]}\n", ["sweep.dtype.0"]),
    "unknown engine": ("engine: transformer\n", ["engine"]),
    "unknown sensor": ("measurement: {sensors: [nvml, rapls]}\n", ["measurement.sensors"]),
    "a list of sensors where a list is a grid": (
        "sweep: {g: [{measurement.sensors: [nvml]}]}\n",
        ["sweep.g.0.measurement.sensors"],
    ),
    "a name that climbs": ("name: ../x\n", ["name"]),
    "an axis of one value": ("sweep: {batch_size: 4}\n", ["sweep.batch_size"]),
    "an axis of nothing": ("sweep: {batch_size: []}\n", ["sweep.batch_size"]),
    "a list where a mapping belongs": ("prompts: [a]\n", ["prompts"]),
    "a mapping where a list belongs": ("exclude: {batch_size: 1}\n", ["exclude"]),
    "a section in a condition": ("exclude: [{generation: {seed: 1}}]\n", ["exclude.0"]),
    "an order between texts": ("exclude: [{batch_size: '> many'}]\n", ["exclude.0.batch_size"]),
    "an empty condition": ("only: [{}]\n", ["only.0"]),
    "half a cool-down": ("gaps: {between_trials: {cool_to_c: 50}}\n", ["gaps.between_trials"]),
}


@pytest.mark.parametrize(("text", "places"), WRONG.values(), ids=WRONG)
def test_an_editor_can_mark_what_is_wrong(found_in, text, places):
    assert found_in(text) == places


def inside(key):
    """Return the schema of the value at a dotted key."""
    return SCHEMA["$defs"][key]


SETTINGS = ("limits", "gaps", "carbon")
"""Sections of the whole study, which no experiment has."""


@pytest.mark.parametrize("section", [key[0] for key in GRAMMAR.keys if key and key[0] not in SETTINGS])
def test_every_key_of_a_section_is_described(section):
    assert list(inside(section)["properties"]) == GRAMMAR.keys[(section,)]
    assert inside(section)["description"]
    for name in GRAMMAR.keys[(section,)]:
        assert inside(f"{section}.{name}")["description"]


def test_every_key_at_the_top_is_described():
    told = {key: inside(key) if "$ref" in value else value for key, value in SCHEMA["properties"].items()}
    assert set(told) == set(GRAMMAR.keys[()])
    assert [key for key, value in told.items() if not value.get("description")] == []
    assert told["cycles"]["description"] == meanings(StudySettings)["cycles"]
    assert told["dtype"]["description"] == meanings(ExperimentConfig)["dtype"].replace("``", "`")


@pytest.mark.parametrize(("key", "model"), [("limits", Limits), ("gaps", Gaps)])
def test_every_key_of_a_setting_is_described(key, model):
    fields = SCHEMA["properties"][key]["properties"]
    assert set(fields) == set(model.model_fields)
    assert [name for name, field in fields.items() if not field["description"]] == []


def test_every_key_of_carbon_is_described():
    (form,) = [form for form in SCHEMA["properties"]["carbon"]["anyOf"] if form["type"] == "object"]
    assert {name: field["description"] for name, field in form["properties"].items()} == {
        name: text.replace("``", "`") for name, text in meanings(Carbon).items()
    }


def test_a_cool_down_is_described():
    forms = SCHEMA["properties"]["gaps"]["properties"]["between_trials"]["anyOf"]
    (cooling,) = [form for form in forms if form["type"] == "object"]
    assert {name: field["description"] for name, field in cooling["properties"].items()} == meanings(CoolDown)


def test_defaults_are_told_and_titles_are_not():
    assert inside("generation.output_tokens")["default"] == 64
    assert inside("transformers.use_safetensors")["default"] is True
    assert SCHEMA["properties"]["order"]["default"] == "blocks"
    assert schema_text().count('"title"') == 1
