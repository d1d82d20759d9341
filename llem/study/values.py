"""The value of a grid point at a dotted key, llem's defaults included, before the point is checked."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import JsonValue

from llem.domain.spec import ExperimentConfig, Generation, JsonlPrompts, Measurement, SyntheticPrompts
from llem.domain.sweep import Tree, flat, source_of
from llem.study.grammar import Grammar


def lookup(tree: Mapping[str, JsonValue], defaults: Mapping[str, JsonValue]) -> Callable[[str], JsonValue]:
    """Return a function from a dotted key to its value in ``tree``, else in ``defaults``, else NOTHING."""

    def value_at(key: str) -> JsonValue:
        value: Any = tree
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return defaults.get(key, NOTHING)
            value = value[part]
        found: JsonValue = value
        return found

    return value_at


NOTHING: Any = object()
"""What a key that a point does not have is: equal to no value."""


def defaults_of(grammar: Grammar, tree: Mapping[str, JsonValue]) -> Tree:
    """Return llem's defaults for a point: dotted key → value, those of its engine and of its source of prompts."""
    engine = tree.get("engine")
    prompts = tree.get("prompts")
    texts = isinstance(prompts, Mapping) and source_of(prompts) == "jsonl"
    defaults = _DEFAULTS["jsonl" if texts else "synthetic"]
    if not isinstance(engine, str) or engine not in grammar.engines:
        return defaults
    options = grammar.engines[engine].options
    return {**defaults, **{f"{engine}.{name}": field.default for name, field in options.model_fields.items()}}


def _experiment_defaults(prompts: type[SyntheticPrompts] | type[JsonlPrompts]) -> Tree:
    defaults: Tree = {"dtype": ExperimentConfig.model_fields["dtype"].default}
    defaults["batch_size"] = ExperimentConfig.model_fields["batch_size"].default
    defaults |= flat({"generation": Generation().model_dump(mode="json")})
    defaults |= flat({"measurement": Measurement().model_dump(mode="json")})
    known = {name: field for name, field in prompts.model_fields.items() if not field.is_required()}
    defaults |= {f"prompts.{name}": field.default for name, field in known.items()}
    return defaults | {"prompts.source": "jsonl" if prompts is JsonlPrompts else "synthetic"}


_DEFAULTS = {"synthetic": _experiment_defaults(SyntheticPrompts), "jsonl": _experiment_defaults(JsonlPrompts)}
