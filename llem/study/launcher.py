"""How an attempt is started, its messages streamed and its end enforced: a small port, and the local way.

Nothing else assumes that a worker is on this host: another launcher may stream the same messages from
elsewhere to the same single writer.
"""

import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llem.domain.messages import (
    MAX_MESSAGE_BYTES,
    GoOn,
    InvalidMessageError,
    Message,
    WorkerSpec,
    parse_message,
    shown,
)
from llem.lifeline import tied_to_us
from llem.study.signals import EndingSignals

PIPE_BYTES = 1 << 20
READ_BYTES = 1 << 16
MARKER = "LLEM_ATTEMPT"
"""Every process of an attempt has this variable, so that one that left the process group is found too."""


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
    """

    code: int | None
    signal: str | None
    forced: bool = False

    def describe(self) -> str:
        """Return the end in words."""
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


class Launcher(Protocol):
    """Starts workers."""

    name: str

    def start(self, spec: WorkerSpec, log: Path) -> Attempt:
        """Start the attempt that ``spec`` describes; its output goes to ``log``.

        Raises:
            OSError: It cannot be started.
        """

    def sweep(self) -> int:
        """End what earlier attempts of this study left behind, and return how many processes that were."""


class LocalLauncher:
    """Starts each attempt as a cold process on this machine, in a process group of its own.

    Args:
        study: Marks the attempts of this study; the same in every session of it.
        command: The worker's command; the parent's pid, the message descriptor and the one on which the worker hears
            are appended.
    """

    name = "local-cold"

    def __init__(self, study: str, command: Sequence[str] = (sys.executable, "-P", "-m", "llem.worker")) -> None:
        self._study = study
        self._command = tuple(command)

    def start(self, spec: WorkerSpec, log: Path) -> "LocalAttempt":
        """Start a worker; see ``Launcher``. Called from the main thread, since workers die with that thread."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        hearing, telling = os.pipe2(os.O_CLOEXEC)
        marker = f"{self._study}/{spec.trial}/{spec.attempt}"
        try:
            _widen(reader)
            with tempfile.TemporaryFile() as stdin, log.open("wb") as output:
                # A file, not a pipe: a worker that never reads its specification cannot block us.
                stdin.write(spec.model_dump_json().encode())
                stdin.seek(0)
                process = subprocess.Popen(
                    [*self._command, str(os.getpid()), str(writer), str(hearing)],
                    stdin=stdin,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(writer, hearing),
                    process_group=0,
                    preexec_fn=tied_to_us(),  # noqa: PLW1509 - the parent has one thread
                    env={**os.environ, MARKER: marker, "PYTHONFAULTHANDLER": "1"},
                )
        except BaseException:
            os.close(reader)
            os.close(telling)
            raise
        finally:
            os.close(writer)
            os.close(hearing)
        return LocalAttempt(process, reader, telling, marker)

    def sweep(self) -> int:
        """End what earlier attempts of this study left behind on this machine."""
        return _kill_marked(self._study + "/")


class LocalAttempt:
    """A worker on this machine; see ``Attempt``."""

    def __init__(self, process: "subprocess.Popen[bytes]", pipe: int, telling: int, marker: str) -> None:
        self._process = process
        self._pipe = pipe
        self._telling = telling
        self._marker = marker
        self._pidfd = os.pidfd_open(process.pid)
        self._partial = bytearray()
        os.set_blocking(pipe, False)
        os.set_blocking(telling, False)

    def fileno(self) -> int:
        """Return the message pipe."""
        return self._pipe

    def exit_fileno(self) -> int:
        """Return the worker's pidfd."""
        return self._pidfd

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
        return _readable(self._pidfd, 0)

    def end(self, *, patience_s: float, grace_s: float, signals: EndingSignals) -> Exit:
        """End the worker and all that it started; see ``Attempt``."""
        self._drain_until_exit(patience_s, signals.fileno())
        forced = not self.has_exited()
        if forced:
            self._signal_group(signal.SIGTERM)
            self._drain_until_exit(grace_s, signals.hurry_fileno())
        if not self.has_exited():
            self._process.kill()  # the leader first: a killed leader starts nothing new
            _readable(self._pidfd, 5)
        # The exited leader is not reaped yet, so its group's number cannot be anyone else's.
        self._signal_group(signal.SIGKILL)
        code = self._process.wait()
        os.close(self._pidfd)
        os.close(self._pipe)
        os.close(self._telling)
        _kill_marked(self._marker)
        return Exit(None, _signal_name(-code), forced) if code < 0 else Exit(code, None, forced)

    def _drain_until_exit(self, seconds: float, wake: int) -> None:
        """Wait for the exit, reading what the worker still writes so that a full pipe cannot hold it."""
        deadline = time.monotonic() + seconds
        pipe_open = True
        while not self.has_exited() and (left_s := deadline - time.monotonic()) > 0:
            waiting = [self._pidfd, wake, *([self._pipe] if pipe_open else [])]
            ready = select.select(waiting, [], [], left_s)[0]
            if wake in ready:
                return
            if self._pipe in ready:
                try:
                    pipe_open = bool(os.read(self._pipe, READ_BYTES))
                except BlockingIOError:
                    continue

    def _signal_group(self, signum: int) -> None:
        try:
            os.killpg(self._process.pid, signum)
        except ProcessLookupError:
            pass  # nobody is left in it


def _message(line: bytes) -> Message | Fault:
    if len(line) > MAX_MESSAGE_BYTES:
        return _too_large(line)
    try:
        return parse_message(line)
    except InvalidMessageError as error:
        return Fault("InvalidMessage", str(error))


def _too_large(line: bytes) -> Fault:
    return Fault("MessageTooLarge", f"a message has more than {MAX_MESSAGE_BYTES:,} bytes: {shown(line)}")


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # over the user's limit: the usual 64 KiB works too, since we always read


def _signal_name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"  # most real-time signals have no name


def _readable(descriptor: int, timeout_s: float) -> bool:
    return bool(select.select([descriptor], [], [], timeout_s)[0])


def _kill_marked(prefix: str) -> int:
    """Kill every process whose marker starts with ``prefix``, and return how many there were."""
    wanted = f"{MARKER}={prefix}".encode()
    killed = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            if any(variable.startswith(wanted) for variable in variables):
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
        except OSError:
            continue  # gone meanwhile, or another user's
    return killed
