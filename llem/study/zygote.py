"""The parent's side of a zygote: start it, have it fork workers and bury them, and end it when it fails."""

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from llem.domain.forking import (
    MOST_BYTES,
    REPLY,
    Buried,
    Bury,
    Fork,
    Forked,
    Prepare,
    Prepared,
    Refused,
    Request,
)
from llem.domain.messages import WorkerSpec, shown
from llem.lifeline import tied_to_us
from llem.study.cold import Streams
from llem.study.leftovers import MARKER, kill_marked
from llem.study.logs import open_log
from llem.study.signals import EndingSignals
from llem.study.standstill import wait_awake

IMPORT_TIMEOUT_S = 180.0
"""On a file system that is far away, torch takes its time."""
REPLY_TIMEOUT_S = 10.0

R = TypeVar("R", Prepared, Forked, Buried)


class ZygoteError(Exception):
    """A zygote cannot be started, or cannot fork a worker as clean as a new process. The text says why."""


class Zygote:
    """A running zygote. Started from the main thread, since it dies with that thread.

    Whatever goes wrong in an exchange ends it, and its worker with it.

    Args:
        command: Its command; the parent's pid and its end of the socket are appended.
        environment: Its variables, beside those of this process.
        marker: Marks it, and what its workers fork.
        log: Where its output goes.
        reply_s: It must fork or bury within this time.

    Raises:
        ZygoteError: It cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        marker: str,
        log: Path,
        reply_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self._marker = marker
        self._reply_s = reply_s
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.alive = True
        try:
            with theirs, open_log(log) as output:
                self._process = subprocess.Popen(
                    [*command, str(os.getpid()), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    process_group=0,
                    preexec_fn=tied_to_us(),  # noqa: PLW1509 - the parent has one thread
                    env={**os.environ, **environment, MARKER: marker, "PYTHONFAULTHANDLER": "1"},
                )
        except OSError as error:
            self._channel.close()
            raise ZygoteError(f"the zygote cannot be started: {error}") from error

    def prepare(self, spec: WorkerSpec, signals: EndingSignals) -> None:
        """Have it import what an attempt needs, and say whether a worker can be forked.

        Raises:
            ZygoteError: None can.
            SessionInterrupted: An ending signal came.
        """
        request = Prepare(config=spec.config, base_dir=spec.base_dir)
        self._ask(request, Prepared, IMPORT_TIMEOUT_S, signals=signals)

    def fork(self, environment: Mapping[str, str], streams: Streams) -> "ForkedProcess":
        """Fork a worker that has these variables beside the zygote's.

        Raises:
            ZygoteError: It cannot be forked.
        """
        request = Fork(environment=dict(environment))
        forked, pidfds = self._ask(request, Forked, self._reply_s, streams)
        return ForkedProcess(self, forked.pid, pidfds[0], environment[MARKER])

    def bury(self) -> int:
        """Reap the worker, end all that it left behind, and return its exit code.

        Raises:
            ZygoteError: The zygote is gone.
        """
        return self._ask(Bury(), Buried, self._reply_s)[0].exit_code

    def end(self) -> None:
        """End it, and whatever still has its marker."""
        if self.alive:
            self.alive = False
            self._process.kill()
            self._process.wait()
            self._channel.close()

    def _ask(
        self,
        request: Request,
        expected: type[R],
        timeout_s: float,
        descriptors: Sequence[int] = (),
        signals: EndingSignals | None = None,
    ) -> tuple[R, list[int]]:
        try:
            return self._exchange(request, expected, timeout_s, descriptors, signals)
        except BaseException:
            # A reply that is still to come would be taken for that to the next request.
            self.end()
            kill_marked(self._marker)
            raise

    def _exchange(
        self,
        request: Request,
        expected: type[R],
        timeout_s: float,
        descriptors: Sequence[int],
        signals: EndingSignals | None,
    ) -> tuple[R, list[int]]:
        wait = wait_awake if signals is None else signals.wait
        try:
            socket.send_fds(self._channel, [request.model_dump_json().encode()], list(descriptors))
            if not wait([self._channel.fileno()], timeout_s):
                raise ZygoteError(f"the zygote did not answer within {timeout_s:g} s")
            packet, received, _, _ = socket.recv_fds(self._channel, MOST_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:  # whatever the system calls it
            raise ZygoteError("the zygote died") from error
        if not packet:
            raise ZygoteError("the zygote died")
        return self._understood(packet, expected), received

    @staticmethod
    def _understood(packet: bytes, expected: type[R]) -> R:
        try:
            reply = REPLY.validate_json(packet)
        except ValidationError:
            raise ZygoteError(f"the zygote says {shown(packet)}") from None
        if isinstance(reply, Refused):
            raise ZygoteError(reply.reason)
        if not isinstance(reply, expected):
            raise ZygoteError(f"the zygote answered {reply.did!r}")
        return reply


class ForkedProcess:
    """A worker that a zygote forked; see ``LocalProcess``."""

    def __init__(self, zygote: Zygote, pid: int, pidfd: int, marker: str) -> None:
        self._zygote = zygote
        self._marker = marker
        self.pid = pid
        self.pidfd = pidfd

    def bury(self) -> int | None:
        """Have the zygote reap it, which has adopted all that it left behind, and end that."""
        try:
            return self._zygote.bury()
        except ZygoteError:
            kill_marked(self._marker)  # the zygote cannot tell any more what was its worker's
            return None
