"""A worker on this machine, forked or started anew: its messages, and its end."""

import os
import select
import signal
import time
from typing import Protocol

from llem.domain.messages import MAX_MESSAGE_BYTES, GoOn, InvalidMessageError, Message, parse_message, shown
from llem.study.cgroup import KillWatch
from llem.study.launcher import Exit, Fault
from llem.study.signals import EndingSignals

READ_BYTES = 1 << 16
KILL_PATIENCE_S = 5.0


class LocalProcess(Protocol):
    """A worker's process, the leader of a process group of its own."""

    @property
    def pid(self) -> int:
        """Return its number, which is that of its group too."""

    @property
    def pidfd(self) -> int:
        """Return its pidfd, which is readable once it has exited."""

    def bury(self) -> int | None:
        """Reap the worker, which has exited, and end all that it left behind.

        Until then nobody else can have its number, or that of its group.

        Returns:
            Its exit code, negative for the signal that ended it; None where nobody knows.
        """


class LocalAttempt:
    """A worker on this machine; see ``Attempt``.

    Args:
        process: The worker's process.
        pipe: Its messages come in here.
        telling: What it is told goes out here.
        kills: Made before it was started.
    """

    def __init__(self, process: LocalProcess, pipe: int, telling: int, kills: KillWatch) -> None:
        self._process = process
        self._kills = kills
        self._pipe = pipe
        self._telling = telling
        self._partial = bytearray()
        os.set_blocking(pipe, False)
        os.set_blocking(telling, False)

    def fileno(self) -> int:
        """Return the message pipe."""
        return self._pipe

    def exit_fileno(self) -> int:
        """Return the worker's pidfd."""
        return self._process.pidfd

    def receive(self) -> tuple[list[Message | Fault], bool]:
        """Return what the pipe holds now, up to the first chunk with a whole message; see ``Attempt``."""
        while True:
            try:
                chunk = os.read(self._pipe, READ_BYTES)
            except BlockingIOError:
                return [], False
            if not chunk:
                torn = Fault("TornMessage", f"the last message has no end: {shown(bytes(self._partial))}")
                return [torn] if self._partial else [], True
            self._partial += chunk
            *lines, rest = self._partial.split(b"\n")
            self._partial = bytearray(rest)
            received = [_message(bytes(line)) for line in lines]
            if len(rest) > MAX_MESSAGE_BYTES:
                received.append(_too_large(bytes(rest)))
            if received:
                return received, False  # the rest is still there next time; deadlines come first

    def tell(self, message: GoOn) -> None:
        """Say something to the worker; see ``Attempt``."""
        try:
            # A pipe holds 64 KiB and this one little else, so a message goes out whole.
            os.write(self._telling, message.model_dump_json().encode() + b"\n")
        except OSError:
            pass  # it is gone, or hears nothing: both show elsewhere

    def has_exited(self) -> bool:
        """Return whether the worker itself has exited."""
        return _readable(self._process.pidfd, 0)

    def end(self, *, patience_s: float, grace_s: float, signals: EndingSignals) -> Exit:
        """End the worker and all that it started; see ``Attempt``."""
        self._drain_until_exit(patience_s, signals.fileno())
        forced = not self.has_exited()
        if forced:
            self._terminate_group()
            self._drain_until_exit(grace_s, signals.hurry_fileno())
        if not self.has_exited():
            # The leader first: a killed leader starts nothing new.
            signal.pidfd_send_signal(self._process.pidfd, signal.SIGKILL)
            _readable(self._process.pidfd, KILL_PATIENCE_S)
        code = self._process.bury()
        os.close(self._process.pidfd)
        os.close(self._pipe)
        os.close(self._telling)
        if code is None:
            return Exit(None, None, forced, lost=True)
        if code >= 0:
            return Exit(code, None, forced)
        killed = code == -signal.SIGKILL and not forced
        return Exit(None, _signal_name(-code), forced, out_of_memory=self._kills.evidence() if killed else None)

    def _drain_until_exit(self, seconds: float, wake: int) -> None:
        """Wait for the exit, reading what the worker still writes so that a full pipe cannot hold it."""
        deadline = time.monotonic() + seconds
        pipe_open = True
        while not self.has_exited() and (left_s := deadline - time.monotonic()) > 0:
            waiting = [self._process.pidfd, wake, *([self._pipe] if pipe_open else [])]
            ready = select.select(waiting, [], [], left_s)[0]
            if wake in ready:
                return
            if self._pipe in ready:
                try:
                    pipe_open = bool(os.read(self._pipe, READ_BYTES))
                except BlockingIOError:
                    continue

    def _terminate_group(self) -> None:
        try:
            # It has not exited, so that number is still its own.
            os.killpg(self._process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass  # it has, just now


def _message(line: bytes) -> Message | Fault:
    if len(line) > MAX_MESSAGE_BYTES:
        return _too_large(line)
    try:
        return parse_message(line)
    except InvalidMessageError as error:
        return Fault("InvalidMessage", str(error))


def _too_large(line: bytes) -> Fault:
    return Fault("MessageTooLarge", f"a message has more than {MAX_MESSAGE_BYTES:,} bytes: {shown(line)}")


def _signal_name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"  # most real-time signals have no name


def _readable(descriptor: int, timeout_s: float) -> bool:
    return bool(select.select([descriptor], [], [], timeout_s)[0])
