"""The sensor check against a simulated sensor whose nature is known, and against each of its flaws."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_sensor import trial

from llem.domain.edges import Edge, ticks
from llem.domain.sensing import Channel
from llem.domain.sensor_checking import check_channel, check_sensors
from llem.sensors.samples import read_samples

RECORDINGS = Path(__file__).parent / "recordings"
GPU = "GPU-1"
COUNTER = Channel(
    id="energy", sensor="nvml", device=GPU, boundary="gpu", kind="energy_j", provenance="counter", unseen_s=0.075
)
INSTANT = Channel(
    id="power",
    sensor="nvml",
    device=GPU,
    boundary="gpu",
    kind="power_w",
    provenance="sampled",
    averages_over_s=0.0,
    aspect="instant",
)
AVERAGE = INSTANT.model_copy(update={"id": "average", "averages_over_s": 1.0, "aspect": "average"})
S = 1_000_000_000


def checked(made, *, channels=(COUNTER, INSTANT), edges=None, load=True, **options):
    """Return the check of a simulated trial: idle in its guard before the work, loaded in its work."""
    bounds = made.bounds
    read = {"energy": made.edges(), "power": made.edges("power_w"), **(edges or {})}
    return check_sensors(
        channels,
        read,
        (bounds.guard_start_ns, bounds.t0_ns),
        (bounds.t0_ns, bounds.t1_ns) if load else None,
        load_name="acted" if load else None,
        no_load_reason=None if load else "no load was asked for",
        **options,
    )


def simulated(seed, **flaws):
    return trial(seed, 5.0, **{"guard_s": 3.0, "noise_w": 0.5, **flaws})


def scaled(edges, gain):
    return [edge._replace(value=edge.value * gain) for edge in edges]


def test_readings_that_change_less_often_than_the_counter_ticks_tell_nothing():
    for seed in range(6):
        counter = simulated(seed, period_s=0.05, phase_s=0.013, noise_w=0.0, read_every_s=0.005)
        slow = simulated(seed, phase_s=0.013, read_every_s=0.005)
        (device,) = checked(counter, edges={"power": slow.edges("power_w")}).devices
        assert device.counter_is_sum is None


@pytest.mark.parametrize("read_every_s", [0.05, 0.02, 0.005])
@pytest.mark.parametrize("seen_s", [None, 0.025])
@pytest.mark.parametrize("latency_s", [0.0, 0.03])
def test_summed_and_true_counters_are_named_rightly(read_every_s, seen_s, latency_s):
    flaws = {"read_every_s": read_every_s, "seen_s": seen_s, "latency_s": latency_s}
    for seed in range(8):
        for summed in (True, False):
            (device,) = checked(simulated(seed, summed=summed, **flaws)).devices
            assert device.counter_is_sum is summed, (seed, device.why)


def test_the_residual_of_a_sum_is_far_below_the_noise_that_a_true_integral_has():
    (summed,) = checked(simulated(1, summed=True)).devices
    (true,) = checked(simulated(1)).devices
    assert summed.residual_w < 0.02 < 0.3 < summed.noise_w < 0.8
    assert 0.3 < true.residual_w < 0.8


@given(st.integers(0, 10_000), st.floats(0.9, 1.1), st.booleans(), st.floats(0.2, 5.0))
@settings(max_examples=30, deadline=None)
def test_a_gain_on_one_channel_never_turns_the_answer_round(seed, gain, summed, noise_w):
    made = simulated(seed, summed=summed, noise_w=noise_w)
    (device,) = checked(made, edges={"power": scaled(made.edges("power_w"), gain)}).devices
    assert device.counter_is_sum in (summed, None), device.why


def test_a_sum_over_periods_that_jitter_is_never_called_a_true_integral():
    made = simulated(3, summed=True)
    readings = made.edges("power_w")
    # The counter adds reading × a period that is off by up to 5 %: its steps follow the load, not the readings.
    total, counter = 0.0, [made.edges()[0]]
    for number, (old, new) in enumerate(zip(made.edges(), made.edges()[1:], strict=False)):
        total += (new.value - old.value) * (1 + 0.05 * math.sin(number * number))
        counter.append(new._replace(value=counter[0].value + total))
    (device,) = checked(made, edges={"energy": counter, "power": readings}).devices
    assert device.counter_is_sum is None


@pytest.mark.parametrize(
    ("channels", "flaws", "why"),
    [
        ((COUNTER, INSTANT), {"noise_w": 0.0}, "do not move"),
        ((COUNTER, AVERAGE), {}, "are means over 1 s"),
        ((COUNTER,), {}, "no power readings beside it"),
        ((COUNTER, INSTANT), {"period_s": 0.02}, "moves at every reading"),
    ],
)
def test_what_cannot_be_told_of_a_counter_is_unknown_with_a_reason(channels, flaws, why):
    made = simulated(4, **flaws)
    (device,) = checked(made, channels=channels, edges={"average": made.edges("power_w")}).devices
    assert device.counter_is_sum is None
    assert why in device.why


def test_readings_that_change_oftener_than_the_counter_ticks_tell_nothing():
    # A true integral beside five readings a tick and their sum look alike: both are steadier than the readings.
    made, fast = simulated(5), simulated(5, period_s=0.02, read_every_s=0.01)
    (device,) = checked(made, edges={"power": fast.edges("power_w")}).devices
    assert device.counter_is_sum is None
    assert "more often than the counter" in device.why


@pytest.mark.parametrize("period_s", [0.06, 0.1, 0.25])
@pytest.mark.parametrize("read_every_s", [0.02, 0.05])
def test_the_update_period_of_both_channels_is_measured(period_s, read_every_s):
    found = checked(simulated(6, period_s=period_s, read_every_s=read_every_s))
    for channel in found.channels:
        assert channel.period_s.median == pytest.approx(period_s, rel=0.02)
        assert channel.period_s.p5 <= channel.period_s.median <= channel.period_s.p95


def test_resolution_and_call_latency_are_those_of_the_readings():
    energy, power = checked(simulated(7, summed=True)).channels
    assert energy.resolution == pytest.approx(1e-3, rel=1e-3)
    assert power.resolution == pytest.approx(1e-3, rel=0.1)
    assert 0.0001 <= energy.call_s.p5 < energy.call_s.median < energy.call_s.p95 < 0.002
    assert (energy.monotonic, power.monotonic) == (True, None)
    assert energy.readings == power.readings > 100


def test_a_channel_that_changes_at_every_reading_has_no_known_period():
    edges = [Edge(n * 50_000_000, n * 50_000_000 + 1000, float(n)) for n in range(60)]
    found = check_channel(COUNTER, edges)
    assert found.period_s is None
    assert "every reading, about every 0.05 s" in found.reason


def test_a_channel_that_never_changes_has_neither_period_nor_resolution():
    found = check_channel(INSTANT, [Edge(n * S, n * S, 100.0) for n in range(9)])
    assert (found.period_s, found.resolution, found.updates) == (None, None, 0)
    assert found.reason == "its value changed 0 times in 9 readings"
    assert check_channel(INSTANT, []).call_s is None


@given(st.floats(0.9, 1.1))
@settings(max_examples=20, deadline=None)
def test_the_grade_says_how_far_the_readings_lie_from_the_counter(gain):
    made = simulated(8)
    (device,) = checked(made, edges={"power": scaled(made.edges("power_w"), gain)}).devices
    assert {agreed.state for agreed in device.agreements} == {"idle", "load"}
    for agreed in device.agreements:
        assert agreed.relative == pytest.approx(gain - 1, abs=0.004)
        assert agreed.relative == agreed.channel_w / agreed.counter_w - 1
    worst = max(abs(agreed.relative) for agreed in device.agreements)
    assert device.grade == ("poor" if worst > 0.05 else "doubtful" if worst > 0.02 else "good")


def test_an_average_is_compared_when_it_no_longer_tells_of_the_time_before():
    made = simulated(9, guard_s=4.0)
    slow = simulated(9, guard_s=4.0, average_s=1.0)
    (device,) = checked(made, channels=(COUNTER, INSTANT, AVERAGE), edges={"average": slow.edges("power_w")}).devices
    of_average = [agreed for agreed in device.agreements if agreed.channel == "average"]
    assert [agreed.state for agreed in of_average] == ["idle", "load"]
    assert all(abs(agreed.relative) < 0.005 for agreed in of_average)
    assert device.grade == "good"


def test_a_mean_over_less_than_two_swings_of_a_limited_load_is_not_judged():
    made, slow = simulated(9), simulated(9, average_s=1.0)
    (device,) = checked(made, channels=(COUNTER, AVERAGE), edges={"average": slow.edges("power_w")}).devices
    assert [agreed.state for agreed in device.agreements] == ["load"]  # of 3 s of idle 1.6 s could be compared
    assert all(agreed.duration_s > 1.9 for agreed in device.agreements)


def test_an_h100_at_its_power_limit_is_read_in_every_tick():
    """15 s of a real one: its driver takes 5 ms a call, 15 ms where a value is new, and its power swings by 280 W."""
    samples = read_samples(RECORDINGS / "h100.json.gz")
    idle, load = (11_107_372, 5_011_763_246), (10_123_019_370, 15_123_974_806)
    found = check_sensors(samples.channels, samples.edges, idle, load, load_name="products", no_load_reason=None)
    counter, instant, _ = found.channels
    assert counter.period_s.median == pytest.approx(0.1, rel=0.01)
    assert counter.call_s.p95 > 0.01
    assert instant.period_s.median == pytest.approx(0.1, rel=0.01)
    (device,) = found.devices
    assert device.counter_is_sum is False
    assert device.why.startswith("a true integral: ")
    assert device.grade == "good"
    assert [(agreed.state, agreed.channel[11:]) for agreed in device.agreements] == [
        ("idle", "power_instant"),
        ("idle", "power_average"),
        ("load", "power_instant"),
        ("load", "power_average"),
    ]
    assert all(abs(agreed.relative) < 0.01 for agreed in device.agreements)
    published = ticks([edge for edge in samples.edges[counter.channel] if load[0] <= edge.before_ns <= load[1]])
    assert len(published.times_s) == 49


def test_a_drift_of_the_power_is_in_the_counter_and_in_the_average_alike():
    period_ns = S // 10
    # 100 W, rising by 20 W a second; a mean over a second says what was half a second ago.
    counter = [Edge(n * period_ns, n * period_ns + 10, 10.0 * n + 0.1 * n * n) for n in range(100)]
    average = [Edge(n * period_ns, n * period_ns + 10, 100 + 20 * (n / 10 - 0.5)) for n in range(100)]
    found = check_sensors(
        [COUNTER, AVERAGE],
        {"energy": counter, "average": average},
        (0, 100 * period_ns),
        None,
        load_name=None,
        no_load_reason="none",
    )
    (agreed,) = found.devices[0].agreements
    assert abs(agreed.relative) < 0.01  # 10 W of 200 would be 5 %


def test_a_counter_that_fell_or_stood_still_is_poor():
    made = simulated(10)
    fell = [edge._replace(value=edge.value * (edge.before_ns < made.bounds.t0_ns)) for edge in made.edges()]
    still = [edge._replace(value=5.0) for edge in made.edges()]
    for edges, monotonic in ((fell, False), (still, True)):
        found = checked(made, edges={"energy": edges})
        assert found.devices[0].grade == "poor"
        assert found.devices[0].counter_is_sum is None
        assert found.channels[0].monotonic is monotonic


def test_a_wrap_is_no_fall():
    made = simulated(11)
    wraps_at_j = 400.0
    wrapped = [edge._replace(value=edge.value % wraps_at_j) for edge in made.edges()]
    counter = COUNTER.model_copy(update={"wraps_at_j": wraps_at_j})
    found = checked(made, channels=(counter, INSTANT), edges={"energy": wrapped})
    assert (found.devices[0].grade, found.channels[0].monotonic) == ("good", True)


def test_without_a_load_the_idle_alone_is_judged_and_the_reason_kept():
    found = checked(simulated(12), load=False)
    assert (found.load, found.no_load_reason) == (None, "no load was asked for")
    assert {agreed.state for agreed in found.devices[0].agreements} == {"idle"}


def test_a_device_that_did_not_work_is_not_said_to_have_worked():
    found = checked(simulated(13), loaded=["GPU-2"])
    assert {agreed.state for agreed in found.devices[0].agreements} == {"idle"}


def test_models_and_conditions_are_not_checked():
    modelled = COUNTER.model_copy(update={"id": "model", "provenance": "modelled"})
    heat = INSTANT.model_copy(update={"id": "heat", "kind": "temperature_c"})
    found = checked(simulated(14), channels=(modelled, heat))
    assert (found.channels, found.devices, found.duration_s) == ((), (), 0.0)


def test_a_sensor_that_gave_nothing_is_poor_and_no_error():
    found = checked(simulated(15), edges={"energy": [], "power": []})
    assert found.devices[0].grade == "poor"
    assert found.devices[0].agreements == ()


READINGS = st.lists(
    st.tuples(st.integers(1, 300_000_000), st.integers(0, 5_000_000), st.floats(-1e10, 1e10, allow_nan=False)),
    max_size=60,
)


def edges_of(readings):
    """Return edges from (nanoseconds since the last one, length of the call, value)."""
    at_ns, edges = 0, []
    for apart_ns, call_ns, value in readings:
        at_ns += apart_ns
        edges.append(Edge(at_ns, at_ns + call_ns, value))
        at_ns += call_ns
    return edges


@given(READINGS, READINGS, READINGS, st.integers(0, 20 * S), st.integers(0, 20 * S), st.booleans())
@settings(max_examples=200, deadline=None)
def test_whatever_sensors_say_there_is_an_answer_or_a_reason(counter, power, average, start_ns, apart_ns, rising):
    if rising:
        total, risen = 0.0, []
        for apart, call, value in counter:
            total += abs(value)
            risen.append((apart, call, total))
        counter = risen
    found = check_sensors(
        [COUNTER, INSTANT, AVERAGE],
        {"energy": edges_of(counter), "power": edges_of(power), "average": edges_of(average)},
        (0, start_ns),
        (start_ns, start_ns + apart_ns),
        load_name="acted",
        no_load_reason=None,
    )
    (device,) = found.devices
    assert device.why
    assert all(math.isfinite(agreed.relative) for agreed in device.agreements)
    for channel in found.channels:
        assert (channel.period_s is None) == (channel.reason is not None)
        assert channel.period_s is None or channel.period_s.median > 0
