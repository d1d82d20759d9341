"""What a worker left behind, as the process sees it that adopts it."""

import os
import signal
from pathlib import Path


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
            for pid in _children():
                _kill(pid)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    """Return the children of this process, from every process's own record: not every kernel lists them."""
    own, found = os.getpid(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # The name stands in parentheses and may hold spaces and parentheses itself.
                parent = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # gone meanwhile
            if parent == own:
                found.append(int(folder.name))
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        pass  # another user's by now: it ends by itself or not at all
