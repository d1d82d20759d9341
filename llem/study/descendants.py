"""All processes below this one, however many of ours lie between."""

import os

from llem.lifeline import parents


def signal_descendants(signum: int) -> None:
    """Send a signal to every process below this one, parents first, until none is left that one started meanwhile."""
    sent: set[int] = set()
    while new := [pid for pid in _descendants() if pid not in sent]:
        for pid in new:
            try:
                os.kill(pid, signum)
            except OSError:
                pass  # gone meanwhile, or another user's
        sent.update(new)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found = [os.getpid()]
    for pid in found:
        found += children.get(pid, ())
    return found[1:]
