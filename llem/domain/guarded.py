"""Guarded edges: a counter's energy between two idle guards, without the idle around the work."""

import math
from collections.abc import Sequence
from itertools import pairwise

from llem.domain.edges import Z95, Bounds, Estimate, Ticks, Unmeasured
from llem.domain.fits import Fit, fit_guard
from llem.domain.idle import Idle
from llem.domain.statistics import t_quantile_975

LAG = 0.5
"""How far a counter may lag behind the truth, in its own periods: nothing tells. Its rms is this over √3."""


def guarded_edges(ticks: Ticks, bounds: Bounds, *, unseen_s: float = 0.0) -> tuple[Estimate, Idle] | Unmeasured:
    """Return the energy of the window by the counter's ticks in the guards, and the idle power there.

    E = C₁(t₁) − C₀(t₀), where C₀ and C₁ are fitted to the ticks of the guard before and of the guard after the
    work: C(t) = c + P·(t − x) + a·τ·(1 − exp(−(t − x)/τ)), the last term, a decay from earlier work, only where the
    ticks show one. This is the counter's difference between an edge in each guard, less idle power × time outside
    the work, with every edge of the guards used. Ticks up to one period behind the start of a guard are left
    out: they may tell of the time before it. A lag between the truth and the counter moves both ends alike and
    cancels, up to lag × (idle before − idle after).

    What is uncertain, as standard uncertainties in quadrature: the counter's rate of ticks over the window × idle
    power; the phase of all ticks and an unknown lag (up to half a period) × difference of the slopes at t₀ and t₁;
    the jitter of each tick × that slope; noise that a counter sums up, from step to step; the fits' own residuals,
    by Student's t; and, where the sensor may see a part of each period only, the unseen part × the work's power
    above idle, the most by which the two ends can be off together. A decay that is over within one tick is not seen:
    it stays with the work. What changes inside the work between the moments that a sensor sees is in none of these.

    Source: the differencing is that of a counter read at its own updates (Yang, Adamek, Armour, SC24, arXiv
    2312.02741, on windows against update periods); the fit is ordinary least squares.

    Args:
        ticks: When the counter published what.
        bounds: The window and its guards.
        unseen_s: What of each period the sensor may not see, in seconds.
    """
    if bounds.guard_start_ns == bounds.t0_ns or bounds.t1_ns == bounds.guard_end_ns:
        return Unmeasured("the window has no guards")
    margin_ns = round(ticks.period_s * 1e9)
    work_w = _work_w(ticks, bounds)
    in_first = _inside(ticks, bounds.guard_start_ns + margin_ns, bounds.t0_ns)
    in_last = _inside(ticks, bounds.t1_ns + margin_ns, bounds.guard_end_ns)
    before = fit_guard(*in_first, ticks, bounds.guard_start_ns, work_w)
    after = fit_guard(*in_last, ticks, bounds.t1_ns, work_w)
    if isinstance(before, Unmeasured):
        return Unmeasured(f"the guard before the work: {before.reason}")
    if isinstance(after, Unmeasured):
        return Unmeasured(f"the guard after the work: {after.reason}")
    start_s = (bounds.t0_ns - ticks.origin_ns) / 1e9
    end_s = (bounds.t1_ns - ticks.origin_ns) / 1e9
    energy_j = after.value_j(end_s) - before.value_j(start_s)
    slope_0, slope_1 = before.power_w(start_s), after.power_w(end_s)
    idle = Idle.of(before.idle_w, before.u_idle_w, after.idle_w, after.u_idle_w, u_rel=Z95 * ticks.sd_rate)
    inside = ticks.between(bounds.t0_ns, bounds.t1_ns)
    readings = inside.stop - inside.start
    parts_j = (
        ticks.sd_rate * bounds.duration_s * idle.power_w,
        math.hypot(ticks.sd_phase_s, ticks.period_s * LAG / math.sqrt(3)) * abs(slope_1 - slope_0),
        ticks.sd_each_s * slope_0,
        ticks.sd_each_s * slope_1,
    )
    across = readings + len(in_first[0]) + len(in_last[0])
    u_walk_j = _u_walk_j(((before, *in_first), (after, *in_last)), across)
    u_unseen_j = unseen_s * abs(work_w - idle.power_w)
    u_j = math.hypot(
        Z95 * math.hypot(*parts_j), u_walk_j, u_unseen_j, before.u_value_j(start_s), after.u_value_j(end_s)
    )
    return Estimate(energy_j, u_j, "guarded_edges", readings), idle


def _work_w(ticks: Ticks, bounds: Bounds) -> float:
    """Return the mean power from the first tick at or before the window to the first one after it, roughly."""
    inside = ticks.between(bounds.t0_ns, bounds.t1_ns)
    first, last = max(inside.start - 1, 0), min(inside.stop, len(ticks.times_s) - 1)
    length_s = ticks.times_s[last] - ticks.times_s[first]
    return (ticks.totals_j[last] - ticks.totals_j[first]) / length_s if length_s > 0 else 0.0


def _u_walk_j(guards: Sequence[tuple[Fit, Sequence[float], Sequence[float]]], number: int) -> float:
    """Return the 95 % uncertainty of ``number`` steps if each carries a noise of its own, by Student's t.

    A counter that sums noisy readings walks at random: its noise does not average out in a fit. The noise of one
    step is what is left of the steps in the guards when the fit's steps are taken from them.
    """
    left = [
        (right_j - left_j) - (fit.value_j(right_s) - fit.value_j(left_s))
        for fit, times_s, totals_j in guards
        for (left_s, left_j), (right_s, right_j) in pairwise(zip(times_s, totals_j, strict=True))
    ]
    free = max(len(left) - sum(len(fit.weights) - 1 for fit, _, _ in guards), 1)
    return t_quantile_975(free) * math.sqrt(math.fsum(step**2 for step in left) / free * number)


def _inside(ticks: Ticks, start_ns: int, end_ns: int) -> tuple[Sequence[float], Sequence[float]]:
    chosen = ticks.between(start_ns, end_ns)
    return ticks.times_s[chosen], ticks.totals_j[chosen]
