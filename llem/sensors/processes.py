"""Whose the processes on a GPU are."""

from collections.abc import Iterable
from pathlib import Path

MARKER = b"LLEM_ATTEMPT="
"""The variable that every process of an attempt has."""
PROC = Path("/proc")


def foreign_processes(pids: Iterable[int], study_pid: int, proc: Path = PROC) -> int:
    """Return how many of these processes are not of this study.

    Of this study are its session's process, whatever descends from it, and whatever carries an attempt's marker in
    its environment. In a container NVML may tell the host's pids, which ``proc`` does not show: one of these may be
    the study's own worker, so they count only beyond one.

    Args:
        pids: The processes that compute on the GPU.
        study_pid: The process of the session.
        proc: Where the kernel shows processes.
    """
    known, unknown = [], 0
    for pid in set(pids):
        if (proc / str(pid)).exists():
            known.append(pid)
        else:
            unknown += 1
    return len(known) - len(own_processes(known, study_pid, proc)) + max(unknown - 1, 0)


def own_processes(pids: Iterable[int], study_pid: int, proc: Path = PROC) -> list[int]:
    """Return which of these processes are known to be of this study; see ``foreign_processes``."""
    return [pid for pid in pids if _descends(pid, study_pid, proc) or _is_marked(pid, proc)]


def _descends(pid: int, ancestor: int, proc: Path) -> bool:
    """Return whether ``pid`` is ``ancestor`` or a descendant; no where a process on the way is gone."""
    seen = set()
    while pid > 1 and pid not in seen:
        if pid == ancestor:
            return True
        seen.add(pid)
        try:
            # The name stands in parentheses and may hold spaces and parentheses itself.
            pid = int((proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return False
    return pid == ancestor


def _is_marked(pid: int, proc: Path) -> bool:
    try:
        environment = (proc / str(pid) / "environ").read_bytes()
    except OSError:
        return False  # of another user, or gone
    return any(variable.startswith(MARKER) for variable in environment.split(b"\0"))
