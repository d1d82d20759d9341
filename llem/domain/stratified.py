"""Stratified edges: segments that begin at phases spread over the period of a sensor that sees a part of it."""

import cmath
import math
from collections.abc import Sequence
from statistics import stdev

from llem.domain.edges import Z95, Bounds, Estimate, Ticks, Unmeasured
from llem.domain.guarded import guarded_pieces, idle_of, summed, u_unseen_changes_j
from llem.domain.idle import Idle
from llem.domain.statistics import t_quantile_975

UNEVEN = 0.5
"""|Σ exp(2πi·φ/p)|/n of the starts' phases above which they are not spread: 0 is even, 1 is all alike."""
SEEN_KNOWN_TO = 0.04
"""How well the seen part is known, relative to it: arXiv 2312.02741 gives it to the millisecond, as 25 ms."""
HARMONICS = 48
OFFSETS = 48


def stratified_edges(
    ticks: Ticks, bounds: Sequence[Bounds], *, unseen_s: float = 0.0
) -> tuple[Estimate, Idle] | Unmeasured:
    """Return the sum of guarded edges over segments of work that begin at different phases of the sensor's period.

    A sensor that sees the last s of each period p, and counts p × the mean power there, is blind to a load that
    keeps step with it. Let n segments repeat the same work, and let segment j begin j·p/n later against the sensor.
    Counted from the begin of its work, segment j is then seen in [φ − j·p/n, φ − j·p/n + s] modulo p: with n·s = p
    all segments together see every moment of the work once, and their sum is exact for *any* load, its first step
    included. What is left, beside what ``guarded_edges`` tells:

    - *The ends.* Segments do not last equally long to the millisecond, so their ends need not be spread. A step of
      height D that falls u after the begin of a period is told D·u too late for u ≤ p − s, then D·(p − u)·(p − s)/s:
      at a random u this is uniform between 0 and D·(p − s), so its mean is D·(p − s)/2 and its standard deviation
      D·(p − s)/√12 (25 of 100 ms: 37.5 and 21.65 ms). The means of starts and ends cancel. As the phases of starts
      and ends are known but for one offset that all share, the part is the root mean square over that offset of
      Σ e(start_j) − e(end_j); for ends at random it comes to √n·D·(p − s)/√12. D is the most that any of the
      counter's steps in the work is above idle, for a load that steps itself.
    - *A decay after the work*, which begins at each end and is seen in part: the power that its fit tells at t₁ above
      that before t₀, for the unseen time, alike in all segments.
    - *Load in step with the sensor.* The segments' mean powers P_j differ where the load keeps step. If its profile
      over one period has the amplitudes a_k, their variance is Σ a_k²·w_k·(1 − |S_k|²)/2 and that of their mean's
      error Σ a_k²·w_k·|S_k|²/2, with w_k = sinc²(k·s/p) for what a seen part averages out and
      S_k = Σ_j exp(2πi·k·φ_j/p)/n for what the starts do. With a_k ∝ 1/k, as of a load that switches between two
      levels (the slowest falling spectrum of a bounded load of few switches), the ratio g of the two is known, and
      the part is t(n − 1)·s_P·√g·T. S_k vanishes for even starts but for k = n, 2n, …, and w_k there where
      n·s = p; s is taken as known to 4 %, and the largest g in that range is used.
    - *Changes inside the work* that keep no step: ``u_unseen_changes_j``, from tick to tick of each segment.

    Source: systematic sampling of a periodic population (Cochran, Sampling Techniques, 3rd ed. 1977, 8.3 and 8.7);
    the sensor is that of Yang, Adamek, Armour, SC24, arXiv 2312.02741, who shift repeats against it likewise.

    Args:
        ticks: When the counter published what.
        bounds: The segments and their guards.
        unseen_s: What of each period the sensor may not see, in seconds; 0 for a true counter.
    """
    starts = [_phase(ticks, each.t0_ns) for each in bounds]
    if unseen_s and abs(_resultant(starts, 1)) > UNEVEN:
        return Unmeasured("the segments begin at like phases of the sensor's period")
    pieces = guarded_pieces(ticks, bounds)
    if isinstance(pieces, Unmeasured):
        return pieces
    idle = idle_of(ticks, pieces)
    if not unseen_s:
        return summed(ticks, pieces, "stratified_edges"), idle
    unseen = min(unseen_s / ticks.period_s, 0.99)
    powers_w = [piece.energy_j / piece.duration_s for piece in pieces]
    height_w = max(max(piece.highest_w, abs(piece.excess_w)) for piece in pieces)
    ends = [_phase(ticks, each.t1_ns) for each in bounds]
    u_ends_j = Z95 * ticks.period_s * height_w * _late_rms(starts, ends, unseen)
    u_step_j = u_in_step_w(powers_w, starts, 1 - unseen) * math.fsum(piece.duration_s for piece in pieces)
    u_decay_j = unseen_s * abs(math.fsum(piece.slope_change_w for piece in pieces))
    u_changes_j = u_unseen_changes_j(pieces, unseen_s)
    return summed(ticks, pieces, "stratified_edges", u_ends_j, u_step_j, u_decay_j, u_changes_j), idle


def u_in_step_w(powers_w: Sequence[float], starts: Sequence[float], seen: float) -> float:
    """Return the 95 % uncertainty of the mean of the segments' powers for a load in step with the sensor, in watts.

    Args:
        powers_w: Mean power of each segment.
        starts: The phase of each begin against the sensor, in periods.
        seen: The share of each period that the sensor sees.
    """
    share = max(_aliased(starts, seen * (1 + off)) for off in (-SEEN_KNOWN_TO, 0.0, SEEN_KNOWN_TO))
    return t_quantile_975(len(powers_w) - 1) * stdev(powers_w) * math.sqrt(share)


def _aliased(starts: Sequence[float], seen: float) -> float:
    """Return the variance that the mean over the segments keeps, relative to that between the segments."""
    kept, seen_between = [], []
    for k in range(1, HARMONICS + 1):
        weight = (math.sin(math.pi * k * seen) / (math.pi * k * seen) / k) ** 2
        resultant = abs(_resultant(starts, k)) ** 2
        kept.append(weight * resultant)
        seen_between.append(weight * (1 - resultant))
    return math.fsum(kept) / math.fsum(seen_between)


def _late_rms(starts: Sequence[float], ends: Sequence[float], unseen: float) -> float:
    """Return the rms over all offsets of Σ e(start) − e(end), in periods, for a step of height 1."""
    sums = [
        math.fsum(_late(start + n / OFFSETS, unseen) for start in starts)
        - math.fsum(_late(end + n / OFFSETS, unseen) for end in ends)
        for n in range(OFFSETS)
    ]
    return math.sqrt(math.fsum(each**2 for each in sums) / OFFSETS)


def _late(phase: float, unseen: float) -> float:
    """Return how much later than it is a step at ``phase`` is told, in periods."""
    within = phase % 1.0
    return within if within <= unseen else (1 - within) * unseen / (1 - unseen)


def _phase(ticks: Ticks, at_ns: int) -> float:
    return ((at_ns - ticks.origin_ns) / 1e9 - ticks.times_s[0]) / ticks.period_s


def _resultant(phases: Sequence[float], k: int) -> complex:
    turned = [cmath.exp(2j * math.pi * k * (phase % 1.0)) for phase in phases]
    return complex(math.fsum(each.real for each in turned), math.fsum(each.imag for each in turned)) / len(phases)
