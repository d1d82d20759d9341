import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llem.domain.edges import Bounds, Edge, Estimate, Unmeasured
from llem.domain.energy import estimate
from llem.domain.held import sampled_energy
from llem.domain.interpolated import counter_energy

S = 1_000_000_000
MS = 1_000_000


def edges_at(times_ns, values):
    """Return edges whose middle lies at the given times."""
    return [Edge(t - 1000, t + 1000, v) for t, v in zip(times_ns, values, strict=True)]


def counter_edges(power_w, *, until_s=30.0, published_every_ms=100, polled_every_ms=50, offset_ms=0, start_j=0.0):
    """Return readings of a counter under constant power that publishes its value only now and then."""
    edges = []
    for t_ns in range(0, int(until_s * S), polled_every_ms * MS):
        step = (t_ns - offset_ms * MS) // (published_every_ms * MS)
        edges.append(Edge(t_ns, t_ns, start_j + power_w * step * published_every_ms / 1e3))
    return edges


@st.composite
def traces(draw):
    """Draw rising times and values, and three moments in order inside them."""
    gaps = draw(st.lists(st.integers(1, 400 * MS), min_size=3, max_size=40))
    times = [sum(gaps[:n]) for n in range(len(gaps) + 1)]
    values = draw(st.lists(st.integers(0, 10_000), min_size=len(times), max_size=len(times)))
    cuts = sorted(draw(st.tuples(*[st.integers(times[0], times[-1])] * 3)))
    assume(cuts[0] < cuts[1] < cuts[2])
    return times, values, cuts


@given(traces())
def test_the_counted_energy_of_two_joined_windows_is_their_sum(trace):
    times, rises, (t0, t1, t2) = trace
    totals = [sum(rises[: n + 1]) / 7 for n in range(len(rises))]
    edges = edges_at(times, totals)
    whole, first, second = (counter_energy(edges, *w) for w in ((t0, t2), (t0, t1), (t1, t2)))
    assume(isinstance(whole, Estimate))
    assert first.energy_j + second.energy_j == pytest.approx(whole.energy_j, rel=1e-9, abs=1e-6)


@given(traces())
def test_the_sampled_energy_of_two_joined_windows_is_their_sum(trace):
    times, watts, (t0, t1, t2) = trace
    edges = edges_at(times, watts)
    whole, first, second = (sampled_energy(edges, *w) for w in ((t0, t2), (t0, t1), (t1, t2)))
    assert first.energy_j + second.energy_j == pytest.approx(whole.energy_j, rel=1e-9, abs=1e-6)


@given(traces(), st.floats(0.1, 1000))
def test_constant_power_read_at_any_times_gives_power_times_time(trace, power_w):
    times, _, (t0, _, t2) = trace
    found = sampled_energy(edges_at(times, [power_w] * len(times)), t0, t2)
    assert found.energy_j == pytest.approx(power_w * (t2 - t0) / 1e9, rel=1e-9)


@given(traces(), st.floats(0.1, 1000))
def test_a_counter_under_constant_power_read_at_any_times_gives_power_times_time(trace, power_w):
    times, _, (t0, _, t2) = trace
    edges = edges_at(times, [power_w * t / 1e9 for t in times])
    assert counter_energy(edges, t0, t2).energy_j == pytest.approx(power_w * (t2 - t0) / 1e9, rel=1e-6)


@given(
    power_w=st.floats(1, 1000),
    t0_ms=st.integers(1_000, 10_000),
    length_ms=st.integers(300, 15_000),
    polled_every_ms=st.sampled_from([5, 10, 20, 50]),
    offset_ms=st.integers(0, 99),
)
def test_the_truth_lies_within_the_stated_uncertainty_of_a_counter_in_steps_of_100_ms(
    power_w, t0_ms, length_ms, polled_every_ms, offset_ms
):
    edges = counter_edges(power_w, polled_every_ms=polled_every_ms, offset_ms=offset_ms)
    found = counter_energy(edges, t0_ms * MS, (t0_ms + length_ms) * MS)
    assert abs(found.energy_j - power_w * length_ms / 1e3) <= found.u_j
    assert found.u_j == pytest.approx(1.96 * power_w * 0.1 * (2 / 12) ** 0.5, rel=1e-6)


@given(st.floats(1, 500), st.integers(20, 200), st.integers(0, 10_000))
def test_a_counter_that_wraps_counts_as_one_that_does_not(power_w, wraps_at_j, start_j):
    edges = counter_edges(power_w, until_s=20, start_j=start_j)
    assume(power_w * 0.1 < wraps_at_j)
    wrapped = [edge._replace(value=edge.value % wraps_at_j) for edge in edges]
    straight = counter_energy(edges, 3 * S, 15 * S)
    found = counter_energy(wrapped, 3 * S, 15 * S, wraps_at_j=wraps_at_j)
    assert found.energy_j == pytest.approx(straight.energy_j, rel=1e-6)
    assert found.u_j == pytest.approx(straight.u_j, rel=1e-6)


def test_energy_between_steps_is_interpolated():
    edges = edges_at([0, S, 2 * S, 3 * S], [100.0, 110.0, 130.0, 160.0])
    found = counter_energy(edges, S // 2, 5 * S // 2)
    assert found.energy_j == pytest.approx((10 / 2) + 20 + (30 / 2))
    assert found.u_j == pytest.approx(1.96 * ((10**2 + 30**2) / 12) ** 0.5)
    assert (found.estimator, found.readings) == ("interpolated_counter", 2)


def test_readings_between_two_steps_of_a_counter_change_nothing():
    moved = edges_at([0, S, 2 * S, 3 * S], [0.0, 10.0, 20.0, 30.0])
    still = edges_at([0, S, S + 5 * MS, S + 9 * MS, 2 * S, 3 * S], [0.0, 10.0, 10.0, 10.0, 20.0, 30.0])
    assert counter_energy(moved, S // 2, 5 * S // 2) == counter_energy(still, S // 2, 5 * S // 2)


def test_power_is_held_over_the_interval_before_each_reading():
    found = sampled_energy(edges_at([0, S, 3 * S], [999.0, 10.0, 20.0]), 0, 3 * S)
    assert found.energy_j == pytest.approx(10 * 1 + 20 * 2)
    assert (found.estimator, found.readings) == ("held_readings", 2)


def test_the_uncertainty_of_sampled_power_grows_with_its_changes():
    flat = sampled_energy(edges_at([0, S, 2 * S, 3 * S], [10, 10, 10, 10]), 0, 3 * S)
    steep = sampled_energy(edges_at([0, S, 2 * S, 3 * S], [10, 10, 30, 10]), 0, 2 * S)
    assert steep.u_j > flat.u_j > 0


@pytest.mark.parametrize(
    ("edges", "t0_ns", "t1_ns", "reason"),
    [
        pytest.param([], S, 2 * S, "no reading", id="no reading"),
        pytest.param([(0, 1.0)], 0, S, "did not move", id="one reading"),
        pytest.param([(0, 5.0), (S, 5.0), (2 * S, 5.0)], 0, S, "did not move", id="never moved"),
        pytest.param([(S, 1.0), (3 * S, 2.0)], 0, 2 * S, "did not move", id="starts too late"),
        pytest.param([(0, 1.0), (S, 2.0)], 0, 2 * S, "did not move", id="ends too early"),
        pytest.param([(0, 1.0), (S, 2.0), (9 * S, 2.0)], 0, 2 * S, "did not move", id="stands still at the end"),
        pytest.param([(0, 9.0), (S, 10.0), (2 * S, 1.0), (3 * S, 2.0)], 0, 2 * S, "fell", id="fell"),
    ],
)
def test_a_counter_that_cannot_tell_says_why_instead_of_a_number(edges, t0_ns, t1_ns, reason):
    found = counter_energy([Edge(t, t, v) for t, v in edges], t0_ns, t1_ns)
    assert isinstance(found, Unmeasured)
    assert reason in found.reason


def test_a_fall_beyond_the_range_of_a_wrapping_counter_is_no_wrap():
    edges = edges_at([0, S, 2 * S, 3 * S], [500.0, 510.0, 100.0, 120.0])
    assert isinstance(counter_energy(edges, S // 2, 2 * S, wraps_at_j=300.0), Unmeasured)


@pytest.mark.parametrize(
    ("edges", "t0_ns", "t1_ns", "reason"),
    [
        pytest.param([], 0, S, "fewer than two", id="no reading"),
        pytest.param([(S, 100.0)], S // 2, 3 * S // 2, "unknown, not zero", id="one reading"),
        pytest.param([(S, 1.0), (2 * S, 1.0)], S // 2, 2 * S, "do not cover", id="starts too late"),
        pytest.param([(0, 1.0), (S, 1.0)], 0, 2 * S, "do not cover", id="ends too early"),
    ],
)
def test_power_readings_that_cannot_tell_say_why_instead_of_a_number(edges, t0_ns, t1_ns, reason):
    found = sampled_energy([Edge(t, t, v) for t, v in edges], t0_ns, t1_ns)
    assert isinstance(found, Unmeasured)
    assert reason in found.reason


def unguarded(t0_ns, t1_ns):
    return Bounds(t0_ns, t0_ns, t1_ns, t1_ns)


@pytest.mark.parametrize("kind", ["energy_j", "power_w"])
@pytest.mark.parametrize("t1_ns", [S, S - 1])
def test_a_window_without_length_has_no_energy(make, kind, t1_ns):
    edges = edges_at([0, S, 2 * S], [1.0, 2.0, 3.0])
    found = estimate(make.channel(kind=kind), edges, unguarded(S, t1_ns))
    assert found.leading == found.idle == Unmeasured("the window has no length")
    assert found.all == ()


def test_the_kind_of_a_channel_chooses_the_arithmetic(make):
    edges = edges_at([0, S, 2 * S], [10.0, 20.0, 30.0])
    counted = estimate(make.channel(kind="energy_j"), edges, unguarded(0, 2 * S)).leading
    sampled = estimate(make.channel(kind="power_w", averages_over_s=0.0), edges, unguarded(0, 2 * S)).leading
    assert (counted.energy_j, counted.estimator) == (20.0, "interpolated_counter")
    assert (sampled.energy_j, sampled.estimator) == (50.0, "held_readings")


def test_a_channels_range_is_used_where_its_counter_wraps(make):
    edges = edges_at([0, S, 2 * S], [90.0, 5.0, 20.0])
    assert estimate(make.channel(wraps_at_j=100.0), edges, unguarded(0, 2 * S)).leading.energy_j == 30.0


def test_an_average_over_a_second_has_its_delay_in_the_uncertainty():
    edges = edges_at([0, S, 2 * S, 3 * S], [10, 10, 30, 10])
    late = sampled_energy(edges, 0, 3 * S, averages_over_s=1.0).u_j - sampled_energy(edges, 0, 3 * S).u_j
    assert late == pytest.approx(20 * 1.0)
