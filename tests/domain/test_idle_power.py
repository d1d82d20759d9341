"""Idle power over a stretch without work: by a counter and by readings, with intervals that hold."""

import random

import pytest
from simulated_sensor import Load, Meter, Trial, stalled

from llem.domain.edges import Bounds, Edge, Unmeasured
from llem.domain.idle import Idle, idle_power

S = 1_000_000_000


def idling(seed, seconds=5.0, **flaws):
    """Return readings of a device at 80 W from 3 s on, after work."""
    random_ = random.Random(seed)
    meter = Meter(phase_s=random_.random() * 0.1, **flaws)
    load = Load([(-2.0, 300.0, 0.0), (3.0, 80.0, 0.0)])
    polls = [
        (at, at + 2e-4) for at in (n * 0.02 + random_.random() * 0.002 for n in range(round((seconds + 4) * 50)))
    ]
    return Trial(load, Bounds(0, 0, 1, 1), meter, tuple(polls), seed)


def test_a_counter_gives_idle_power_with_an_interval_that_holds(make):
    for flaws in ({}, {"summed": True, "noise_w": 2.0}, {"summed": True, "seen_s": 0.025, "noise_w": 0.5}):
        held = 0
        for seed in range(60):
            power_w, u_w = idle_power(make.channel(), idling(seed, **flaws).edges(), 3 * S, 8 * S)
            held += abs(power_w - 80.0) <= u_w
            assert u_w < 2.0
        assert held >= 56


@pytest.mark.parametrize("averages_over_s", [0.0, 1.0, None])
def test_readings_give_idle_power_once_they_tell_of_nothing_else(make, averages_over_s):
    channel = make.channel(kind="power_w", provenance="sampled", averages_over_s=averages_over_s)
    average_s = None if averages_over_s == 0 else 1.0
    held = 0
    for seed in range(150):
        edges = idling(seed, noise_w=1.0, average_s=average_s).edges("power_w")
        power_w, u_w = idle_power(channel, edges, 3 * S, 8 * S)
        held += abs(power_w - 80.0) <= u_w
        assert u_w < 3.5
    assert held >= 139  # 93 %


def test_idle_power_is_unknown_with_the_reason_where_too_little_was_read(make):
    edges = idling(1).edges()
    few = idle_power(make.channel(), edges, 3 * S, 3 * S + S // 4)
    assert isinstance(few, Unmeasured)
    assert "while idle" in few.reason
    assert isinstance(idle_power(make.channel(), [], 3 * S, 8 * S), Unmeasured)
    power = make.channel(kind="power_w", provenance="sampled", averages_over_s=1.0)
    short = idle_power(power, idling(1).edges("power_w"), 3 * S, 4 * S)
    assert "readings of idle power alone" in short.reason
    assert "modelled" in idle_power(make.channel(provenance="modelled"), edges, 3 * S, 8 * S).reason
    fallen = [Edge(n * S // 10, n * S // 10, float(100 - n)) for n in range(90)]
    assert "fell" in idle_power(make.channel(), fallen, 3 * S, 8 * S).reason


def test_a_stall_within_the_stretch_does_not_move_it(make):
    power_w, u_w = idle_power(make.channel(), stalled(idling(4).edges(), 5 * S, 0.5), 3 * S, 8 * S)
    assert abs(power_w - 80.0) <= u_w


def test_idle_power_over_pieces_holds_the_range_of_their_guards():
    low, high = Idle.of(80.0, 0.1, 80.0, 0.1), Idle.of(90.0, 0.1, 90.0, 0.1)
    both = Idle.over([low, high])
    assert (both.power_w, both.before_w, both.after_w) == (85.0, 80.0, 90.0)
    assert both.u_w == pytest.approx(1.96 * 10 / 12**0.5, rel=0.01)
    assert Idle.over([low]).u_w == low.u_w
