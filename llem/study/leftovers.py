"""Processes of attempts, found by their environment."""

import os
import signal

MARKER = "LLEM_ATTEMPT"
"""Every process of an attempt has this variable, so that one that left the process group is found too."""


def kill_marked(prefix: str) -> int:
    """Kill every process whose marker starts with ``prefix``, and return how many there were."""
    wanted = b"\0" + f"{MARKER}={prefix}".encode()
    killed = 0
    # Every process of the machine is looked at after every trial, so each of them is to cost little.
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb", buffering=0) as environ:
                variables = b"\0" + environ.read()
            if wanted in variables:
                os.kill(int(name), signal.SIGKILL)
                killed += 1
        except OSError:
            continue  # gone meanwhile, or another user's
    return killed
