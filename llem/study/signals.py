"""Signals that end a session, as something that a selector can wait for."""

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Self

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SessionInterrupted(BaseException):
    """The user or the machine asked the session to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """Return 128 + the signal, as shells do: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signum


class EndingSignals:
    """Notes ending signals instead of dying of them, and wakes whoever waits for one of its descriptors.

    What is waiting calls ``check`` and ends the session at its next safe point, which is never more than an
    event away. A second signal cuts every grace that the first one left.
    """

    def __init__(self) -> None:
        self._first = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._second = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._before: dict[signal.Signals, object] = {}
        self._received: int | None = None

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when a signal comes, and stays so."""
        return self._first

    def hurry_fileno(self) -> int:
        """Return a descriptor that becomes readable when a second signal comes, and stays so."""
        return self._second

    def check(self) -> None:
        """Raise SessionInterrupted if an ending signal has come."""
        if self._received is not None:
            raise SessionInterrupted(self._received)

    def pause(self, seconds: float) -> None:
        """Wait this long; an ending signal raises SessionInterrupted at once."""
        select.select([self._first], [], [], seconds)
        self.check()

    def __enter__(self) -> Self:
        for signum in ENDING:
            # What is ignored stays so: `nohup` and background jobs of a shell ask for that.
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]
        os.close(self._first)
        os.close(self._second)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        os.eventfd_write(self._first if self._received is None else self._second, 1)
        if self._received is None:
            self._received = signum
