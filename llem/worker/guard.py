"""Whether a worker can be forked from this process as clean as a new one."""

import os
import sys
from pathlib import Path

THREADS = Path("/proc/self/task")
DESCRIPTORS = Path("/proc/self/fd")
DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri")


def settle() -> None:
    """Let libraries put their threads away, as they do before a fork.

    OpenBLAS starts its threads when numpy is imported, ends them before a fork and starts them again when it first
    computes. A thread that nobody puts away is still there afterwards.
    """
    if _threads() == 1:
        return
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def violation() -> str | None:
    """Return why no worker can be forked; None if one can.

    A fork copies the thread that calls it alone: what others hold stays locked in the child, and a pool of OpenMP,
    which any computing starts, hangs the child's first computation. A CUDA context cannot be used by a child at all.
    """
    threads = _threads()
    if threads != 1:
        return f"the zygote has {threads} threads, so it has computed or a library started one"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "the zygote has initialised CUDA"
    device = next((path for path in _open_files() if path.startswith(DEVICES)), None)
    return f"the zygote has {device} open" if device else None


def _threads() -> int:
    return len(os.listdir(THREADS))


def _open_files() -> list[str]:
    found = []
    for name in os.listdir(DESCRIPTORS):
        try:
            found.append(os.readlink(DESCRIPTORS / name))
        except FileNotFoundError:
            continue  # the listing's own
    return found
