import random
from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.sensors.pace import BASE_NS, BURST_NS, SHORTEST_PERIOD_NS, TickPredictor

MS = 1_000_000
S = 1000 * MS
PERIODS = st.integers(SHORTEST_PERIOD_NS + 5 * MS, 500 * MS)


def polled(ticks, until_ns, late_ns=0, call_ns=100_000, stalls=()):
    """Return the (before, after, value) that a predictor asks for of a counter that ticks at these moments."""
    predictor, now_ns, readings = TickPredictor(), 0, []
    while now_ns < until_ns:
        readings.append((now_ns, now_ns + call_ns, count(ticks, now_ns)))
        predictor.read(*readings[-1])
        now_ns = max(predictor.due_ns, now_ns + call_ns) + late_ns
        for start_ns, length_ns in stalls:
            if start_ns <= now_ns < start_ns + length_ns:
                now_ns = start_ns + length_ns
    return readings


def count(ticks, now_ns):
    return float(bisect_right(ticks, now_ns))


def regular(period_ns, phase_ns, until_ns, jitter_ns=0, seed=0):
    random_ = random.Random(seed)
    number = (until_ns - phase_ns) // period_ns + 1
    return [phase_ns + n * period_ns + round(random_.uniform(-jitter_ns, jitter_ns)) for n in range(number)]


def widths(readings):
    """Return for each tick that was seen how long its moment is in doubt, after the first ten."""
    moved = [(one, other) for one, other in pairwise(readings) if one[2] != other[2]]
    return [other[1] - one[0] for one, other in moved[10:]]


@given(PERIODS, st.floats(0, 1), st.integers(0, MS // 2))
def test_a_regular_counter_is_caught_between_two_readings_of_a_burst(period_ns, phase, jitter_ns):
    until_ns = 30 * period_ns
    ticks = regular(period_ns, round(phase * period_ns), until_ns, jitter_ns)
    found = widths(polled(ticks, until_ns))
    assert len(found) >= 15
    assert max(found) <= 2 * BURST_NS


@given(PERIODS, st.floats(0, 1))
def test_a_burst_is_a_few_readings_and_the_rest_is_at_the_slow_pace(period_ns, phase):
    until_ns = 50 * period_ns
    readings = polled(regular(period_ns, round(phase * period_ns), until_ns), until_ns)
    later = [one[0] for one in readings if one[0] > 20 * period_ns]
    assert len(later) / 30 <= period_ns / BASE_NS + 6


@pytest.mark.parametrize("late_us", [0, 100, 300])
def test_once_it_is_learnt_a_tick_takes_little_more_than_two_readings_beyond_the_slow_pace(late_us):
    readings = polled(regular(100 * MS, 17 * MS, 60 * S), 60 * S, late_ns=late_us * 1000)
    later = [one[0] for one in readings if one[0] > 5 * S]
    assert len(later) / 550 <= 4 + 2.5


@pytest.mark.parametrize(("jitter_ms", "missed"), [(0.5, 0.05), (1.5, 0.1)])
def test_ticks_that_stray_a_little_are_seldom_missed(jitter_ms, missed):
    found = widths(polled(regular(100 * MS, 17 * MS, 60 * S, round(jitter_ms * MS), seed=3), 60 * S))
    assert sum(width > 3 * BURST_NS for width in found) <= missed * len(found)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=80), st.integers(0, MS))
def test_whatever_a_counter_does_the_pace_stays_between_the_two(steps_ms, late_ns):
    ticks, now_ns = [], 0
    for step in steps_ms:
        now_ns += step * MS
        ticks.append(now_ns)
    for one, other in pairwise(polled(ticks, now_ns + S, late_ns)):
        assert BURST_NS // 2 <= other[0] - one[0] <= BASE_NS + late_ns + MS


@pytest.mark.parametrize("period_ms", [1, 10, 20, 30, 45])
def test_a_fast_counter_is_read_at_the_slow_pace(period_ms):
    readings = polled(regular(period_ms * MS, 0, 3 * S), 3 * S)
    assert {other[0] - one[0] for one, other in pairwise(readings)} == {BASE_NS}


def test_a_call_that_takes_long_is_not_made_all_the_time():
    readings = polled(regular(100 * MS, 0, 6 * S), 6 * S, call_ns=8 * MS)
    assert {other[0] - one[0] for one, other in pairwise(readings)} == {BASE_NS}
    readings = polled(regular(100 * MS, 0, 6 * S), 6 * S, call_ns=2 * MS)
    assert min(other[0] - one[0] for one, other in pairwise(readings)) >= 4 * MS
    assert sum(widths(readings)) / len(widths(readings)) < BASE_NS


def test_an_irregular_counter_costs_little_more_than_the_slow_pace():
    random_ = random.Random(1)
    ticks, now_ns = [], 0
    while now_ns < 60 * S:
        now_ns += round(random_.expovariate(1 / (100 * MS)))
        ticks.append(now_ns)
    assert len(polled(ticks, 60 * S)) < 1.5 * 60 * S / BASE_NS


@pytest.mark.parametrize("length_ms", [60, 300, 2000])
def test_a_stall_does_not_make_it_forget(length_ms):
    period_ns = 100 * MS
    stall = (2 * S + 30 * MS, length_ms * MS)
    readings = polled(regular(period_ns, 17 * MS, 6 * S), 6 * S, stalls=[stall])
    after = [reading for reading in readings if reading[0] >= sum(stall)]
    moved = [other[1] - one[0] for one, other in pairwise(after) if one[2] != other[2]]
    assert max(moved[1:]) <= 2 * BURST_NS


def test_a_counter_whose_phase_jumps_is_learnt_anew():
    ticks = [*regular(100 * MS, 0, 3 * S), *regular(100 * MS, 3 * S + 45 * MS, 8 * S)]
    assert max(widths(polled(ticks, 8 * S))[-30:]) <= 2 * BURST_NS


def test_a_counter_that_stops_is_read_at_the_slow_pace():
    readings = polled(regular(100 * MS, 0, 2 * S), 10 * S)
    assert {other[0] - one[0] for one, other in pairwise(readings) if one[0] > 5 * S} == {BASE_NS}


def test_failed_readings_do_not_move_the_pace_away_from_the_next_tick():
    predictor, ticks, now_ns, seen = TickPredictor(), regular(100 * MS, 0, 6 * S), 0, []
    while now_ns < 6 * S:
        value = None if 3 * S < now_ns < 3 * S + 250 * MS else count(ticks, now_ns)
        seen.append((now_ns, now_ns + 1000, value))
        predictor.read(*seen[-1])
        now_ns = predictor.due_ns
    later = [reading for reading in seen if reading[0] > 3 * S + 400 * MS]
    assert max(other[1] - one[0] for one, other in pairwise(later) if one[2] != other[2]) <= 2 * BURST_NS
