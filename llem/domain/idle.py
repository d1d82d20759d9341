"""Idle power: in the guards around the work, and over any stretch without work."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from llem.domain.edges import Z95, Edge, Unmeasured, ticks
from llem.domain.sensing import Channel
from llem.domain.statistics import t_quantile_975

FEWEST = 3
"""Ticks of a counter, or readings of a power, from which an idle power is told."""


@dataclass(frozen=True)
class Idle:
    """Idle power in the guards, with the model loaded.

    Attributes:
        power_w: Watts: the mean of the guard before the work and the one after it.
        u_w: 95 % uncertainty in watts.
        before_w: In the guard before the work.
        after_w: In the guard after it, what decays from the work left out.
    """

    power_w: float
    u_w: float
    before_w: float
    after_w: float

    @classmethod
    def of(cls, before_w: float, u_before_w: float, after_w: float, u_after_w: float, u_rel: float = 0.0) -> "Idle":
        """Return the mean of two guards; what they differ by counts as uniform between them.

        Args:
            before_w: Before the work.
            u_before_w: 95 % uncertainty of it.
            after_w: After the work.
            u_after_w: 95 % uncertainty of it.
            u_rel: Relative 95 % uncertainty that both share.
        """
        power_w = (before_w + after_w) / 2
        apart_w = Z95 * (after_w - before_w) / math.sqrt(12)
        return cls(power_w, math.hypot(u_before_w / 2, u_after_w / 2, apart_w, u_rel * power_w), before_w, after_w)


def idle_power(
    channel: Channel, edges: Sequence[Edge], start_ns: int, end_ns: int
) -> tuple[float, float] | Unmeasured:
    """Return (watts, 95 % uncertainty in watts) over a stretch without work, or why the power is unknown.

    A counter's power is the slope of the least-squares line through its ticks, its uncertainty t·s of that slope and
    that of the ticks' rate. A power's is the mean of its readings, ± t·s/√n.

    Args:
        channel: What was read.
        edges: Its readings, in time order.
        start_ns: Start of the stretch.
        end_ns: Its end.
    """
    if channel.kind == "energy_j":
        return _slope(channel, edges, start_ns, end_ns)
    inside = [edge.value for edge in edges if start_ns <= edge.before_ns and edge.after_ns <= end_ns]
    if len(inside) < FEWEST:
        return Unmeasured(f"{len(inside)} readings: fewer than {FEWEST}")
    mean_w = math.fsum(inside) / len(inside)
    free = len(inside) - 1
    sd_w = math.sqrt(math.fsum((value - mean_w) ** 2 for value in inside) / free)
    return mean_w, t_quantile_975(free) * sd_w / math.sqrt(len(inside))


def _slope(channel: Channel, edges: Sequence[Edge], start_ns: int, end_ns: int) -> tuple[float, float] | Unmeasured:
    found = ticks(edges, wraps_at_j=channel.wraps_at_j, updates_every_s=channel.updates_every_s)
    if isinstance(found, Unmeasured):
        return found
    inside = found.between(start_ns, end_ns)
    times_s, totals_j = found.times_s[inside], found.totals_j[inside]
    number = len(times_s)
    if number < FEWEST:
        return Unmeasured(f"the counter moved {number} times: fewer than {FEWEST}")
    middle_s, middle_j = math.fsum(times_s) / number, math.fsum(totals_j) / number
    spread = math.fsum((time_s - middle_s) ** 2 for time_s in times_s)
    products = ((t - middle_s) * (e - middle_j) for t, e in zip(times_s, totals_j, strict=True))
    power_w = math.fsum(products) / spread
    left = (e - middle_j - power_w * (t - middle_s) for t, e in zip(times_s, totals_j, strict=True))
    sd_w = math.sqrt(math.fsum(residual**2 for residual in left) / (number - 2) / spread)
    return power_w, math.hypot(t_quantile_975(number - 2) * sd_w, Z95 * found.sd_rate * power_w)
