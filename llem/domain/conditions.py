"""Conditions on the values of a grid point: what ``exclude:`` and ``only:`` say."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from pydantic import JsonValue

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
WORDS: dict[str, JsonValue] = {"true": True, "false": False, "null": None, "~": None}
"""What these words mean in YAML."""
_COMPARISON = re.compile(r"^(>=|<=|!=|>|<)\s*(.+)$")


@dataclass(frozen=True)
class Condition:
    """Values that a point must have, all of them.

    Attributes:
        terms: Dotted key → a value, a list of values of which one must hold, or a comparison such as ``"> 8"``.
    """

    terms: Mapping[str, JsonValue]

    def holds(self, value_at: Callable[[str], JsonValue]) -> bool:
        """Return whether every term holds, ``value_at`` giving a point's value at a dotted key."""
        return all(_fits(value_at(key), wanted) for key, wanted in self.terms.items())

    def text(self) -> str:
        """Return the condition as the study file writes it."""
        return ", ".join(f"{key}: {_shown(wanted)}" for key, wanted in self.terms.items())


def _fits(value: JsonValue, wanted: JsonValue) -> bool:
    if isinstance(wanted, list):
        return any(_fits(value, one) for one in wanted)
    compared = _COMPARISON.match(wanted) if isinstance(wanted, str) else None
    if compared is None:
        return _equal(value, wanted)
    sign, text = compared.groups()
    limit = _number(text)
    if limit is None:  # texts have no order here
        return sign == "!=" and not _equal(value, WORDS.get(text, text))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return sign == "!="
    return COMPARISONS[sign](value, limit)


def _equal(value: JsonValue, wanted: JsonValue) -> bool:
    """Return whether two values are one to a reader: ``1`` is ``1.0``, but ``true`` is not ``1``."""
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


def unusable(wanted: JsonValue) -> str | None:
    """Return why a term's value can hold for no point; None if it can."""
    for one in wanted if isinstance(wanted, list) else [wanted]:
        if isinstance(one, dict | list):
            return "a condition compares with a value or a list of values; use dotted keys for what lies in a section"
        compared = _COMPARISON.match(one) if isinstance(one, str) else None
        if compared and compared[1] != "!=" and _number(compared[2]) is None:
            return f"{compared[1]} compares with a number; found {compared[2]!r}"
    return "an empty list of values holds for no point" if wanted == [] else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _shown(wanted: JsonValue) -> str:
    if isinstance(wanted, list):
        return f"[{', '.join(_shown(one) for one in wanted)}]"
    if isinstance(wanted, bool) or wanted is None:
        return {True: "true", False: "false", None: "null"}[wanted]
    return str(wanted)
