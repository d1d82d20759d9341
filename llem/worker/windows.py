"""A measured window: whole passes between idle guards, in one piece or in segments."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from llem.domain.measured import Segment, Window
from llem.domain.messages import Stagger
from llem.domain.staggering import segment_start_ns
from llem.engines.base import Engine, PassCount
from llem.worker.voice import Voice

SPIN_S = 0.001
"""So long before a moment that must be met the waiting wakes: a sleep may end late, but rarely by more."""

FIRST_LONGER = 1.02
"""The first of several segments works so much longer than it must: as many passes are then long enough in each."""


@dataclass(frozen=True)
class WindowPlan:
    """What a window must be.

    Attributes:
        min_s: It works for at least this long, guards left out.
        min_passes: It holds at least this many passes.
        guard_s: Length of its guards.
        stagger: Its segments; None for one piece.
    """

    min_s: float
    min_passes: int
    guard_s: float
    stagger: Stagger | None = None

    @property
    def pieces(self) -> int:
        """Return in how many pieces it is made."""
        return self.stagger.segments if self.stagger else 1


class Stretch(NamedTuple):
    """Work without a pause, from ``t0_ns`` to ``t1_ns``."""

    t0_ns: int
    t1_ns: int
    counts: list[PassCount]


def measured_window(
    engine: Engine, run_pass: Callable[[], PassCount], plan: WindowPlan, voice: Voice
) -> tuple[Window, PassCount]:
    """Repeat a pass between guards until the window is long enough and has enough passes.

    Nothing is submitted in a guard. Guards between two segments are shared by them, and end when the next segment is
    due: they may be up to a period longer than the others.

    Args:
        engine: The engine, warm.
        run_pass: What is repeated.
        plan: What the window must be.
        voice: Tells of progress; nothing else happens between two passes.

    Returns:
        The window, and what all its passes did.
    """
    engine.synchronize()
    guard_start_ns = time.monotonic_ns()
    anchor_utc, anchor_ns = datetime.now(UTC), time.monotonic_ns()
    time.sleep(plan.guard_s)
    work = _Work(engine, run_pass, plan, voice)
    stretches = [work.stretch()]
    for number in range(1, plan.pieces):
        wait_until(_next_start_ns(stretches, number, plan))
        stretches.append(work.stretch())
    time.sleep(plan.guard_s)
    guard_end_ns = time.monotonic_ns()
    anchor_end_utc, anchor_end_ns = datetime.now(UTC), time.monotonic_ns()
    counts = [count for stretch in stretches for count in stretch.counts]
    window = Window(
        t0_ns=stretches[0].t0_ns,
        t1_ns=stretches[-1].t1_ns,
        guard_start_ns=guard_start_ns,
        guard_end_ns=guard_end_ns,
        anchor_monotonic_ns=anchor_ns,
        anchor_utc=anchor_utc,
        anchor_end_monotonic_ns=anchor_end_ns,
        anchor_end_utc=anchor_end_utc,
        passes=len(counts),
        segments=_segments(stretches, guard_start_ns, guard_end_ns) if plan.stagger else (),
    )
    return window, PassCount(*map(sum, zip(*counts, strict=True)))


def wait_until(t_ns: int) -> None:
    """Wait for a moment on the monotonic clock: asleep until shortly before, then by looking at the clock."""
    left_s = (t_ns - time.monotonic_ns()) / 1e9 - SPIN_S
    if left_s > 0:
        time.sleep(left_s)
    while time.monotonic_ns() < t_ns:
        pass


class _Work:
    """The passes of one window, piece by piece.

    All pieces are to have as many passes: each sees another phase of a load that keeps step with the sensor, and one
    that is longer would count more.
    """

    def __init__(self, engine: Engine, run_pass: Callable[[], PassCount], plan: WindowPlan, voice: Voice) -> None:
        self._engine = engine
        self._run_pass = run_pass
        self._voice = voice
        self._pieces = plan.pieces
        self._min_s = plan.min_s / plan.pieces
        self._first_s = self._min_s * (FIRST_LONGER if plan.pieces > 1 else 1.0)
        self._min_passes = math.ceil(plan.min_passes / plan.pieces)
        self._finished = 0
        self._passes = 0

    def stretch(self) -> Stretch:
        """Work through one piece."""
        min_s = self._min_s if self._finished else self._first_s
        counts: list[PassCount] = []
        t0_ns = time.monotonic_ns()
        while True:
            counts.append(self._run_pass())
            elapsed_s = (time.monotonic_ns() - t0_ns) / 1e9
            if len(counts) >= self._min_passes and elapsed_s >= min_s:
                break
            self._voice.progress(self._passes + len(counts), self._fraction(len(counts), elapsed_s))
        self._engine.synchronize()
        self._finished += 1
        self._passes += len(counts)
        self._min_passes = len(counts)
        return Stretch(t0_ns, time.monotonic_ns(), counts)

    def _fraction(self, passes: int, elapsed_s: float) -> float:
        by_time = elapsed_s / self._min_s if self._min_s else 1.0
        return (self._finished + min(1.0, by_time, passes / self._min_passes)) / self._pieces


def _next_start_ns(stretches: list[Stretch], number: int, plan: WindowPlan) -> int:
    assert plan.stagger is not None
    earliest_ns = stretches[-1].t1_ns + math.ceil(plan.guard_s * 1e9)
    return segment_start_ns(stretches[0].t0_ns, earliest_ns, number, plan.stagger)


def _segments(stretches: list[Stretch], guard_start_ns: int, guard_end_ns: int) -> tuple[Segment, ...]:
    """Return the stretches with their guards: each reaches from the end of the last one to the begin of the next."""
    starts_ns = [guard_start_ns, *(stretch.t1_ns for stretch in stretches[:-1])]
    ends_ns = [*(stretch.t0_ns for stretch in stretches[1:]), guard_end_ns]
    return tuple(
        Segment(
            guard_start_ns=start_ns,
            t0_ns=stretch.t0_ns,
            t1_ns=stretch.t1_ns,
            guard_end_ns=end_ns,
            passes=len(stretch.counts),
        )
        for stretch, start_ns, end_ns in zip(stretches, starts_ns, ends_ns, strict=True)
    )
