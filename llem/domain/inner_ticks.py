"""Inner ticks: a counter's energy under constant load, from its ticks inside the window alone."""

import math
from itertools import pairwise
from statistics import fmean, stdev

from llem.domain.edges import Z95, Bounds, Estimate, Ticks, Unmeasured

FEWEST_INSIDE = 6
CONSTANT_REL = 0.02


def inner_ticks(ticks: Ticks, bounds: Bounds) -> Estimate | Unmeasured:
    """Return mean power between the first and last inner tick × length of the window, for constant load.

    E = (C_b − C_a) / (τ_b − τ_a) · (t₁ − t₀), with τ_a at least one period after t₀, so that the tick tells of the
    work alone, whatever the counter's lag. It needs no idle guard. It holds for constant load only: where the power
    from tick to tick spreads by more than 2 % of its mean, there is none.

    What is uncertain: the rate of the ticks; the jitter of the two; the part of the window outside them, at the
    spread of the power from tick to tick.

    Source: the counter read at its own updates, as for ``guarded_edges``.

    Args:
        ticks: When the counter published what.
        bounds: The window; its guards are not used.
    """
    chosen = ticks.between(bounds.t0_ns + round(ticks.period_s * 1e9), bounds.t1_ns)
    times_s, totals_j = ticks.times_s[chosen], ticks.totals_j[chosen]
    if len(times_s) < FEWEST_INSIDE:
        return Unmeasured(f"the counter moved {len(times_s)} times inside; {FEWEST_INSIDE} are needed")
    powers_w = [
        (right_j - left_j) / (right_s - left_s)
        for (left_s, left_j), (right_s, right_j) in pairwise(zip(times_s, totals_j, strict=True))
    ]
    length_s = times_s[-1] - times_s[0]
    power_w = (totals_j[-1] - totals_j[0]) / length_s
    spread_w = stdev(powers_w)
    if spread_w > CONSTANT_REL * abs(fmean(powers_w)):
        return Unmeasured(f"the load is not constant: its power spreads by {spread_w / abs(power_w):.0%} of its mean")
    outside_s = bounds.duration_s - length_s
    parts_j = (
        ticks.sd_rate * power_w * bounds.duration_s,
        math.sqrt(2) * ticks.sd_each_s / length_s * power_w * bounds.duration_s,
        spread_w * outside_s,
        spread_w * math.sqrt(ticks.period_s * bounds.duration_s),
    )
    return Estimate(power_w * bounds.duration_s, Z95 * math.hypot(*parts_j), "inner_ticks", len(times_s))
