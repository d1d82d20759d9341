"""Edges: single readings of a sensor, and the moments at which a counter moved.

An *edge* is one reading with the time before and after the call that took it. Times are nanoseconds of
the machine's monotonic clock, which is one clock for every process of one boot.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median
from typing import NamedTuple

Z95 = 1.96
FEWEST_TICKS = 3
MOST_TICKS_COMPARED = 160
NEAR = 40
CONTINUOUS_SHARE = 0.9
BASE_QUANTILE = 0.9


class Edge(NamedTuple):
    """One reading: monotonic nanoseconds before and after the call, and the value in the channel's unit."""

    before_ns: int
    after_ns: int
    value: float

    @property
    def middle_ns(self) -> int:
        """Return the middle of the call."""
        return (self.before_ns + self.after_ns) // 2


@dataclass(frozen=True)
class Unmeasured:
    """A figure that is unknown, and why. Never 0."""

    reason: str


@dataclass(frozen=True)
class Estimate:
    """Energy in a window.

    Attributes:
        energy_j: Joules.
        u_j: 95 % uncertainty in joules: timing, the fit to the guards, noise. The board's scale is not in it.
        estimator: Name of the arithmetic.
        readings: Distinct readings inside the window.
    """

    energy_j: float
    u_j: float
    estimator: str
    readings: int


class Bounds(NamedTuple):
    """The measured window and its guards, in nanoseconds of the monotonic clock."""

    guard_start_ns: int
    t0_ns: int
    t1_ns: int
    guard_end_ns: int

    @property
    def duration_s(self) -> float:
        """Return the window's length in seconds, without the guards."""
        return (self.t1_ns - self.t0_ns) / 1e9


class Step(NamedTuple):
    """A counter moved: between the call that last showed the old value and the one that first showed the new.

    ``total_j`` counts from the first reading on, wraps undone. ``call_ns`` is the length of the latter call.
    """

    earliest_ns: int
    latest_ns: int
    total_j: float
    call_ns: int

    @property
    def width_ns(self) -> int:
        """Return how long the moment is in doubt."""
        return self.latest_ns - self.earliest_ns

    def unread_ns(self, base_ns: float) -> float:
        """Return for how long nothing was read, the call left out that saw it: as slow as a base interval it may be.

        A driver answers later while it updates: of an H100, calls take 5 ms, and 15 ms those that see a new value.
        """
        return self.width_ns - min(self.call_ns, base_ns)


class _Bracket(NamedTuple):
    """When tick ``number`` was, in seconds since the first."""

    low_s: float
    high_s: float
    number: int

    @property
    def middle_s(self) -> float:
        return (self.low_s + self.high_s) / 2


@dataclass(frozen=True)
class Ticks:
    """When a counter published what, each moment as sharp as the readings allow.

    Attributes:
        times_s: Seconds since ``origin_ns``, rising.
        totals_j: Joules since the first reading.
        origin_ns: Where the times count from.
        period_s: Between two ticks; between two readings where the counter moves faster than it is read.
        sd_phase_s: Standard uncertainty of the times that all ticks share.
        sd_rate: Standard uncertainty of a difference of two times, relative to it.
        sd_each_s: Standard uncertainty of each time by itself.
    """

    times_s: tuple[float, ...]
    totals_j: tuple[float, ...]
    origin_ns: int
    period_s: float
    sd_phase_s: float
    sd_rate: float
    sd_each_s: float

    def between(self, start_ns: int, end_ns: int) -> slice:
        """Return the slice of the ticks in [start, end]."""
        start_s, end_s = (start_ns - self.origin_ns) / 1e9, (end_ns - self.origin_ns) / 1e9
        return slice(bisect_left(self.times_s, start_s), bisect_right(self.times_s, end_s))


def steps(edges: Sequence[Edge], wraps_at_j: float | None = None) -> list[Step] | Unmeasured:
    """Return each reading at which a counter moved, or why it cannot be trusted.

    A counter that falls has wrapped if it wraps at all (``wraps_at_j``); any other fall means that the driver was
    reloaded or the reading was wrong, and nothing is known across it.
    """
    total_j = 0.0
    found: list[Step] = []
    for previous, edge in pairwise(edges):
        moved_j = edge.value - previous.value
        if moved_j < 0 and wraps_at_j is not None:
            moved_j += wraps_at_j
        if moved_j < 0:
            return Unmeasured("the counter fell: the driver was reloaded or the reading was wrong")
        if moved_j > 0:
            total_j += moved_j
            found.append(Step(previous.before_ns, edge.after_ns, total_j, edge.after_ns - edge.before_ns))
    return found


def ticks(
    edges: Sequence[Edge], *, wraps_at_j: float | None = None, updates_every_s: float | None = None
) -> Ticks | Unmeasured:
    """Return when the counter published what.

    A counter that is read more often than it moves ticks somewhere between two readings. Counters tick regularly,
    so each reading also narrows when every other tick was: the times are φ + p·n with integers n, and (p, φ) is
    the middle of what all readings allow. Readings may come in bursts around the ticks; each step is as sharp as
    the two readings around it, and the interval between the others is the *base* interval. Steps across a stall of
    the recorder, in which nothing was read for over 1.5 base intervals, are left out: more than one tick may hide in
    them. A counter
    that moves at nine of ten readings is taken to move all the time: its values are those of the readings' moments,
    older by at most ``updates_every_s`` (where that is not known: by one base interval).

    Args:
        edges: Readings in joules, in time order.
        wraps_at_j: Where the counter starts again from 0, if it does.
        updates_every_s: How often the sensor is known to update; None where nothing tells.
    """
    moved = steps(edges, wraps_at_j)
    if isinstance(moved, Unmeasured):
        return moved
    if len(moved) < FEWEST_TICKS:
        return Unmeasured(f"the counter moved {len(moved)} times: fewer than {FEWEST_TICKS}")
    base_ns = _base_interval_ns(edges)
    if len(moved) >= CONTINUOUS_SHARE * (len(edges) - 1):
        return _continuous(moved, base_ns, updates_every_s)
    runs = _runs(moved, base_ns)
    if not runs:
        return Unmeasured("the readings have too many gaps to tell when the counter moved")
    return _regular(runs, base_ns / 1e9)


def _base_interval_ns(edges: Sequence[Edge]) -> float:
    """Return the interval of the readings that are not in a burst.

    Half of the time lies in intervals of this length or less: bursts are most of the readings, not of the time. A
    long gap may be most of the time, but not one in ten of the intervals.
    """
    lengths = sorted(right.middle_ns - left.middle_ns for left, right in pairwise(edges))
    until = list(accumulate(lengths))
    of_time = lengths[bisect_left(until, until[-1] / 2)]
    return min(of_time, lengths[int(BASE_QUANTILE * (len(lengths) - 1))])


def _continuous(moved: Sequence[Step], base_ns: float, updates_every_s: float | None) -> Ticks | Unmeasured:
    """Return the readings themselves as ticks; those whose call took more than a quarter of an interval left out."""
    used = [step for step in moved if step.call_ns <= base_ns / 4]
    if len(used) < FEWEST_TICKS:
        return Unmeasured("the calls that read the sensor were too slow to tell when its counter moved")
    age_s = base_ns / 1e9 if updates_every_s is None else updates_every_s
    origin_ns = used[0].latest_ns
    call_s = median(step.call_ns for step in used) / 1e9
    return Ticks(
        times_s=tuple((step.latest_ns - step.call_ns // 2 - origin_ns) / 1e9 for step in used),
        totals_j=tuple(step.total_j for step in used),
        origin_ns=origin_ns,
        period_s=base_ns / 1e9,
        sd_phase_s=0.0,
        sd_rate=0.0,
        sd_each_s=math.hypot(age_s, call_s) / math.sqrt(12),
    )


def _runs(moved: Sequence[Step], base_ns: float) -> list[list[Step]]:
    """Return the stretches of consecutive ticks between stalls; those too short to tell a period left out."""
    runs: list[list[Step]] = [[]]
    for step in moved:
        if step.unread_ns(base_ns) <= 1.5 * base_ns:
            runs[-1].append(step)
        else:
            runs.append([])
    return [run for run in runs if len(run) >= FEWEST_TICKS]


def _regular(runs: Sequence[Sequence[Step]], base_s: float) -> Ticks | Unmeasured:
    """Return ticks at φ + p·n; where no (p, φ) fits every step, the steps are taken as jittering."""
    sharp = [step for run in runs for step in run]
    origin_ns = sharp[0].earliest_ns
    brackets = [_Bracket((s.earliest_ns - origin_ns) / 1e9, (s.latest_ns - origin_ns) / 1e9, 0) for s in sharp]
    counted = _numbered(brackets, [len(run) for run in runs], base_s)
    if isinstance(counted, Unmeasured):
        return counted
    chosen = _spread(counted)
    jitter_s = _jitter_s(chosen, base_s)
    if jitter_s is None:
        return Unmeasured("the counter does not tick regularly")
    lowest, highest = _periods(chosen, jitter_s)
    period_s = (lowest + highest) / 2
    if period_s <= 0:
        return Unmeasured("the readings of the counter span no time")
    first = max(bracket.low_s - jitter_s - period_s * bracket.number for bracket in chosen)
    last = min(bracket.high_s + jitter_s - period_s * bracket.number for bracket in chosen)
    return Ticks(
        times_s=tuple((first + last) / 2 + period_s * bracket.number for bracket in counted),
        totals_j=tuple(step.total_j for step in sharp),
        origin_ns=origin_ns,
        period_s=period_s,
        sd_phase_s=max(last - first, 0.0) / math.sqrt(12),
        sd_rate=(highest - lowest) / period_s / math.sqrt(12),
        sd_each_s=jitter_s / math.sqrt(3),
    )


def _jitter_s(brackets: Sequence[_Bracket], base_s: float) -> float | None:
    """Return by how much each tick may stray so that one (p, φ) fits all; None beyond two base intervals.

    It is found to a sixteenth of the brackets' median width, w. One sixteenth more is added, since the least jitter
    leaves one (p, φ) only, as if both were known without doubt.
    """
    if _agree(brackets):
        return 0.0
    step_s = median(bracket.high_s - bracket.low_s for bracket in brackets) / 16
    too_few, enough = 0, math.ceil(2 * base_s / step_s)
    if not _agree(brackets, enough * step_s):
        return None
    while enough - too_few > 1:
        steps_tried = (too_few + enough) // 2
        too_few, enough = (too_few, steps_tried) if _agree(brackets, steps_tried * step_s) else (steps_tried, enough)
    return (enough + 1) * step_s


def _numbered(brackets: Sequence[_Bracket], lengths: Sequence[int], base_s: float) -> list[_Bracket] | Unmeasured:
    """Return the brackets with the numbers of their ticks.

    Inside a run each step is the next tick. Across a stall the count of hidden ticks is the one for which the runs
    around it agree on a period and a phase; where two counts do, or none does, nothing tells. Where none does by the
    brackets as they are, ticks may stray by more than a burst is wide: then all are taken as wide as a base interval.
    """
    counted: list[_Bracket] = []
    start = 0
    for length in lengths:
        run = [bracket._replace(number=n) for n, bracket in enumerate(brackets[start : start + length])]
        start += length
        if counted:
            before, after = counted[-NEAR:], run[:NEAR]
            fitting = _fitting(before, after) or _fitting(_blunt(before, base_s), _blunt(after, base_s))
            if len(fitting) != 1:
                return Unmeasured("a gap in the readings hides how often the counter ticked")
            run = _moved(run, fitting[0])
        counted += run
    return counted


def _fitting(before: Sequence[_Bracket], after: Sequence[_Bracket]) -> list[int]:
    """Return each number of the first tick of ``after`` with which all ticks agree on a period and a phase."""
    period_s = sum(_periods(before if len(before) > len(after) else after, 0.0)) / 2
    if period_s <= 0:
        return []
    guess = round((after[0].middle_s - before[-1].middle_s) / period_s)
    tried = [before[-1].number + count for count in range(max(guess - 2, 1), guess + 3)]
    return [number for number in tried if _agree([*before, *_moved(after, number)])]


def _blunt(brackets: Sequence[_Bracket], width_s: float) -> list[_Bracket]:
    """Return the brackets, each at least so wide."""
    short_s = [max(width_s - (bracket.high_s - bracket.low_s), 0.0) / 2 for bracket in brackets]
    return [
        bracket._replace(low_s=bracket.low_s - short, high_s=bracket.high_s + short)
        for bracket, short in zip(brackets, short_s, strict=True)
    ]


def _moved(run: Sequence[_Bracket], first: int) -> list[_Bracket]:
    return [bracket._replace(number=bracket.number + first) for bracket in run]


def _agree(brackets: Sequence[_Bracket], jitter_s: float = 0.0) -> bool:
    lowest, highest = _periods(brackets, jitter_s)
    return lowest <= highest


def _spread(brackets: Sequence[_Bracket]) -> Sequence[_Bracket]:
    """Return up to ``MOST_TICKS_COMPARED`` brackets over the whole range: each is compared with each."""
    last, most = len(brackets) - 1, MOST_TICKS_COMPARED
    return [brackets[n] for n in sorted({round(k * last / (most - 1)) for k in range(most)})]


def _periods(brackets: Sequence[_Bracket], jitter_s: float) -> tuple[float, float]:
    """Return the shortest and the longest period for which one phase puts every tick into its bracket.

    For ticks i before j: (low_j − high_i) ≤ p·(n_j − n_i) ≤ (high_j − low_i), and these pairs suffice, since
    intervals on a line that meet in pairs have a point in common (Helly).
    """
    shortest, longest, both_s = 0.0, math.inf, 2 * jitter_s
    # In comprehensions, which cost half as much: each of up to 160 brackets meets each, some ten times per estimate.
    for j, (low_j, high_j, n_j) in enumerate(brackets):
        before = brackets[:j]
        shortest = max([shortest, *[(low_j - high_i - both_s) / (n_j - n_i) for _, high_i, n_i in before]])
        longest = min([longest, *[(high_j - low_i + both_s) / (n_j - n_i) for low_i, _, n_i in before]])
    return shortest, longest
