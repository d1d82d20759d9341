"""Names and hashes that stay the same on every machine and in every release."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, JsonValue

from llem.domain.spec import ExperimentConfig, Gaps

HASH_CHARS = 8


def canonical_json(value: JsonValue) -> str:
    """Return ``value`` as JSON text that is equal for equal values.

    Keys are sorted and integral floats are written as integers, so ``1`` and ``1.0`` are one value.

    Raises:
        ValueError: ``value`` holds NaN or an infinity, which JSON cannot say.
    """
    return _ENCODER.encode(_fold_integral_floats(value))


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _fold_integral_floats(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _fold_integral_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fold_integral_floats(item) for item in value]
    return value


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def config_hash(config: ExperimentConfig) -> str:
    """Return the SHA-256 (64 hex digits) of everything in ``config`` that can change a measured figure.

    Method settings count. The path of a prompt file does not, since its content hash stands for it. Settings that
    came later do not where they leave everything as it was before there was a choice: no variables, and a start that
    llem chooses.
    """
    return Hasher()(config)


class Hasher:
    """Gives ``config_hash`` for many configurations: what they share is brought into canonical form once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, str]] = {}

    def __call__(self, config: ExperimentConfig) -> str:
        """Return the hash of ``config``."""
        fields = (name for name in _SORTED_FIELDS if name != "environment" or config.environment)
        parts = (f'"{name}":{self._part(name, getattr(config, name))}' for name in fields)
        return _sha256("{" + ",".join(parts) + "}")

    def _part(self, name: str, value: Any) -> str:
        if not isinstance(value, BaseModel | dict):
            return canonical_json(value)
        known = self._known.get(id(value))
        if known is None:
            tree = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            if name == "prompts" and tree.get("sha256"):
                tree = {key: item for key, item in tree.items() if key != "path"}
            if name == "measurement" and tree["isolation"] == "auto":
                tree = {key: item for key, item in tree.items() if key != "isolation"}
            # The object is kept, so that no other can have its id.
            known = self._known[id(value)] = (value, canonical_json(tree))
        return known[1]


_SORTED_FIELDS = sorted(ExperimentConfig.model_fields)


def study_design_hash(config_hashes: Sequence[str], *, cycles: int, order: str, seed: int, gaps: Gaps) -> str:
    """Return the SHA-256 of the design: the experiments in their order, and the plan of repetition.

    Never a hash of the YAML text, so comments, key order and names leave it as it is.
    """
    design: JsonValue = {
        "experiments": list(config_hashes),
        "cycles": cycles,
        "order": order,
        "seed": seed,
        "gaps": gaps.model_dump(mode="json"),
    }
    return _sha256(canonical_json(design))


def derived_seed(config_hashes: Sequence[str]) -> int:
    """Return the seed that a study gets where it names none: the same experiments, the same seed."""
    return int(_sha256(canonical_json(list(config_hashes)))[:8], 16)


def unique_prefix_length(hashes: Iterable[str], minimum: int = HASH_CHARS) -> int:
    """Return the shortest length, at least ``minimum``, at which the prefixes of ``hashes`` differ."""
    known = set(hashes)
    length = minimum
    while len({text[:length] for text in known}) < len(known):
        length += 1
    return length


def varying_keys(configs: Sequence[ExperimentConfig]) -> list[str]:
    """Return the dotted keys in which the configurations of one study differ, in a stable order.

    The engine's own options stand under the engine's name, as in the study file. A key that holds a mapping in
    some configurations and something else in others is one key: its parts cannot be compared.
    """
    found: list[str] = []
    for name in ExperimentConfig.model_fields:
        if name == "engine_options":
            continue
        found += _differing(_distinct(getattr(config, name) for config in configs), name)
    for engine in dict.fromkeys(config.engine for config in configs):
        options = _distinct(config.engine_options for config in configs if config.engine == engine)
        found += _differing(options, engine)
    return [key for key in found if key != "prompts.sha256"]  # its path tells people more


def build_config_summary(config: ExperimentConfig, varying: Sequence[str]) -> dict[str, JsonValue]:
    """Return the dimensions of ``config`` that vary in its study: dotted key → value.

    Args:
        config: The experiment.
        varying: Dotted keys, as ``varying_keys`` finds them. Where nothing varies, model, engine and dtype stand
            for it.
    """
    keys = varying or ("model", "engine", "dtype")
    named = config.model if isinstance(config.model, str) else config.model_name
    return {key: named if key == "model" else value_at(config, key) for key in keys}


_ABSENT = object()


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Return the values that differ as JSON trees, each once; values that are one object are looked at once."""
    objects = {id(value): value for value in values}
    trees = [value.model_dump(mode="json") if isinstance(value, BaseModel) else value for value in objects.values()]
    return list({json.dumps(tree): tree for tree in trees}.values())


def _differing(values: Sequence[Any], key: str) -> Iterator[str]:
    if len({_ABSENT if value is _ABSENT else json.dumps(value) for value in values}) < 2:
        return
    if not all(isinstance(value, Mapping) for value in values):
        yield key
        return
    for part in dict.fromkeys(part for value in values for part in value):
        yield from _differing([value.get(part, _ABSENT) for value in values], f"{key}.{part}")


def value_at(config: ExperimentConfig, key: str) -> JsonValue:
    """Return the value at a dotted key of a configuration, as the study file names it; None where it has none."""
    head, _, rest = key.partition(".")
    value: Any = config.engine_options if head == config.engine else getattr(config, head, None)
    for part in rest.split(".") if rest else ():
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    found: JsonValue = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return list(found) if isinstance(found, tuple) else found


def summary_text(summary: Mapping[str, JsonValue]) -> str:
    """Return a summary as one line, with the shortest key parts that stay distinct."""
    shorts = [key.rsplit(".", 1)[-1] for key in summary]
    names = [short if shorts.count(short) == 1 else key for key, short in zip(summary, shorts, strict=True)]
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in zip(names, summary.values(), strict=True)
    )


def result_stem(config: ExperimentConfig, label: str) -> str:
    """Return ``{model}_{engine}_{dtype}_{label}``, safe as a file name: what an experiment's result files begin with.

    Args:
        config: The experiment.
        label: The first digits of its hash: 8, and more only where 8 do not tell a study's experiments apart.
    """
    return "_".join(_file_safe(part) for part in (config.model_name, config.engine, config.dtype, label))


def result_filename(stem: str, cycle: int) -> str:
    """Return the name of the result file of one cycle."""
    return f"{stem}_c{cycle}.json"


def rerun_filename(first: str, attempt: int) -> str:
    """Return the name of a later result of the same trial; ``first`` is that of its first one, which is kept."""
    return f"{first.removesuffix('.json')}_a{attempt}.json"


def _file_safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip(".-")[:80] or "x"
