"""What a sensor check decides: the channels as they were found, the segments of a window, and its guards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.checked import checked_channels, leading_channel, least_guard_s, stagger_for
from llem.domain.messages import Stagger
from llem.domain.sensing import Channel
from llem.domain.sensor_check import ChannelCheck, DeviceCheck, SensorCheck, Spread

A100 = Channel(
    id="a100/energy",
    sensor="nvml",
    device="A100",
    boundary="gpu",
    kind="energy_j",
    provenance="counter",
    unseen_s=0.075,
)
INSTANT = Channel(
    id="a100/power",
    sensor="nvml",
    device="A100",
    boundary="gpu",
    kind="power_w",
    provenance="sampled",
    averages_over_s=0.0,
)
AVERAGE = INSTANT.model_copy(update={"id": "a100/average", "averages_over_s": 1.0})
PACKAGE = Channel(
    id="rapl/0",
    sensor="rapl",
    device="package-0",
    boundary="cpu_package",
    kind="energy_j",
    provenance="counter",
    updates_every_s=0.001,
)
MODEL = Channel(id="cc", sensor="codecarbon", device="cpu", boundary="cpu", kind="energy_j", provenance="modelled")


def found(channel, period_s=0.1, readings=200):
    period = None if period_s is None else Spread(median=period_s, p5=period_s, p95=period_s)
    return ChannelCheck(
        channel=channel.id,
        readings=readings,
        updates=50,
        period_s=period,
        resolution=0.001,
        call_s=None,
        monotonic=True,
        reason=None if period else "it changes at every reading",
    )


def check(*channels, is_sum=None, grade="good", period_s=0.1):
    counters = [channel for channel in channels if channel.kind == "energy_j"]
    return SensorCheck(
        duration_s=10.0,
        channels=tuple(found(channel, period_s) for channel in channels),
        devices=tuple(
            DeviceCheck(device=c.device, counter=c.id, counter_is_sum=is_sum, why="told", grade=grade)
            for c in counters
        ),
    )


def test_a_true_counter_has_no_unseen_part_and_any_other_stays_what_its_sensor_says():
    for is_sum, unseen_s in ((False, None), (True, 0.075), (None, 0.075)):
        counter, power = checked_channels([A100, INSTANT], check(A100, INSTANT, is_sum=is_sum))
        assert counter.unseen_s == unseen_s
        assert power == INSTANT


def test_the_period_that_was_measured_stands_in_where_the_sensor_tells_none():
    counter, package = checked_channels([A100, PACKAGE], check(A100, PACKAGE, period_s=0.02))
    assert (counter.updates_every_s, package.updates_every_s) == (0.02, 0.001)
    assert checked_channels([A100], check(A100, period_s=None))[0].updates_every_s is None


def test_without_a_check_and_for_what_was_not_checked_nothing_changes():
    assert checked_channels([A100, MODEL], None) == [A100, MODEL]
    assert checked_channels([A100, MODEL], check(PACKAGE)) == [A100, MODEL]


@pytest.mark.parametrize("is_sum", [True, None])
def test_a_part_time_sensor_gets_a_segment_for_each_part_of_its_period(is_sum):
    assert stagger_for(["A100"], [A100, INSTANT], check(A100, INSTANT, is_sum=is_sum)) == Stagger(
        segments=4, period_s=0.1, devices=("A100",)
    )


def test_a_true_counter_a_full_time_sensor_and_another_device_need_none():
    channels = [A100, INSTANT]
    assert stagger_for(["A100"], channels, check(*channels, is_sum=False)) is None
    assert stagger_for(["A100"], [A100.model_copy(update={"unseen_s": None}), INSTANT], check(*channels)) is None
    assert stagger_for(["GPU-2"], channels, check(*channels, is_sum=True)) is None


def test_no_segments_are_laid_for_a_period_that_nobody_knows():
    assert stagger_for(["A100"], [A100, INSTANT], None) is None
    assert stagger_for(["A100"], [A100], check(A100, period_s=None)) is None
    known = A100.model_copy(update={"updates_every_s": 0.1})
    assert stagger_for(["A100"], [known], None) == Stagger(segments=4, period_s=0.1, devices=("A100",))


@pytest.mark.parametrize("is_sum", [True, False])
def test_power_that_leads_in_the_place_of_a_poor_counter_is_part_time_whatever_the_counter_is(is_sum):
    channels = [A100, INSTANT]
    assert stagger_for(["A100"], channels, check(*channels, is_sum=is_sum, grade="poor")) == Stagger(
        segments=4, period_s=0.1, devices=("A100",)
    )


@given(st.floats(0.01, 0.5), st.floats(0.03, 0.9))
def test_the_segments_together_see_the_whole_period(period_s, seen_share):
    counter = A100.model_copy(update={"unseen_s": period_s * (1 - seen_share)})
    stagger = stagger_for(["A100"], [counter], check(counter, period_s=period_s))
    assert stagger is not None
    assert stagger.segments >= 4
    assert stagger.segments * seen_share >= 0.95 or stagger.segments == 64


def test_the_counter_leads_unless_it_is_poor_and_an_average_comes_last():
    channels = [AVERAGE, INSTANT, A100]
    assert leading_channel(channels, None) == A100
    assert leading_channel(channels, check(A100, grade="doubtful")) == A100
    assert leading_channel(channels, check(A100, grade="poor")) == INSTANT
    assert leading_channel([AVERAGE, A100], check(A100, grade="poor")) == AVERAGE
    assert leading_channel([A100], check(A100, grade="poor")) == A100
    assert leading_channel([MODEL], None) is None


@pytest.mark.parametrize(
    ("channels", "least_s"),
    [
        ([], 0.0),
        ([MODEL], 0.0),
        ([A100, INSTANT], 0.6),
        ([INSTANT], 0.6),
        ([AVERAGE], 1.5),
        ([AVERAGE.model_copy(update={"averages_over_s": None})], 1.5),
        ([A100, AVERAGE], 0.6),
        ([A100, PACKAGE], 0.6),
    ],
)
def test_guards_are_six_periods_of_what_leads_or_longer_than_an_average(channels, least_s):
    assert least_guard_s(channels, check(*channels)) == pytest.approx(least_s)


def test_a_channel_that_is_updated_faster_than_it_is_read_needs_six_readings():
    assert least_guard_s([PACKAGE], check(PACKAGE, period_s=None)) == pytest.approx(6 * 10.0 / 200)
    assert least_guard_s([PACKAGE], None) == pytest.approx(0.006)


def test_the_slowest_device_sets_the_guards():
    slow = INSTANT.model_copy(update={"id": "other", "device": "GPU-2", "averages_over_s": 1.0})
    assert least_guard_s([A100, slow], check(A100, slow)) == pytest.approx(1.5)
