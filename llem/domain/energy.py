"""From sensor edges to joules: the estimators' arithmetic.

An *edge* is one reading with the time before and after the call that took it. Times are nanoseconds of
the machine's monotonic clock, which is one clock for every process of one boot.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from llem.domain.sensing import Channel

Z95 = 1.96


class Edge(NamedTuple):
    """One reading: monotonic nanoseconds before and after the call, and the value in the channel's unit."""

    before_ns: int
    after_ns: int
    value: float


@dataclass(frozen=True)
class Estimate:
    """Energy in a window.

    Attributes:
        energy_j: Joules.
        u_j: 95 % uncertainty in joules from timing alone: how the sensor's steps fall at the window's ends.
        estimator: Name of the arithmetic.
        readings: Distinct readings inside the window.
    """

    energy_j: float
    u_j: float
    estimator: str
    readings: int


@dataclass(frozen=True)
class Unmeasured:
    """A window whose energy is unknown, and why. Never 0 J."""

    reason: str


def estimate(channel: Channel, edges: Sequence[Edge], t0_ns: int, t1_ns: int) -> Estimate | Unmeasured:
    """Return the energy of ``channel`` between two monotonic times, or why it is unknown."""
    if t1_ns <= t0_ns:
        return Unmeasured("the window has no length")
    if channel.kind == "energy_j":
        return counter_energy(edges, t0_ns, t1_ns, wraps_at_j=channel.wraps_at_j)
    return sampled_energy(edges, t0_ns, t1_ns)


def counter_energy(
    edges: Sequence[Edge], t0_ns: int, t1_ns: int, *, wraps_at_j: float | None = None
) -> Estimate | Unmeasured:
    """Return the energy by a cumulative counter, interpolated between the counter's own steps.

    E = C(t1) - C(t0), with C linear between the readings at which the counter moved. A counter that
    publishes every p seconds leaves the energy of up to one step in doubt at each end: uniform, so
    u = 1.96·√(step₀²/12 + step₁²/12).

    Args:
        edges: Readings in joules, in time order.
        t0_ns: Start of the window.
        t1_ns: End of the window.
        wraps_at_j: Where the counter starts again from 0, if it does.
    """
    steps = _steps(edges, wraps_at_j)
    if isinstance(steps, Unmeasured):
        return steps
    times = [time for time, _ in steps]
    values = [value for _, value in steps]
    if len(steps) < 2 or times[0] > t0_ns or times[-1] < t1_ns:
        return Unmeasured("the counter did not move both before and after the window")
    start, start_step = _interpolate(times, values, t0_ns)
    end, end_step = _interpolate(times, values, t1_ns)
    inside = bisect_right(times, t1_ns) - bisect_left(times, t0_ns)
    u_j = Z95 * math.sqrt((start_step**2 + end_step**2) / 12)
    return Estimate(end - start, u_j, "interpolated_counter", inside)


def _steps(edges: Sequence[Edge], wraps_at_j: float | None) -> list[tuple[int, float]] | Unmeasured:
    """Return (time, joules since the first reading) of each reading at which the counter moved."""
    if not edges:
        return Unmeasured("the sensor gave no reading")
    total = 0.0
    steps = [(_middle_ns(edges[0]), 0.0)]
    for previous, edge in pairwise(edges):
        moved = edge.value - previous.value
        if moved < 0 and wraps_at_j is not None:
            moved += wraps_at_j
        if moved < 0:
            return Unmeasured("the counter fell: the driver was reloaded or the reading was wrong")
        if moved > 0:
            total += moved
            steps.append((_middle_ns(edge), total))
    return steps


def _interpolate(times: Sequence[int], values: Sequence[float], at_ns: int) -> tuple[float, float]:
    """Return (value at ``at_ns``, height of the step that ``at_ns`` lies in)."""
    right = min(max(bisect_left(times, at_ns), 1), len(times) - 1)
    left = right - 1
    share = (at_ns - times[left]) / (times[right] - times[left])
    step = values[right] - values[left]
    return values[left] + step * share, step


def sampled_energy(edges: Sequence[Edge], t0_ns: int, t1_ns: int) -> Estimate | Unmeasured:
    """Return the integral of power readings, each held over the interval before it.

    The uncertainty takes the reading interval at each end as the energy in doubt, as for a counter, and
    adds the difference from the trapezoidal rule. What a sensor does not see between readings is not in it.

    Args:
        edges: Readings in watts, in time order.
        t0_ns: Start of the window.
        t1_ns: End of the window.
    """
    if len(edges) < 2:
        return Unmeasured("fewer than two power readings: one spans no time, so its energy is unknown, not zero")
    times = [_middle_ns(edge) for edge in edges]
    if times[0] > t0_ns or times[-1] < t1_ns:
        return Unmeasured("the power readings do not cover the window")
    held = trapezoid = 0.0
    ends: list[float] = []
    inside = 0
    for (left_ns, left), (right_ns, right) in pairwise(zip(times, edges, strict=True)):
        overlap_s = (min(right_ns, t1_ns) - max(left_ns, t0_ns)) / 1e9
        if overlap_s <= 0:
            continue
        held += right.value * overlap_s
        trapezoid += (left.value + right.value) / 2 * overlap_s
        inside += 1
        if left_ns <= t0_ns or right_ns >= t1_ns:
            ends.append(right.value * (right_ns - left_ns) / 1e9)
    u_j = Z95 * math.sqrt(sum(end**2 for end in ends) / 12) + abs(held - trapezoid)
    return Estimate(held, u_j, "held_readings", inside)


def _middle_ns(edge: Edge) -> int:
    return (edge.before_ns + edge.after_ns) // 2
