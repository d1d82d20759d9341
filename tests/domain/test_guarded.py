"""The estimators against a simulated sensor whose truth is known: how exact they are, and each fault."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_sensor import IDLE_W, WORK_W, Load, stalled, trial

from llem.domain.edges import Unmeasured, ticks
from llem.domain.energy import estimate
from llem.domain.figures import evaluate
from llem.domain.guarded import guarded_edges

S = 1_000_000_000
SEEDS = range(300)


def guarded(made, edges=None, **known):
    found = guarded_edges(ticks(made.edges() if edges is None else edges, **known), made.bounds)
    return found if isinstance(found, Unmeasured) else found[0]


def errors_rel(estimates, trials):
    return sorted(abs(e.energy_j / made.truth_j - 1) for e, made in zip(estimates, trials, strict=True))


@pytest.mark.parametrize("read_every_s", [0.02, 0.05])
@pytest.mark.parametrize("window_s", [1.0, 5.0])
def test_a_true_counter_is_right_to_a_fifth_of_a_percent_and_its_intervals_hold(window_s, read_every_s):
    trials = [trial(seed, window_s, read_every_s=read_every_s) for seed in SEEDS]
    estimates = [guarded(made) for made in trials]
    assert errors_rel(estimates, trials)[int(len(trials) * 0.95)] < 0.002
    held = sum(abs(e.energy_j - m.truth_j) <= e.u_j for e, m in zip(estimates, trials, strict=True))
    assert held >= 0.93 * len(trials)
    assert max(e.u_j / m.truth_j for e, m in zip(estimates, trials, strict=True)) < 0.02


def test_at_the_recorders_own_pace_it_is_right_to_a_hundredth_of_a_percent_and_its_intervals_hold():
    trials = [trial(seed, read_every_s=None) for seed in range(150)]
    estimates = [guarded(made) for made in trials]
    assert errors_rel(estimates, trials)[142] < 0.0001
    assert sum(abs(e.energy_j - m.truth_j) <= e.u_j for e, m in zip(estimates, trials, strict=True)) >= 140


@pytest.mark.parametrize("decay_s", [0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("latency_s", [0.0, 0.03])
def test_what_decays_after_the_work_is_not_counted_and_the_intervals_hold(decay_s, latency_s):
    trials = [trial(seed, 5.0, decay_s=decay_s, latency_s=latency_s) for seed in range(100)]
    estimates = [guarded(made) for made in trials]
    raw = [e.energy_j - m.truth_j for e, m in zip(estimates, trials, strict=True)]
    assert sum(abs(error) <= e.u_j for error, e in zip(raw, estimates, strict=True)) >= 93
    assert max(abs(error) / m.truth_j for error, m in zip(raw, trials, strict=True)) < 0.01
    decayed_j = (WORK_W - IDLE_W) * decay_s
    if not latency_s and decay_s >= 0.2:
        assert max(abs(error) for error in raw) < 0.25 * decayed_j


def test_the_lag_of_a_counter_cancels():
    trials = [trial(seed, latency_s=0.04) for seed in range(100)]
    assert errors_rel([guarded(made) for made in trials], trials)[94] < 0.002


@pytest.mark.parametrize("window_s", [1.0, 5.0])
def test_the_intervals_of_a_counter_that_sums_noisy_readings_hold(window_s):
    trials = [trial(seed, window_s, summed=True, noise_w=2.0) for seed in range(300)]
    estimates = [guarded(made) for made in trials]
    held = sum(abs(e.energy_j - m.truth_j) <= e.u_j for e, m in zip(estimates, trials, strict=True))
    assert held >= 0.93 * 300


@pytest.mark.parametrize("window_s", [1.0, 5.0])
def test_what_a_part_time_sensor_does_not_see_at_the_ends_is_in_the_uncertainty(make, window_s):
    channel = make.channel(unseen_s=0.075)
    held = 0
    for seed in range(200):
        made = trial(seed, window_s, summed=True, seen_s=0.025)
        found = estimate(channel, made.edges(), made.bounds).leading
        assert found.estimator == "guarded_edges"
        held += abs(found.energy_j - made.truth_j) <= found.u_j
    assert held >= 0.93 * 200


def test_the_idle_power_comes_with_an_interval_that_holds():
    held = 0
    for seed in range(200):
        made = trial(seed)
        _, idle = guarded_edges(ticks(made.edges()), made.bounds)
        held += abs(idle.power_w - IDLE_W) <= idle.u_w
        assert idle.u_w < 2
    assert held >= 0.93 * 200


@pytest.mark.parametrize(
    "flaws",
    [{"summed": True, "noise_w": 2.0}, {"period_s": 0.02}, {"period_s": 0.01}],
    ids=["sums noisy readings", "ticks as it is read", "ticks twice as fast"],
)
def test_the_idle_powers_interval_holds_for_counters_whose_steps_or_moments_err(flaws):
    held = 0
    for seed in range(100):
        made = trial(seed, read_every_s=None, **flaws)
        _, idle = guarded_edges(ticks(made.edges()), made.bounds)
        held += abs(idle.power_w - IDLE_W) <= idle.u_w
        assert idle.u_w < 0.15 * IDLE_W
    assert held >= 91


def test_a_counter_that_moves_faster_than_it_is_read_is_taken_at_its_word():
    trials = [trial(seed, period_s=0.001, quantum=61e-6) for seed in range(50)]
    estimates = [guarded(made, updates_every_s=0.001) for made in trials]
    for found, made in zip(estimates, trials, strict=True):
        assert abs(found.energy_j - made.truth_j) <= found.u_j < 0.003 * made.truth_j


def test_a_counter_that_wraps_inside_the_window_counts_as_one_that_does_not():
    made = trial(1)
    wrapped = [edge._replace(value=edge.value % 200.0) for edge in made.edges()]
    assert guarded(made, wrapped, wraps_at_j=200.0).energy_j == pytest.approx(guarded(made).energy_j, rel=1e-6)


def of_gpu(make, edges_by_kind, bounds, **power):
    """Return the evaluation of a trial on one GPU."""
    channels, edges = [], {}
    for kind, found in edges_by_kind.items():
        provenance = "counter" if kind == "energy_j" else "sampled"
        extra = power if kind == "power_w" else {}
        channels.append(make.channel(id=f"nvml/GPU-1/{kind}", kind=kind, provenance=provenance, **extra))
        edges[channels[-1].id] = found
    window = make.window(
        bounds.t0_ns / S, bounds.t1_ns / S, guard_start_ns=bounds.guard_start_ns, guard_end_ns=bounds.guard_end_ns
    )
    measured = make.measured(devices=("GPU-1",), window=window)
    return evaluate(make.config(), measured, channels, edges, failures={}, unrecorded=None)


def flags(found):
    """Return all codes, but for what is so in all these trials: 1 s and a counter alone."""
    return {finding.code for finding in (*found.validity, *found.warnings)} - {"short_window", "no_power"}


def fell(made):
    edges = made.edges()
    middle = len(edges) // 2
    return [*edges[:middle], *(edge._replace(value=edge.value - edges[middle].value) for edge in edges[middle:])]


def without_guards(made):
    bounds = made.bounds
    return [edge for edge in made.edges() if bounds.t0_ns - S // 10 <= edge.before_ns <= bounds.t1_ns + S // 10]


FAULTS = {
    "fell": fell,
    "gap over the window": lambda made: stalled(made.edges(), made.bounds.t0_ns - S // 2, 2.0),
    "gap over the guard before": lambda made: stalled(made.edges(), made.bounds.guard_start_ns, 0.7),
    "gap over the guard after": lambda made: stalled(made.edges(), made.bounds.t1_ns, 0.7),
    "no readings in the guards": without_guards,
    "one reading": lambda made: made.edges()[30:31],
    "stall at the start": lambda made: stalled(made.edges(), made.bounds.t0_ns - S // 5),
    "stall at the end": lambda made: stalled(made.edges(), made.bounds.t1_ns - S // 10),
    "stall after the work": lambda made: stalled(made.edges(), made.bounds.t1_ns + S // 5),
    "stall in the work": lambda made: stalled(made.edges(), made.bounds.t0_ns + S // 3),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("read_every_s", [0.05, None])
def test_a_fault_never_gives_an_unflagged_error_over_one_percent(make, fault, read_every_s):
    for seed in range(25):
        made = trial(seed, read_every_s=read_every_s)
        found = of_gpu(make, {"energy_j": FAULTS[fault](made)}, made.bounds)
        codes = flags(found)
        energy_j = found.figures.energy_total_j
        if energy_j is None:
            assert "no_energy" in codes
            assert found.figures.unknown["energy_total_j"]
        elif not codes:
            assert abs(energy_j / made.truth_j - 1) < 0.01


@given(st.integers(0, 10**6), st.floats(0, 2.4))
def test_a_stall_of_300_ms_wherever_it_falls_never_gives_an_unflagged_error_over_one_percent(make, seed, at_s):
    made = trial(seed)
    found = of_gpu(
        make, {"energy_j": stalled(made.edges(), made.bounds.guard_start_ns + round(at_s * S))}, made.bounds
    )
    if not flags(found):
        assert abs(found.figures.energy_total_j / made.truth_j - 1) < 0.01


def test_a_window_without_guards_is_interpolated_and_says_so(make):
    made = trial(5)
    alone = made.bounds._replace(guard_start_ns=made.bounds.t0_ns, guard_end_ns=made.bounds.t1_ns)
    found = of_gpu(make, {"energy_j": made.edges()}, alone)
    assert found.estimator == "interpolated_counter"
    assert "the window has no guards" in found.figures.unknown["energy_above_context_idle_j"]
    assert "unguarded" in {finding.code for finding in found.warnings}


def test_the_net_figures_are_the_works_own_and_hold_their_intervals(make):
    held = 0
    for seed in range(60):
        made = trial(seed, 12.0)
        figures = of_gpu(make, {"energy_j": made.edges()}, made.bounds).figures
        assert abs(figures.power_context_idle_w - IDLE_W) <= 1.5 * figures.u_power_context_idle_w
        error_j = figures.energy_above_context_idle_j - (WORK_W - IDLE_W) * figures.duration_s
        held += abs(error_j) <= figures.u_energy_above_context_idle_j
    assert held >= 56


@pytest.mark.parametrize("high_s", [0.3, 0.4, 1.5])
def test_clocks_that_fall_after_the_work_leave_a_trial_valid_and_its_energy_right(make, high_s):
    levels_after = ((0.0, 120.0), (high_s, IDLE_W))
    for seed in range(25):
        made = trial(seed, 12.0, read_every_s=None)
        bounds = made.bounds
        levels = [(-2.0, IDLE_W, 0.0), (2.0, WORK_W, 0.0)]
        for end_ns, until_ns in ((bounds.guard_start_ns, bounds.t0_ns), (bounds.t1_ns, bounds.guard_end_ns)):
            falls = [(end_ns / S + late_s, level_w, 0.0) for late_s, level_w in levels_after]
            levels += [*(fall for fall in falls if fall[0] < until_ns / S), (until_ns / S, WORK_W, 0.0)]
        made = replace(made, load=Load(levels), cache={})
        found = estimate(make.channel(), made.edges(), bounds)
        assert abs(found.leading.energy_j - made.truth_j) <= found.leading.u_j < 0.02 * made.truth_j
        apart_w = abs(found.idle.after_w - found.idle.before_w)
        assert apart_w <= max(0.05 * found.idle.power_w, found.idle.u_drift_w)


def test_work_below_idle_has_a_negative_net_energy(make):
    made = trial(3, 12.0, work_w=70.0)
    found = of_gpu(make, {"energy_j": made.edges()}, made.bounds).figures
    assert found.energy_above_context_idle_j == pytest.approx(-10 * found.duration_s, abs=5)


def test_an_idle_power_that_drifts_makes_a_trial_invalid(make):
    made = trial(3, 12.0, idle_after_w=100.0)
    (finding,) = of_gpu(make, {"energy_j": made.edges()}, made.bounds).validity
    assert finding.code == "idle_drift"
    assert "20 W apart" in finding.reading


def test_a_counter_far_from_its_own_ticks_and_readings_is_told(make):
    made = trial(3, 12.0)
    power = [edge._replace(value=edge.value * 1.2) for edge in made.edges("power_w")]
    found = of_gpu(make, {"energy_j": made.edges(), "power_w": power}, made.bounds, averages_over_s=0.0)
    assert found.figures.cross_check_rel == pytest.approx(0.2, abs=0.02)
    assert "sources_disagree" in {finding.code for finding in found.warnings}


def test_inner_ticks_agree_under_constant_load_and_refuse_another(make):
    made = trial(4, 5.0)
    found = estimate(make.channel(), made.edges(), made.bounds)
    inner = next(each for each in found.all if each.estimator == "inner_ticks")
    assert abs(inner.energy_j / made.truth_j - 1) < 0.002
    assert found.leading.estimator == "guarded_edges"
    levels = [(-2.0, IDLE_W, 0.0), *((float(n), WORK_W if n % 2 else IDLE_W, 0.0) for n in range(20))]
    uneven = replace(made, load=Load(levels), cache={})
    assert "not constant" in estimate(make.channel(), uneven.edges(), uneven.bounds).refused["inner_ticks"]


def test_a_gap_far_from_the_window_that_breaks_the_count_of_ticks_does_not_spoil_it(make):
    made = trial(7, 5.0)
    early = [edge for edge in made.edges() if edge.before_ns < S // 2]
    kept = [edge for edge in made.edges() if edge.before_ns > made.bounds.guard_start_ns - S]
    assert estimate(make.channel(), [*early, *kept], made.bounds).leading.estimator == "guarded_edges"


@pytest.mark.parametrize("averages_over_s", [None, 1.0])
def test_a_mean_over_a_second_keeps_all_the_energy_where_the_guards_are_long_enough(make, averages_over_s):
    channel = make.channel(kind="power_w", provenance="sampled", averages_over_s=averages_over_s)
    for seed in range(40):
        made = trial(seed, 5.0, guard_s=1.6, average_s=1.0)
        found = estimate(channel, made.edges("power_w"), made.bounds)
        assert found.leading.estimator == "averaged_readings"
        assert abs(found.leading.energy_j - made.truth_j) < 0.01 * made.truth_j
        assert "mean over 1 s" in found.refused["guarded_readings"]


@pytest.mark.parametrize("read_every_s", [0.02, None])
@pytest.mark.parametrize("period_s", [0.1, 0.103])
def test_the_intervals_of_a_mean_over_a_second_hold(make, period_s, read_every_s):
    channel = make.channel(kind="power_w", provenance="sampled", averages_over_s=1.0)
    held = 0
    for seed in range(100):
        made = trial(seed, 1.0, guard_s=1.6, average_s=1.0, period_s=period_s, read_every_s=read_every_s)
        found = estimate(channel, made.edges("power_w"), made.bounds).leading
        held += abs(found.energy_j - made.truth_j) <= found.u_j < 0.015 * made.truth_j
    assert held >= 90


def test_a_mean_over_a_second_between_short_guards_is_not_taken_for_more_than_it_is(make):
    channel = make.channel(kind="power_w", provenance="sampled", averages_over_s=1.0)
    made = trial(1, 5.0, average_s=1.0)
    found = estimate(channel, made.edges("power_w"), made.bounds)
    assert found.leading.estimator == "held_readings"
    assert abs(found.leading.energy_j - made.truth_j) <= found.leading.u_j
    assert "a reading averages over 1 s" in found.idle.reason


def test_instantaneous_readings_between_guards_hold_their_intervals(make):
    channel = make.channel(kind="power_w", provenance="sampled", averages_over_s=0.0)
    held = 0
    for seed in range(100):
        made = trial(seed, 5.0, seen_s=0.025)
        found = estimate(channel, made.edges("power_w"), made.bounds).leading
        assert found.estimator == "guarded_readings"
        held += abs(found.energy_j - made.truth_j) <= found.u_j
    assert held >= 93


@pytest.mark.parametrize("read_every_s", [0.05, 0.02, None])
def test_the_idle_power_of_noisy_readings_is_as_sure_as_the_sensor_updates_and_not_as_it_is_read(make, read_every_s):
    channel = make.channel(kind="power_w", provenance="sampled", averages_over_s=0.0)
    held = 0
    for seed in range(60):
        made = trial(seed, 1.0, read_every_s=read_every_s, noise_w=2.0, seen_s=0.025)
        idle = estimate(channel, made.edges("power_w"), made.bounds).idle
        held += abs(idle.power_w - IDLE_W) <= idle.u_w
    assert held >= 56
