"""Least squares for the guards: a straight line, or a line with a decay, through a counter's ticks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from llem.domain.edges import Ticks, Unmeasured
from llem.domain.statistics import t_quantile_975

FEWEST_FOR_A_LINE = 3
FEWEST_FOR_A_DECAY = 5
DECAY_IS_SEEN = 12.0
"""How many times smaller the residual variance must become before a decay is believed in."""
DECAY_SHARE = 0.01
"""What of the work's power above idle must be left at the first tick: less is taken for noise."""
HIGHEST_DECAY = 1.5
"""A decay starts at the work's mean power above idle, or not much higher: its last moments may be the hottest."""
SMALLEST_SD_J = 3e-4
"""A counter in millijoules has this much rounding in each value: 1 mJ/√12."""
TIME_CONSTANTS = tuple(0.3 * 1.15**k for k in range(25))
"""Time constants that are tried, in counter periods: from a third of one to some eight."""


@dataclass(frozen=True)
class Fit:
    """A counter in one guard: C(t) = c + P·s + a·τ·(1 − exp(−s/τ)), s = t − origin.

    Attributes:
        origin_s: Where s is 0.
        tau_s: Time constant of the decay; 0 where none is seen.
        weights: c, P and, with a decay, a.
        covariance: Of the weights, in their units squared.
        t: Student's factor for the degrees of freedom that the fit leaves.
        spread_j: Half of the range of c over all time constants that fit about as well.
        spread_w: The same of P.
    """

    origin_s: float
    tau_s: float
    weights: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    t: float
    spread_j: float = 0.0
    spread_w: float = 0.0

    @property
    def idle_w(self) -> float:
        """Return the power that remains when the decay is over."""
        return self.weights[1]

    @property
    def u_idle_w(self) -> float:
        """Return the 95 % uncertainty of ``idle_w``."""
        return math.hypot(self.t * math.sqrt(self.covariance[1][1]), self.spread_w)

    def value_j(self, at_s: float) -> float:
        """Return the counter's value."""
        return _dot(self.weights, self._row(at_s))

    def power_w(self, at_s: float) -> float:
        """Return the power, decay included."""
        decay = self.weights[2] * math.exp(-(at_s - self.origin_s) / self.tau_s) if self.tau_s else 0.0
        return self.weights[1] + decay

    def u_value_j(self, at_s: float) -> float:
        """Return the 95 % uncertainty of ``value_j``: xᵀ·cov·x by t, and the spread over time constants."""
        row = self._row(at_s)
        variance = _dot(row, [_dot(line, row) for line in self.covariance])
        return math.hypot(self.t * math.sqrt(max(variance, 0.0)), self.spread_j)

    def _row(self, at_s: float) -> tuple[float, ...]:
        return _row(at_s - self.origin_s, self.tau_s)


def fit_guard(
    times_s: Sequence[float], totals_j: Sequence[float], ticks: Ticks, origin_ns: int, work_w: float
) -> Fit | Unmeasured:
    """Return the counter's course in one guard.

    Args:
        times_s: Times of the ticks inside the guard.
        totals_j: The counter there.
        ticks: All ticks, for their period.
        origin_ns: Where a decay starts: the end of the work before the guard.
        work_w: Mean power of the work: a decay starts no higher.
    """
    if len(times_s) < FEWEST_FOR_A_LINE:
        return Unmeasured(f"the counter moved {len(times_s)} times in it; {FEWEST_FOR_A_LINE} are needed")
    if times_s[-1] <= times_s[0]:
        return Unmeasured("its readings span no time")
    origin_s = (origin_ns - ticks.origin_ns) / 1e9
    line = _least_squares(times_s, totals_j, origin_s, 0.0)
    if len(times_s) < FEWEST_FOR_A_DECAY:
        return line[0]
    return _with_decay(times_s, totals_j, origin_s, ticks.period_s, line, work_w)


def line_through(times_s: Sequence[float], totals_j: Sequence[float]) -> Fit:
    """Return the straight line through a counter's ticks: three or more, at different times."""
    return _least_squares(times_s, totals_j, times_s[0], 0.0)[0]


def slope_of_walk(steps: int) -> float:
    """Return the standard deviation of the slope through a random walk of unit steps, × the length of the walk.

    Least squares make of n steps Σ wₖ·stepₖ with wₖ = 6·k·(n + 1 − k) / ((n + 1)·(n + 2)): the mean weight is 1,
    and as they are uneven a little more than √n is left, √(1.2·n) for many.
    """
    weights = [6 * k * (steps + 1 - k) / ((steps + 1) * (steps + 2)) for k in range(1, steps + 1)]
    return math.sqrt(math.fsum(weight**2 for weight in weights))


def _with_decay(
    times_s: Sequence[float],
    totals_j: Sequence[float],
    origin_s: float,
    period_s: float,
    line: tuple[Fit, float],
    work_w: float,
) -> Fit:
    """Return the best fit with a decay if the ticks show one that can be, else the line."""
    tried = [
        (fit, residual)
        for fit, residual in (_least_squares(times_s, totals_j, origin_s, period_s * k) for k in TIME_CONSTANTS)
        if _can_be(fit, times_s[0], work_w)
    ]
    if not tried:
        return line[0]
    fit, least = min(tried, key=lambda found: found[1])
    free = len(times_s) - 4
    floor = free * SMALLEST_SD_J**2
    if line[1] < DECAY_IS_SEEN * max(least, floor):
        return line[0]
    # Values of τ whose residual is within Student's t² of the best one's belong to its 95 % interval.
    limit = max(least, floor) * (1 + t_quantile_975(free) ** 2 / free)
    alike = [found for found, residual in tried if residual <= limit]
    spread_j = (max(f.value_j(origin_s) for f in alike) - min(f.value_j(origin_s) for f in alike)) / 2
    spread_w = (max(f.idle_w for f in alike) - min(f.idle_w for f in alike)) / 2
    return Fit(fit.origin_s, fit.tau_s, fit.weights, fit.covariance, t_quantile_975(free), spread_j, spread_w)


def _can_be(fit: Fit, first_s: float, work_w: float) -> bool:
    """Return whether a decay is above the noise at the first tick, and no higher than the work that it follows."""
    excess_w = work_w - fit.idle_w
    seen_w = fit.power_w(first_s) - fit.idle_w
    return 0 < DECAY_SHARE * excess_w <= seen_w and fit.weights[2] <= HIGHEST_DECAY * excess_w


def _least_squares(
    times_s: Sequence[float], totals_j: Sequence[float], origin_s: float, tau_s: float
) -> tuple[Fit, float]:
    """Return the fit for one time constant (0: a line) and its sum of squared residuals, in J²."""
    base_j = totals_j[0]  # a counter may stand at 1e9 J: squares of small numbers keep their digits
    rows = [_row(time - origin_s, tau_s) for time in times_s]
    values = [total - base_j for total in totals_j]
    size = len(rows[0])
    normal = [[math.fsum(row[i] * row[j] for row in rows) for j in range(size)] for i in range(size)]
    inverse = _inverse(normal)
    right = [math.fsum(row[i] * value for row, value in zip(rows, values, strict=True)) for i in range(size)]
    weights = [_dot(line, right) for line in inverse]
    residual = math.fsum((value - _dot(weights, row)) ** 2 for row, value in zip(rows, values, strict=True))
    free = len(rows) - size
    variance = max(residual / free, SMALLEST_SD_J**2)
    covariance = tuple(tuple(variance * entry for entry in line) for line in inverse)
    weights[0] += base_j
    return Fit(origin_s, tau_s, tuple(weights), covariance, t_quantile_975(free)), residual


def _row(since_s: float, tau_s: float) -> tuple[float, ...]:
    if not tau_s:
        return (1.0, since_s)
    return (1.0, since_s, tau_s * -math.expm1(-since_s / tau_s))


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def _inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the inverse of a small positive definite matrix, by Gauss-Jordan with row exchange."""
    size = len(matrix)
    rows = [[*line, *(float(i == j) for j in range(size))] for i, line in enumerate(matrix)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(rows[i][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        head = rows[column][column]
        rows[column] = [entry / head for entry in rows[column]]
        for i in range(size):
            if i != column:
                factor = rows[i][column]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    return [line[size:] for line in rows]
