"""Means, intervals and percentiles for small numbers of repeats."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from llem.domain.model import Value


class Percentiles(Value):
    """The spread of one quantity over many observations, in the quantity's own unit (seconds for latencies)."""

    n: int
    mean: float
    min: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """Return the percentiles of ``values`` by linear interpolation between ranks; None for no values."""
    if not values:
        return None
    ranked = sorted(values)

    def at(fraction: float) -> float:
        position = fraction * (len(ranked) - 1)
        low = math.floor(position)
        high = min(low + 1, len(ranked) - 1)
        return ranked[low] + (ranked[high] - ranked[low]) * (position - low)

    return Percentiles(
        n=len(ranked),
        mean=fmean(ranked),
        min=ranked[0],
        p50=at(0.50),
        p90=at(0.90),
        p95=at(0.95),
        p99=at(0.99),
        max=ranked[-1],
    )


class MeanWithInterval(Value):
    """A mean over cycles and its 95 % interval.

    Attributes:
        mean: Arithmetic mean.
        n: Number of cycles.
        half_width: Half of the interval by Student's t; None for n = 1, which has no spread.
    """

    mean: float
    n: int
    half_width: float | None


def mean_with_interval(values: Sequence[float]) -> MeanWithInterval | None:
    """Return the mean of ``values`` with its 95 % interval, t(0.975, n-1)·s/√n; None for no values.

    Student's t, since the number of cycles is small: at n = 3 a percentile bootstrap covers 74 % of the
    95 % that it states (docs/figures.md).
    """
    if not values:
        return None
    n = len(values)
    half_width = t_quantile_975(n - 1) * stdev(values) / math.sqrt(n) if n > 1 else None
    return MeanWithInterval(mean=fmean(values), n=n, half_width=half_width)


def t_probability_within(t: float, df: int) -> float:
    """Return P(|T| ≤ t) for Student's t with ``df`` ≥ 1 degrees of freedom, by its finite series.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    theta = math.atan(t / math.sqrt(df))
    cos_squared = math.cos(theta) ** 2
    odd = df % 2 == 1
    term = math.cos(theta) if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(3 if odd else 2, df - 1, 2):
        term *= cos_squared * (k - 1) / k
        total += term
    if odd:
        return 2 / math.pi * (theta + math.sin(theta) * total)
    return math.sin(theta) * total


def t_quantile_975(df: int) -> float:
    """Return the 0.975 quantile of Student's t: the two-sided 95 % factor for ``df`` ≥ 1 degrees of freedom."""
    low, high = 1.9, 13.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        if t_probability_within(middle, df) < 0.95:
            low = middle
        else:
            high = middle
    return (low + high) / 2
