"""``python -P -m llem.worker.zygote PARENT FD``: has imported what workers need, and forks them.

A forked worker has torch and transformers within milliseconds. For that to be as clean as a new process, a zygote
only imports: it computes nothing, starts no thread and touches no device, and looks before each fork whether that is
so. What it is asked comes in on the socket FD, one request and one reply at a time; between requests it sleeps.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from llem.domain.forking import MOST_BYTES, REQUEST, Buried, Fork, Forked, Prepare, Prepared, Refused, Reply
from llem.domain.spec import ExperimentConfig
from llem.lifeline import adopt_descendants, die_with_parent
from llem.worker.attempt import run
from llem.worker.forked import become_worker, name_process
from llem.worker.guard import settle, violation
from llem.worker.leftovers import end_children
from llem.worker.preload import preload

DESCRIPTORS = 4


class Zygote:
    """Answers the parent until it is gone.

    Args:
        channel: The socket to the parent.
        preload: Imports what a configuration needs.
        run: What a worker does, with its descriptors of messages and of hearing.
    """

    def __init__(
        self,
        channel: socket.socket,
        preload: Callable[[ExperimentConfig, Path], None] = preload,
        run: Callable[[int, int], object] = run,
    ) -> None:
        self._channel = channel
        self._preload = preload
        self._run = run
        self._worker: int | None = None

    def serve(self) -> None:
        """Answer every request."""
        while True:
            packet, descriptors, _, _ = socket.recv_fds(
                self._channel, MOST_BYTES, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
            if not packet:
                return  # the parent closed its end
            request = REQUEST.validate_json(packet)
            if isinstance(request, Prepare):
                self._say(self._prepare(request))
            elif isinstance(request, Fork):
                self._fork(request, descriptors)
            else:
                self._say(self._bury())

    def _prepare(self, request: Prepare) -> Reply:
        try:
            self._preload(request.config, Path(request.base_dir))
        except Exception as error:  # noqa: BLE001 - whatever an import raises, the parent must be told
            return Refused(reason=f"importing failed: {type(error).__name__}: {error}"[:2000])
        settle()
        reason = violation()
        return Refused(reason=reason) if reason else Prepared()

    def _fork(self, request: Fork, descriptors: list[int]) -> None:
        reason = violation() or (f"worker {self._worker} is not buried" if self._worker is not None else None)
        if reason:
            self._say(Refused(reason=reason))
        else:
            self._say(*self._forked(request, descriptors))
        for descriptor in descriptors:
            os.close(descriptor)

    def _forked(self, request: Fork, descriptors: list[int]) -> tuple[Reply, int | None]:
        zygote = os.getpid()
        sys.stdout.flush()  # else what an import has printed would stand in the worker's log too
        try:
            pid = os.fork()
        except OSError as error:
            return Refused(reason=f"no process can be forked: {error.strerror}"), None
        if pid == 0:
            self._channel.detach()  # closed with all the others
            become_worker(zygote, descriptors, request.environment, self._run)
        self._worker = pid
        try:
            os.setpgid(pid, pid)  # the worker does that too: whoever is first
        except OSError:
            pass  # it has gone already
        return Forked(pid=pid), os.pidfd_open(pid)

    def _bury(self) -> Reply:
        pid, self._worker = self._worker, None
        if pid is None:
            return Refused(reason="there is no worker")
        try:
            os.killpg(pid, signal.SIGKILL)  # it is not reaped yet, so that number can be no one else's
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left in it
        status = os.waitpid(pid, 0)[1]
        end_children()
        return Buried(exit_code=os.waitstatus_to_exitcode(status))

    def _say(self, reply: Reply, pidfd: int | None = None) -> None:
        socket.send_fds(self._channel, [reply.model_dump_json().encode()], [] if pidfd is None else [pidfd])
        if pidfd is not None:
            os.close(pidfd)


def main(
    arguments: list[str],
    preload: Callable[[ExperimentConfig, Path], None] = preload,
    run: Callable[[int, int], object] = run,
) -> NoReturn:
    """Serve as a zygote until the parent is gone."""
    parent, descriptor = arguments
    die_with_parent(int(parent))
    adopt_descendants()
    name_process("llem-zygote")
    Zygote(socket.socket(fileno=int(descriptor)), preload, run).serve()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
