"""The parent's side of the recorder: start it, have it record, and go on without it when it fails."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from llem.domain.errors import SensorError
from llem.domain.messages import shown
from llem.domain.model import Value
from llem.domain.recording import (
    REPLY,
    Ready,
    RecorderFailed,
    Reply,
    Started,
    StartRecording,
    Stopped,
    StopRecording,
    TellTemperatures,
    TellUse,
    Temperatures,
    Use,
)
from llem.domain.sensing import DeviceUse, SensorReport, Temperature
from llem.journal.storage import unwritable
from llem.lifeline import tied_to_us
from llem.study.logs import open_log
from llem.study.signals import EndingSignals
from llem.study.standstill import wait_awake

OPEN_TIMEOUT_S = 60.0
REPLY_TIMEOUT_S = 10.0
TEMPERATURES_TIMEOUT_S = 5.0
EXIT_PATIENCE_S = 1.0
MOST_BYTES = 4_000_000
"""Of a reply: many times what it takes to tell of all the channels of a large machine."""
COMMAND = (sys.executable, "-P", "-m", "llem.recorder")

R = TypeVar("R", Ready, Started, Stopped, Temperatures, Use)


class RecorderClient:
    """A running recorder. Every way in which it can fail is a SensorError: a null figure with that reason.

    But what cannot be written is a StudyError: the disk's fault, which no trial is to be measured under.

    Args:
        sensors: Names of the sensors to open.
        log: Where its output goes.
        signals: Ending signals, which no wait for the recorder holds up; None where nobody listens for them.
        command: The recorder's command; the parent's pid and the sensors' names are appended.

    Raises:
        SensorError: It cannot be started.
        StudyError: Its log cannot be written.
        SessionInterrupted: An ending signal came.
    """

    def __init__(
        self,
        sensors: Sequence[str],
        log: Path,
        signals: EndingSignals | None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._signals = signals
        self._partial = b""
        self._samples = Path()
        try:
            with open_log(log) as output:
                self._process = subprocess.Popen(
                    [*command, str(os.getpid()), *sensors],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    process_group=0,
                    preexec_fn=tied_to_us(),  # noqa: PLW1509 - the parent has one thread
                )
        except OSError as error:
            raise SensorError(f"The recorder cannot be started: {error}.", remedy="See `llem doctor`.") from error
        try:
            self.report: SensorReport = self._await(Ready, OPEN_TIMEOUT_S).report
        except BaseException:
            self.close()
            raise

    def begin(self, samples: Path) -> None:
        """Record into ``samples`` from now on.

        Raises:
            SensorError: It does not record.
            StudyError: ``samples`` cannot be written.
        """
        self._samples = samples
        self._command(StartRecording(file=str(samples)))
        self._await(Started, REPLY_TIMEOUT_S)

    def finish(self) -> Stopped:
        """Stop recording and return the file's hash and what recording cost.

        Raises:
            SensorError: The file is not complete.
            StudyError: It could not be written.
        """
        self._command(StopRecording())
        return self._await(Stopped, REPLY_TIMEOUT_S)

    def temperatures(self) -> tuple[Temperature, ...]:
        """Return how warm the devices are now; empty where no sensor can tell.

        Raises:
            SensorError: It does not answer.
        """
        self._command(TellTemperatures())
        return self._await(Temperatures, TEMPERATURES_TIMEOUT_S).devices

    def use(self) -> tuple[DeviceUse, ...]:
        """Return what is on the devices now; empty where no sensor can tell.

        Raises:
            SensorError: It does not answer.
        """
        self._command(TellUse())
        return self._await(Use, REPLY_TIMEOUT_S).devices

    def check(self) -> None:
        """Hear what it says unasked, while it records. A recorder that died meanwhile is left to ``finish``.

        Raises:
            StudyError: The file cannot be written any more.
        """
        assert self._process.stdout is not None
        if b"\n" not in self._partial and not select.select([self._process.stdout], [], [], 0)[0]:
            return
        try:
            reply = self._reply(REPLY_TIMEOUT_S)
        except SensorError:
            return
        if isinstance(reply, RecorderFailed):
            self._require_disk(reply)

    def close(self) -> None:
        """End the recorder: it leaves when its commands end, or is killed; and what its libraries have started."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass  # it is gone already
        self._wait_for_exit()
        # It is not reaped yet, so its group's number cannot be anyone else's.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _wait_for_exit(self) -> None:
        """Let it leave by itself, unless that takes long or a second signal comes."""
        pidfd = os.pidfd_open(self._process.pid)
        hurry = [] if self._signals is None else [self._signals.hurry_fileno()]
        try:
            select.select([pidfd, *hurry], [], [], EXIT_PATIENCE_S)
        finally:
            os.close(pidfd)

    def _command(self, command: Value) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None

    def _await(self, expected: type[R], timeout_s: float) -> R:
        reply = self._reply(timeout_s)
        while isinstance(reply, Temperatures) and expected is not Temperatures:
            reply = self._reply(timeout_s)  # that one answers a question which nobody waits for any more
        if isinstance(reply, expected):
            return reply
        if isinstance(reply, RecorderFailed):
            self._require_disk(reply)
        reason = reply.reason if isinstance(reply, RecorderFailed) else f"it answered {reply.did!r}"
        raise SensorError(f"The recorder failed: {reason}.", remedy="See logs/recorder.log.")

    def _reply(self, timeout_s: float) -> Reply:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        wait = wait_awake if self._signals is None else self._signals.wait
        while b"\n" not in self._partial:
            if not wait([pipe], timeout_s):
                raise SensorError("The recorder does not answer.", remedy="See logs/recorder.log.")
            chunk = os.read(pipe, 1 << 16)
            if not chunk:
                raise self._died()
            self._partial += chunk
            if len(self._partial) > MOST_BYTES:
                raise SensorError("The recorder floods its pipe.", remedy="See logs/recorder.log.")
        line, _, self._partial = self._partial.partition(b"\n")
        try:
            return REPLY.validate_json(line)
        except ValidationError:
            raise SensorError(f"The recorder says {shown(line)}.", remedy="See logs/recorder.log.") from None

    def _require_disk(self, reply: RecorderFailed) -> None:
        if reply.errno is not None:
            raise unwritable(f"The raw edges {self._samples}", OSError(reply.errno, os.strerror(reply.errno)))

    def _died(self) -> SensorError:
        return SensorError("The recorder died.", remedy="See logs/recorder.log.")
