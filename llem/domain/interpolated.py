"""A counter's energy without guards: interpolated between its own steps."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from llem.domain.edges import Z95, Edge, Estimate, Unmeasured, steps


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
    if not edges:
        return Unmeasured("the sensor gave no reading")
    moved = steps(edges, wraps_at_j)
    if isinstance(moved, Unmeasured):
        return moved
    # The first reading's middle, then the middle of each call that first showed a new value.
    times = [edges[0].middle_ns, *(step.latest_ns - (step.call_ns + 1) // 2 for step in moved)]
    values = [0.0, *(step.total_j for step in moved)]
    if len(times) < 2 or times[0] > t0_ns or times[-1] < t1_ns:
        return Unmeasured("the counter did not move both before and after the window")
    start, start_step = _interpolate(times, values, t0_ns)
    end, end_step = _interpolate(times, values, t1_ns)
    inside = bisect_right(times, t1_ns) - bisect_left(times, t0_ns)
    u_j = Z95 * math.sqrt((start_step**2 + end_step**2) / 12)
    return Estimate(end - start, u_j, "interpolated_counter", inside)


def _interpolate(times: Sequence[int], values: Sequence[float], at_ns: int) -> tuple[float, float]:
    """Return (value at ``at_ns``, height of the step that ``at_ns`` lies in)."""
    right = min(max(bisect_left(times, at_ns), 1), len(times) - 1)
    left = right - 1
    share = (at_ns - times[left]) / (times[right] - times[left])
    step = values[right] - values[left]
    return values[left] + step * share, step
