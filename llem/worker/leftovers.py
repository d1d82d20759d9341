"""What a worker left behind, as the process sees it that adopts it."""

import os
import signal

from llem.lifeline import parents


def end_children() -> None:
    """Kill and reap every child of this process, and the children that it inherits from them by that.

    In a process that adopts its descendants (``adopt_descendants``), nothing of theirs is left then: not what left
    its group or its session, nor what has another environment.
    """
    while True:
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return  # there is none
        if not reaped:
            own = os.getpid()
            for pid, parent in parents().items():
                if parent == own:
                    _kill(pid)
            os.waitpid(-1, 0)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        pass  # another user's by now: it ends by itself or not at all
