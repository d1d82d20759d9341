"""What would fit, after an attempt ran out of memory: told with the numbers that are known."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from llem.domain.events.trial import Phase

UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
SIZE = rf"(\d+(?:\.\d+)?) ({'|'.join(UNITS)})"
ASKED = re.compile(rf"[Tt]ried to allocate {SIZE}|Unable to allocate {SIZE}")
CAPACITY = re.compile(rf"total capacity of {SIZE}|{SIZE} total capacity")
FREE = re.compile(rf"{SIZE} (?:is )?free")
USABLE = 0.9
"""Share of a memory that a peak may take: contexts, caches and what is cut into pieces have the rest."""
LOADING: tuple[Phase, ...] = ("start", "load")
OTHERWISE = "lower prompts.input_tokens or generation.output_tokens, or use a smaller dtype"


class Shortage(NamedTuple):
    """What the message of an allocator tells, in bytes; None is not told."""

    asked: float | None
    capacity: float | None
    free: float | None


class Peak(NamedTuple):
    """What is known of an experiment that differs in its batch size alone.

    Attributes:
        batch_size: Its batch size.
        peak_bytes: The most memory that it took; None is unknown.
        fitted: Whether it completed; else it ran out of memory.
    """

    batch_size: int
    peak_bytes: float | None
    fitted: bool = True


def shortage_of(message: str) -> Shortage:
    """Return what a message says, in the words of torch, numpy, or llem of a cgroup."""
    return Shortage(*(_size(pattern.search(message)) for pattern in (ASKED, CAPACITY, FREE)))


def what_fits(message: str, phase: Phase, batch_size: int, peaks: Sequence[Peak]) -> str:
    """Return as a sentence what to do about an attempt that ran out of memory.

    Args:
        message: What it said of that.
        phase: The phase that it was in.
        batch_size: Its batch size.
        peaks: The other batch sizes of the same experiment, as far as they are known.
    """
    if phase in LOADING:
        return (
            "The model itself did not fit, whatever batch_size: use a smaller dtype or model, or more memory for it."
        )
    if batch_size == 1:
        return f"batch_size is 1 already: {OTHERWISE}."
    shortage = shortage_of(message)
    below = min((peak.batch_size for peak in peaks if not peak.fitted), default=batch_size)
    fitted = [peak for peak in peaks if peak.fitted and peak.batch_size < min(below, batch_size)]
    largest = max(fitted, key=lambda peak: peak.batch_size, default=None)
    likely = _clamped(_by_proportion(shortage, batch_size, fitted), largest, min(below, batch_size))
    if largest is not None:
        size = "" if largest.peak_bytes is None else f" ({_size_text(largest.peak_bytes)} at its peak)"
        more = "" if likely is None else f", and by proportion {likely} would"
        return f"What fits: batch_size {largest.batch_size} of this experiment did{size}{more}; or {OTHERWISE}."
    if likely is not None:
        return f"What may fit: batch_size {likely} at most, by proportion; or {OTHERWISE}."
    return f"Lower batch_size, {OTHERWISE.removeprefix('lower ')}."


def _by_proportion(shortage: Shortage, batch_size: int, fitted: Sequence[Peak]) -> float | None:
    """Return the batch size up to which memory lasts, if it grows evenly with it; None where too little is known."""
    if shortage.capacity is None:
        return None
    usable = shortage.capacity * USABLE
    if not fitted:
        # All that was taken grows with the batch, at most: the weights do not, so that less than this fits.
        if shortage.asked is None or shortage.free is None:
            return None
        needed = shortage.capacity - shortage.free + shortage.asked
        return batch_size * usable / needed if needed > 0 else None
    known = sorted((peak.batch_size, peak.peak_bytes) for peak in fitted if peak.peak_bytes)
    if not known:
        return None
    (low, low_bytes), (high, high_bytes) = known[0], known[-1]
    slope = (high_bytes - low_bytes) / (high - low) if high > low else 0.0
    # Of one alone, all is taken to grow: that is more than the truth.
    return high + (usable - high_bytes) / slope if slope > 0 else high * usable / high_bytes


def _clamped(likely: float | None, largest: Peak | None, too_large: int) -> int | None:
    """Return an estimate between what is known to fit and what is not; None where it says no more than that."""
    at_least = largest.batch_size if largest else 0
    if likely is None or likely < at_least + 1 or too_large - at_least <= 1:
        return None
    return math.floor(min(likely, too_large - 1))


def _size(found: re.Match[str] | None) -> float | None:
    if found is None:
        return None
    number, unit = filter(None, found.groups())
    return float(number) * UNITS[unit]


def _size_text(size_bytes: float) -> str:
    unit = next((unit for unit in ("GiB", "MiB") if size_bytes >= UNITS[unit]), "KiB")
    return f"{size_bytes / UNITS[unit]:.2f} {unit}"
