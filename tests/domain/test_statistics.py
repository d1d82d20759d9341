import math
import random
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.statistics import (
    EnergyOfCycle,
    energy_mean,
    mean_with_interval,
    percentiles,
    t_probability_within,
    t_quantile_975,
)

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@pytest.mark.parametrize(
    ("df", "published"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (60, 2.000), (120, 1.980)],
)
def test_t_quantiles_are_those_of_the_published_table(df, published):
    assert t_quantile_975(df) == pytest.approx(published, abs=0.0005)


def test_t_quantiles_fall_towards_that_of_the_normal_distribution():
    quantiles = [t_quantile_975(df) for df in range(1, 300)]
    assert quantiles == sorted(quantiles, reverse=True)
    assert t_quantile_975(100_000) == pytest.approx(1.95998, abs=1e-4)


def test_percentiles_of_known_values():
    found = percentiles([15.0, 20.0, 35.0, 40.0, 50.0])
    assert found.model_dump() == pytest.approx(
        {"n": 5, "mean": 32.0, "min": 15, "p50": 35, "p90": 46, "p95": 48, "p99": 49.6, "max": 50}
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_percentiles_are_those_of_the_standard_library(values):
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    found = percentiles(values)
    expected = (cuts[49], cuts[89], cuts[94], cuts[98])
    assert (found.p50, found.p90, found.p95, found.p99) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(VALUES)
def test_percentiles_rise_between_the_smallest_and_the_largest_value(values):
    found = percentiles(values)
    ranked = [found.min, found.p50, found.p90, found.p95, found.p99, found.max]
    assert all(low <= high + 1e-9 * abs(high) for low, high in pairwise(ranked))
    assert (found.min, found.max, found.n) == (min(values), max(values), len(values))


def test_one_value_is_every_percentile_of_itself():
    found = percentiles([3.0])
    assert (found.min, found.p50, found.p99, found.max, found.n) == (3, 3, 3, 3, 1)


def test_no_values_have_no_percentiles_and_no_mean():
    assert percentiles([]) is None
    assert mean_with_interval([]) is None


def test_one_cycle_has_a_mean_but_no_interval():
    assert mean_with_interval([5.0]).model_dump() == {"mean": 5.0, "n": 1, "sd": None, "half_width": None}


def test_the_interval_of_known_values():
    # n = 5, s = √2.5: 2.776 · √2.5 / √5
    found = mean_with_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.n) == (3.0, 5)
    assert found.sd == pytest.approx(1.581139, abs=1e-6)
    assert found.half_width == pytest.approx(1.9632, abs=1e-4)


def test_equal_cycles_have_an_interval_of_zero_width():
    assert mean_with_interval([2.0, 2.0, 2.0]).half_width == 0.0


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_the_interval_covers_the_true_mean_as_often_as_it_says(n):
    chance = random.Random(n)
    studies = 4000
    covered = 0
    for _ in range(studies):
        found = mean_with_interval([chance.gauss(1.234, 0.05) for _ in range(n)])
        covered += abs(found.mean - 1.234) <= found.half_width
    assert covered / studies == pytest.approx(0.95, abs=0.0104)  # three standard errors of 4000 studies


@pytest.mark.parametrize(
    ("t", "df", "published"), [(1.0, 1, 0.5), (4.303, 2, 0.95), (2.132, 4, 0.90), (3.250, 9, 0.99), (1.372, 10, 0.80)]
)
def test_the_probability_within_t_is_that_of_the_published_table(t, df, published):
    assert t_probability_within(t, df) == pytest.approx(published, abs=1e-4)


U = 1.959964  # standard uncertainties in a 95 % half width


def cycles(*energies_j, units=100, u_j=None, u_scale_j=None):
    return [EnergyOfCycle(energy_j, units, u_j, u_scale_j) for energy_j in energies_j]


def test_an_energy_is_the_ratio_of_the_sums_and_its_interval_that_of_the_cycles():
    found = energy_mean([*cycles(10.0, 20.0), *cycles(60.0, units=200)])
    assert (found.mean, found.n, found.sd) == (pytest.approx(90 / 400), 3, pytest.approx(0.1))
    assert found.half_width == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert (found.within_sd, found.between_sd, found.u_scale) == (None, None, None)


def test_the_spread_is_told_apart_into_what_the_trials_state_and_what_is_left():
    # 0.1, 0.2, 0.3 J: s = 0.1. Each states 3 J for 100 units: 0.03. What is left: √(0.01 − 0.0009).
    found = energy_mean(cycles(10.0, 20.0, 30.0, u_j=3.0 * U))
    assert found.within_sd == pytest.approx(0.03, rel=1e-6)
    assert found.between_sd == pytest.approx(0.0953939, abs=1e-6)


def test_trials_that_state_more_than_is_seen_leave_nothing_between_them():
    found = energy_mean(cycles(10.0, 10.1, 9.9, u_j=5.0 * U))
    assert (found.between_sd, found.within_sd) == (0.0, pytest.approx(0.05, rel=1e-6))


def test_the_stated_uncertainties_enter_by_their_squares():
    found = energy_mean([*cycles(10.0, u_j=3.0 * U), *cycles(10.0, u_j=4.0 * U)])
    assert found.within_sd == pytest.approx(math.sqrt((0.03**2 + 0.04**2) / 2), rel=1e-6)


def test_a_trial_that_states_nothing_leaves_the_parts_unknown():
    found = energy_mean([*cycles(10.0, u_j=1.0, u_scale_j=0.5), *cycles(11.0)])
    assert (found.within_sd, found.between_sd, found.u_scale) == (None, None, None)


def test_one_cycle_has_its_own_uncertainty_and_no_spread():
    found = energy_mean(cycles(10.0, u_j=2.0 * U, u_scale_j=0.5))
    assert (found.sd, found.half_width, found.between_sd) == (None, None, None)
    assert (found.within_sd, found.u_scale) == (pytest.approx(0.02, rel=1e-6), pytest.approx(0.005))


def test_the_scale_of_the_board_does_not_shrink_with_the_number_of_cycles():
    few, many = (energy_mean(cycles(*[10.0] * n, u_scale_j=0.5)) for n in (2, 50))
    assert few.u_scale == pytest.approx(0.005)
    assert many.u_scale == pytest.approx(0.005)
    assert many.half_width == 0.0


def test_no_cycles_have_no_energy():
    assert energy_mean([]) is None


def test_the_parts_are_found_again_in_simulated_studies():
    """Cycles that truly spread by 3 %, read with an error of 4 %: on average the variances come out so."""
    chance = random.Random(7)
    between, within = [], []
    for _ in range(600):
        true = [1 + chance.gauss(0, 0.03) for _ in range(20)]
        found = energy_mean([EnergyOfCycle(joules + chance.gauss(0, 0.04), 1, 0.04 * U, None) for joules in true])
        between.append(found.between_sd**2)
        within.append(found.within_sd**2)
    assert statistics.fmean(within) == pytest.approx(0.04**2, rel=1e-6)
    assert statistics.fmean(between) == pytest.approx(0.03**2, rel=0.1)
