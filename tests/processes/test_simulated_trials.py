"""Whole trials on a simulated GPU whose true power is known: what they state is true, or they say that it is not.

All of it is real but the GPU and the work: the parent, the recorder with nvidia-ml-py, the worker's protocol.
"""

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from simulated_gpu import SimulatedDevice, write_script

from llem.domain.edges import Estimate
from llem.domain.interpolated import counter_energy
from llem.sensors.samples import read_samples
from llem.study.folder import StudyFolder
from llem.study.verify import verify

pytestmark = pytest.mark.undisturbed

ROOT = Path(__file__).parents[2]
GPU = "GPU-00000000-sim0-0000-0000-000000000000"
WINDOW_S = 1.5
AT_ONCE = 4
BARE_W, IDLE_W, HIGHEST_W = 60.0, 90.0, 400.0
MEASURED = {
    "sensors": ["nvml"],
    "warmup_passes": 0,
    "min_window_s": WINDOW_S,
    "min_passes": 1,
    "guard_s": 0.7,
    "latency_passes": 0,
    "count_flops": False,
}


@dataclass(frozen=True)
class Simulated:
    """A study of one experiment on one simulated GPU, and the GPU's true power."""

    study: Any
    device: SimulatedDevice
    origin_ns: int

    @property
    def result(self) -> dict[str, Any]:
        return dict(self.study.result(self.study.trials()[0]))

    @property
    def figures(self) -> dict[str, Any]:
        return dict(self.result["figures"])

    @property
    def findings(self) -> list[str]:
        """Return what a verification finds wrong: every figure is recomputed from the raw edges."""
        found = verify(StudyFolder(self.study.root))
        assert found.recomputed == found.completed + found.kept > 0
        return [f"{finding.where} {finding.field}: {finding.found}" for finding in found.findings]

    def codes(self, part: str) -> set[str]:
        return {finding["code"] for finding in self.result[part]}

    def true_j(self, start_ns: int, end_ns: int) -> float:
        return self.device.energy_between_ns(start_ns, end_ns, origin_ns=self.origin_ns)

    def window_j(self, window: dict[str, Any] | None = None) -> float:
        """Return the true energy of the work, without the guards between its segments."""
        window = window or self.result["measured"]["window"]
        return sum(self.true_j(piece["t0_ns"], piece["t1_ns"]) for piece in window["segments"] or [window])


@pytest.fixture(scope="module")
def simulate(module_lab: Any, nvml: dict[str, str]) -> Callable[..., Simulated]:
    """Return a function that runs a study on a simulated GPU, verifies it, and returns what came of it."""
    path = os.pathsep.join([str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])

    def run(
        flaws: dict[str, Any] | None = None,
        acts: dict[str, Any] | None = None,
        measurement: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        meanwhile: Callable[[Any, Any], None] = lambda session, study: None,
        driver: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Simulated:
        name, origin_ns = uuid.uuid4().hex[:8], time.monotonic_ns()
        given = {"levels": ((0.0, IDLE_W, 0.0),), "capability": "8.9", "power_average_s": 1.0, **(flaws or {})}
        device = SimulatedDevice(load_file=module_lab.place / f"{name}.load", **given)
        script = write_script(module_lab.place / f"{name}.gpu", device, origin_ns=origin_ns, **(driver or {}))
        study_file = module_lab.write(
            name=f"acted-{name}",  # studies of one name cannot start in one second
            model={"load_file": str(device.load_file), "device": GPU, "idle_w": IDLE_W, **(acts or {})},
            measurement={**MEASURED, **(measurement or {})},
            **changes,
        )
        environment = {
            **nvml,
            "LLEM_SIMULATED_GPU": str(script),
            "LLEM_ACTING_WORKER": str(Path(__file__).parent / "workers" / "simulated_worker.py"),
            "PYTHONPATH": path,
            **(env or {}),
        }
        session, study = module_lab.start(study_file, env=environment)
        meanwhile(session, study)
        session.ended(0)
        return Simulated(study, device, origin_ns)

    return run


def within(found: float, truth: float, *u: float) -> bool:
    return abs(found - truth) <= sum(u)


WARM_AFTER_S, STEADY_S = 10.0, 2.0
PERIOD_S, SEGMENTS, SWING_W = 0.1, 4, 250.0
PART_TIME = {"capability": "9.0", "seen_s": 0.025, "summed": True, "noise_w": 0.5}
IN_SEGMENTS = {"measurement": {"min_window_s": 6.0}, "env": {"LLEM_CHECK": "3:0"}}

SOUND: dict[str, dict[str, Any]] = {
    "whole": {
        "flaws": {
            "levels": ((0.0, BARE_W, 0.0),),
            "temperatures": ((0.0, 35.0), (WARM_AFTER_S, 70.0)),
            "clocks": (("sm", 0.0, 1500.0),),
            "noise_w": 0.2,
        },
        "acts": {"load": ((0.3, 150.0), (0.2, 110.0)), "bare_w": BARE_W, "slower_s": 0.2},
        "measurement": {
            "warmup_passes": 1,
            "warmup_max_s": 8,
            "soak_max_s": 20,
            "bare_idle_s": 1.5,
            "phases": True,
        },
        "env": {"LLEM_STEADY_S": str(STEADY_S), "LLEM_CHECK": "1.5:0"},
    },
    "part-time": {"flaws": PART_TIME, **IN_SEGMENTS},
    "in step": {
        "flaws": PART_TIME,
        "acts": {"prefill": ((PERIOD_S / 2, HIGHEST_W),), "decode": ((PERIOD_S / 2, HIGHEST_W - SWING_W),)},
        **IN_SEGMENTS,
    },
    "hot once": {
        "flaws": {"throttles": (("sw_thermal", 0.3, 1.2),), "since_load": True},
        "env": {"LLEM_ACTING_RERUN_CODES": "thermal_throttle wide_bracket"},
    },
}
"""Trials in which all goes well in the end."""

# Faults: each a whole trial, told by a code of its own, and an energy that is null or true within what it states.


@dataclass(frozen=True)
class Fault:
    """What goes wrong in a trial, and what its result must say.

    Attributes:
        flaws: Of the simulated GPU; times count from the begin of the work.
        validity: The codes that make it unfit for averages.
        warnings: Codes that it must have.
        energy: ``true`` within its uncertainty; ``scaled``, within that and the scale's; ``null``.
        options: What ``simulate`` takes beside the flaws.
    """

    flaws: dict[str, Any] = field(default_factory=dict)
    validity: frozenset[str] = frozenset()
    warnings: frozenset[str] = frozenset()
    energy: str = "true"
    options: dict[str, Any] = field(default_factory=dict)


def kill_the_recorder(session: Any, study: Any) -> None:
    """Kill the session's own recorder in the midst of the window."""
    study.wait_for("phase_entered", phase="measure")
    time.sleep(MEASURED["guard_s"] + WINDOW_S / 2)
    for pid, command in session.others().items():
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if "llem.recorder" in command and parent == session.pid:
            os.kill(pid, signal.SIGKILL)


NO_COUNTER = ("total_energy", "field_83")
NO_POWER = ("power_usage", "field_185", "field_186")
NO_ENERGY = frozenset({"no_energy"})
LONG = {"measurement": {"min_window_s": 2 * WINDOW_S}}
"""The power readings of a shorter window are too uncertain to contradict the counter."""
CHECKED = {"env": {"LLEM_CHECK": "2.6:0"}}
FOREIGN_PID = -1
"""Stands for the process of the test's own that computes on the GPU, too."""
MAY_COME = {"wide_bracket"}
"""What a busy machine may do to any trial."""

FAULTS = {
    "none": Fault(),
    "the counter is reset": Fault({"resets": (0.7,)}, frozenset({"counter_fell"}), frozenset({"no_counter"})),
    "the counter is absurd once": Fault(
        {"glitches": (("counter", 0.7, 9e12),), "power_limit_w": 500.0}, frozenset({"counter_fell", "implausible"})
    ),
    "a power reading is absurd": Fault(
        {"glitches": (("power", 0.7, 2e6),), "power_limit_w": 500.0, "unsupported": NO_COUNTER},
        frozenset({"implausible"}),
        NO_ENERGY,
        "null",
    ),
    "the gpu is lost": Fault({"lost_s": 0.7}, frozenset({"gpu_lost"}), NO_ENERGY, "null"),
    "no counter": Fault({"unsupported": NO_COUNTER}, warnings=frozenset({"no_counter"})),
    "no power": Fault({"unsupported": NO_POWER}, warnings=frozenset({"no_power"})),
    "neither": Fault({"unsupported": (*NO_COUNTER, *NO_POWER)}, warnings=NO_ENERGY, energy="null"),
    "no driver": Fault(warnings=NO_ENERGY, energy="null", options={"driver": {"init_error": 9}}),
    "heat": Fault({"throttles": (("sw_thermal", 0.3, 0.8),)}, frozenset({"thermal_throttle"})),
    "the power cap": Fault({"throttles": (("sw_power_cap", 0.3, 0.8),)}, warnings=frozenset({"power_cap"})),
    "a foreign process": Fault({"processes": ((FOREIGN_PID, 0.0, 9.0),)}, frozenset({"foreign_process"})),
    "the wall clock jumps": Fault(warnings=frozenset({"clock_jump"}), options={"acts": {"clock_jump_s": 3600.0}}),
    "a stall at the begin": Fault({"stalls": ((0.0, 0.3),)}, frozenset({"wide_bracket"})),
    "a stall at the end": Fault({"stalls": ((WINDOW_S - 0.1, WINDOW_S + 0.2),)}, frozenset({"wide_bracket"})),
    "a stall in the middle": Fault({"stalls": ((0.6, 0.9),)}, warnings=frozenset({"recorder_stall"})),
    "the counter's gain": Fault(
        {"counter_gain": 1.2}, warnings=frozenset({"sources_disagree"}), energy="scaled", options=LONG
    ),
    "the power's gain": Fault(
        {"power_gain": 1.2}, warnings=frozenset({"sources_disagree"}), energy="scaled", options=LONG
    ),
    "the counter's gain, checked": Fault(
        {"counter_gain": 1.08}, warnings=frozenset({"counter_poor"}), energy="scaled", options=CHECKED
    ),
    "the power's gain, checked": Fault(
        {"power_gain": 1.08}, warnings=frozenset({"counter_poor"}), energy="scaled", options=CHECKED
    ),
    "mig": Fault({"mig": True}, warnings=frozenset({"mig"})),
    "the recorder is killed": Fault(warnings=NO_ENERGY, energy="null", options={"meanwhile": kill_the_recorder}),
}


@pytest.fixture(scope="module")
def trials(simulate: Any) -> Iterator[dict[str, Future[Simulated]]]:
    """Return every trial of this file; some at a time, so that all of them take as long as a few."""
    foreign = subprocess.Popen(["sleep", "600"])

    def faulty(fault: Fault) -> Simulated:
        flaws = dict(fault.flaws)
        if "processes" in flaws:
            flaws["processes"] = tuple((foreign.pid, *row[1:]) for row in flaws["processes"])
        found: Simulated = simulate({"since_load": True, **flaws}, **fault.options)
        return found

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sound = {name: pool.submit(simulate, **options) for name, options in SOUND.items()}
            yield sound | {name: pool.submit(faulty, fault) for name, fault in FAULTS.items()}
    finally:
        foreign.kill()
        foreign.wait()


# A trial by the whole protocol, on a counter that is a true integral.


@pytest.fixture(scope="module")
def whole(trials: dict[str, Future[Simulated]]) -> Simulated:
    return trials["whole"].result()


def test_a_whole_trial_goes_through_every_phase_and_every_figure_is_recomputed(whole: Simulated) -> None:
    entered = [event["data"]["phase"] for event in whole.study.events("phase_entered")]
    assert entered == [
        "load",
        "prepare",
        "loaded_idle",
        "warmup",
        "soak",
        "measure",
        "prefill",
        "latency",
        "teardown",
    ]
    # A busy machine may keep the passes unequal; then the result says so.
    warmup = whole.result["measured"]["warmup"]
    assert len(warmup["repeats"]) >= 5
    assert warmup["converged"] is ("not_converged" not in whole.codes("warnings"))
    assert (warmup["reason"] is None) is warmup["converged"]
    assert whole.codes("validity") <= MAY_COME
    assert "short_window" in whole.codes("warnings")
    assert whole.findings == []


def test_total_and_net_energy_are_true_within_a_small_uncertainty(whole: Simulated) -> None:
    figures, truth_j = whole.figures, whole.window_j()
    assert whole.result["estimator"] == "guarded_edges"
    assert within(figures["energy_total_j"], truth_j, figures["u_energy_total_j"])
    assert figures["u_energy_total_j"] < 0.01 * truth_j
    for state, idle_w in (("bare", BARE_W), ("context", IDLE_W)):
        assert within(figures[f"power_{state}_idle_w"], idle_w, figures[f"u_power_{state}_idle_w"])
        above_j, u_j = figures[f"energy_above_{state}_idle_j"], figures[f"u_energy_above_{state}_idle_j"]
        assert within(above_j, truth_j - idle_w * figures["duration_s"], u_j)
        assert u_j < 0.03 * truth_j


def test_loading_prefill_and_decode_are_true_within_their_uncertainties(whole: Simulated) -> None:
    figures, measured = whole.figures, whole.result["measured"]
    loading = measured["load"]
    true_load_j = whole.true_j(loading["start_ns"], loading["end_ns"])
    assert within(figures["energy_load_j"], true_load_j, figures["u_energy_load_j"])
    alone = measured["prefill"]["window"]
    prefill_j = whole.window_j(alone) / alone["passes"] * measured["window"]["passes"]
    assert within(figures["energy_prefill_j"], prefill_j, figures["u_energy_prefill_j"])
    decode_j = whole.window_j() - prefill_j
    assert within(figures["energy_decode_j"], decode_j, figures["u_energy_decode_j"])
    assert figures["u_energy_decode_j"] < 0.03 * decode_j


def test_a_soak_lasts_until_the_temperature_stays(whole: Simulated) -> None:
    soak = whole.result["measured"]["soak"]
    assert (soak["steady"], soak["reason"]) == (True, None)
    # Within the last degree of the rise, and two seconds of no change.
    risen_s = WARM_AFTER_S - (1 + 1) * WARM_AFTER_S / 35
    assert (soak["interval"]["end_ns"] - whole.origin_ns) / 1e9 >= risen_s + STEADY_S
    assert soak["interval"]["end_ns"] <= whole.result["measured"]["window"]["guard_start_ns"]


# A counter that sums up what a sensor sees of a quarter of each of its periods.


def held_up_s(segments: list[dict[str, Any]], *, in_step: bool) -> float:
    """Return by how much a segment began late or, where each pass takes a period, work fell out of step."""
    lates = []
    for number, segment in enumerate(segments):
        phase = (segment["t0_ns"] - segments[0]["t0_ns"]) / 1e9 / PERIOD_S - number / SEGMENTS
        lates.append(abs(phase - round(phase)) * PERIOD_S)
        if in_step:
            lates.append(abs((segment["t1_ns"] - segment["t0_ns"]) / 1e9 - segment["passes"] * PERIOD_S))
    return max(lates)


@pytest.mark.parametrize("name", ["part-time", "in step"])
def test_a_sum_of_part_time_readings_is_known_and_measured_in_segments(
    trials: dict[str, Future[Simulated]], name: str
) -> None:
    found = trials[name].result()
    (device,) = found.study.events("sensors_checked")[0]["data"]["check"]["devices"]
    assert (device["counter_is_sum"], device["grade"]) == (True, "good")
    segments = found.result["measured"]["window"]["segments"]
    assert len(segments) == SEGMENTS
    assert found.result["estimator"] == "stratified_edges"
    assert found.codes("validity") <= MAY_COME
    assert "counter_is_sum" not in found.codes("warnings")
    assert found.findings == []
    figures, truth_j = found.figures, found.window_j()
    # Where a busy machine holds the work up, the sensor may see none of that; what it can hide is allowed for.
    in_step = name == "in step"
    late_s = held_up_s(segments, in_step=in_step)
    hidden_j = SEGMENTS * late_s * HIGHEST_W
    assert within(figures["energy_total_j"], truth_j, figures["u_energy_total_j"], hidden_j)
    # In step, a segment that begins late shows the sensor another part of each of its periods, and what is seen of
    # them counts fourfold: that is in the uncertainty, and not in this bound.
    unlike_j = late_s * SWING_W * PERIOD_S / PART_TIME["seen_s"] * segments[0]["passes"] if in_step else 0.0
    assert within(figures["energy_total_j"], truth_j, 0.015 * truth_j, hidden_j, unlike_j)


def test_no_segment_by_itself_tells_the_energy_of_work_in_step_with_the_sensor(
    trials: dict[str, Future[Simulated]],
) -> None:
    found = trials["in step"].result()
    edges = read_samples(found.study.root / "samples" / found.result["samples_file"]).edges[f"nvml/{GPU}/energy"]
    off = []
    for segment in found.result["measured"]["window"]["segments"]:
        told = counter_energy(edges, segment["t0_ns"], segment["t1_ns"])
        assert isinstance(told, Estimate)
        off.append(told.energy_j / found.true_j(segment["t0_ns"], segment["t1_ns"]) - 1)
    assert max(map(abs, off)) > 0.1, "the sensor of this test misses too little"


def test_a_spoiled_trial_is_run_again_and_both_are_kept_and_verified(trials: dict[str, Future[Simulated]]) -> None:
    found = trials["hot once"].result()
    trial = found.study.trials()[0]
    completed = found.study.events("experiment_completed", trial=trial)
    spoiled = [event["data"]["headline"]["invalid"] for event in completed]
    assert "thermal_throttle" in spoiled[0]
    assert spoiled[-1] == []
    (entry,) = found.study.manifest()["experiments"]
    assert (entry["status"], entry["attempts"]) == ("completed", len(completed))
    (summary,) = json.loads((found.study.root / "results.json").read_text())["experiments"]
    kept = summary["invalid_cycles"]
    assert (kept[0]["attempt"], kept[0]["ran_again"]) == (1, True)
    assert "thermal_throttle" in kept[0]["codes"]
    assert (summary["n_valid"], summary["n_invalid"]) == (1, 0)
    assert found.study.result_files() == {event["data"]["result_file"] for event in completed}
    assert found.findings == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_by_its_code_and_gives_no_wrong_number(
    trials: dict[str, Future[Simulated]], name: str
) -> None:
    fault, found = FAULTS[name], trials[name].result()
    assert found.codes("validity") - MAY_COME == fault.validity - MAY_COME
    assert fault.validity <= found.codes("validity")
    assert fault.warnings <= found.codes("warnings")
    figures, truth_j = found.figures, found.window_j()
    if fault.energy == "null":
        assert figures["energy_total_j"] is None
        assert figures["unknown"]["energy_total_j"]
    elif fault.energy == "scaled":
        assert within(figures["energy_total_j"], truth_j, figures["u_energy_total_j"], figures["u_scale_j"])
    else:
        assert within(figures["energy_total_j"], truth_j, figures["u_energy_total_j"])
    assert found.findings == []


def test_a_trial_without_a_fault_says_nothing_of_one(trials: dict[str, Future[Simulated]]) -> None:
    found = trials["none"].result()
    assert found.codes("warnings") == {"short_window"}
    assert found.figures["u_energy_total_j"] < 0.002 * found.window_j()
