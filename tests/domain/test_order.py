from hypothesis import given
from hypothesis import strategies as st

from llem.domain.order import trial_order

SIZES = st.integers(1, 12)
CYCLES = st.integers(1, 6)
SEEDS = st.integers(0, 2**40)


@given(SIZES, CYCLES, SEEDS, st.sampled_from(["blocks", "sequential"]))
def test_each_cycle_runs_every_experiment_exactly_once(n, cycles, seed, kind):
    blocks = trial_order(n, cycles, kind, seed)
    assert len(blocks) == cycles
    assert all(sorted(block) == list(range(n)) for block in blocks)


@given(SIZES, CYCLES, SEEDS)
def test_one_seed_gives_one_order(n, cycles, seed):
    assert trial_order(n, cycles, "blocks", seed) == trial_order(n, cycles, "blocks", seed)


@given(SIZES, CYCLES, SEEDS)
def test_more_cycles_leave_the_first_ones_as_they_were(n, cycles, seed):
    assert trial_order(n, cycles + 3, "blocks", seed)[:cycles] == trial_order(n, cycles, "blocks", seed)


def test_a_seed_gives_the_same_order_in_every_release():
    assert trial_order(4, 3, "blocks", 42) == [[2, 0, 1, 3], [0, 2, 1, 3], [0, 3, 1, 2]]


def test_another_seed_gives_another_order():
    assert trial_order(8, 4, "blocks", 1) != trial_order(8, 4, "blocks", 2)


def test_each_cycle_draws_its_order_anew():
    assert len({tuple(block) for block in trial_order(6, 5, "blocks", 0)}) > 1


def test_sequential_keeps_the_order_of_the_study_file():
    assert trial_order(3, 2, "sequential", 99) == [[0, 1, 2], [0, 1, 2]]


def test_every_place_falls_to_every_experiment_about_equally_often():
    firsts = [trial_order(4, 1, "blocks", seed)[0][0] for seed in range(400)]
    assert all(60 <= firsts.count(index) <= 140 for index in range(4))
