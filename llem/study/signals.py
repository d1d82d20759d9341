"""Signals that end a session or stop it, as something that a selector can wait for."""

import os
import select
import signal
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Self

from llem.study.descendants import signal_descendants
from llem.study.standstill import Standstills

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
    event away. A second signal cuts every grace that the first one left, a third one ends this process and all
    that it started on the spot; so does the second one where ``nothing_to_lose`` was called.

    Ctrl-Z (SIGTSTP) stops all that this process started, and then this process; when that is continued, so are they.

    Attributes:
        standstills: When this process stood still.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._second = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._before: dict[signal.Signals, object] = {}
        self._wakeup_before = -1
        self._received: int | None = None
        self._hurried = False
        self._told = False
        self.standstills = Standstills()

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when an ending signal comes, and stays so."""
        return self._woken

    def hurry_fileno(self) -> int:
        """Return a descriptor that becomes readable when a second signal comes, and stays so."""
        return self._second

    def check(self) -> None:
        """Raise SessionInterrupted if an ending signal has come."""
        if (interrupted := self.interrupted()) is not None:
            raise interrupted

    def interrupted(self) -> SessionInterrupted | None:
        """Return what ``check`` would raise."""
        if self._received is None:
            return None
        self._told = True
        return SessionInterrupted(self._received)

    def wait(self, descriptors: Sequence[int], seconds: float) -> list[int]:
        """Return which of these are readable, as soon as one is; none after so many seconds.

        Time in which this process stood still does not count: what is waited for may have stood still with it.

        Raises:
            SessionInterrupted: An ending signal came.
        """
        while True:
            seen = len(self.standstills.seen)
            with self.standstills.sleeping(seconds):
                ready = select.select([*descriptors, self._woken], [], [], seconds)[0]
            self.check()
            if ready or len(self.standstills.seen) == seen:
                return ready

    def pause(self, seconds: float) -> None:
        """Wait this long; an ending signal raises SessionInterrupted at once."""
        self.wait((), seconds)

    def nothing_to_lose(self) -> None:
        """Have whatever signal comes after the first one end this process: all that counts is recorded."""
        self._hurried = True

    def __enter__(self) -> Self:
        for signum, handler in (*((signum, self._note) for signum in ENDING), (signal.SIGTSTP, self._stop)):
            # What is ignored stays so: `nohup` and background jobs of a shell ask for that.
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, handler)
        # A handler runs between two steps of Python: a signal just before a wait begins would not end that.
        self._wakeup_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]
        for descriptor in (self._woken, self._wake, self._second):
            os.close(descriptor)
        if self._received is not None and not self._told:
            os.kill(self._pid, self._received)  # it came when nobody looked any more

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return  # a child that has not become its program yet: its parent acts for it
        if self._received is None:
            self._received = signum
            os.write(self._wake, b"!")
        elif not self._hurried:
            self._hurried = True
            os.eventfd_write(self._second, 1)
        else:
            signal_descendants(signal.SIGKILL)
            signal.signal(signum, signal.SIG_DFL)
            os.kill(self._pid, signum)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return
        with self.standstills.stopping():
            signal_descendants(signal.SIGSTOP)
            # By the default, which does nothing where no shell could continue us.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(self._pid, signum)
            signal.signal(signum, self._stop)
            signal_descendants(signal.SIGCONT)
        if self._received is None:
            os.read(self._woken, 64)  # Python has written there that this signal came
