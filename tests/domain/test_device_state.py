"""Temperature, clocks and what held a device down, over the pieces of a window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.device_state import DeviceConditions, device_conditions
from llem.domain.edges import Bounds, Edge

S = 1_000_000_000
PIECES = (Bounds(9 * S, 10 * S, 12 * S, 13 * S), Bounds(12 * S, 13 * S, 15 * S, 16 * S))


def each_second(values):
    return [Edge(n * S, n * S, float(value)) for n, value in enumerate(values)]


@pytest.fixture(scope="session")
def conditions(make):
    """Return a function from {kind or (kind, aspect): readings} to the conditions of one GPU."""

    def found(readings, failures=None):
        channels, edges = [], {}
        for key, values in readings.items():
            kind, aspect = key if isinstance(key, tuple) else (key, None)
            channels.append(make.channel(id=f"{kind}/{aspect}", device="GPU-1", kind=kind, aspect=aspect))
            edges[channels[-1].id] = values
        (one,) = device_conditions(("GPU-1", "cpu"), channels, edges, PIECES, failures or {})
        return one

    return found


def test_a_quantity_is_told_by_its_readings_during_the_work_alone(conditions):
    seen = conditions({"temperature_c": each_second(range(20)), ("clock_mhz", "sm"): each_second([1000] * 20)})
    assert (seen.temperature_c.min, seen.temperature_c.max, seen.temperature_c.readings) == (10, 15, 6)
    assert seen.sm_clock_mhz.mean == 1000
    assert seen.unknown["memory_clock_mhz"] == "no sensor here reads it"


def test_what_was_not_read_is_null_with_the_reason(conditions):
    early = conditions({"temperature_c": each_second(range(5))})
    assert early.unknown["temperature_c"] == "it was not read within the window"
    failed = conditions({"temperature_c": []}, failures={"temperature_c/None": "Not Supported"})
    assert failed.unknown["temperature_c"] == "Not Supported"


def test_nanoseconds_held_down_are_the_rise_over_the_pieces_and_nothing_twice(conditions):
    rising = each_second([n * 1000 for n in range(20)])
    seen = conditions({("throttle_ns", "sw_thermal"): rising, ("throttle_ns", "power_cap"): each_second([7] * 20)})
    assert seen.throttle_ns == {"sw_thermal": 4000, "power_cap": 0}
    seldom = [Edge(n * S, n * S, float(n)) for n in (0, 20)]
    assert conditions({("throttle_ns", "sw_thermal"): seldom}).throttle_ns == {"sw_thermal": 20}
    reset = each_second([5] * 11 + [0] * 9)
    assert "throttle_ns" in conditions({("throttle_ns", "sw_thermal"): reset}).unknown
    assert "throttle_ns" in conditions({("throttle_ns", "sw_thermal"): each_second(range(12))}).unknown


def test_event_reasons_are_shares_of_the_readings_by_name(conditions):
    bits = each_second([0] * 10 + [0x4, 0x24, 0, 0, 0, 0] + [0x80] * 4)
    assert conditions({"event_reasons": bits}).event_reasons == {"power_cap": 2 / 6, "sw_thermal": 1 / 6}


def test_a_foreign_process_counts_from_the_last_reading_before_the_guards(conditions):
    assert conditions({"foreign_processes": each_second([0] * 8 + [2] + [0] * 11)}).foreign_processes == 2
    assert conditions({"foreign_processes": each_second([3] * 8 + [0] * 12)}).foreign_processes == 0
    assert conditions({"foreign_processes": each_second([0] * 16 + [1] * 4)}).foreign_processes == 1
    assert conditions({"foreign_processes": each_second([0] * 5)}).foreign_processes is None


@given(st.lists(st.integers(0, 10**9), min_size=20, max_size=20))
def test_what_was_spent_is_never_more_than_the_counter_rose(conditions, rises):
    total, values = 0, []
    for rise in rises:
        total += rise
        values.append(total)
    seen = conditions({("throttle_ns", "sw_thermal"): each_second(values)})
    assert 0 <= seen.throttle_ns["sw_thermal"] <= values[-1] - values[0]


def test_conditions_refuse_a_null_without_a_reason():
    with pytest.raises(ValueError, match="temperature_c"):
        DeviceConditions(device="GPU-1")
