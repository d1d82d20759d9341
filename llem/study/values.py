"""The value of a grid point at a dotted key, llem's defaults included, before the point is checked."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import JsonValue

from llem.domain.spec import ExperimentConfig, Generation, JsonlPrompts, Measurement, SyntheticPrompts
from llem.domain.sweep import Tree, flat, source_of
from llem.study.grammar import Grammar


def lookup(grammar: Grammar, tree: Mapping[str, JsonValue]) -> Callable[[str], JsonValue]:
    """Return a function from a dotted key to a point's value, llem's default where it has none, else NOTHING.

    Options of an engine that is not the point's own are NOTHING.
    """
    defaults = defaults_of(grammar, tree)

    def value_at(key: str) -> JsonValue:
        head = key.partition(".")[0]
        other = head in grammar.engines and head != tree.get("engine")
        value: Any = NOTHING if other else tree
        for part in () if other else key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                value = defaults.get(key, NOTHING)
                break
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
