import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.sensing import Temperature
from llem.domain.steadiness import Look, unsteady


def looks(temperatures_c, clocks_mhz=None, device="GPU-1", every_s=1.0):
    clocks = clocks_mhz or [None] * len(temperatures_c)
    return [
        Look(number * every_s, (Temperature(device=device, temperature_c=warm, clock_mhz=clock),))
        for number, (warm, clock) in enumerate(zip(temperatures_c, clocks, strict=True))
    ]


def merged(*series):
    return [
        Look(at_once[0].t_s, tuple(d for look in at_once for d in look.devices))
        for at_once in zip(*series, strict=True)
    ]


def test_a_device_is_steady_once_nothing_moved_for_the_whole_time():
    assert unsteady(looks([60.0] * 10), 10) == "GPU-1 was seen for 9 s of 10 s"
    assert unsteady(looks([60.0] * 11), 10) is None


def test_one_degree_is_no_move_and_more_is():
    assert unsteady(looks([60, 60, 61, 60, 61]), 4) is None
    assert unsteady(looks([60, 60, 61, 62, 61]), 4) == "the temperature of GPU-1 moved by 2 °C"


def test_what_moved_before_that_time_does_not_count():
    assert unsteady(looks([20, 40, 60, 60, 60]), 2) is None


def test_a_clock_is_constant_within_one_percent():
    assert unsteady(looks([60] * 3, [1980, 1965, 1980]), 2) is None
    assert unsteady(looks([60] * 3, [1980, 1905, 1980]), 2) == "the clock of GPU-1 moved from 1905 to 1980 MHz"
    assert unsteady(looks([60] * 3, [None, 1980, None]), 2) is None


def test_every_device_must_be_steady():
    other = looks([40, 41, 43], device="GPU-2")
    assert unsteady(merged(looks([60] * 3), other), 2) == "the temperature of GPU-2 moved by 3 °C"


def test_a_device_that_never_tells_is_passed_over_but_one_that_falls_silent_is_not():
    silent = looks([None] * 3, device="GPU-2")
    assert unsteady(merged(looks([60] * 3), silent), 2) is None
    assert unsteady(silent, 2) == "no device tells a temperature"
    assert unsteady(looks([60, 60, 60, None]), 2) == "GPU-1 tells no temperature any more"


@given(st.lists(st.floats(20, 90), min_size=2, max_size=40), st.floats(0.5, 30))
def test_steady_means_that_the_last_readings_lie_within_one_degree(temperatures_c, over_s):
    found = looks(temperatures_c)
    end_s = found[-1].t_s
    recent = [warm for look, warm in zip(found, temperatures_c, strict=True) if look.t_s >= end_s - over_s]
    if unsteady(found, over_s) is None:
        assert end_s >= over_s
        assert max(recent) - min(recent) <= 1.0


@pytest.mark.parametrize("every_s", [0.3, 0.7, 1.0])
def test_how_often_one_looks_does_not_shorten_the_time(every_s):
    steady_after = next(n for n in range(1, 100) if unsteady(looks([60] * n, every_s=every_s), 5) is None)
    assert (steady_after - 2) * every_s < 5 <= (steady_after - 1) * every_s
