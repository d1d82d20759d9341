"""Guarded edges: a counter's energy between two idle guards, without the idle around the work."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from llem.domain.edges import Z95, Bounds, Estimate, Ticks, Unmeasured
from llem.domain.fits import Fit, fit_guard, slope_of_walk
from llem.domain.idle import Idle
from llem.domain.statistics import t_quantile_975

LAG = 0.5
"""How far a counter may lag behind the truth, in its own periods: nothing tells. Its rms is this over √3."""


@dataclass(frozen=True)
class Piece:
    """One stretch of work between two guards, by the counter's ticks.

    Attributes:
        energy_j: C₁(t₁) − C₀(t₀), in joules.
        u_own_j: 95 % uncertainty that is this stretch's own: fits, noise that a counter sums up, jitter of the ticks.
        idle: Idle power in its guards.
        slope_change_w: Power just after the work less power just before it.
        duration_s: Seconds of work.
        excess_w: The work's mean power above idle.
        highest_w: The most by which its power from tick to tick is off idle.
        changes_w: √Σ ΔP² over the changes of its power from tick to tick.
        readings: Ticks in it.
    """

    energy_j: float
    u_own_j: float
    idle: Idle
    slope_change_w: float
    duration_s: float
    excess_w: float
    highest_w: float
    changes_w: float
    readings: int


def guarded_edges(
    ticks: Ticks, bounds: Bounds, *further: Bounds, unseen_s: float = 0.0
) -> tuple[Estimate, Idle] | Unmeasured:
    """Return the energy of the window by the counter's ticks in the guards, and the idle power there.

    E = C₁(t₁) − C₀(t₀), where C₀ and C₁ are fitted to the ticks of the guard before and of the guard after the
    work: C(t) = c + P·(t − x) + a·τ·(1 − exp(−(t − x)/τ)), the last term, a decay from earlier work, only where the
    ticks show one. This is the counter's difference between an edge in each guard, less idle power × time outside
    the work, with every edge of the guards used. Ticks up to one period behind the start of a guard are left
    out: they may tell of the time before it. A lag between the truth and the counter moves both ends alike and
    cancels, up to lag × (idle before − idle after). A window in pieces is the sum of its pieces.

    What is uncertain, as standard uncertainties in quadrature: the counter's rate of ticks over the window × idle
    power; the phase of all ticks and an unknown lag (up to half a period) × difference of the slopes at t₀ and t₁;
    the jitter of each tick × that slope; noise that a counter sums up, from step to step; the fits' own residuals,
    by Student's t; and, where the sensor may see a part of each period only, the unseen part × the work's power
    above idle, the most by which the two ends can be off together, and ``u_unseen_changes_j`` for what it misses of a
    power that changes inside the work. A decay that is over within one tick is not seen: it stays with the work. Nor
    is what changes in step with such a sensor, or so shortly that no reading tells of it.

    Source: the differencing is that of a counter read at its own updates (Yang, Adamek, Armour, SC24, arXiv
    2312.02741, on windows against update periods); the fit is ordinary least squares.

    Args:
        ticks: When the counter published what.
        bounds: The window and its guards.
        further: The other pieces of a window in pieces.
        unseen_s: What of each period the sensor may not see, in seconds.
    """
    pieces = guarded_pieces(ticks, (bounds, *further))
    if isinstance(pieces, Unmeasured):
        return pieces
    u_unseen_j = unseen_s * math.fsum(abs(piece.excess_w) for piece in pieces)
    u_changes_j = u_unseen_changes_j(pieces, unseen_s)
    return summed(ticks, pieces, "guarded_edges", u_unseen_j, u_changes_j), idle_of(ticks, pieces)


def u_unseen_changes_j(pieces: Sequence[Piece], unseen_s: float) -> float:
    """Return the 95 % uncertainty of what a part-time sensor misses of a power that changes inside the work.

    A change ΔP at a random moment of the sensor's period is told up to ``unseen_s`` too early or too late, uniformly:
    |ΔP|·unseen/√12 each (derived for ``stratified_edges``), in quadrature over the changes from tick to tick.
    """
    return Z95 * unseen_s / math.sqrt(12) * math.hypot(*(piece.changes_w for piece in pieces))


def guarded_pieces(ticks: Ticks, bounds: Sequence[Bounds]) -> list[Piece] | Unmeasured:
    """Return every piece of a window; why there are none where one of them cannot be told."""
    found: list[Piece] = []
    for each in bounds:
        piece = _piece(ticks, each)
        if isinstance(piece, Unmeasured):
            return piece
        found.append(piece)
    return found


def summed(ticks: Ticks, pieces: Sequence[Piece], name: str, *u_further_j: float) -> Estimate:
    """Return the sum of the pieces.

    What is a piece's own adds in quadrature. All pieces share the counter's rate, phase and lag: these move every
    piece alike, so that their parts add up with their signs before they are squared.
    """
    shared_j = (
        ticks.sd_rate * math.fsum(piece.duration_s * piece.idle.power_w for piece in pieces),
        math.hypot(ticks.sd_phase_s, ticks.period_s * LAG / math.sqrt(3))
        * math.fsum(piece.slope_change_w for piece in pieces),
    )
    u_j = math.hypot(Z95 * math.hypot(*shared_j), *(piece.u_own_j for piece in pieces), *u_further_j)
    energy_j = math.fsum(piece.energy_j for piece in pieces)
    return Estimate(energy_j, u_j, name, sum(piece.readings for piece in pieces))


def idle_of(ticks: Ticks, pieces: Sequence[Piece]) -> Idle:
    """Return the idle power by the guards of all pieces."""
    return Idle.over([piece.idle for piece in pieces], u_rel=Z95 * ticks.sd_rate)


def _piece(ticks: Ticks, bounds: Bounds) -> Piece | Unmeasured:
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
    slope_0, slope_1 = before.power_w(start_s), after.power_w(end_s)
    noise_j = _noise_of_step_j(((before, *in_first), (after, *in_last)))
    idle = Idle.of(
        *_idle_w(before, in_first[0], noise_j, ticks),
        *_idle_w(after, in_last[0], noise_j, ticks),
    )
    inside = ticks.between(bounds.t0_ns, bounds.t1_ns)
    powers_w = _powers_w(ticks, inside)
    readings = inside.stop - inside.start
    across = readings + len(in_first[0]) + len(in_last[0])
    own_j = (
        Z95 * ticks.sd_each_s * slope_0,
        Z95 * ticks.sd_each_s * slope_1,
        noise_j * math.sqrt(across),
        before.u_value_j(start_s),
        after.u_value_j(end_s),
    )
    return Piece(
        energy_j=after.value_j(end_s) - before.value_j(start_s),
        u_own_j=math.hypot(*own_j),
        idle=idle,
        slope_change_w=slope_1 - slope_0,
        duration_s=bounds.duration_s,
        excess_w=work_w - idle.power_w,
        highest_w=max((abs(power_w - idle.power_w) for power_w in powers_w), default=0.0),
        # The first tick may tell of the time before the work too.
        changes_w=math.hypot(*(right_w - left_w for left_w, right_w in pairwise(powers_w[1:]))),
        readings=readings,
    )


def _work_w(ticks: Ticks, bounds: Bounds) -> float:
    """Return the mean power from the first tick at or before the window to the first one after it, roughly."""
    inside = ticks.between(bounds.t0_ns, bounds.t1_ns)
    first, last = max(inside.start - 1, 0), min(inside.stop, len(ticks.times_s) - 1)
    length_s = ticks.times_s[last] - ticks.times_s[first]
    return (ticks.totals_j[last] - ticks.totals_j[first]) / length_s if length_s > 0 else 0.0


def _powers_w(ticks: Ticks, inside: slice) -> list[float]:
    """Return the power from each tick inside to the next one."""
    moments = pairwise(zip(ticks.times_s[inside], ticks.totals_j[inside], strict=True))
    return [(right_j - left_j) / (right_s - left_s) for (left_s, left_j), (right_s, right_j) in moments]


def _noise_of_step_j(guards: Sequence[tuple[Fit, Sequence[float], Sequence[float]]]) -> float:
    """Return the 95 % uncertainty of one step if each carries a noise of its own, by Student's t.

    A counter that sums noisy readings walks at random: its noise does not average out in a fit, and that of n steps
    is √n times that of one. The noise of one step is what is left of the steps in the guards when the fit's steps
    are taken from them.
    """
    left = [
        (right_j - left_j) - (fit.value_j(right_s) - fit.value_j(left_s))
        for fit, times_s, totals_j in guards
        for (left_s, left_j), (right_s, right_j) in pairwise(zip(times_s, totals_j, strict=True))
    ]
    free = max(len(left) - sum(len(fit.weights) - 1 for fit, _, _ in guards), 1)
    return t_quantile_975(free) * math.sqrt(math.fsum(step**2 for step in left) / free)


def _idle_w(fit: Fit, times_s: Sequence[float], noise_j: float, ticks: Ticks) -> tuple[float, float]:
    """Return idle power in one guard and its 95 % uncertainty, in watts.

    A decay that is not over at the last tick leaves idle power between the power there and what the fit extrapolates
    to. Its middle is taken; and as another course than an exponential, such as a step of the clocks, extrapolates
    elsewhere, the whole of it is uncertain.

    Beside that and what the fit itself says, the noise of its steps is uncertain, as in ``idle_power``; and the
    moments of its first and last tick, since those of a counter that moves at every reading may all err alike for
    longer than a guard.
    """
    length_s = times_s[-1] - times_s[0]
    ahead_w = fit.power_w(times_s[-1]) - fit.idle_w
    parts_w = (
        fit.u_idle_w,
        ahead_w,
        noise_j * slope_of_walk(len(times_s) - 1) / length_s,
        Z95 * math.sqrt(2) * ticks.sd_each_s * fit.idle_w / length_s,
    )
    return fit.idle_w + ahead_w / 2, math.hypot(*parts_w)


def _inside(ticks: Ticks, start_ns: int, end_ns: int) -> tuple[Sequence[float], Sequence[float]]:
    chosen = ticks.between(start_ns, end_ns)
    return ticks.times_s[chosen], ticks.totals_j[chosen]
