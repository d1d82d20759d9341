"""One attempt from its start to its end, whatever the worker does: messages, deadlines, signals."""

import math
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llem.domain.deadlines import PHASES, Deadlines
from llem.domain.events import Phase
from llem.domain.measured import Interval, Measured
from llem.domain.messages import ErrorMessage, Message, PhaseMessage, ProgressMessage, ResultMessage
from llem.domain.redaction import redacted
from llem.study.launcher import Attempt, Exit, Fault
from llem.study.signals import EndingSignals

TICK_S = 0.5
LATEST_TICK_S = 1.1
"""A message that wakes us serves as a tick as well, and workers send one about every second: a clock of our own
would wake this processor twice as often, beside the work that is measured."""
READS_AFTER_EXIT = 64  # of 64 KiB each: more than any pipe of ours holds
STUDY_DEADLINE = "StudyDeadline"
STOOD_STILL = "StoodStill"
CUT_SHORT = (STUDY_DEADLINE, STOOD_STILL)
"""No faults of the attempt: the session is out of time, or stood still, and a measurement with a hole is none."""


class Supervisor:
    """Watches one attempt.

    Args:
        attempt: The started worker.
        started_ns: A moment on ``time.monotonic_ns()`` before it was started: what it tells of begins later.
        deadlines: By when it must have come how far, on ``time.monotonic()``.
        session_ends: Returns when the session must be over, on the same clock.
        signals: Ending signals; one that comes ends the watching, and so does a standstill.
        on_phases: Called with the phases that the worker entered since the last call, in order.
        on_progress: Called when it tells of progress.
        tick: Called about once a second.
    """

    def __init__(
        self,
        attempt: Attempt,
        *,
        started_ns: int,
        deadlines: Deadlines,
        session_ends: Callable[[], float] = lambda: math.inf,
        signals: EndingSignals,
        on_phases: Callable[[Sequence[PhaseMessage]], None],
        on_progress: Callable[[ProgressMessage], None],
        tick: Callable[[], None],
    ) -> None:
        self._attempt = attempt
        self._deadlines = deadlines
        self._session_ends = session_ends
        self._signals = signals
        self._stood_before = len(signals.standstills.seen)
        self._on_phases = on_phases
        self._on_progress = on_progress
        self._tick = tick
        self._started_ns = started_ns
        self.phase: Phase = "start"
        self._entered: list[PhaseMessage] = []

    def watch(self) -> Measured | Fault | None:
        """Return the measurement or the fault as soon as it is known; None if the worker ended without a word.

        The worker may still live when this returns: the caller records first and ends it then.

        Raises:
            SessionInterrupted: An ending signal came.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._attempt.fileno(), selectors.EVENT_READ)
            selector.register(self._attempt.exit_fileno(), selectors.EVENT_READ)
            selector.register(self._signals.fileno(), selectors.EVENT_READ)
            last_tick = time.monotonic()
            while True:
                wait_s = self._wait_s(last_tick)
                with self._signals.standstills.sleeping(wait_s):
                    ready = {key.fd for key, _ in selector.select(wait_s)}
                self._signals.check()
                # Asked before reading: what a worker wrote before it exited is in the pipe by then.
                exited = self._attempt.exit_fileno() in ready
                outcome, over = self._read_rest() if exited else self._read()
                if (stood := self._stood_still()) is not None:
                    return stood  # before any limit is looked at, and whatever was measured
                if outcome is not None or over or exited:
                    return outcome
                now = time.monotonic()
                if (fault := self._out_of_time(now)) is not None:
                    return fault
                if now - last_tick >= TICK_S:
                    last_tick = now
                    self._tick()

    def _wait_s(self, last_tick: float) -> float:
        due = min(self._deadlines.next(), self._session_ends(), last_tick + LATEST_TICK_S)
        return max(0.0, due - time.monotonic())

    def _stood_still(self) -> Fault | None:
        stood = self._signals.standstills.seen[self._stood_before :]
        return Fault(STOOD_STILL, f"the session {stood[0].describe()}") if stood else None

    def _out_of_time(self, now: float) -> Fault | None:
        if now >= self._session_ends():
            return Fault(STUDY_DEADLINE, "the study's deadline (limits.study_s) passed")
        overdue = self._deadlines.overdue(now)
        return None if overdue is None else Fault(*overdue)

    def _read(self) -> tuple[Measured | Fault | None, bool]:
        """Take what has arrived; return the outcome if it is known, and whether nothing more will come."""
        received, over = self._attempt.receive()
        if received:
            self._deadlines.heard(time.monotonic())
        outcome = None
        for item in received:
            outcome = item if isinstance(item, Fault) else self._take(item)
            if outcome is not None:
                break
        self._tell_phases()
        return outcome, over

    def _read_rest(self) -> tuple[Measured | Fault | None, bool]:
        """Take what an exited worker left in its pipe; a child of its may hold that open, or flood it, for ever."""
        for _ in range(READS_AFTER_EXIT):
            outcome, over = self._read()
            if outcome is not None or over:
                return outcome, over
        return None, True

    def _take(self, message: Message) -> Measured | Fault | None:
        if isinstance(message, PhaseMessage):
            if PHASES.index(message.phase) <= PHASES.index(self.phase):
                return Fault("ProtocolViolation", f"the worker says {message.phase!r} while in {self.phase!r}")
            self.phase = message.phase
            self._deadlines.entered(message.phase, time.monotonic())
            self._entered.append(message)
        elif isinstance(message, ProgressMessage):
            self._tell_phases()
            self._on_progress(message)
        elif isinstance(message, ErrorMessage):
            return Fault(message.error_type, message.error_message, message.traceback, told=True)
        elif isinstance(message, ResultMessage):
            if PHASES.index(self.phase) < PHASES.index("measure"):
                return Fault("ProtocolViolation", f"the worker sends a result while in {self.phase!r}")
            return self._plausible(message.measured)
        return None

    def _tell_phases(self) -> None:
        """Tell the phases that arrived together together: each telling waits for the disk."""
        if self._entered:
            self._on_phases(self._entered)
            self._entered = []

    def _plausible(self, measured: Measured) -> Measured | Fault:
        """Refuse what lies outside the time in which the worker ran, or out of turn: one machine, one clock."""
        last, last_ns, now_ns = "start", self._started_ns, time.monotonic_ns()
        for what, start_ns, end_ns in _times(measured):
            if start_ns < self._started_ns or now_ns < end_ns:
                return Fault("ImplausibleResult", f"the worker's {what} lies outside the time in which it ran")
            if start_ns < last_ns:
                return Fault("ImplausibleResult", f"the worker's {what} begins before its {last} is over")
            last, last_ns = what, end_ns
        return measured


def _times(measured: Measured) -> Iterator[tuple[str, int, int]]:
    """Yield when a worker says that it did what, in the order in which a worker does it: (what, start, end)."""
    before: list[tuple[str, Sequence[Interval | None]]] = [
        ("load", [measured.load]),
        ("loaded idle", [measured.loaded_idle]),
        ("warm-up", measured.warmup.repeats if measured.warmup else []),
        ("soak", [measured.soak.interval if measured.soak else None]),
    ]
    for what, intervals in before:
        for interval in filter(None, intervals):
            yield what, interval.start_ns, interval.end_ns
    yield "window", measured.window.guard_start_ns, measured.window.guard_end_ns
    if measured.prefill is not None:
        yield "prefill", measured.prefill.window.guard_start_ns, measured.prefill.window.guard_end_ns


def ended_silently(exited: Exit, log: Path) -> Fault:
    """Return the fault of a worker that ended without result or error, with the last words of its log."""
    if exited.forced:
        return Fault("WorkerClosedPipe", "the worker closed its pipe without a result and ran on, so it was ended")
    if exited.lost:
        return Fault("ZygoteDied", f"the worker {exited.describe()} before it sent a result: see logs/zygote.log")
    if exited.out_of_memory:
        return Fault("OutOfMemory", f"the worker {exited.describe()} and sent no result: {exited.out_of_memory}")
    error_type = "WorkerKilled" if exited.signal else "WorkerExitedWithoutResult"
    words = last_words(log)
    ending = f"; its log ends: {words}" if words else ""
    hint = "; the kernel's log may tell why (sudo dmesg)" if exited.signal == "SIGKILL" else ""
    return Fault(error_type, f"the worker {exited.describe()} and sent no result{hint}{ending}")


def last_words(log: Path, limit: int = 200) -> str:
    """Return the line of a log that says most of its end, as printable text; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    words = [line for line in lines if line.strip()]
    fatal = next((line for line in words if line.startswith("Fatal Python error")), None)
    last = fatal or (words[-1] if words else "")
    return redacted("".join(char for char in last if char.isprintable()))[:limit]
