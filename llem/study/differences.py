"""Where two values of the same form differ, leaf by leaf."""

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import JsonValue


class Difference(NamedTuple):
    """One place in which two values differ.

    Attributes:
        field: The place, such as ``components[0].energy_j``.
        stands: The one value there; None also where it has none.
        expected: The other.
    """

    field: str
    stands: JsonValue
    expected: JsonValue


def differences(stands: JsonValue, expected: JsonValue, field: str = "") -> Iterator[Difference]:
    """Yield where two JSON values differ, numbers compared exactly; lists of unequal length differ as a whole."""
    if isinstance(stands, dict) and isinstance(expected, dict):
        for key in dict.fromkeys([*stands, *expected]):
            yield from differences(stands.get(key), expected.get(key), f"{field}.{key}" if field else key)
    elif isinstance(stands, list) and isinstance(expected, list) and len(stands) == len(expected):
        for number, (one, other) in enumerate(zip(stands, expected, strict=True)):
            yield from differences(one, other, f"{field}[{number}]")
    elif stands != expected:
        yield Difference(field, stands, expected)
