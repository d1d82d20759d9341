from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.convergence import REPEATS, still_changing

POSITIVE = st.floats(1e-6, 1e6)


def test_fewer_than_five_repeats_tell_nothing():
    assert still_changing([1.0] * 4) == "there were 4 of 5 repeats"
    assert still_changing([]) == "there were 0 of 5 repeats"


@given(POSITIVE, st.lists(POSITIVE, max_size=10))
def test_only_the_last_five_repeats_count(value, before):
    assert still_changing([*before, *[value] * REPEATS]) is None


def test_a_drift_is_the_rise_of_the_fitted_line_from_the_first_to_the_last():
    assert still_changing([0.98, 0.99, 1.0, 1.01, 1.02]) == "the last 5 repeats drift by 4.0%, not below 1%"
    assert still_changing([1.02, 1.01, 1.0, 0.99, 0.98]) == "the last 5 repeats drift by 4.0%, not below 1%"
    assert still_changing([0.998, 0.999, 1.0, 1.001, 1.002]) is None


def test_a_spread_without_a_drift_has_not_converged_either():
    assert still_changing([1.0, 1.05, 1.0, 0.95, 1.0]) is not None
    assert still_changing([1.0, 1.04, 0.96, 1.04, 1.0]) == "the last 5 repeats spread by 3.3%, not below 2%"


@pytest.mark.parametrize("values", [[0.0] * 5, [-1.0] * 5], ids=["nothing", "negative"])
def test_values_without_a_positive_mean_never_converge(values):
    assert "not above 0" in still_changing(values)


@given(st.lists(POSITIVE, min_size=5, max_size=5), st.floats(0.001, 1000))
def test_the_verdict_does_not_depend_on_the_unit(values, factor):
    scaled = still_changing([value * factor for value in values])
    if (scaled is None) != (still_changing(values) is None):
        # Only where a quantity lies on its limit may rounding decide.
        slightly = [
            still_changing([value * (1 + wiggle * i) for i, value in enumerate(values)]) is None
            for wiggle in (-1e-9, 1e-9)
        ]
        assert len(set(slightly)) == 2


@given(st.lists(st.floats(0.999, 1.001), min_size=5, max_size=30))
def test_values_within_a_thousandth_have_converged(values):
    assert still_changing(values) is None


@given(POSITIVE, st.floats(0.003, 1))
def test_a_steady_rise_of_over_a_quarter_percent_a_repeat_has_not_converged(first, rise):
    values = [first * (1 + rise * number) for number in range(REPEATS)]
    assert all(later > earlier for earlier, later in pairwise(values))
    assert (still_changing(values) is None) == (rise * 4 / (1 + 2 * rise) < 0.01)
