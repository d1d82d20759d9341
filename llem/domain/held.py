"""Power readings, each held over the interval before it: with guards, and without."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from statistics import fmean, median, stdev

from llem.domain.edges import Z95, Bounds, Edge, Estimate, Unmeasured
from llem.domain.idle import SLOWEST_UPDATE_S, Idle, settled_ns
from llem.domain.statistics import t_quantile_975

FEWEST_IN_A_GUARD = 3


def guarded_readings(
    edges: Sequence[Edge], bounds: Bounds, averages_over_s: float
) -> tuple[Estimate, Idle] | Unmeasured:
    """Return the readings' integral from guard to guard, less idle power × the time outside the work.

    E = Σ P_i·(t_i − t_{i−1}) − P₀·(t₀ − t_a) − P₁·(t_b − t₁), each reading held over the interval before it, from
    t_a, the last reading before the work, to t_b, the last of the guard after it. P₀ and P₁ are the mean readings of
    the guards, those left out that still average over work: the first ``averages_over_s`` + 0.1 s, or 0.2 s.
    A mean over a second keeps all the energy, and tells it late: by t_b all of it has been told.

    What is uncertain: where between two readings the power changed, |ΔP|·Δt/√12 each in quadrature, with Δt not less
    than 0.1 s, an update that a reading may be old; the idle powers × the time outside. A mean over a time tells of a
    change in steps, one an update, and all of them late alike: there Δt is the interval of the readings. Updates that
    drift slowly against the readings are told too late alike, so that steps one way add up linearly. What a sensor
    does not see between its readings is not in it.

    Source: the sensors' windows and update periods are those of Yang, Adamek, Armour, SC24, arXiv 2312.02741.

    Args:
        edges: Readings in watts, in time order.
        bounds: The window and its guards.
        averages_over_s: What time a reading is the mean of; 0 for instantaneous ones.
    """
    late_ns = settled_ns(averages_over_s)
    before = [edge for edge in edges if bounds.guard_start_ns + late_ns <= edge.middle_ns <= bounds.t0_ns]
    after = [edge for edge in edges if bounds.t1_ns + late_ns <= edge.middle_ns <= bounds.guard_end_ns]
    if min(len(before), len(after)) < FEWEST_IN_A_GUARD:
        rest = f"a reading averages over {averages_over_s:g} s" if averages_over_s else "readings take time to follow"
        return Unmeasured(f"the guards hold fewer than {FEWEST_IN_A_GUARD} readings of idle power: {rest}")
    start_ns, end_ns = before[-1].middle_ns, after[-1].middle_ns
    inside = [edge for edge in edges if start_ns <= edge.middle_ns <= end_ns]
    held_j = math.fsum(right.value * seconds for _, right, seconds in intervals(inside))
    lead_s, tail_s = (bounds.t0_ns - start_ns) / 1e9, (end_ns - bounds.t1_ns) / 1e9
    before_w, after_w = (fmean(edge.value for edge in guard) for guard in (before, after))
    sd_before_w, sd_after_w = (_sd_of_mean(guard) for guard in (before, after))
    steps_j = [
        (right.value - left.value) * (seconds if averages_over_s else max(seconds, SLOWEST_UPDATE_S)) / math.sqrt(12)
        for left, right, seconds in intervals(inside)
    ]
    if averages_over_s:
        steps_j = _one_way(steps_j)
    u_j = Z95 * math.hypot(*steps_j, sd_before_w * lead_s, sd_after_w * tail_s)
    name = "averaged_readings" if averages_over_s else "guarded_readings"
    estimate = Estimate(held_j - before_w * lead_s - after_w * tail_s, u_j, name, len(inside))
    return estimate, Idle.of(before_w, Z95 * sd_before_w, after_w, Z95 * sd_after_w)


def sampled_energy(
    edges: Sequence[Edge], t0_ns: int, t1_ns: int, averages_over_s: float = 0.0
) -> Estimate | Unmeasured:
    """Return the integral of power readings over the window alone, each held over the interval before it.

    The uncertainty takes the reading interval at each end as the energy in doubt, as for a counter, and
    adds the difference from the trapezoidal rule. A mean over ``averages_over_s`` tells late: up to that time × the
    range of the readings lies outside, and is added too. What a sensor does not see between readings is left out.

    Args:
        edges: Readings in watts, in time order.
        t0_ns: Start of the window.
        t1_ns: End of the window.
        averages_over_s: What time a reading is the mean of; 0 for instantaneous ones.
    """
    if len(edges) < 2:
        return Unmeasured("fewer than two power readings: one spans no time, so its energy is unknown, not zero")
    if edges[0].middle_ns > t0_ns or edges[-1].middle_ns < t1_ns:
        return Unmeasured("the power readings do not cover the window")
    held = trapezoid = 0.0
    ends: list[float] = []
    values: list[float] = []
    for left, right, seconds in intervals(edges):
        left_ns, right_ns = left.middle_ns, right.middle_ns
        overlap_s = (min(right_ns, t1_ns) - max(left_ns, t0_ns)) / 1e9
        if overlap_s <= 0:
            continue
        held += right.value * overlap_s
        trapezoid += (left.value + right.value) / 2 * overlap_s
        values.append(right.value)
        if left_ns <= t0_ns or right_ns >= t1_ns:
            ends.append(right.value * seconds)
    late_j = (max(values) - min(values)) * averages_over_s
    u_j = Z95 * math.sqrt(math.fsum(end**2 for end in ends) / 12) + abs(held - trapezoid) + late_j
    return Estimate(held, u_j, "held_readings", len(values))


def longest_gap_s(edges: Sequence[Edge], start_ns: int, end_ns: int) -> float:
    """Return the longest time that touches [start, end] and may be without a reading, in seconds.

    That is from the begin of one call to the end of the next: a call that hangs reads at an unknown moment.
    """
    near = (
        (right.after_ns - left.before_ns) / 1e9
        for left, right in pairwise(edges)
        if right.middle_ns > start_ns and left.middle_ns < end_ns
    )
    return max(near, default=0.0)


def median_gap_s(edges: Sequence[Edge]) -> float:
    """Return the median time between two readings, in seconds; 0 for fewer than two."""
    return median([seconds for _, _, seconds in intervals(edges)] or [0.0])


def intervals(edges: Sequence[Edge]) -> Iterator[tuple[Edge, Edge, float]]:
    """Yield each pair of neighbours and the seconds between them."""
    for left, right in pairwise(edges):
        yield left, right, (right.middle_ns - left.middle_ns) / 1e9


def _one_way(steps: Sequence[float]) -> list[float]:
    """Return the sums of steps that follow each other with the same sign; 0 is no step."""
    return [math.fsum(run) for _, run in groupby((step for step in steps if step), key=lambda step: step > 0)]


def _sd_of_mean(guard: Sequence[Edge]) -> float:
    """Return the standard uncertainty of the mean, as wide as × 1.96 makes Student's interval.

    A sensor that is read more often than it updates says the same again: no more readings count than it may have
    updates.
    """
    span_s = (guard[-1].middle_ns - guard[0].middle_ns) / 1e9
    count = max(min(len(guard), int(span_s / SLOWEST_UPDATE_S) + 1), 2)
    return stdev(edge.value for edge in guard) / math.sqrt(count) * t_quantile_975(count - 1) / Z95
