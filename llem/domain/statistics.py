"""Means, intervals and percentiles for small numbers of repeats."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, stdev
from typing import NamedTuple

from llem.domain.model import Value

Z_975 = 1.959963984540054
"""0.975 quantile of the normal distribution: a stated 95 % half width holds this many standard uncertainties."""


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
        sd: Sample standard deviation of the cycles; None for n = 1, which has no spread.
        half_width: Half of the 95 % interval by Student's t; None for n = 1.
    """

    mean: float
    n: int
    sd: float | None
    half_width: float | None


class EnergyMean(MeanWithInterval):
    """An energy per unit of work over cycles, and where its spread comes from. All in joules per unit of work.

    Attributes:
        mean: ΣE / Σ units of work over the cycles.
        sd: Sample standard deviation of the cycles' own ratios; None for n = 1.
        within_sd: The part of ``sd`` that the trials state themselves: root mean square of their standard
            uncertainties; None where a trial states none.
        between_sd: The part that is left, √(sd² − within_sd²), 0 where the trials state more than is seen; None
            where ``sd`` or ``within_sd`` is.
        u_scale: 95 % uncertainty of the board's scale, the same in every cycle and so in none of the others;
            None where none is known.
    """

    within_sd: float | None
    between_sd: float | None
    u_scale: float | None


class EnergyOfCycle(NamedTuple):
    """The energy of one cycle, the work that it was spent on, and its stated uncertainties.

    Attributes:
        energy_j: Joules.
        units: Units of work (tokens, requests), above 0.
        u_j: 95 % uncertainty of this trial alone, in joules, as a half width.
        u_scale_j: 95 % uncertainty of the board's scale, in joules.
    """

    energy_j: float
    units: int
    u_j: float | None
    u_scale_j: float | None


def mean_with_interval(values: Sequence[float]) -> MeanWithInterval | None:
    """Return the mean of ``values`` with its 95 % interval, t(0.975, n-1)·s/√n; None for no values.

    Student's t, since the number of cycles is small: at n = 3 a percentile bootstrap covers 74 % of the
    95 % that it states (docs/figures.md).
    """
    if not values:
        return None
    n = len(values)
    if n == 1:
        return MeanWithInterval(mean=values[0], n=1, sd=None, half_width=None)
    sd = stdev(values)
    return MeanWithInterval(mean=fmean(values), n=n, sd=sd, half_width=t_quantile_975(n - 1) * sd / math.sqrt(n))


def energy_mean(cycles: Sequence[EnergyOfCycle]) -> EnergyMean | None:
    """Return ΣE / Σ units with the interval of the cycles' own ratios; None for no cycles.

    The variance that is seen between cycles is that of the true values plus, on average, the mean variance that the
    trials state of themselves: s² = τ² + mean(uᵢ²). What is left of s² is τ², never below 0 (the method of moments
    of Hedges and Olkin, Statistical Methods for Meta-Analysis, 1985, chapter 9). The board's scale moves every cycle
    alike, so its joules add up linearly, and it is no part of s.
    """
    seen = mean_with_interval([cycle.energy_j / cycle.units for cycle in cycles])
    if seen is None:
        return None
    units = sum(cycle.units for cycle in cycles)
    stated = [cycle.u_j / Z_975 / cycle.units for cycle in cycles if cycle.u_j is not None]
    scales = [cycle.u_scale_j for cycle in cycles if cycle.u_scale_j is not None]
    within = math.hypot(*stated) / math.sqrt(seen.n) if len(stated) == seen.n else None
    between = None if seen.sd is None or within is None else math.sqrt(max(0.0, seen.sd**2 - within**2))
    return EnergyMean(
        mean=math.fsum(cycle.energy_j for cycle in cycles) / units,
        n=seen.n,
        sd=seen.sd,
        half_width=seen.half_width,
        within_sd=within,
        between_sd=between,
        u_scale=math.fsum(scales) / units if len(scales) == seen.n else None,
    )


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


@cache
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
