"""When a counter ticked, by readings at a constant pace and by readings in bursts around its ticks."""

import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_sensor import stalled, trial

from llem.domain.edges import Edge, Ticks, Unmeasured, steps, ticks

MS = 1_000_000
S = 1000 * MS
PERIOD_NS = 100 * MS


def off_s(made, found):
    """Return how far each time is from the tick that it stands for."""
    meter = made.meter
    moments = [found.origin_ns / 1e9 + time_s - meter.phase_s for time_s in found.times_s]
    return [abs(moment - round(moment / meter.period_s) * meter.period_s) for moment in moments]


@given(st.integers(0, 10**6))
def test_ticks_by_bursts_are_ten_times_as_sharp_as_their_base_pace(seed):
    made = trial(seed, 2.0, read_every_s=None)
    found = ticks(made.edges())
    assert found.period_s == pytest.approx(0.1, rel=1e-4)
    assert max(off_s(made, found)) < 0.002
    widths = [step.width_ns for step in steps(made.edges())]
    assert median(widths[10:]) < 4 * MS < median(widths[:4])


@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.3, 1.1]), st.floats(0, 1))
def test_a_stall_among_bursts_is_left_out_and_the_rest_counted_on(seed, length_s, when):
    made = trial(seed, 3.0, read_every_s=None)
    start_ns = round((1.5 + 4 * when) * S)
    edges = stalled(made.edges(), start_ns, length_s)
    found = ticks(edges)
    assert isinstance(found, Ticks)
    assert max(off_s(made, found)) < 0.002
    assert max(found.totals_j) == pytest.approx(edges[-1].value - edges[0].value)


def burst(ticks_ns, until_ns, base_ns=20 * MS, near_ns=4 * MS):
    """Return readings every 20 ms, and every 2 ms near each tick of a counter that moves by one."""
    times_ns, now_ns = [], 0
    while now_ns < until_ns:
        times_ns.append(now_ns)
        near = any(abs(now_ns + 1 - tick) <= near_ns for tick in ticks_ns)
        opens = min((tick - near_ns for tick in ticks_ns if tick - near_ns > now_ns), default=until_ns)
        now_ns = now_ns + 2 * MS if near else min(now_ns + base_ns, opens)
    return [Edge(at, at + 1000, float(sum(tick <= at for tick in ticks_ns))) for at in times_ns]


@pytest.mark.parametrize("jitter_ms", [3, 8])
def test_ticks_that_stray_by_more_than_a_burst_is_wide_are_still_regular(jitter_ms):
    random_ = random.Random(1)
    moments = [round((n + 1) * PERIOD_NS + random_.uniform(-jitter_ms, jitter_ms) * MS) for n in range(30)]
    found = ticks(burst(moments, moments[-1] + 50 * MS, near_ns=10 * MS))
    assert found.period_s == pytest.approx(0.1, rel=0.01)
    assert found.sd_each_s > 0.3 * jitter_ms / 1000
    gap = [edge for edge in burst(moments, moments[-1] + 50 * MS, near_ns=10 * MS) if not S < edge.before_ns < 2 * S]
    assert ticks(gap).period_s == pytest.approx(0.1, rel=0.01)


def test_ticks_without_any_period_are_refused_however_sharp_they_are():
    random_ = random.Random(2)
    moments, now_ns = [], 0
    for _ in range(40):
        now_ns += round(random_.uniform(40, 400) * MS)
        moments.append(now_ns)
    assert ticks(burst(moments, now_ns + 50 * MS)) == Unmeasured("the counter does not tick regularly")


def test_most_readings_in_bursts_do_not_make_the_other_steps_a_stall():
    """Ticks that the recorder did not yet expect are seen at the base pace, ten times as wide as a burst's."""
    moments = [n * PERIOD_NS + 7 * MS for n in range(1, 30)]
    early = [edge for edge in burst(moments[:5], S // 2, near_ns=0) if edge.before_ns < S // 2]
    late = [edge for edge in burst(moments, 3 * S, near_ns=20 * MS) if edge.before_ns >= S // 2]
    found = ticks([*early, *late])
    assert len(found.times_s) == 29
