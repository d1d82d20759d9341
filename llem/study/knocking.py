"""Whether a host on the network answers, asked without a thread and without waiting for ever."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from llem.lifeline import tied_to_us
from llem.study.signals import EndingSignals

TIMEOUT_S = 3.0
VALID_S = 60.0

KNOCK = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3]))"


class Knocker:
    """Asks hosts whether they answer, and takes an answer as valid for a minute.

    In a process of its own each time: resolving a name has no timeout, and the parent has one thread.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int], tuple[float, bool]] = {}

    def answers(self, signals: EndingSignals) -> Callable[[str, int], bool]:
        """Return a function from host and port to whether it answers; an ending signal ends its wait.

        The function raises SessionInterrupted when such a signal comes.
        """

        def answers(host: str, port: int) -> bool:
            asked_s, known = self._answers.get((host, port), (-VALID_S, False))
            if time.monotonic() - asked_s >= VALID_S:
                known = _knock(host, port, signals)
                self._answers[host, port] = (time.monotonic(), known)
            return known

        return answers


def _knock(host: str, port: int, signals: EndingSignals) -> bool:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", KNOCK, host, str(port), str(TIMEOUT_S)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=tied_to_us(),  # noqa: PLW1509 - the parent has one thread
    )
    pidfd = os.pidfd_open(process.pid)
    try:
        signals.wait([pidfd], TIMEOUT_S)
        return process.poll() == 0
    finally:
        process.kill()
        process.wait()
        os.close(pidfd)
