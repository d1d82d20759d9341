"""A study on two simulated GPUs: the real nvidia-ml-py in the real recorder, and a true power that is known."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from simulated_gpu import SimulatedDevice

COUNTED = "GPU-00000000-sim0-0000-0000-000000000000"  # 100 W, a counter published every 100 ms
UNCOUNTED = "GPU-00000000-sim1-0000-0000-000000000000"  # 50 W, no counter
WINDOW_S = 0.6


def measured_on(lab: Any, nvml: dict[str, str], *devices: str, settle_s: float = 0.3, **model: Any) -> dict[str, Any]:
    """Return the result of a trial whose worker says that it used ``devices``, between guards of ``settle_s``."""
    study_file = lab.write(
        model={"devices": list(devices), "window_s": WINDOW_S, "settle_s": settle_s, **model},
        measurement={"sensors": ["nvml"], "guard_s": 0, "latency_passes": 0, "count_flops": False},
    )
    _, study = lab.run(study_file, env=nvml)
    result: dict[str, Any] = study.result(study.trials()[0])
    return result


def test_the_counter_of_the_gpu_in_use_gives_the_energy_and_the_idle_one_beside_it_nothing(
    lab: Any, nvml: Any
) -> None:
    result = measured_on(lab, nvml, COUNTED)
    figures = result["figures"]
    assert (result["boundary"], result["provenance"]) == ("gpu", "counter")
    truth_j = 100 * figures["duration_s"]
    assert abs(figures["energy_total_j"] - truth_j) <= figures["u_energy_total_j"]
    assert figures["u_energy_total_j"] < 0.2 * truth_j
    used = [part["channel"]["id"] for part in result["components"] if part["in_total"]]
    assert used == [f"nvml/{COUNTED}/energy"]
    # The power readings of the same GPU are the second opinion.
    assert abs(figures["cross_check_rel"]) < 0.2


def test_guards_make_the_figure_right_within_what_it_states_and_give_the_idle_power(lab: Any, nvml: Any) -> None:
    result = measured_on(lab, nvml, COUNTED, settle_s=1.0)
    figures = result["figures"]
    assert (result["estimator"], result["arithmetic"]) == ("guarded_edges", 3)
    truth_j = 100 * figures["duration_s"]
    assert abs(figures["energy_total_j"] - truth_j) <= figures["u_energy_total_j"] < 0.05 * truth_j
    assert abs(figures["power_context_idle_w"] - 100) <= figures["u_power_context_idle_w"] < 5
    # It idles all the time: nothing is above idle.
    assert abs(figures["energy_above_context_idle_j"]) <= figures["u_energy_above_context_idle_j"]
    codes = {finding["code"] for finding in result["warnings"]}
    assert codes == {"short_window", "counter_is_sum"}  # it says that it is of a kind that sees 25 of 100 ms


def test_a_gpu_without_a_counter_is_measured_by_its_power_and_says_so(lab: Any, nvml: Any) -> None:
    result = measured_on(lab, nvml, UNCOUNTED, settle_s=0.5)
    assert (result["boundary"], result["provenance"], result["estimator"]) == ("gpu", "sampled", "guarded_readings")
    assert result["figures"]["energy_total_j"] == pytest.approx(50 * result["figures"]["duration_s"])


def test_two_gpus_in_use_add_up_and_the_weaker_source_names_the_sum(lab: Any, nvml: Any) -> None:
    result = measured_on(lab, nvml, COUNTED, UNCOUNTED)
    figures = result["figures"]
    assert result["provenance"] == "sampled"
    assert abs(figures["energy_total_j"] - 150 * figures["duration_s"]) <= figures["u_energy_total_j"]


def test_a_gpu_that_no_sensor_knows_has_no_energy_and_a_reason(lab: Any, nvml: Any) -> None:
    result = measured_on(lab, nvml, "GPU-of-another-machine")
    assert result["figures"]["energy_total_j"] is None
    assert "GPU-of-another-machine" in result["figures"]["unknown"]["energy_total_j"]


def test_doctor_shows_what_each_gpu_can_tell(lab: Any, nvml: Any) -> None:
    shown = json.loads(lab.llem("doctor", "--quick", "--json", env=nvml).out)
    assert shown["can_measure_energy"] is True
    assert (shown["check"], shown["no_check_reason"]) == (None, "--quick")
    channels = {(channel["device"], channel["kind"]) for channel in shown["sensors"]["channels"]}
    assert {(COUNTED, "energy_j"), (COUNTED, "power_w"), (UNCOUNTED, "power_w")} <= channels
    assert (UNCOUNTED, "energy_j") not in channels
    leads = {capability["device"]: capability["provenance"] for capability in shown["capabilities"]}
    assert leads == {COUNTED: "counter", UNCOUNTED: "sampled"}


def test_doctor_checks_the_sensors_of_each_gpu(lab: Any, nvml: Any) -> None:
    session = lab.llem("doctor", "--json", env=nvml)
    assert "checking the sensors" in session.err
    check = json.loads(session.out)["check"]
    (device,) = check["devices"]
    assert (device["device"], device["grade"]) == (COUNTED, "good")
    counter = next(channel for channel in check["channels"] if channel["channel"] == f"nvml/{COUNTED}/energy")
    assert counter["period_s"]["median"] == pytest.approx(0.1, rel=0.02)
    assert counter["monotonic"] is True
    assert check["load"] or check["no_load_reason"]
    assert lab.survivors() == {}


def test_a_signal_ends_the_doctor_at_once_and_leaves_nothing(lab: Any, nvml: Any, until: Any) -> None:
    session = lab.popen(sys.executable, "-m", "llem", "doctor", env=nvml)
    until(lambda: "checking the sensors" in session.err, "the check")
    session.signal(signal.SIGINT)
    session.ended(130)
    assert session.out == ""
    assert lab.survivors() == {}


@pytest.mark.parametrize(
    "flaws",
    [{}, {"latency_s": 0.03}, {"summed": True, "noise_w": 1.0}, {"call_ms": 4.0}],
    ids=["a true counter", "published late", "a sum of noisy readings", "slow calls"],
)
def test_work_that_drives_the_power_is_measured_within_what_the_figure_states(
    lab: Any, nvml_of: Any, tmp_path: Path, flaws: dict[str, Any]
) -> None:
    load_file, origin_ns = tmp_path / "load", time.monotonic_ns()
    device = SimulatedDevice(levels=((0.0, 80.0, 0.0),), load_file=load_file, capability="8.9", **flaws)
    work = {"load_file": str(load_file), "work_w": 300.0, "idle_w": 80.0}
    env = nvml_of(device, origin_ns=origin_ns)
    result = measured_on(lab, env, COUNTED, settle_s=1.0, **work)
    window, figures = result["measured"]["window"], result["figures"]
    truth_j = device.energy_between_ns(window["t0_ns"], window["t1_ns"], origin_ns=origin_ns)
    assert truth_j == pytest.approx(300 * figures["duration_s"])
    assert result["estimator"] == "guarded_edges"
    assert abs(figures["energy_total_j"] - truth_j) <= figures["u_energy_total_j"] < 0.05 * truth_j
    assert abs(figures["power_context_idle_w"] - 80) <= figures["u_power_context_idle_w"]
    above_j = truth_j - 80 * figures["duration_s"]
    assert abs(figures["energy_above_context_idle_j"] - above_j) <= figures["u_energy_above_context_idle_j"]


def test_a_gpu_that_is_lost_in_the_midst_of_the_work_leaves_no_energy_and_says_why(
    lab: Any, nvml_of: Any, tmp_path: Path
) -> None:
    load_file = tmp_path / "load"
    device = SimulatedDevice(load_file=load_file, since_load=True, lost_s=WINDOW_S / 2)
    work = {"load_file": str(load_file), "work_w": 300.0, "idle_w": 80.0}
    result = measured_on(lab, nvml_of(device), COUNTED, settle_s=1.0, **work)
    assert result["figures"]["energy_total_j"] is None
    assert COUNTED in result["figures"]["unknown"]["energy_total_j"]
    assert any("GPU is lost" in finding["message"] for finding in result["warnings"])
