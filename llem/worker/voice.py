"""What a worker says: each phase as it begins, and progress often enough to show that it lives."""

import time
from collections.abc import Callable, Sequence

from llem.domain.events import Phase
from llem.domain.messages import PhaseMessage, ProgressMessage

PROGRESS_EVERY_S = 1.0
"""Each time the parent wakes up beside the measurement; nobody watching a study of hours asks for it more often."""

Send = Callable[[PhaseMessage | ProgressMessage], None]


class Voice:
    """Tells the parent of phases and progress.

    Args:
        send: Takes the messages.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._told_ns = 0

    def enter(self, phase: Phase, devices: Sequence[str] = ()) -> None:
        """Tell that a phase begins now."""
        self._told_ns = time.monotonic_ns()
        self._send(PhaseMessage(phase=phase, t_ns=self._told_ns, devices=tuple(devices)))

    def progress(self, done: int, fraction: float | None = None) -> None:
        """Tell how many passes of the phase are done, unless that was told within the last second."""
        now_ns = time.monotonic_ns()
        if (now_ns - self._told_ns) / 1e9 >= PROGRESS_EVERY_S:
            self._told_ns = now_ns
            self._send(ProgressMessage(done=done, fraction=None if fraction is None else min(1.0, fraction)))
