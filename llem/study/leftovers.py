"""Processes of attempts, found by their environment."""

import os
import signal
from pathlib import Path

MARKER = "LLEM_ATTEMPT"
"""Every process of an attempt has this variable, so that one that left the process group is found too."""


def kill_marked(prefix: str) -> int:
    """Kill every process whose marker starts with ``prefix``, and return how many there were."""
    wanted = f"{MARKER}={prefix}".encode()
    killed = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            if any(variable.startswith(wanted) for variable in variables):
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
        except OSError:
            continue  # gone meanwhile, or another user's
    return killed
