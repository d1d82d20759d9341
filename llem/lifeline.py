"""A child that cannot outlive its parent, whatever ends the parent."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies; leave at once if that has happened already.

    The signal is tied to the parent's *thread* that started this process, so a parent starts its children
    from its main thread. Between the start of this process and this call the parent may have died: then
    somebody else is its parent by now.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        os._exit(1)
