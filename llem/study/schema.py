"""The JSON Schema of study files, made from the models that check them: what editors complete, explain and check.

What other keys or files decide is left to llem: a key that a base file may give, `temperature` without `do_sample`.
"""

import json
from collections.abc import Callable, Iterator

from pydantic import BaseModel

from llem.domain.meanings import about
from llem.domain.spec import (
    ExperimentConfig,
    Generation,
    JsonlPrompts,
    Measurement,
    ModelConfig,
    StudySettings,
    SyntheticPrompts,
)
from llem.sensors import SENSORS
from llem.study.fieldschemas import Schema, field_schemas, told
from llem.study.grammar import GRAMMAR, NOTE_PREFIX, Grammar
from llem.study.sweeps import ZIP

Wrap = Callable[[Schema, Schema], Schema | None]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LINE_LENGTH = 118
ANYTHING: Schema = {}
BELOW = r"(\.[^.]+)+"
SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}

STUDY = (
    "A study of llem. Keys of an experiment stand at the top as defaults of all experiments. A study needs `name` "
    "and `model`; no key is required in this file, since a base file or a sweep may give it."
)
BASE = "A YAML file whose keys this one inherits and overrules; relative to this file."
EXPERIMENTS = "Experiments one by one: what each has instead of the defaults at the top. Crossed with `sweep`."
SWEEP = (
    "The grid. A key of an experiment with a list of values is an axis; any other name is a group, a list of "
    "alternatives; `zip` holds axes that move together. All of them are crossed, the last varies fastest."
)
GROUP = (
    "A group: alternatives, each with any keys of an experiment. {} is the defaults as they are, and a list of "
    "values inside an alternative is a small grid of its own. null takes away an inherited group."
)
ZIPPED = (
    "Axes that move together: their first values, their second values, and so on. A list holds several such sets."
)
EXCLUDE = "Grid points to leave out: those for which every key of one of these conditions holds."
ONLY = "The only grid points to keep: those for which every key of one of these conditions holds."
NOTE = "Your own, a home for YAML anchors: llem does not look at it."
COMPARISON = "A comparison: `> 8`, `>= 8`, `< 8`, `<= 8`, `!= 8`, `!= eager`."
SOURCE = "`synthetic` or `jsonl`; where left out, `jsonl` if there is a `path`."


def schema_text(grammar: Grammar = GRAMMAR) -> str:
    """Return the JSON Schema of study files as a file holds it, in ASCII, so that no encoding can spoil it."""
    return "".join(_lines(study_schema(grammar), "")) + "\n"


def study_schema(grammar: Grammar = GRAMMAR) -> Schema:
    """Return the JSON Schema (draft 2020-12) of study files.

    Args:
        grammar: The keys that a study may have.
    """
    return _StudySchema(grammar).whole()


class _StudySchema:
    """Builds the schema. Every key of an experiment is defined once, by its dotted name, and referred to."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._models: dict[str, tuple[type[BaseModel], ...]] = {
            "model": (ModelConfig,),
            "prompts": (SyntheticPrompts, JsonlPrompts),
            "generation": (Generation,),
            "measurement": (Measurement,),
            **{name: (engine.options,) for name, engine in grammar.engines.items()},
        }
        self._values = self._experiment_keys()

    def whole(self) -> Schema:
        """Return the schema of a study file."""
        settings = field_schemas(StudySettings)
        at_top = [*self._grammar.experiment_keys, *self._grammar.engines]
        return {
            "$schema": DIALECT,
            "title": "llem study",
            "description": STUDY,
            "type": "object",
            "properties": {
                "base": {"description": BASE, "type": "string", "minLength": 1},
                "name": settings["name"],
                **settings,
                **{key: _ref(key) for key in at_top},
                "experiments": _list_of("Experiment", EXPERIMENTS, minItems=1),
                "sweep": self._sweep(),
                "exclude": _list_of("Condition", EXCLUDE, type=["array", "null"]),
                "only": _list_of("Condition", ONLY, type=["array", "null"]),
            },
            "patternProperties": {f"^{NOTE_PREFIX}": {"description": NOTE}},
            "additionalProperties": False,
            "$defs": {
                **self._values,
                "Experiment": self._mapping(lambda _, ref: ref),
                "Alternative": self._mapping(self._choice),
                "Zip": {**self._mapping(_column), "minProperties": 1},
                "Condition": {**self._mapping(_wanted), "minProperties": 1},
                "Comparison": {
                    "description": COMPARISON,
                    "type": "string",
                    "pattern": r"^(!=\s*\S.*|[<>]=?\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*)$",
                },
            },
        }

    def _experiment_keys(self) -> dict[str, Schema]:
        """Return every key of an experiment, those of its sections dotted, with the schema of its value."""
        fields = field_schemas(ExperimentConfig)
        values = {key: fields[key] for key in self._grammar.experiment_keys}
        values["engine"]["enum"] = list(self._grammar.engines)
        for section, models in self._models.items():
            known = self._grammar.keys.get((section,)) or list(models[0].model_fields)
            values[section] = self._section(section, known, values.get(section))
            inside = [field_schemas(model) for model in models]
            for name in known:
                values[f"{section}.{name}"] = _either(name, [of for of in inside if name in of])
        values["prompts.source"]["description"] = SOURCE
        for form in values["measurement.sensors"]["anyOf"]:
            if form["type"] == "array":
                form["items"]["enum"] = list(SENSORS)
        return values

    def _section(self, name: str, known: list[str], field: Schema | None) -> Schema:
        """Return the schema of a section. It requires no key: sections merge, and a sweep may complete them."""
        mapping = {
            "type": "object",
            "properties": {key: _ref(f"{name}.{key}") for key in known},
            "additionalProperties": self._models[name][0].model_config.get("extra") == "allow",
        }
        if field is None:  # an engine's, which may be empty
            return {"description": told(about(self._models[name][0])), **mapping, "type": ["object", "null"]}
        described = {"description": field["description"]}
        if name in self._grammar.sections:
            return described | mapping
        return described | {"anyOf": [*_forms(field, but=("object",)), mapping]}

    def _mapping(self, wrap: Wrap) -> Schema:
        """Return the schema of a mapping with an experiment's keys, dotted or not.

        Args:
            wrap: From a key's schema, and the reference to it, to the schema of what stands there; None where the key
                may not stand there at all.
        """
        wrapped = {key: wrap(value, _ref(key)) for key, value in self._values.items()}
        below = wrap(ANYTHING, ANYTHING)
        return {
            "type": "object",
            "properties": {key: value for key, value in wrapped.items() if value is not None},
            "patternProperties": {f"^{_literal(key)}{BELOW}$": below for key in self._open_keys()},
            "additionalProperties": False,
        }

    def _open_keys(self) -> list[str]:
        """Return the keys below which a key may have any name: mappings that are no sections."""
        return [
            key
            for key, value in self._values.items()
            if key not in self._grammar.sections and any(form.get("type") == "object" for form in _forms(value))
        ]

    def _sweep(self) -> Schema:
        axes = self._mapping(_axis)
        names = "|".join([*self._grammar.keys[()], ZIP])
        together = _ref("Zip")
        forms = [together, {"type": "array", "minItems": 1, "items": together}, {"type": "null"}]
        return {
            "description": SWEEP,
            **axes,
            "type": ["object", "null"],
            "properties": {**axes["properties"], ZIP: {"description": ZIPPED, "anyOf": forms}},
            "patternProperties": {
                **axes["patternProperties"],
                rf"^(?!({names})$)[^.]*$": _list_of("Alternative", GROUP, type=["array", "null"], minItems=1),
            },
        }

    def _choice(self, value: Schema, ref: Schema) -> Schema:
        """Return the schema of a value in a group, where a list is a small grid, also inside a section."""
        if "properties" in value:
            inside = {name: self._choice(self._values[_key(of)], of) for name, of in value["properties"].items()}
            forms = [{**value, "properties": inside}]
        else:
            forms = _forms_or_ref(value, ref, but=("array",))
        return {"anyOf": [*forms, {"type": "array", "minItems": 1, "items": ref}]}


def _axis(value: Schema, ref: Schema) -> Schema:
    """Return the schema of an axis; null takes away an inherited one."""
    described = {key: value[key] for key in value if key == "description"}
    return described | _column(value, ref) | {"type": ["array", "null"]}


def _column(value: Schema, ref: Schema) -> Schema:
    """Return the schema of an axis that moves together with others."""
    return {"type": "array", "minItems": 1, "items": ref}


def _wanted(value: Schema, ref: Schema) -> Schema | None:
    """Return the schema of what a condition may want of a key: values and comparisons, but nothing of a section."""
    if "properties" in value:
        return None
    plain = [SCALAR] if value == ANYTHING else _forms_or_ref(value, ref, but=("array", "object"))
    forms = [*plain, _ref("Comparison")]
    return {"anyOf": [*forms, {"type": "array", "minItems": 1, "items": {"anyOf": forms}}]}


def _forms(value: Schema, but: tuple[str, ...] = ()) -> list[Schema]:
    """Return the forms that a value may have, without those of the types in ``but``."""
    return [form for form in value.get("anyOf", [value]) if form.get("type") not in but]


def _forms_or_ref(value: Schema, ref: Schema, but: tuple[str, ...]) -> list[Schema]:
    forms = _forms(value, but)
    return [ref] if forms == _forms(value) else forms


def _either(name: str, models: list[dict[str, Schema]]) -> Schema:
    """Return the schema of a key that one or several sources of prompts have: one of theirs."""
    if len(models) == 1:
        return models[0][name]
    described = [f"`{of['source']['const']}`: {of[name].pop('description', '')}" for of in models]
    return {"description": " ".join(described), "anyOf": [form for of in models for form in _forms(of[name])]}


def _list_of(name: str, description: str, **more: object) -> Schema:
    return {"description": description, "type": "array", **more, "items": _ref(name)}


def _ref(key: str) -> Schema:
    return {"$ref": f"#/$defs/{key}"}


def _literal(key: str) -> str:
    """Return a pattern of a key itself; JavaScript refuses some of what ``re.escape`` escapes."""
    return key.replace(".", r"\.")


def _key(ref: Schema) -> str:
    return str(ref["$ref"]).removeprefix("#/$defs/")


def _lines(node: object, indent: str) -> Iterator[str]:
    """Yield JSON in pieces, what fits a line on one line."""
    flat = json.dumps(node)
    if not isinstance(node, dict | list) or len(indent) + len(flat) <= LINE_LENGTH:
        yield flat
        return
    opening, closing = ("{", "}") if isinstance(node, dict) else ("[", "]")
    items = node.items() if isinstance(node, dict) else ((None, item) for item in node)
    yield opening
    for number, (key, value) in enumerate(items):
        yield f"{',' if number else ''}\n{indent}  " + ("" if key is None else f"{json.dumps(key)}: ")
        yield from _lines(value, indent + "  ")
    yield f"\n{indent}{closing}"
