"""When to read a counter that ticks: seldom, and often around the moment of its next tick."""

from collections import deque
from typing import NamedTuple

BASE_NS = 20_000_000
BURST_NS = 2_000_000
FEWEST_TICKS = 4
REMEMBERED_TICKS = 9
SHORTEST_PERIOD_NS = 5 * BASE_NS // 2
"""A counter that ticks faster is near a tick most of the time: what a burst would gain, the base pace has."""
LEAST_REST = 4
"""In a burst readings are at least this many calls apart: a call that takes long is made less often."""
LEAST_MARGIN_NS = 3 * BURST_NS // 8
MARGIN_KEPT = 31 / 32
"""What a tick inside the margin leaves of it: ticks that stray now and then are not missed each time."""
WANDER_NS = 50_000
"""So much may a tick of a regular counter be off on either side of where the ticks before it said."""
WIDEST_NS = 3 * BASE_NS // 2
STRAY = 0.1
"""A counter whose ticks stray by more than this part of its period is not predicted."""


class _Tick(NamedTuple):
    """A tick: between which two moments it was, and how many periods after the first remembered one."""

    low_ns: int
    high_ns: int
    number: int

    @property
    def width_ns(self) -> int:
        return self.high_ns - self.low_ns


class _Expected(NamedTuple):
    """When the next tick is expected."""

    low_ns: int
    high_ns: int


class TickPredictor:
    """Learns a counter's period and phase from its readings, and says when to read it next.

    The first and the last of the ticks that it remembers bound the period, and the last tick and the period bound
    the next one; where that and the readings agree, the tick was within both, so that bounds narrow down from tick to
    tick. Readings are ``BURST_NS`` apart from a margin before the bounds until the tick came, or until a margin after
    them, and ``BASE_NS`` apart at other times. A tick outside the bounds widens the margin, one outside the margin
    doubles it, and each one inside shrinks it again. Where ticks are not regular, or faster than
    ``SHORTEST_PERIOD_NS``, or calls too slow for a burst, the pace is ``BASE_NS``.
    """

    def __init__(self) -> None:
        self._read_ns = 0
        self._shown: tuple[int, float] | None = None  # when the counter last showed a value, and which
        self._ticks: deque[_Tick] = deque(maxlen=REMEMBERED_TICKS)
        self._expected: _Expected | None = None
        self._margin_ns = LEAST_MARGIN_NS
        self.due_ns = 0
        """When to read next, in monotonic nanoseconds."""

    @property
    def bursting(self) -> bool:
        """Whether the next reading is one of those around a tick, which nothing else should delay."""
        return self.due_ns - self._read_ns < BASE_NS

    def read(self, before_ns: int, after_ns: int, value: float | None) -> None:
        """Learn from a reading; a failed one (None) tells nothing but that time has passed."""
        if value is not None:
            if self._shown is not None and value != self._shown[1]:
                call_ns = min(after_ns - before_ns, BASE_NS)  # drivers answer later while they update
                self._ticked(_Tick(self._shown[0], after_ns, 0), after_ns - self._shown[0] - call_ns)
            self._shown = (before_ns, value)
        self._read_ns = before_ns
        self.due_ns = self._next_ns(before_ns, after_ns, failed=value is None)

    def _next_ns(self, before_ns: int, after_ns: int, *, failed: bool) -> int:
        seldom_ns = max(before_ns + BASE_NS, after_ns)
        if self._expected is None:
            return seldom_ns
        if before_ns > self._expected.high_ns + self._margin_ns:
            self._margin_ns *= 1 if failed else 2  # no tick came where one was expected
            self._expect_after(before_ns)
            return seldom_ns
        often_ns = before_ns + max(BURST_NS, LEAST_REST * (after_ns - before_ns))
        return min(seldom_ns, max(self._expected.low_ns - self._margin_ns, often_ns))

    def _ticked(self, tick: _Tick, unread_ns: int) -> None:
        expected = self._expected
        if unread_ns > WIDEST_NS:  # nothing was read for a while: more than one tick may lie in it
            if expected is None:
                self._ticks.clear()
        elif expected is None:
            self._ticks.append(tick._replace(number=self._ticks[-1].number + 1 if self._ticks else 0))
        else:
            margin_ns = self._margin_ns
            near = expected.low_ns - margin_ns <= tick.high_ns and tick.low_ns <= expected.high_ns + margin_ns
            off_ns = max(expected.low_ns - tick.high_ns, tick.low_ns - expected.high_ns, 0)
            least_ns = LEAST_MARGIN_NS + 2 * off_ns
            self._margin_ns = max(least_ns, int(margin_ns * MARGIN_KEPT)) if near else margin_ns * 2
            self._remember(_within(tick, expected))
        self._expect_after(tick.high_ns)

    def _remember(self, tick: _Tick) -> None:
        last = self._ticks[-1]
        middles_ns = (tick.low_ns + tick.high_ns - last.low_ns - last.high_ns) / 2
        periods = round(middles_ns / self._longest_ns())
        if periods < 1:
            self._ticks.clear()  # it ticked where none was due: what was learnt is wrong
        self._ticks.append(tick._replace(number=last.number + periods))

    def _expect_after(self, now_ns: int) -> None:
        """Expect the first tick that may still come; none where ticks are too few, too fast or irregular."""
        self._expected = None
        if len(self._ticks) < FEWEST_TICKS:
            return
        shortest_ns, longest_ns = self._shortest_ns(), self._longest_ns()
        if shortest_ns < SHORTEST_PERIOD_NS:
            return
        if self._margin_ns > STRAY * shortest_ns or not self._regular():
            self._margin_ns = LEAST_MARGIN_NS
            self._ticks = deque([self._ticks[-1]], REMEMBERED_TICKS)
            return
        last = self._ticks[-1]
        periods = 1 + max(0, int((now_ns - last.high_ns - self._margin_ns) / longest_ns))
        self._expected = _Expected(
            round(last.low_ns + periods * shortest_ns) - WANDER_NS,
            round(last.high_ns + periods * longest_ns) + WANDER_NS,
        )

    def _regular(self) -> bool:
        """Whether each tick lies where the first and the last say that it does, give or take what may stray."""
        first, shortest_ns, longest_ns = self._ticks[0], self._shortest_ns(), self._longest_ns()
        stray_ns = STRAY * shortest_ns
        return all(
            tick.high_ns + stray_ns >= first.low_ns + shortest_ns * (tick.number - first.number)
            and tick.low_ns - stray_ns <= first.high_ns + longest_ns * (tick.number - first.number)
            for tick in self._ticks
        )

    def _shortest_ns(self) -> float:
        first, last = self._ticks[0], self._ticks[-1]
        return (last.low_ns - first.high_ns) / (last.number - first.number)

    def _longest_ns(self) -> float:
        first, last = self._ticks[0], self._ticks[-1]
        return (last.high_ns - first.low_ns) / (last.number - first.number)


def _within(tick: _Tick, expected: _Expected) -> _Tick:
    """Return the tick in what its readings and the expectation have in common; as read where that is nothing."""
    low_ns, high_ns = max(tick.low_ns, expected.low_ns), min(tick.high_ns, expected.high_ns)
    return tick._replace(low_ns=low_ns, high_ns=high_ns) if low_ns < high_ns else tick
