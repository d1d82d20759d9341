"""Numbers in columns: held as machine numbers, written as JSON lists of differences, read again to the bit."""

import math
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from operator import mul, sub
from typing import Any

UNITS = (1.0, 1e-3, 1e-6)
"""A column whose every value is a whole number × one of these is written as such: counters are, and shrink a lot."""
MOST_COUNTED = 2.0**53
NOT_FINITE = "the sensor gave a value that is no finite number"


class Table:
    """Readings that one call gives together: when the call was, and a column of values for each channel.

    Args:
        channels: Numbers of the channels, one a column.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        self._channels = list(channels)
        self._before_ns = array("q")
        self._call_ns = array("q")
        self._values = array("d")  # row after row; NaN where a reading failed
        self._failed: list[tuple[int, int, str | None]] = []

    def __len__(self) -> int:
        return len(self._before_ns)

    def add(
        self, before_ns: int, after_ns: int, values: Sequence[float | None], reasons: Sequence[str | None] | None
    ) -> int:
        """Append one row, and return how many there are; where a value is None its reason is kept.

        ``reasons`` is None where every value is there.
        """
        row = len(self._before_ns)
        self._before_ns.append(before_ns)
        self._call_ns.append(after_ns - before_ns)
        if reasons is not None and None in values:
            self._failed += [(row, n, reasons[n]) for n, value in enumerate(values) if value is None]
            values = [math.nan if value is None else value for value in values]
        self._values.extend(values)  # type: ignore[arg-type]
        return row + 1

    def take(self) -> dict[str, Any]:
        """Return the rows as JSON's lists and numbers, and be empty.

        ``values`` has one entry a column, without the rows that failed; ``failed`` is (row, column, reason).
        """
        width = len(self._channels)
        if not all(map(math.isfinite, self._values)):
            told = {(row, column) for row, column, _ in self._failed}
            wrong = (divmod(n, width) for n, value in enumerate(self._values) if not math.isfinite(value))
            self._failed += [(*place, NOT_FINITE) for place in wrong if place not in told]
        block = {
            "channels": self._channels,
            "before_ns": differences(self._before_ns),
            "call_ns": self._call_ns.tolist(),
            "values": [packed(self._column(n)) for n in range(width)],
            "failed": self._failed,
        }
        self._before_ns, self._call_ns, self._values, self._failed = array("q"), array("q"), array("d"), []
        return block

    def _column(self, number: int) -> Sequence[float]:
        values = self._values[number :: len(self._channels)]
        return [value for value in values if math.isfinite(value)] if self._failed else values


def differences(numbers: Sequence[int]) -> list[int]:
    """Return the first number, then what each is above the one before it."""
    return list(map(sub, numbers, chain((0,), numbers)))


def packed(values: Sequence[float]) -> dict[str, Any]:
    """Return finite values as ``unit`` and ``steps``, or ``plain`` where they are not whole numbers of a unit."""
    for unit in UNITS:
        counts = _counts(values, unit)
        if counts is not None:
            return {"unit": unit, "steps": differences(counts)}
    return {"plain": list(values)}


def unpacked(column: dict[str, Any]) -> list[float]:
    """Return the values of a column that ``packed`` made.

    Raises:
        ValueError: It is none.
        LookupError: It is none.
    """
    if "plain" in column:
        return list(_all(column["plain"], float))
    unit = column["unit"]
    if type(unit) is not float:
        raise ValueError("a unit is no number")
    return [count * unit for count in accumulate(_all(column["steps"], int))]


def rows(block: dict[str, Any], channels: int) -> Iterable[tuple[int, list[int], list[int], list[float], list[Any]]]:
    """Yield (channel number, before_ns, after_ns, values, failed) of each column of a block; ``failed`` as written.

    Times are those of the readings that did not fail. Each of ``failed`` is (row's before_ns, reason).

    Raises:
        ValueError: The block is none that ``Table`` made.
        LookupError: Likewise.
        TypeError: Likewise.
    """
    before_ns = list(accumulate(_all(block["before_ns"], int)))
    call_ns = _all(block["call_ns"], int)
    numbers, columns = _all(block["channels"], int), block["values"]
    if len(call_ns) != len(before_ns) or len(columns) != len(numbers):
        raise ValueError("columns of one table differ in length")
    after_ns = [before + call for before, call in zip(before_ns, call_ns, strict=True)]
    lost: dict[int, dict[int, str]] = {}
    for row, column, reason in block["failed"]:
        if not (0 <= row < len(before_ns) and 0 <= column < len(numbers)):
            raise ValueError("a failed reading is of no row")
        lost.setdefault(column, {})[row] = str(reason)
    for position, number in enumerate(numbers):
        values, failed = unpacked(columns[position]), lost.get(position, {})
        if not 0 <= number < channels or len(values) + len(failed) != len(before_ns):
            raise ValueError("a column has not a value for each call")
        kept = [n for n in range(len(before_ns)) if n not in failed] if failed else range(len(before_ns))
        yield (
            number,
            [before_ns[n] for n in kept] if failed else before_ns,
            [after_ns[n] for n in kept] if failed else after_ns,
            values,
            [(before_ns[row], failed[row]) for row in sorted(failed)],
        )


def _counts(values: Sequence[float], unit: float) -> list[int] | None:
    """Return whole numbers whose products with ``unit`` are the values to the bit; None where there are none."""
    if not all(-MOST_COUNTED < value / unit < MOST_COUNTED for value in values):
        return None
    counts = [round(value / unit) for value in values]
    same = all(map(float.__eq__, map(mul, counts, [unit] * len(counts)), values))
    negative_zero = 0.0 in values and any(math.copysign(1.0, value) < 0 for value in values if value == 0)
    return counts if same and not negative_zero else None


def _all(numbers: Any, kind: type) -> Any:
    """Return a list after looking that it holds numbers of one kind only."""
    if type(numbers) is not list or not set(map(type, numbers)) <= {kind}:
        raise ValueError(f"a column holds something that is no {kind.__name__}")
    return numbers
