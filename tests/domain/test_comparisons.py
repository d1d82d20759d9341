import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.comparisons import Candidate, compare_with_first, holm, ratio_test

JOULES = st.floats(1e-4, 1e4)
PAIRS = st.lists(st.tuples(JOULES, JOULES), min_size=3, max_size=12)
P_VALUES = st.lists(st.floats(0, 1), max_size=20)

# Hours of sleep gained by ten patients with one drug over another: Student, Biometrika 6 (1908), page 20.
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def test_the_paired_t_test_of_students_own_example():
    # As R's t.test prints it: t = 4.0621, df = 9, p-value = 0.002833, interval 0.7001142 to 2.4598858, mean 1.58.
    found = ratio_test([math.exp(hours) for hours in SLEEP], [1.0] * 10)
    assert math.log(found.ratio) == pytest.approx(1.58)
    assert (math.log(found.low), math.log(found.high)) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert found.p == pytest.approx(0.002833, abs=5e-7)


def test_a_ratio_by_hand():
    # Log ratios ln 2 · (1, 2, 3): mean 2·ln 2, s = ln 2, t = 4.30265 for two degrees of freedom.
    found = ratio_test([2.0, 4.0, 8.0], [1.0, 1.0, 1.0])
    half_width = 4.302653 * math.log(2) / math.sqrt(3)
    assert found.ratio == pytest.approx(4.0)
    assert (found.low, found.high) == pytest.approx((4 * math.exp(-half_width), 4 * math.exp(half_width)), rel=1e-6)
    # t = 2·√3 with two degrees of freedom: p = 1 − t/√(t² + 2) = 1 − √(12/14)
    assert found.p == pytest.approx(1 - math.sqrt(12 / 14), abs=1e-12)


def test_what_changes_from_block_to_block_for_both_is_taken_out():
    drift = [1.0, 1.3, 0.8, 1.9, 1.1]
    found = ratio_test([1.05 * joules for joules in drift], drift)
    assert (found.ratio, found.low, found.high) == pytest.approx((1.05, 1.05, 1.05))
    assert found.p < 1e-9


@given(PAIRS)
def test_swapping_gives_the_reciprocal_and_the_same_p(pairs):
    values, reference = zip(*pairs, strict=True)
    there, back = ratio_test(values, reference), ratio_test(reference, values)
    assert (back.ratio, back.low, back.high) == pytest.approx((1 / there.ratio, 1 / there.high, 1 / there.low))
    assert back.p == pytest.approx(there.p)


@given(PAIRS, st.floats(1e-3, 1e3))
def test_a_scale_that_is_the_same_in_both_changes_nothing(pairs, scale):
    values, reference = zip(*pairs, strict=True)
    scaled = ratio_test([scale * value for value in values], [scale * value for value in reference])
    assert scaled[:3] == pytest.approx(ratio_test(values, reference)[:3], rel=1e-6)


@given(st.lists(JOULES, min_size=3, max_size=12))
def test_equal_data_are_not_distinguishable(values):
    by_cycle = dict(enumerate(values, start=1))
    (found,) = compare_with_first([candidate("a", by_cycle), candidate("b", by_cycle)])
    assert (found.ratio, found.low, found.high) == (1, 1, 1)
    assert (found.p, found.p_holm, found.distinguishable) == (1, 1, False)


def test_holm_by_the_worked_example():
    # 0.005·4, 0.01·3, 0.03·2, then 0.04·1 raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(P_VALUES)
def test_holm_keeps_the_order_raises_every_value_and_no_further_than_bonferroni(p_values):
    found = holm(p_values)
    assert len(found) == len(p_values)
    for p, corrected in zip(p_values, found, strict=True):
        assert p <= corrected <= min(1.0, len(p_values) * p)
    ranked = sorted(zip(p_values, found, strict=True))
    assert [corrected for _, corrected in ranked] == sorted(found)


@given(P_VALUES, st.randoms())
def test_holm_does_not_depend_on_the_order_of_the_comparisons(p_values, chance):
    shuffled = list(p_values)
    chance.shuffle(shuffled)
    assert sorted(holm(shuffled)) == sorted(holm(p_values))


def candidate(name, by_cycle, provenance="counter", boundary="gpu"):
    if not isinstance(by_cycle, dict):
        by_cycle = dict(enumerate(by_cycle, start=1))
    return Candidate(name, provenance, boundary, by_cycle)


def test_each_experiment_is_compared_with_the_first():
    found = compare_with_first(
        [candidate("a", [1.0, 1.1, 0.9]), candidate("b", [2.0, 2.2, 1.81]), candidate("c", [1.01, 1.08, 0.93])]
    )
    assert [(one.config_hash, one.reference_hash, one.n_cycles) for one in found] == [("b", "a", 3), ("c", "a", 3)]
    assert [one.distinguishable for one in found] == [True, False]
    assert found[0].p_holm == pytest.approx(2 * found[0].p)
    assert found[1].p_holm == pytest.approx(found[1].p)


def test_only_cycles_that_both_have_are_compared():
    (found,) = compare_with_first(
        [candidate("a", {1: 1.0, 2: 2.0, 3: 3.0, 5: 5.0}), candidate("b", {5: 10.0, 2: 4.0, 4: 999.0, 3: 6.0})]
    )
    assert (found.n_cycles, found.ratio, found.low) == (3, pytest.approx(2), pytest.approx(2))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (candidate("b", [1.0, 1.0]), "2 common valid cycles; 3 are needed"),
        (candidate("b", {4: 1.0, 5: 1.0, 6: 1.0}), "0 common valid cycles; 3 are needed"),
        (
            candidate("b", [1.0] * 3, provenance="modelled"),
            "measured in different ways: modelled (gpu), the reference counter (gpu)",
        ),
        (
            candidate("b", [1.0] * 3, boundary="cpu_package"),
            "measured in different ways: counter (cpu_package), the reference counter (gpu)",
        ),
        (candidate("b", {}, provenance="none", boundary=None), "its energy is unknown"),
        (candidate("b", [1.0, 0.0, 1.0]), "an energy is not above 0"),
        (candidate("b", [1e-300, 1e300, 1.0]), "the cycles' ratios lie too far apart"),
    ],
)
def test_what_cannot_be_compared_has_its_reason_and_counts_in_no_correction(other, reason):
    fair = [candidate("a", [1.0, 1.1, 0.9]), candidate("c", [2.0, 2.1, 1.9])]
    found = {one.config_hash: one for one in compare_with_first([fair[0], other, fair[1]])}
    assert found["b"].reason == reason
    assert (found["b"].ratio, found["b"].p_holm, found["b"].distinguishable) == (None, None, None)
    assert found["c"].p_holm == found["c"].p


def test_the_reference_is_the_first_with_enough_cycles_and_not_the_best():
    found = compare_with_first(
        [
            candidate("none", {}, provenance="none"),
            candidate("few", [1.0, 1.0]),
            candidate("first", [5.0, 5.1, 5.2]),
            candidate("best", [1.0, 1.1, 1.2]),
        ]
    )
    assert {one.reference_hash for one in found} == {"first"}
    assert [one.config_hash for one in found] == ["none", "few", "best"]


@pytest.mark.parametrize("several", [[], [candidate("a", [1.0] * 3)], [candidate(name, [1.0] * 2) for name in "ab"]])
def test_without_two_experiments_or_enough_cycles_there_is_no_comparison(several):
    assert compare_with_first(several) == ()


def test_a_study_without_any_difference_is_seldom_said_to_have_one():
    chance = random.Random(20261123)
    studies = 1500
    wrong = 0
    for _ in range(studies):
        blocks = [chance.gauss(0, 0.1) for _ in range(5)]
        experiments = [candidate(name, [math.exp(b + chance.gauss(0, 0.02)) for b in blocks]) for name in "abcde"]
        wrong += any(one.distinguishable for one in compare_with_first(experiments))
    assert wrong / studies <= 0.06  # 0.05, and two standard errors of 1500 studies
    assert wrong > 0
