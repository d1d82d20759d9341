"""Is a counter a true integral of power, or a sum of the power readings beside it?

A sensor that sees a part of each period misses what happens in the rest. A counter that integrates all the time does
not; one that adds up the sensor's readings misses the same. Nothing documents which a device has.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from llem.domain.edges import CONTINUOUS_SHARE, Edge, Ticks, Unmeasured, ticks

FEWEST_COMPARED = 12
SUM_BELOW = 0.1
"""A sum of the readings follows them far below their own noise: 0.004 W where that is 0.5 W."""
INTEGRAL_ABOVE = 0.5
STEADIER_THAN = 0.5
MOVES_ABOVE = 3.0
"""Readings whose noise is not this many times their resolution do not move enough to be recognised."""
OFTENER_THAN = 1.5
OFFSETS = tuple(lag + part for lag in (-1, 0, 1) for part in (0.25, 0.5, 0.75))
"""When a reading of the same tick may be found, in periods after it: nothing tells which of the two comes first."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True)
class SumTest:
    """What the readings say.

    Attributes:
        is_sum: True for a sum of the readings, False for a true integral, None where nothing tells.
        why: The readings that say so, in words.
        residual_w: Robust standard deviation of (counter step / period − reading of the same tick), in watts.
        noise_w: Robust standard deviation of the readings, in watts.
    """

    is_sum: bool | None
    why: str
    residual_w: float | None = None
    noise_w: float | None = None


def sum_test(
    counter: Sequence[Edge], power: Sequence[Edge], *, wraps_at_j: float | None, resolution_w: float | None
) -> SumTest:
    """Return whether the steps of a counter are its device's power readings × its period.

    For each tick, its step / period is compared with the reading of the same tick; the offset between the two is the
    one for which they differ least. Standard deviations are robust (1.4826 × median absolute deviation) and of the
    differences from each tick to the next, over √2, so that drift, a step of the load and another gain on one channel
    leave them as they are. Three rules, in this order:

    1. residual ≤ 0.1 × noise of the readings: the counter follows each of their jumps, so it is a sum of them.
    2. residual ≥ 0.5 × noise, and the steps are steadier than half of it: no sum of the readings moves less than they
       do, so it is a true integral. The residual alone would not say so: a sum over periods that jitter by 1 % has it
       too.
    3. Else nothing tells. So also where the readings do not move by more than their resolution, or more or less often
       than the counter.

    Source: the question is that of Yang, Adamek, Armour, SC24, arXiv 2312.02741 (sensors that see 25 of 100 ms); the
    figures behind rule 1 are of a simulated sensor with 0.5 W of noise: 0.004 W for a sum, 0.5 W for an integral.

    Args:
        counter: Its edges in joules, in time order, of one state of the load.
        power: Edges of instantaneous readings in watts, of the same time.
        wraps_at_j: Where the counter starts again from 0.
        resolution_w: The smallest difference between two readings that was seen; None where they never moved.
    """
    published = ticks(counter, wraps_at_j=wraps_at_j)
    if isinstance(published, Unmeasured):
        return SumTest(None, published.reason)
    if len(published.times_s) >= CONTINUOUS_SHARE * (len(counter) - 1):
        return SumTest(None, "the counter moves at every reading, so its steps cannot be told apart")
    changes = sum(left.value != right.value for left, right in pairwise(power))
    if resolution_w is None or not changes:
        return SumTest(None, "the power readings do not move")
    if changes > OFTENER_THAN * len(published.times_s):
        return SumTest(None, "the power readings change more often than the counter ticks")
    found = _compared(published, power, resolution_w)
    if found.is_sum is not None and changes * OFTENER_THAN < len(published.times_s):
        # From tick to tick most of them stand still: their noise is not what it seems.
        return replace(found, is_sum=None, why="the power readings change less often than the counter ticks")
    return found


def _compared(published: Ticks, power: Sequence[Edge], resolution_w: float) -> SumTest:
    steps_w = _steps_w(published)
    tried = []
    for offset in OFFSETS:
        readings_w = _readings_w(published, power, offset)
        apart = [None if s is None or r is None else s - r for s, r in zip(steps_w, readings_w, strict=True)]
        residual_w, noise_w = _deviation(apart), _deviation(readings_w)
        if residual_w is not None and noise_w is not None:
            tried.append((residual_w, noise_w))
    spread_w = _deviation(steps_w)
    if not tried or spread_w is None:
        return SumTest(None, f"fewer than {FEWEST_COMPARED} ticks in a row could be compared")
    residual_w, noise_w = min(tried)
    if noise_w < MOVES_ABOVE * resolution_w:
        why = f"the power readings do not move enough: {noise_w:.2g} W, in steps of {resolution_w:.2g} W"
        return SumTest(None, why, residual_w, noise_w)
    told = (
        f"step / period and the reading of its tick differ by {residual_w:.2g} W, "
        f"readings by {noise_w:.2g} W, steps by {spread_w:.2g} W from tick to tick"
    )
    if residual_w <= SUM_BELOW * noise_w:
        return SumTest(True, f"a sum of the readings: {told}", residual_w, noise_w)
    if residual_w >= INTEGRAL_ABOVE * noise_w and spread_w <= STEADIER_THAN * noise_w:
        return SumTest(False, f"a true integral: {told}", residual_w, noise_w)
    return SumTest(None, f"neither a sum nor a true integral for sure: {told}", residual_w, noise_w)


def joined(tests: Sequence[SumTest]) -> SumTest:
    """Return what tests in several states of the load say together: what one of them knows, if none contradicts."""
    if not tests:
        return SumTest(None, "nothing was compared")
    known = [test for test in tests if test.is_sum is not None]
    if len({test.is_sum for test in known}) > 1:
        return SumTest(None, "the states of the load contradict each other: " + "; ".join(test.why for test in known))
    return known[0] if known else tests[0]


def _steps_w(published: Ticks) -> list[float | None]:
    """Return the power of each tick's step; None where ticks before it were not seen."""
    found: list[float | None] = [None]
    pairs = pairwise(zip(published.times_s, published.totals_j, strict=True))
    for (left_s, left_j), (right_s, right_j) in pairs:
        alone = round((right_s - left_s) / published.period_s) == 1
        found.append((right_j - left_j) / published.period_s if alone else None)
    return found


def _readings_w(published: Ticks, power: Sequence[Edge], offset: float) -> list[float | None]:
    """Return the reading nearest to ``offset`` periods after each tick; None where none is within half a period."""
    moments = [edge.middle_ns for edge in power]
    found: list[float | None] = []
    for time_s in published.times_s:
        at_ns = published.origin_ns + round((time_s + offset * published.period_s) * 1e9)
        place = bisect_left(moments, at_ns)
        near = min(range(max(place - 1, 0), min(place + 1, len(moments))), key=lambda n: abs(moments[n] - at_ns))
        close = abs(moments[near] - at_ns) <= published.period_s * 0.5e9
        found.append(power[near].value if close else None)
    return found


def _deviation(values: Sequence[float | None]) -> float | None:
    """Return the robust standard deviation of values that may drift: that of their differences, over √2."""
    moved = [right - left for left, right in pairwise(values) if left is not None and right is not None]
    if len(moved) < FEWEST_COMPARED:
        return None
    middle = median(moved)
    return NORMAL_MAD * median(abs(move - middle) for move in moved) / math.sqrt(2)
