"""Each fault of a measurement has a code of its own, and never a plausible wrong number."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_sensor import staggered, stalled, trial

from llem.domain.edges import Edge
from llem.domain.figures import evaluate
from llem.domain.measured import Interval, Soak, WarmUp
from llem.domain.sensing import Device
from llem.domain.sensor_check import Agreement, DeviceCheck, SensorCheck
from llem.domain.validity import RERUN_CODES

S = 1_000_000_000
GPU = "GPU-1"
FACTS = {"power_limit_w": 350.0, "mig": False}
STEADY = {
    "temperature": ("temperature_c", None, 61.0),
    "sm": ("clock_mhz", "sm", 1410.0),
    "memory": ("clock_mhz", "memory", 1593.0),
    "sw_thermal": ("throttle_ns", "sw_thermal", 5e9),
    "hw_thermal": ("throttle_ns", "hw_thermal", 0.0),
    "power_brake": ("throttle_ns", "power_brake", 0.0),
    "power_cap": ("throttle_ns", "power_cap", 7e9),
    "reasons": ("event_reasons", None, 0.0),
    "foreign": ("foreign_processes", None, 0.0),
}


@dataclass
class Case:
    """A trial on one GPU, of which a fault changes what it is about."""

    make: object
    made: object
    channels: dict = field(default_factory=dict)
    edges: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)
    facts: dict = field(default_factory=lambda: dict(FACTS))
    window: dict = field(default_factory=dict)
    measured: dict = field(default_factory=dict)
    check: SensorCheck | None = None
    bare: tuple = ()

    @property
    def bounds(self):
        return self.made.bounds

    def add(self, name, kind, readings, **fields):
        self.channels[name] = self.make.channel(id=f"nvml/{GPU}/{name}", device=GPU, kind=kind, **fields)
        self.edges[f"nvml/{GPU}/{name}"] = readings

    def change(self, name, change):
        key = f"nvml/{GPU}/{name}"
        self.edges[key] = change(self.edges[key])

    def fail(self, name, reason, from_ns):
        self.failures[f"nvml/{GPU}/{name}"] = reason
        self.change(name, lambda edges: [edge for edge in edges if edge.after_ns < from_ns])

    def drop(self, name):
        del self.channels[name]

    def evaluate(self):
        bounds = self.bounds
        pieces = [
            {
                "guard_start_ns": each.guard_start_ns,
                "t0_ns": each.t0_ns,
                "t1_ns": each.t1_ns,
                "guard_end_ns": each.guard_end_ns,
                "passes": 1,
            }
            for each in self.made.segments
        ]
        window = self.make.window(
            bounds.t0_ns / S,
            bounds.t1_ns / S,
            guard_start_ns=bounds.guard_start_ns,
            guard_end_ns=bounds.guard_end_ns,
            **{"segments": pieces, "passes": max(len(pieces), 1), **self.window},
        )
        return evaluate(
            self.make.config(),
            self.make.measured(devices=(GPU,), window=window, **self.measured),
            list(self.channels.values()),
            self.edges,
            failures=self.failures,
            unrecorded=None,
            check=self.check,
            bare=self.bare,
            devices=(Device(id=GPU, name="a GPU", facts=self.facts),),
        )


@pytest.fixture
def case(make):
    """Return a function from a simulated trial to a case without any fault."""

    def built(made=None):
        made = made or trial(3, 12.0, read_every_s=0.02)
        case = Case(make, made)
        case.add("energy", "energy_j", made.edges(), provenance="counter")
        case.add(
            "instant", "power_w", made.edges("power_w"), provenance="sampled", averages_over_s=0.0, aspect="instant"
        )
        for name, (kind, aspect, value) in STEADY.items():
            readings = [Edge(n * S, n * S + 1000, value) for n in range(25)]
            case.add(name, kind, readings, provenance="none", aspect=aspect)
        return case

    return built


def codes(findings):
    return {finding.code for finding in findings}


def shift(by_ns, from_ns):
    """Return a change of readings: from a moment on they are ``by`` more."""
    return lambda edges: [e._replace(value=e.value + by_ns) if e.before_ns >= from_ns else e for e in edges]


def set_to(value, from_ns, to_ns):
    return lambda edges: [e._replace(value=value) if from_ns <= e.before_ns <= to_ns else e for e in edges]


def scaled(factor):
    return lambda edges: [edge._replace(value=edge.value * factor) for edge in edges]


def checked(grade, *, is_sum=False):
    found = DeviceCheck(
        device=GPU, counter=f"nvml/{GPU}/energy", counter_is_sum=is_sum, why="as measured", grade=grade
    )
    return SensorCheck(duration_s=10.0, channels=(), devices=(found,))


def the_driver_is_reloaded(case):
    half_ns = (case.bounds.t0_ns + case.bounds.t1_ns) // 2
    at_j = next(edge.value for edge in case.edges[f"nvml/{GPU}/energy"] if edge.before_ns > half_ns)
    case.change("energy", shift(-at_j, half_ns))


def the_gpu_is_lost(case):
    half_ns = (case.bounds.t0_ns + case.bounds.t1_ns) // 2
    case.fail("energy", "GPU is lost", half_ns)
    case.fail("instant", "GPU is lost", half_ns)


def the_recorder_stalls(case, at_ns=None):
    for name in ("energy", "instant"):
        case.change(name, lambda edges: stalled(edges, at_ns or case.bounds.t0_ns + 5 * S))


def the_wall_clock_is_set(case):
    start, end = case.bounds.t0_ns, case.bounds.t1_ns
    true_end = case.make.start + timedelta(microseconds=(end - start) / 1000)
    case.window = {"anchor_end_monotonic_ns": end, "anchor_end_utc": true_end + timedelta(seconds=3)}


INVALID = {
    "counter_fell": the_driver_is_reloaded,
    "gpu_lost": the_gpu_is_lost,
    "thermal_throttle": lambda case: case.change("sw_thermal", shift(0.1 * S, case.bounds.t0_ns + 6 * S)),
    "foreign_process": lambda case: case.change("foreign", set_to(1.0, 9 * S, 10 * S)),
    "wide_bracket": lambda case: the_recorder_stalls(case, case.bounds.t0_ns - S // 10),
    "implausible": lambda case: case.change("energy", shift(5000.0, case.bounds.t0_ns + 6 * S)),
}
WARNED = {
    "no_counter": lambda case: case.drop("energy"),
    "no_power": lambda case: case.drop("instant"),
    "recorder_stall": the_recorder_stalls,
    "clock_jump": the_wall_clock_is_set,
    "mig": lambda case: case.facts.update(mig=True),
    "sources_disagree": lambda case: case.change("instant", scaled(1.1)),
    "power_cap": lambda case: case.change("power_cap", shift(2 * S, case.bounds.t0_ns + 6 * S)),
    "clocks_changed": lambda case: case.change("sm", set_to(1200.0, 9 * S, 10 * S)),
    "not_converged": lambda case: case.measured.update(
        warmup=WarmUp(repeats=(), converged=False, reason="times still fell")
    ),
    "not_soaked": lambda case: case.measured.update(
        soak=Soak(interval=Interval(start_ns=0, end_ns=S), passes=1, steady=False, reason="71, then 75 °C")
    ),
    "counter_doubtful": lambda case: setattr(case, "check", checked("doubtful")),
    "counter_poor": lambda case: setattr(case, "check", checked("poor")),
}


def test_a_trial_without_a_fault_has_no_finding(case):
    for seed in range(8):
        found = case(trial(seed, 12.0, read_every_s=0.02)).evaluate()
        assert (found.validity, found.warnings) == ((), ())
        assert abs(found.figures.energy_total_j - trial(seed, 12.0).truth_j) <= found.figures.u_energy_total_j


@pytest.mark.parametrize("code", [*INVALID, *WARNED])
def test_each_fault_has_its_own_code_and_no_plausible_wrong_number(case, code):
    broken = case()
    (INVALID.get(code) or WARNED[code])(broken)
    found = broken.evaluate()
    assert code in codes(found.validity if code in INVALID else found.warnings)
    if code in INVALID:
        (finding,) = [finding for finding in found.validity if finding.code == code]
        assert finding.rule
        assert finding.reading
    else:
        assert found.validity == ()
    energy_j = found.figures.energy_total_j
    if energy_j is None:
        assert found.figures.unknown["energy_total_j"]
    else:
        assert abs(energy_j - broken.made.truth_j) <= found.figures.u_energy_total_j


def test_a_single_absurd_value_of_a_counter_is_told_as_that_and_as_a_fall(case):
    broken = case()
    half_ns = (broken.bounds.t0_ns + broken.bounds.t1_ns) // 2
    broken.change("energy", set_to(9e9, half_ns, half_ns + S // 10))
    found = broken.evaluate()
    assert codes(found.validity) == {"counter_fell", "implausible"}
    assert found.provenance == "sampled"
    assert abs(found.figures.energy_total_j - broken.made.truth_j) <= found.figures.u_energy_total_j


def test_an_absurd_power_reading_leaves_no_energy_where_power_leads_and_nothing_where_it_does_not(case):
    beside = case()
    half_ns = (beside.bounds.t0_ns + beside.bounds.t1_ns) // 2
    beside.change("instant", set_to(1e9, half_ns, half_ns + S // 10))
    found = beside.evaluate()
    assert (found.validity, found.provenance) == ((), "counter")
    beside.drop("energy")
    alone = beside.evaluate()
    assert codes(alone.validity) == {"implausible"}
    assert alone.figures.energy_total_j is None
    assert "no device of this power limit" in alone.figures.unknown["energy_total_j"]


def test_a_gpu_whose_energy_is_unknown_is_told_also_where_nothing_was_recorded(case):
    broken = case()
    broken.channels.clear()
    assert "no_energy" in codes(broken.evaluate().warnings)


def test_a_fault_has_no_other_code_that_keeps_it_from_the_means(case):
    for code, break_it in INVALID.items():
        broken = case()
        break_it(broken)
        assert codes(broken.evaluate().validity) == {code}


def test_a_gain_error_of_the_counter_is_told_though_the_figure_cannot_show_it(case):
    broken = case()
    broken.change("energy", scaled(0.9))
    found = broken.evaluate()
    assert "sources_disagree" in codes(found.warnings)
    assert found.figures.cross_check_rel == pytest.approx(1 / 0.9 - 1, abs=0.01)
    # No reading tells which of the two has the gain, so the scale is as uncertain as they are apart.
    u_j = found.figures.u_energy_total_j + found.figures.u_scale_j
    assert abs(found.figures.energy_total_j - broken.made.truth_j) <= u_j
    assert case().evaluate().figures.u_scale_j == pytest.approx(0.05 * broken.made.truth_j, rel=0.01)


def test_the_scale_is_as_uncertain_as_the_check_found_two_channels_apart(case):
    broken = case()
    broken.change("instant", scaled(1.1))
    apart = Agreement(state="idle", channel="i", counter_w=50.0, channel_w=55.0, relative=0.1, duration_s=5.0)
    found = checked("poor")
    devices = (found.devices[0].model_copy(update={"agreements": (apart,)}),)
    broken.check = found.model_copy(update={"devices": devices})
    figures = broken.evaluate().figures
    assert figures.u_scale_j == pytest.approx(0.1 * figures.energy_total_j, rel=0.01)
    assert abs(figures.energy_total_j - broken.made.truth_j) <= figures.u_energy_total_j + figures.u_scale_j


def test_a_call_that_hangs_is_a_stall(case):
    broken = case()
    start_ns = broken.bounds.t0_ns + 5 * S

    def hung(edges):
        kept = [e for e in edges if not start_ns < e.before_ns < start_ns + 0.3 * S]
        return [e._replace(after_ns=start_ns + 3 * S // 10) if e is late(kept) else e for e in kept]

    def late(edges):
        return [e for e in edges if e.before_ns <= start_ns][-1]

    for name in ("energy", "instant"):
        broken.change(name, hung)
    assert "recorder_stall" in codes(broken.evaluate().warnings)


def test_what_may_be_gone_next_time_is_worth_another_attempt_and_a_count_of_tokens_is_not(case, make):
    assert {*INVALID, "idle_drift"} == RERUN_CODES
    broken = case()
    broken.measured = {"work": make.work(output_tokens=599)}
    (finding,) = broken.evaluate().validity
    assert (finding.code, finding.reading) == ("token_count", "599 of 600")


def test_event_reasons_stand_in_where_no_counter_tells_how_long_clocks_were_held_down(case):
    broken = case()
    for name in ("sw_thermal", "hw_thermal", "power_brake", "power_cap"):
        broken.drop(name)
    broken.change("reasons", set_to(float(0x20), 9 * S, 9 * S))
    (finding,) = broken.evaluate().validity
    assert finding.code == "thermal_throttle"
    assert "sw_thermal at" in finding.reading
    broken.change("reasons", set_to(float(0x4), 9 * S, 9 * S))
    found = broken.evaluate()
    assert (found.validity, codes(found.warnings)) == ((), {"power_cap"})


def test_heat_before_and_after_the_trial_does_not_spoil_it(case):
    whole = case()
    whole.change("sw_thermal", shift(3 * S, 20 * S))
    whole.change("foreign", set_to(1.0, 0, 2 * S))
    assert whole.evaluate().validity == ()


def test_power_readings_lead_where_the_check_found_the_counter_poor(case):
    broken = case()
    broken.change("energy", scaled(0.8))
    broken.check = checked("poor")
    found = broken.evaluate()
    assert found.provenance == "sampled"
    assert {c.channel.kind for c in found.components if c.in_total} == {"power_w"}
    assert abs(found.figures.energy_total_j - broken.made.truth_j) <= found.figures.u_energy_total_j
    broken.drop("instant")
    alone = broken.evaluate()
    assert alone.provenance == "counter"
    assert "nothing else gave an energy" in next(f.message for f in alone.warnings if f.code == "counter_poor")


def test_of_several_power_channels_the_instantaneous_one_is_the_second_opinion(case):
    broken = case()
    average = [edge._replace(value=edge.value * 1.5) for edge in broken.made.edges("power_w")]
    broken.add("average", "power_w", average, provenance="sampled", averages_over_s=1.0, aspect="average")
    instant = broken.channels.pop("instant")
    broken.channels["instant"] = instant
    assert abs(broken.evaluate().figures.cross_check_rel) < 0.01
    broken.drop("energy")
    assert [c.channel.aspect for c in broken.evaluate().components if c.in_total] == ["instant"]


def test_a_part_time_counter_in_one_piece_is_told_and_in_segments_it_is_not(case):
    whole = case(trial(2, 12.0, summed=True, seen_s=0.025, read_every_s=0.02))
    whole.channels["energy"] = whole.channels["energy"].model_copy(update={"unseen_s": 0.075})
    assert "counter_is_sum" in codes(whole.evaluate().warnings)
    whole.check = checked("good")
    assert "counter_is_sum" not in codes(whole.evaluate().warnings)
    pieces = case(staggered(2, read_every_s=0.02))
    pieces.channels["energy"] = pieces.channels["energy"].model_copy(update={"unseen_s": 0.075})
    found = pieces.evaluate()
    assert found.estimator == "stratified_edges"
    assert (found.validity, found.warnings) == ((), ())
    assert found.figures.duration_s == pytest.approx(10.0, abs=0.5)


def test_power_that_still_moves_over_the_last_repeats_is_told(case):
    def repeats(*starts_s):
        return tuple(Interval(start_ns=round(at * S), end_ns=round((at + 1) * S)) for at in starts_s)

    steady = case()
    steady.measured = {"warmup": WarmUp(repeats=repeats(7, 8, 9, 10, 11), converged=True)}
    assert "not_converged" not in codes(steady.evaluate().warnings)
    ramp = case()
    ramp.facts = {"power_limit_w": 700.0}
    ramp.change("energy", lambda edges: [e._replace(value=e.value + 4 * (e.middle_ns / S) ** 2) for e in edges])
    ramp.measured = steady.measured
    (finding,) = [each for each in ramp.evaluate().warnings if each.code == "not_converged"]
    assert finding.rule
    assert finding.reading


@given(st.integers(0, 10**6), st.floats(-0.3, 2.5))
def test_a_stall_of_300_ms_is_always_told_and_never_gives_an_unflagged_error_over_one_percent(make, seed, at_s):
    made = trial(seed, read_every_s=0.02)
    alone = Case(make, made)
    at_ns = made.bounds.guard_start_ns + round(at_s * S)
    alone.add("energy", "energy_j", stalled(made.edges(), at_ns), provenance="counter")
    found = alone.evaluate()
    flagged = codes((*found.validity, *found.warnings)) - {"short_window", "no_power"}
    inside = made.bounds.guard_start_ns <= at_ns and at_ns + 0.3 * S <= made.bounds.guard_end_ns
    assert "recorder_stall" in flagged or not inside
    if not flagged:
        assert abs(found.figures.energy_total_j / made.truth_j - 1) < 0.01
    at_an_end = any(at_ns <= end <= at_ns + 0.3 * S for end in (made.bounds.t0_ns, made.bounds.t1_ns))
    if at_an_end and found.figures.energy_total_j is not None:
        assert "wide_bracket" in flagged
