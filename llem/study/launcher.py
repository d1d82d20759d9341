"""How an attempt is started, its messages streamed and its end enforced: a small port.

Nothing else assumes that a worker is on this host: another launcher may stream the same messages from
elsewhere to the same single writer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llem.domain.messages import GoOn, Message, WorkerSpec
from llem.study.signals import EndingSignals


@dataclass(frozen=True)
class Fault:
    """What went wrong with an attempt.

    Attributes:
        error_type: The kind of fault, as the event will name it.
        message: The same in words.
        traceback: The worker's own trace, where it sent one.
        told: Whether the worker said so itself, and may be about to leave in good order.
    """

    error_type: str
    message: str
    traceback: str | None = None
    told: bool = False


@dataclass(frozen=True)
class Exit:
    """How a worker ended.

    Attributes:
        code: Its exit code, if it had one.
        signal: The signal that ended it, if one did.
        forced: Whether it was we who had to end it.
        lost: Whether what had started it ended first, so that nobody knows how it ended.
        out_of_memory: What shows that it was killed since memory ran out; None where nothing does.
    """

    code: int | None
    signal: str | None
    forced: bool = False
    lost: bool = False
    out_of_memory: str | None = None

    def describe(self) -> str:
        """Return the end in words."""
        if self.lost:
            return "was lost with the zygote that had forked it"
        return f"was killed by {self.signal}" if self.signal else f"exited with code {self.code}"


class Attempt(Protocol):
    """A started worker."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when messages are there, or their end."""

    def exit_fileno(self) -> int:
        """Return a descriptor that is readable once the worker has exited."""

    def receive(self) -> tuple[list[Message | Fault], bool]:
        """Return what has arrived, in order, and whether there will be no more. Never waits.

        What is no message stands in the list as a fault, behind the messages that came before it.
        """

    def tell(self, message: GoOn) -> None:
        """Say something to the worker. Never waits; what a worker that is gone is told is lost."""

    def has_exited(self) -> bool:
        """Return whether the worker itself has exited; what it started may still live."""

    def end(self, *, patience_s: float, grace_s: float, signals: EndingSignals) -> Exit:
        """Wait for the worker, then ask it to stop (TERM), then kill it; nothing that it started is left.

        Args:
            patience_s: How long it may take to exit by itself.
            grace_s: How long it may take after TERM.
            signals: The first signal ends the patience, the second one the grace.
        """


class Start(Protocol):
    """An attempt that can be started now, and in which way."""

    @property
    def launcher(self) -> str:
        """Return the way, as the record names it."""

    @property
    def cold_because(self) -> str | None:
        """Return why the worker's process is new, where a forked one was wanted."""

    @property
    def warning(self) -> str | None:
        """Return what deserves a person's attention now; what was said before is not said again."""

    def start(self) -> Attempt:
        """Start the worker.

        Raises:
            OSError: It cannot be started.
            StudyError: Its log cannot be written.
            SessionInterrupted: An ending signal came.
        """


class Launcher(Protocol):
    """Starts workers."""

    def prepare(self, spec: WorkerSpec, log: Path, signals: EndingSignals) -> Start:
        """Make ready for the attempt that ``spec`` describes, whose output will go to ``log``.

        This may take seconds, in which nothing of the attempt happens.

        Raises:
            SessionInterrupted: An ending signal came.
        """

    def sweep(self) -> int:
        """End what earlier attempts of this study left behind, and return how many processes that were."""

    def close(self) -> None:
        """End what was kept ready. No attempt runs, and none will be started."""
