import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.statistics import mean_with_interval, percentiles, t_quantile_975

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
    assert mean_with_interval([5.0]).model_dump() == {"mean": 5.0, "n": 1, "half_width": None}


def test_the_interval_of_known_values():
    # n = 5, s = √2.5: 2.776 · √2.5 / √5
    found = mean_with_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.n) == (3.0, 5)
    assert found.half_width == pytest.approx(1.9632, abs=1e-4)


def test_equal_cycles_have_an_interval_of_zero_width():
    assert mean_with_interval([2.0, 2.0, 2.0]).half_width == 0.0
