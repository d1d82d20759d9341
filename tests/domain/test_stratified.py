"""Windows in segments against a simulated sensor that sees 25 of each 100 ms, load in step with it included."""

import math
import random
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_sensor import IDLE_W, Pulse, staggered, trial

from llem.domain.edges import Unmeasured, ticks
from llem.domain.energy import estimate
from llem.domain.guarded import guarded_edges
from llem.domain.statistics import mean_with_interval
from llem.domain.stratified import stratified_edges, u_in_step_w

S = 1_000_000_000
UNSEEN_S = 0.075


def pulse_of(seed):
    """Return a load in step with a sensor of 100 ms: of its period, half of it or twice."""
    random_ = random.Random(f"pulse {seed}")
    period_s, duty = random_.choice([0.05, 0.1, 0.2]), random_.uniform(0.1, 0.9)
    return Pulse(period_s, duty, phase=random_.random(), sine=random_.random() < 0.2)


def leading(make, made, unseen_s=UNSEEN_S):
    return estimate(make.channel(unseen_s=unseen_s), made.edges(), *made.pieces).leading


def test_a_step_seen_25_of_100_ms_is_told_late_by_37_and_a_half_ms_give_or_take_21_and_a_half():
    made = [trial(seed, 5.0, summed=True, seen_s=0.025) for seed in range(1000)]
    period_s, seen_s = 0.1, 0.025

    def late_s(at_ns, phase_s):
        # The counter's answer to a step of 1 W, by what the sensor sees of each period, summed up.
        until_tick_s = (phase_s - at_ns / 1e9) % period_s
        return period_s * min(until_tick_s, seen_s) / seen_s - until_tick_s

    late = [late_s(m.bounds.t0_ns, m.meter.phase_s) for m in made]
    assert fmean(late) == pytest.approx(0.0375, abs=0.002)
    assert pstdev(late) == pytest.approx(UNSEEN_S / math.sqrt(12), abs=0.001)


def test_segments_of_equal_length_cancel_what_a_part_time_sensor_does_not_see(make):
    for seed in range(20):
        made = staggered(seed, segment_s=1.0, spread_s=0.001, read_every_s=0.02)
        found = leading(make, made)
        assert found.estimator == "stratified_edges"
        assert abs(found.energy_j - made.truth_j) <= found.u_j < 0.003 * made.truth_j


def test_segments_that_end_at_random_are_off_by_the_root_of_their_number(make):
    made = [staggered(seed, segment_s=1.0) for seed in range(60)]
    found = [leading(make, each) for each in made]
    off_j = [estimate.energy_j - each.truth_j for estimate, each in zip(found, made, strict=True)]
    expected_j = math.sqrt(4) * 220 * UNSEEN_S / math.sqrt(12)
    assert math.sqrt(fmean(error**2 for error in off_j)) == pytest.approx(expected_j, rel=0.2)
    assert sum(abs(error) <= each.u_j for error, each in zip(off_j, found, strict=True)) >= 0.93 * len(made)


def test_the_mean_of_five_staggered_cycles_of_10_s_is_right_to_half_a_percent_with_load_in_step(make):
    off, held = [], 0
    for seed in range(100):
        made = staggered(seed, pulse=pulse_of(seed), segment_s=2.5)
        found = leading(make, made)
        off.append(found.energy_j / made.truth_j - 1)
        held += abs(found.energy_j - made.truth_j) <= found.u_j
    studies = sorted(abs(fmean(off[n : n + 5])) for n in range(0, 100, 5))
    assert studies[int(0.95 * len(studies))] < 0.005
    assert held >= 93


@pytest.mark.parametrize("decay_s", [0.05, 0.2])
def test_a_decay_after_each_segment_that_is_seen_in_part_is_in_the_uncertainty(make, decay_s):
    made = [staggered(seed, segment_s=1.0, read_every_s=0.02, decay_s=decay_s) for seed in range(30)]
    found = [leading(make, each) for each in made]
    assert sum(abs(each.energy_j - m.truth_j) <= each.u_j for each, m in zip(found, made, strict=True)) >= 28


def test_load_in_step_misleads_a_window_in_one_piece(make):
    """What the segments are for: without them the same load is off by tens of percent."""
    channel, worst = make.channel(unseen_s=UNSEEN_S), 0.0
    for seed in range(20):
        made = staggered(seed, segments=1, segment_s=5.0, pulse=Pulse(0.1, 0.5))
        found = estimate(channel, made.edges(), *made.pieces).leading
        assert found.estimator == "guarded_edges"
        worst = max(worst, abs(found.energy_j / made.truth_j - 1))
    assert worst > 0.2


# benchmarks/interval_coverage.py does the same for 500 studies of each kind, which cover in 93 % or more; of 60 with
# a true coverage of 95 %, chance leaves 88 % or more in 49 of 50 times.
@pytest.mark.parametrize("kind", ["true counter", "part-time, staggered"])
def test_the_interval_of_a_study_and_of_each_trial_cover_the_truth(make, kind):
    held = trials_held = 0
    for study in range(60):
        ratios = []
        for cycle in range(5):
            seed = 5 * study + cycle
            if kind == "true counter":
                made = trial(seed, 1.0, read_every_s=0.02, before_s=2.5)
                found = leading(make, made, unseen_s=None)
            else:
                made = staggered(seed, pulse=pulse_of(study), segment_s=1.0, read_every_s=0.02)
                found = leading(make, made)
            ratios.append(found.energy_j / made.truth_j)
            trials_held += abs(found.energy_j - made.truth_j) <= found.u_j
        seen = mean_with_interval(ratios)
        held += abs(seen.mean - 1) <= seen.half_width
    assert held >= 0.88 * 60
    assert trials_held >= 0.93 * 300


def test_segments_that_begin_at_one_phase_are_summed_with_the_most_that_the_ends_can_be_off(make):
    made = staggered(3, segment_s=1.0, late_s=0.0)
    alike = [piece._replace(t0_ns=made.pieces[0].t0_ns + n * 20 * S // 10) for n, piece in enumerate(made.pieces)]
    published = ticks(made.edges())
    refused = stratified_edges(published, alike, unseen_s=UNSEEN_S)
    assert isinstance(refused, Unmeasured)
    assert "like phases" in refused.reason
    assert not isinstance(stratified_edges(published, alike), Unmeasured)


def test_a_true_counter_in_segments_is_the_sum_of_its_segments(make):
    made = staggered(5, segment_s=1.0, summed=False, seen_s=None)
    found = estimate(make.channel(), made.edges(), *made.pieces)
    parts = [guarded_edges(ticks(made.edges()), piece)[0] for piece in made.pieces]
    assert found.leading.estimator == "stratified_edges"
    assert found.leading.energy_j == pytest.approx(math.fsum(part.energy_j for part in parts), rel=1e-12)
    assert abs(found.leading.energy_j - made.truth_j) <= found.leading.u_j < 0.01 * made.truth_j
    assert found.idle.power_w == pytest.approx(IDLE_W, abs=0.2)
    assert {each.estimator for each in found.all} == {"stratified_edges", "interpolated_counter", "inner_ticks"}


def test_a_window_of_one_segment_is_the_window_in_one_piece(make):
    made = trial(8, 5.0)
    assert estimate(make.channel(), made.edges(), made.bounds) == estimate(make.channel(), made.edges(), *made.pieces)


def test_a_segment_that_cannot_be_told_leaves_the_window_without_that_estimator(make):
    made = staggered(2, segment_s=1.0)
    hidden = made.pieces[2]
    edges = [edge for edge in made.edges() if not hidden.guard_start_ns <= edge.before_ns <= hidden.t0_ns]
    found = estimate(make.channel(), edges, *made.pieces)
    assert found.leading.estimator == "interpolated_counter"
    assert found.refused["stratified_edges"]
    assert isinstance(found.idle, Unmeasured)


def test_instantaneous_readings_in_segments_hold_their_intervals(make):
    channel = make.channel(kind="power_w", provenance="sampled", averages_over_s=0.0)
    held = 0
    for seed in range(60):
        made = staggered(seed, segment_s=1.0)
        found = estimate(channel, made.edges("power_w"), *made.pieces).leading
        assert found.estimator == "stratified_readings"
        held += abs(found.energy_j - made.truth_j) <= found.u_j
    assert held >= 56


@given(st.integers(3, 16), st.floats(0, 1))
def test_even_starts_of_a_sensor_that_sees_one_nth_leave_next_to_nothing_of_a_load_in_step(n, offset):
    # Four percent is what the seen part may differ from 1/n; three segments have a t of 4.3.
    starts = [offset + k / n for k in range(n)]
    powers_w = [100.0 + 50 * math.cos(2 * math.pi * start) for start in starts]
    assert u_in_step_w(powers_w, starts, 1 / n) < 0.1 * 50
    assert u_in_step_w([100.0] * n, starts, 1 / n) == 0.0


@given(st.floats(0, 1))
def test_uneven_starts_leave_more_of_a_load_in_step_than_even_ones(offset):
    even = [offset + k / 4 for k in range(4)]
    uneven = [offset + k / 4 * 0.8 for k in range(4)]
    powers_w = [100.0, 300.0, 200.0, 100.0]
    assert u_in_step_w(powers_w, uneven, 0.25) > 3 * u_in_step_w(powers_w, even, 0.25)
