"""Orders: every one runs each experiment as often as asked, and each keeps the promise of its name."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.order import extension, in_cycles, n_rows, trial_order, williams_rows
from llem.domain.spec import CYCLE_AFTER_CYCLE

SIZES = st.integers(1, 12)
CYCLES = st.integers(1, 6)
SEEDS = st.integers(0, 2**40)
KINDS = st.sampled_from(["blocks", "sequential", "interleave", "reverse", "shuffle", "latin_square"])


def blocks_of(order, n):
    return [order[start : start + n] for start in range(0, len(order), n)]


@given(SIZES, CYCLES, SEEDS, KINDS)
def test_every_order_runs_each_experiment_once_in_each_cycle(n, cycles, seed, kind):
    order = trial_order(n, cycles, kind, seed)
    assert Counter(order) == dict.fromkeys(range(n), cycles)
    assert sorted(in_cycles(order)) == [(index, cycle) for index in range(n) for cycle in range(1, cycles + 1)]


@given(SIZES, CYCLES, SEEDS, st.sampled_from(CYCLE_AFTER_CYCLE))
def test_an_order_that_runs_cycle_after_cycle_has_complete_blocks(n, cycles, seed, kind):
    assert all(sorted(block) == list(range(n)) for block in blocks_of(trial_order(n, cycles, kind, seed), n))


@given(SIZES, CYCLES, SEEDS, KINDS)
def test_one_seed_gives_one_order(n, cycles, seed, kind):
    assert trial_order(n, cycles, kind, seed) == trial_order(n, cycles, kind, seed)


@given(SIZES, CYCLES, SEEDS, st.sampled_from(CYCLE_AFTER_CYCLE))
def test_more_cycles_leave_the_first_ones_as_they_were(n, cycles, seed, kind):
    before = trial_order(n, cycles, kind, seed)
    after = trial_order(n, cycles + 3, kind, seed)
    assert after[: len(before)] == before


GOLDEN = {
    "blocks": [2, 0, 1, 3, 0, 2, 1, 3, 0, 3, 1, 2],
    "interleave": [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3],
    "reverse": [0, 1, 2, 3, 3, 2, 1, 0, 0, 1, 2, 3],
    "sequential": [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
    "shuffle": [2, 0, 0, 0, 2, 3, 1, 3, 1, 2, 1, 3],
    "latin_square": [1, 2, 0, 3, 0, 1, 3, 2, 2, 3, 1, 0],
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_a_seed_gives_the_same_order_in_every_release(kind):
    assert trial_order(4, 3, kind, 42) == GOLDEN[kind]


@pytest.mark.parametrize("kind", ["blocks", "shuffle", "latin_square"])
def test_another_seed_gives_another_order(kind):
    assert trial_order(8, 4, kind, 1) != trial_order(8, 4, kind, 2)


def test_each_block_draws_its_order_anew():
    assert len({tuple(block) for block in blocks_of(trial_order(6, 5, "blocks", 0), 6)}) > 1


def test_every_place_of_a_block_falls_to_every_experiment_about_equally_often():
    firsts = [trial_order(4, 1, "blocks", seed)[0] for seed in range(400)]
    assert all(60 <= firsts.count(index) <= 140 for index in range(4))


def followers(rows):
    return Counter(pair for row in rows for pair in pairwise(row))


@pytest.mark.parametrize("n", range(2, 10))
def test_in_a_williams_design_everyone_follows_everyone_equally_often(n):
    rows = williams_rows(n)
    times = 1 if n % 2 == 0 else 2
    assert len(rows) == n_rows(n) == n * times
    assert followers(rows) == {(a, b): times for a in range(n) for b in range(n) if a != b}
    for place in zip(*rows, strict=True):
        assert Counter(place) == dict.fromkeys(range(n), times)


@given(st.integers(2, 9), SEEDS, st.integers(1, 2))
def test_a_latin_square_order_is_balanced_after_all_of_its_rows(n, seed, rounds):
    cycles = n_rows(n) * rounds
    rows = blocks_of(trial_order(n, cycles, "latin_square", seed), n)
    assert len(set(followers(rows).values())) == 1
    assert len(followers(rows)) == n * (n - 1)


@pytest.mark.parametrize("kind", ["blocks", "latin_square"])
def test_one_experiment_is_an_order_too(kind):
    assert trial_order(1, 3, kind, 5) == [0, 0, 0]


@given(SIZES, CYCLES, st.integers(0, 4), st.integers(0, 3), SEEDS, KINDS)
def test_an_extension_is_what_is_missing_and_nothing_twice(n, cycles, more, later, seed, kind):
    before = trial_order(n, cycles, kind, seed)
    after = trial_order(n + more, cycles + later, kind, seed)
    added = extension(after, before)
    assert sorted(in_cycles([*before, *added])) == sorted(in_cycles(after))


def test_an_extension_by_a_cycle_is_that_cycle_alone():
    before = trial_order(3, 2, "blocks", 1)
    assert extension(trial_order(3, 3, "blocks", 1), before) == trial_order(3, 3, "blocks", 1)[6:]
