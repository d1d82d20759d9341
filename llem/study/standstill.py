"""Time in which this process stood still: stopped by Ctrl-Z or by somebody else, or asleep with the whole machine."""

import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

STOOD_STILL_S = 2.0
"""A sleeper that wakes up later than this did not only wait for a processor."""


def _since_boot() -> float:
    """Return the seconds since this machine started, those included in which it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Standstill(NamedTuple):
    """One time of standing still.

    Attributes:
        seconds: How long it was.
        counted_s: As much of it as the monotonic clock counted, which stops while the machine sleeps.
        asked_for: Whether it was Ctrl-Z, and not something that nobody told us of.
    """

    seconds: float
    counted_s: float
    asked_for: bool

    def describe(self) -> str:
        """Return it in words."""
        if self.asked_for:
            return f"stopped for {self.seconds:.1f} s by SIGTSTP"
        return f"stood still for {self.seconds:.1f} s: stopped from outside, or the machine slept"


class Standstills:
    """Notes when this process stood still. It looks when it wakes up anyway, so that nothing wakes up for it.

    Args:
        monotonic: Seconds that do not pass while the machine sleeps.
        since_boot: Seconds that do.

    Attributes:
        seen: What was noted so far, in order.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, since_boot: Callable[[], float] = _since_boot
    ) -> None:
        self._monotonic = monotonic
        self._since_boot = since_boot
        self.seen: list[Standstill] = []

    @property
    def counted_s(self) -> float:
        """Return how much of all of it the monotonic clock counted: what no limit is to count."""
        return sum(standstill.counted_s for standstill in self.seen)

    def awake_s(self) -> float:
        """Return the monotonic clock, less what it counted of standstills."""
        return self._monotonic() - self.counted_s

    @contextmanager
    def sleeping(self, at_most_s: float) -> Iterator[None]:
        """Note a standstill in what follows, which does nothing but sleep, and no longer than this."""
        began, before = self._now(), len(self.seen)
        yield
        passed, counted = (now - then for now, then in zip(self._now(), began, strict=True))
        stopped = self.seen[before:]  # by Ctrl-Z, meanwhile
        seconds = passed - at_most_s - sum(standstill.seconds for standstill in stopped)
        if seconds >= STOOD_STILL_S:
            counted_s = counted - at_most_s - sum(standstill.counted_s for standstill in stopped)
            self.seen.append(Standstill(seconds, max(0.0, counted_s), asked_for=False))

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Note what follows as a standstill that was asked for."""
        began = self._now()
        yield
        seconds, counted_s = (now - then for now, then in zip(self._now(), began, strict=True))
        self.seen.append(Standstill(seconds, counted_s, asked_for=True))

    def _now(self) -> tuple[float, float]:
        return self._since_boot(), self._monotonic()


def wait_awake(descriptors: Sequence[int], seconds: float) -> list[int]:
    """Return which of these are readable, as soon as one is; none after so many seconds in which nothing stood still.

    What is waited for may have stood still with this process, and then has as long again.
    """
    standstills = Standstills()
    while True:
        seen = len(standstills.seen)
        with standstills.sleeping(seconds):
            ready = select.select(descriptors, [], [], seconds)[0]
        if ready or len(standstills.seen) == seen:
            return ready
