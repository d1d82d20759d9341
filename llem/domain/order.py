"""The order in which a study runs its trials."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from llem.domain.names import OrderKind


def trial_order(n_experiments: int, cycles: int, kind: OrderKind, seed: int) -> list[int]:
    """Return the experiments' indices in the order in which their trials run; each stands there ``cycles`` times.

    The n-th time that an index stands there is that experiment's cycle n, so every order runs an experiment's cycles
    in their order.

    - ``blocks``: randomised complete blocks. Each cycle runs every experiment once, in an order drawn anew from
      ``seed``, so that slow drift does not favour one experiment.
    - ``interleave``: each cycle in the order of the study file.
    - ``reverse``: the same, every second cycle backwards.
    - ``latin_square``: each cycle is a row of a Williams design (see ``williams_rows``), the experiments dealt to its
      letters and the rows put in an order by ``seed``.
    - ``sequential``: all cycles of the first experiment, then of the second.
    - ``shuffle``: all trials in one drawn order (a completely randomised design).

    Draws sort by SHA-256, so one seed gives one order on any machine and in any Python.
    """
    indices = range(n_experiments)
    if kind == "sequential":
        return [index for index in indices for _ in range(cycles)]
    if kind == "shuffle":
        trials = [(cycle, index) for cycle in range(1, cycles + 1) for index in indices]
        return [index for _, index in sorted(trials, key=lambda trial: _draw(seed, *trial))]
    if kind == "latin_square":
        return [index for row in _latin_rows(n_experiments, cycles, seed) for index in row]
    order: list[int] = []
    for cycle in range(1, cycles + 1):
        if kind == "blocks":
            order += _shuffled(indices, seed, cycle)
        else:
            order += reversed(indices) if kind == "reverse" and cycle % 2 == 0 else indices
    return order


def in_cycles(order: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (experiment, cycle) for each trial of an order: the n-th time of an experiment is its cycle n."""
    seen: Counter[int] = Counter()
    for index in order:
        seen[index] += 1
        yield index, seen[index]


def extension(order: Sequence[int], before: Sequence[int]) -> list[int]:
    """Return what ``order`` has beyond ``before``: the trials that an extended study still lacks, in its order."""
    had = Counter(before)
    return [index for index, cycle in in_cycles(order) if cycle > had[index]]


def williams_rows(n: int) -> list[list[int]]:
    """Return the rows of a Williams design of ``n`` letters: n rows where n is even, 2n where it is odd.

    Over all rows every letter stands in every place equally often and follows every other letter equally often, so
    that neither drift nor what the trial before left behind favours one. The first row is 0, 1, n-1, 2, n-2, …; each
    next row adds 1 (modulo n). For an odd n this balances only together with the same rows read backwards.
    Source: E. J. Williams, "Experimental designs balanced for the estimation of residual effects of treatments",
    Australian Journal of Scientific Research A 2 (1949) 149-168.
    """
    return [_williams_row(n, number) for number in range(n_rows(n))]


def n_rows(n: int) -> int:
    """Return how many rows a Williams design of ``n`` letters has: as many cycles balance it."""
    return n if n % 2 == 0 or n < 2 else 2 * n


def _williams_row(n: int, number: int) -> list[int]:
    first = [(place + 1) // 2 if place % 2 else (n - place // 2) % n for place in range(n)]
    row = [(letter + number) % n for letter in first]
    return row if number < n else row[::-1]


def _latin_rows(n: int, cycles: int, seed: int) -> Iterator[list[int]]:
    """Yield a row per cycle: every row of the design once, in a drawn order, before any comes again."""
    dealt = _shuffled(range(n), seed, 0)
    numbers = _shuffled(range(n_rows(n)), seed, -1)
    for cycle in range(cycles):
        yield [dealt[letter] for letter in _williams_row(n, numbers[cycle % len(numbers)])]


def _shuffled(items: Iterable[int], seed: int, round_number: int) -> list[int]:
    return sorted(items, key=lambda item: _draw(seed, round_number, item))


def _draw(seed: int, round_number: int, item: int) -> bytes:
    return hashlib.sha256(f"{seed}/{round_number}/{item}".encode()).digest()
