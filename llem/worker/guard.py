"""Whether a worker can be forked from this process as clean as a new one."""

import os
import sys
import time
from pathlib import Path

THREADS = Path("/proc/self/task")
DESCRIPTORS = Path("/proc/self/fd")
GONE_WITHIN_S = 1.0
"""A thread that has ended is listed for a moment longer; of dozens the last ones for milliseconds."""
DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri")


def settle() -> None:
    """Let libraries put their threads away, as they do before a fork.

    OpenBLAS starts its threads when numpy is imported, ends them before a fork and starts them again when it first
    computes. A thread that nobody puts away is still there afterwards.
    """
    if len(_threads()) == 1:
        return
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + GONE_WITHIN_S
    while len(_threads()) > 1 and time.monotonic() < deadline:
        time.sleep(0.002)


def violation() -> str | None:
    """Return why no worker can be forked; None if one can.

    A fork copies the thread that calls it alone: what others hold stays locked in the child, and a pool of OpenMP,
    which any computing starts, hangs the child's first computation. A CUDA context cannot be used by a child at all.
    """
    threads = _threads()
    if len(threads) != 1:
        named = ", ".join(sorted(set(threads[1:])))
        return f"the zygote has {len(threads)} threads, so it has computed or a library started one ({named})"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "the zygote has initialised CUDA"
    device = next((path for path in _open_files() if path.startswith(DEVICES)), None)
    return f"the zygote has {device} open" if device else None


def _threads() -> list[str]:
    """Return the names of this process's threads, the first of them its own."""
    found = []
    for thread in sorted(os.listdir(THREADS), key=int):
        try:
            found.append((THREADS / thread / "comm").read_text().rstrip("\n"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return found


def _open_files() -> list[str]:
    found = []
    for name in os.listdir(DESCRIPTORS):
        try:
            found.append(os.readlink(DESCRIPTORS / name))
        except FileNotFoundError:
            continue  # the listing's own
    return found
