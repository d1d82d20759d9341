"""Parents and children: a child that cannot outlive its parent, whatever ends the parent."""

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies; leave at once if that has happened already.

    The signal is tied to the parent's *thread* that started this process, so a parent starts its children
    from its main thread. Between the start of this process and this call the parent may have died: then
    somebody else is its parent by now.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, "PR_SET_PDEATHSIG")
    if os.getppid() != parent_pid:
        os._exit(1)


def adopt_descendants() -> None:
    """Become the parent of every descendant whose own parent dies: none can leave by forking twice."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1, "PR_SET_CHILD_SUBREAPER")


def tied_to_us() -> Callable[[], None]:
    """Return what ``subprocess`` runs in a child before its program: the child is tied to us from its first moment.

    A program that ties itself does so when its libraries are loaded; a parent that is killed before leaves it alone
    for that long. The setting survives the exec. Only for a parent with one thread, since it runs after a fork.
    """
    parent_pid = os.getpid()
    return lambda: die_with_parent(parent_pid)


def parents() -> dict[int, int]:
    """Return the parent of every process, from each one's own record: not every kernel lists children."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # The name stands in parentheses and may hold spaces and parentheses itself.
                record = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                found[int(folder.name)] = int(record[1])
            except (OSError, IndexError):
                continue  # gone meanwhile
    return found


def _prctl(option: int, value: int, name: str) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({name}) failed")
