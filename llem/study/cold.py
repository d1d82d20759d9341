"""Starting a worker's process anew: an interpreter that imports its libraries itself, in seconds."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llem.lifeline import tied_to_us
from llem.study.leftovers import MARKER, kill_marked

COLD_COMMAND = (sys.executable, "-P", "-m", "llem.worker")


class Streams(NamedTuple):
    """What a worker is connected to: its specification, its log, its pipe to the parent and the one from it."""

    specification: int
    log: int
    messages: int
    hearing: int


class ColdProcess:
    """A worker's new process. Started from the main thread, since it dies with that thread.

    Args:
        command: The worker's command; the parent's pid and the two pipes are appended.
        environment: Its variables, beside those of this process.
        streams: What it is connected to.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], streams: Streams) -> None:
        self._marker = environment[MARKER]
        self._process = subprocess.Popen(
            [*command, str(os.getpid()), str(streams.messages), str(streams.hearing)],
            stdin=streams.specification,
            stdout=streams.log,
            stderr=subprocess.STDOUT,
            pass_fds=(streams.messages, streams.hearing),
            process_group=0,
            preexec_fn=tied_to_us(),  # noqa: PLW1509 - the parent has one thread
            env={**os.environ, **environment, "PYTHONFAULTHANDLER": "1"},
        )
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def bury(self) -> int:
        """Reap it, and end its group and whatever has its marker; see ``LocalProcess``."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nobody is left in it
        code = self._process.wait()
        kill_marked(self._marker)
        return code
