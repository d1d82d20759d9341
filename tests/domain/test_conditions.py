import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.conditions import Condition, unusable


def holds(wanted, value):
    return Condition({"key": wanted}).holds({"key": value}.__getitem__)


@pytest.mark.parametrize(
    ("wanted", "yes", "no"),
    [
        (1, [1, 1.0], [2, True, "1", None]),
        (1.5, [1.5], [1, "1.5"]),
        (0, [0, 0.0, -0.0], [False, None, ""]),
        (True, [True], [1, 1.0, "true", False]),
        (False, [False], [0, None, "false"]),
        (None, [None], [False, 0, "", "null"]),
        ("sdpa", ["sdpa"], ["eager", "SDPA", None]),
        ("", [""], [None, "a"]),
        ([1, 2], [1, 2], [3, True]),
        ([1, "sdpa", None], [1, "sdpa", None], [2, "eager", False]),
        (["< 2", "> 8"], [1, 9], [2, 8, "1"]),
        ("> 8", [9, 8.5, math.inf], [8, 8.0, True, "9", None]),
        (">8", [9], [8]),
        (">= 8", [8, 8.0, 9], [7.9, None]),
        ("< 8", [7, -1], [8, False, None, "7"]),
        ("<= 8", [8, 7], [8.5, None]),
        ("> 1e3", [1001], [1000, 999]),
        ("> -1", [0], [-1, -2]),
        ("!= 8", [7, "8", True, None], [8, 8.0]),
        ("!= sdpa", ["eager", None, 1], ["sdpa"]),
        ("!= true", [False, 1, None, "true"], [True]),
        ("!= false", [True, 0, None], [False]),
        ("!= null", [1, False, "null"], [None]),
    ],
)
def test_a_term_holds_for_some_values_and_not_for_others(wanted, yes, no):
    assert [value for value in yes if not holds(wanted, value)] == []
    assert [value for value in no if holds(wanted, value)] == []


@given(
    st.sampled_from([(">", operator.gt), (">=", operator.ge), ("<", operator.lt), ("<=", operator.le)]),
    st.integers(-10, 10) | st.floats(-10, 10),
    st.integers(-10, 10) | st.floats(-10, 10),
)
def test_a_comparison_is_that_of_numbers(sign, value, limit):
    text, compare = sign
    assert holds(f"{text} {limit}", value) == compare(value, limit)


@given(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("abc 1"))
def test_a_value_fits_itself_and_a_list_that_holds_it(value):
    assert holds(value, value)
    assert holds([value, "other"], value)
    assert not holds(value, object())


def test_all_terms_must_hold():
    condition = Condition({"batch_size": "> 8", "dtype": ["float16", "bfloat16"]})
    points = [(16, "float16"), (16, "float32"), (8, "float16"), (16, "bfloat16")]
    held = [condition.holds({"batch_size": size, "dtype": dtype}.__getitem__) for size, dtype in points]
    assert held == [True, False, False, True]


def test_a_condition_reads_as_the_study_file_writes_it():
    condition = Condition({"batch_size": "> 8", "dtype": ["float16", None], "generation.do_sample": True, "x": 1.5})
    assert condition.text() == "batch_size: > 8, dtype: [float16, null], generation.do_sample: true, x: 1.5"


@pytest.mark.parametrize(
    "wanted", [1, 1.5, True, None, "sdpa", "", [1, None], "> 8", "!= sdpa", ["<= 1", "x"], "a > b"]
)
def test_a_term_that_can_hold_is_usable(wanted):
    assert unusable(wanted) is None


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([], "an empty list of values holds for no point"),
        ({}, "a condition compares with a value or a list of values; use dotted keys for what lies in a section"),
        ([[1]], "a condition compares with a value or a list of values; use dotted keys for what lies in a section"),
        (
            [1, {"a": 1}],
            "a condition compares with a value or a list of values; use dotted keys for what lies in a section",
        ),
        ("> many", "> compares with a number; found 'many'"),
        ("<= ", "<= compares with a number; found ' '"),
        ([1, "< a"], "< compares with a number; found 'a'"),
        ("> nan", "> compares with a number; found 'nan'"),
    ],
)
def test_a_term_that_can_never_hold_says_why(wanted, reason):
    assert unusable(wanted) == reason
