"""When a warm-up has done its work: the last repeats of the workload no longer differ."""

from collections.abc import Sequence
from statistics import fmean, stdev

REPEATS = 5
"""So many repeats at the end are looked at."""
MAX_SLOPE = 0.01
"""Their fitted line may rise or fall by this share of their mean, from the first of them to the last."""
MAX_CV = 0.02
"""Their sample standard deviation may be this share of their mean."""


def still_changing(values: Sequence[float]) -> str | None:
    """Return what still changes over the last five values; None if nothing does.

    The line is fitted by least squares: over x = 0 … n - 1 its slope is Σ (x - x̄) v / Σ (x - x̄)², and from the first
    value to the last it rises by n - 1 slopes.

    Args:
        values: One value per repeat, in order: seconds or joules per pass.
    """
    if len(values) < REPEATS:
        return f"there were {len(values)} of {REPEATS} repeats"
    last = values[-REPEATS:]
    mean = fmean(last)
    if mean <= 0:
        return f"the mean of the last {REPEATS} repeats is not above 0"
    middle = (REPEATS - 1) / 2
    from_middle = [position - middle for position in range(REPEATS)]
    slope = fmean(x * value for x, value in zip(from_middle, last, strict=True)) / fmean(x * x for x in from_middle)
    drift = abs(slope) * (REPEATS - 1) / mean
    spread = stdev(last) / mean
    if drift >= MAX_SLOPE:
        return f"the last {REPEATS} repeats drift by {drift:.1%}, not below {MAX_SLOPE:.0%}"
    if spread >= MAX_CV:
        return f"the last {REPEATS} repeats spread by {spread:.1%}, not below {MAX_CV:.0%}"
    return None
