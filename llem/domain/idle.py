"""Idle power: as the guards around the work show it, and over a stretch without work."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev

from llem.domain.edges import Z95, Edge, Ticks, Unmeasured, ticks
from llem.domain.fits import line_through, slope_of_walk
from llem.domain.sensing import Channel
from llem.domain.statistics import t_quantile_975

FEWEST_READINGS = 3
FEWEST_TICKS_OF_IDLE = 4
SLOWEST_UPDATE_S = 0.1
"""The longest update period of NVML's power that is reported (arXiv 2312.02741): a reading may be as old as that."""
UNKNOWN_AVERAGE_S = 1.0
"""NVML's longest average: what nothing tells otherwise is taken to need (arXiv 2312.02741)."""
AROUND_NS = 1_000_000_000
"""So much around a stretch is looked at to tell when a counter ticked."""


@dataclass(frozen=True)
class Idle:
    """Idle power in the guards, with the model loaded.

    Attributes:
        power_w: Watts: the mean of the guards before and after the work.
        u_w: 95 % uncertainty in watts.
        before_w: In the first guard.
        after_w: In the last one, what decays from the work left out.
        u_drift_w: 95 % uncertainty of the difference of these two.
    """

    power_w: float
    u_w: float
    before_w: float
    after_w: float
    u_drift_w: float

    @classmethod
    def of(cls, before_w: float, u_before_w: float, after_w: float, u_after_w: float) -> "Idle":
        """Return the mean of two guards; what they differ by counts as uniform between them.

        Args:
            before_w: Before the work.
            u_before_w: 95 % uncertainty of it.
            after_w: After the work.
            u_after_w: 95 % uncertainty of it.
        """
        apart_w = Z95 * (after_w - before_w) / math.sqrt(12)
        u_w = math.hypot(u_before_w / 2, u_after_w / 2, apart_w)
        return cls((before_w + after_w) / 2, u_w, before_w, after_w, math.hypot(u_before_w, u_after_w))

    @classmethod
    def over(cls, pieces: Sequence["Idle"], *, u_rel: float = 0.0) -> "Idle":
        """Return the mean over the pieces of a window.

        The uncertainties of the pieces are averaged, not reduced by √n: guards between two pieces are in both, and
        what idle power drifts by is not independent from one to the next.

        Args:
            pieces: The guards of each piece.
            u_rel: Relative 95 % uncertainty that all share.
        """
        power_w = fmean(piece.power_w for piece in pieces)
        apart_w = max(piece.power_w for piece in pieces) - min(piece.power_w for piece in pieces)
        u_w = math.hypot(fmean(piece.u_w for piece in pieces), Z95 * apart_w / math.sqrt(12), u_rel * power_w)
        first, last = pieces[0], pieces[-1]
        return cls(
            power_w, u_w, first.before_w, last.after_w, math.hypot(first.u_drift_w, last.u_drift_w) / math.sqrt(2)
        )


def idle_power(
    channel: Channel, edges: Sequence[Edge], start_ns: int, end_ns: int
) -> tuple[float, float] | Unmeasured:
    """Return (watts, 95 % uncertainty) of a stretch in which nothing worked.

    A counter: the slope of the line through its ticks, by least squares. Its uncertainty holds the residuals by
    Student's t; the noise of single steps, which does not average out in a fit where the counter sums it up
    (sd · t · √(1.2·n) / length); and the rate of the ticks. Power: the mean of the readings, those of the first
    moments left out that still average over what was before; its uncertainty is t · sd / √m, with m the number of
    readings that are independent of each other: one an update, or one a time that a reading averages over.

    Args:
        channel: What was read.
        edges: Its readings, in time order.
        start_ns: When the stretch begins, in nanoseconds of the monotonic clock.
        end_ns: When it ends.
    """
    if channel.provenance == "modelled":
        return Unmeasured("the energy is modelled: a model has no idle power")
    if channel.kind == "power_w":
        return _by_readings(channel, edges, start_ns, end_ns)
    near = [edge for edge in edges if start_ns - AROUND_NS <= edge.before_ns <= end_ns + AROUND_NS]
    known = ticks(near, wraps_at_j=channel.wraps_at_j, updates_every_s=channel.updates_every_s)
    return known if isinstance(known, Unmeasured) else _by_ticks(known, start_ns, end_ns)


def _by_ticks(known: Ticks, start_ns: int, end_ns: int) -> tuple[float, float] | Unmeasured:
    # A tick up to one period after the start may tell of the time before it.
    chosen = known.between(start_ns + round(known.period_s * 1e9), end_ns)
    times_s, totals_j = known.times_s[chosen], known.totals_j[chosen]
    if len(times_s) < FEWEST_TICKS_OF_IDLE:
        return Unmeasured(f"the counter moved {len(times_s)} times while idle; {FEWEST_TICKS_OF_IDLE} are needed")
    line = line_through(times_s, totals_j)
    length_s = times_s[-1] - times_s[0]
    left = [
        (right_j - left_j) - line.idle_w * (right_s - left_s)
        for (left_s, left_j), (right_s, right_j) in pairwise(zip(times_s, totals_j, strict=True))
    ]
    free = len(left) - 1
    sd_step_j = math.sqrt(math.fsum(step**2 for step in left) / free)
    parts_w = (
        line.u_idle_w,
        t_quantile_975(free) * sd_step_j * slope_of_walk(len(left)) / length_s,
        Z95 * known.sd_rate * line.idle_w,
        Z95 * math.sqrt(2) * known.sd_each_s * line.idle_w / length_s,
    )
    return line.idle_w, math.hypot(*parts_w)


def settled_ns(averages_over_s: float) -> int:
    """Return how long after a change of power readings no longer tell of the time before it, in nanoseconds.

    A reading may be one update old, and even an instantaneous one may be the mean since the update before.
    """
    return round((max(averages_over_s, SLOWEST_UPDATE_S) + SLOWEST_UPDATE_S) * 1e9)


def _by_readings(
    channel: Channel, edges: Sequence[Edge], start_ns: int, end_ns: int
) -> tuple[float, float] | Unmeasured:
    late_s = UNKNOWN_AVERAGE_S if channel.averages_over_s is None else channel.averages_over_s
    from_ns = start_ns + settled_ns(late_s)
    chosen = [edge for edge in edges if from_ns <= edge.middle_ns <= end_ns]
    if len(chosen) < FEWEST_READINGS:
        return Unmeasured(f"{len(chosen)} readings of idle power alone; {FEWEST_READINGS} are needed")
    length_s = (chosen[-1].middle_ns - chosen[0].middle_ns) / 1e9
    independent = min(len(chosen), max(math.floor(length_s / max(late_s, SLOWEST_UPDATE_S)), 2))
    values = [edge.value for edge in chosen]
    return fmean(values), t_quantile_975(independent - 1) * stdev(values) / math.sqrt(independent)
