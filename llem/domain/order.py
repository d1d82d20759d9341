"""The order in which a study runs its trials."""

import hashlib

from llem.domain.spec import OrderKind


def trial_order(n_experiments: int, cycles: int, kind: OrderKind, seed: int) -> list[list[int]]:
    """Return the blocks of a study: per cycle, the experiments' indices in the order in which they run.

    ``blocks`` is a randomised complete block design: each cycle runs every experiment once, in an order
    drawn anew from ``seed``, so that slow drift does not favour one experiment. ``sequential`` keeps the
    order of the study file in every cycle. The draw sorts by SHA-256, so one seed gives one order on any
    machine and in any Python.
    """
    indices = range(n_experiments)
    if kind == "sequential":
        return [list(indices) for _ in range(cycles)]
    return [sorted(indices, key=lambda index: _draw(seed, cycle, index)) for cycle in range(1, cycles + 1)]


def _draw(seed: int, cycle: int, index: int) -> bytes:
    return hashlib.sha256(f"{seed}/{cycle}/{index}".encode()).digest()
