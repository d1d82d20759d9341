"""Names and hashes that stay the same on every machine and in every release."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from llem.domain.spec import ExperimentConfig, Gaps

HASH_CHARS = 8


def canonical_json(value: JsonValue) -> str:
    """Return ``value`` as JSON text that is equal for equal values.

    Keys are sorted and integral floats are written as integers, so ``1`` and ``1.0`` are one value.

    Raises:
        ValueError: ``value`` holds NaN or an infinity, which JSON cannot say.
    """
    return json.dumps(
        _fold_integral_floats(value),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )


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

    Method settings count. The path of a prompt file does not, since its content hash stands for it.
    """
    tree = config.model_dump(mode="json")
    prompts = tree["prompts"]
    if prompts.get("sha256"):
        del prompts["path"]
    return _sha256(canonical_json(tree))


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
    return list(_differing([_study_tree(config) for config in configs], ""))


def build_config_summary(config: ExperimentConfig, varying: Sequence[str]) -> dict[str, JsonValue]:
    """Return the dimensions of ``config`` that vary in its study: dotted key → value.

    Args:
        config: The experiment.
        varying: Dotted keys, as ``varying_keys`` finds them. Where nothing varies, model, engine and dtype stand
            for it.
    """
    tree = _study_tree(config)
    keys = varying or ("model", "engine", "dtype")
    named = config.model if isinstance(config.model, str) else config.model_name
    return {key: named if key == "model" else _at(tree, key) for key in keys}


_ABSENT = object()


def _differing(trees: Sequence[Mapping[str, Any]], prefix: str) -> Iterator[str]:
    for key in dict.fromkeys(key for tree in trees for key in tree):
        values = [tree.get(key, _ABSENT) for tree in trees]
        if all(isinstance(value, Mapping) for value in values):
            yield from _differing(values, f"{prefix}{key}.")
        elif len({_ABSENT if value is _ABSENT else json.dumps(value) for value in values}) > 1:
            yield prefix + key


def _study_tree(config: ExperimentConfig) -> dict[str, Any]:
    """Return a configuration as the study file writes it: the engine's options under the engine's name."""
    tree = config.model_dump(mode="json")
    tree[config.engine] = tree.pop("engine_options")
    return tree


def _at(tree: Mapping[str, Any], key: str) -> JsonValue:
    """Return the value at a dotted key; None where the tree does not have it."""
    value: Any = tree
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    found: JsonValue = value
    return found


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


def _file_safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip(".-")[:80] or "x"
