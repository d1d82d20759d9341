"""The bare devices are measured while no worker runs; whatever ends that, nothing is lost or left."""

import json
import signal
from typing import Any

import pytest

METER = {"LLEM_ACTING_RECORDER": "meter"}


def measurement(bare_idle_s: float, **changes: Any) -> dict[str, Any]:
    settings = {"warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0, "sensors": ["rapl"]}
    return {**settings, "bare_idle_s": bare_idle_s, **changes}


def test_a_session_measures_the_bare_devices_once_before_its_first_trial(lab: Any) -> None:
    study_file = lab.write(["ok", "ok_too"], measurement=measurement(0.3), model={"window_s": 0.1, "settle_s": 0.05})
    session, study = lab.run(study_file, env=METER)
    (baseline,) = study.events("baseline_measured")
    assert study.kinds().index("baseline_measured") < study.kinds().index("experiment_running")
    data = baseline["data"]
    assert (data["why"], data["samples_file"]) == ("first", "baseline_s1_1.json.gz")
    assert (study.root / "samples" / data["samples_file"]).is_file()
    (power,) = data["powers"]
    assert power["channel"] == "acted/package"
    assert power["power_w"] == pytest.approx(10.0, rel=0.02)
    assert data["end_ns"] - data["start_ns"] >= 0.3e9
    for place, trial in enumerate(study.trials()):
        result = study.result(trial)
        assert (result["baseline_seq"], result["check_seq"]) == (baseline["seq"], None)
        assert (result["order_index"], result["seed"]) == (place, study.events("study_planned")[0]["data"]["seed"])
    assert "measuring the idle power of the bare devices (first)" in session.err
    assert "baseline, first: acted/package 10" in session.err
    assert "first: acted/package 10" in lab.llem("study", "log", study.root, "--kind", "baseline_measured").out
    assert study.findings() == []
    assert "1 baseline and 2 of 2 results recomputed" in lab.llem("study", "verify", study.root).out


@pytest.mark.parametrize("settings", [measurement(0), measurement(0.3, sensors=[])], ids=["0 s", "no sensor"])
def test_there_is_none_where_the_study_wants_none_or_nothing_measures(lab: Any, settings: dict[str, Any]) -> None:
    _, study = lab.run(lab.write(["ok"], measurement=settings), env=METER)
    assert study.events("baseline_measured") == []
    assert study.result(study.trials()[0])["baseline_seq"] is None


def test_a_kill_in_the_middle_of_a_baseline_leaves_nothing_and_resume_measures_its_own(lab: Any, until: Any) -> None:
    session, study = lab.start(lab.write(["ok"], measurement=measurement(1.5)), env=METER)
    until(lambda: list((study.root / "samples").glob("baseline*.part")), "the recording")
    session.signal(signal.SIGKILL)
    session.wait()
    until(lambda: session.others() == {}, "the recorder's end")
    lab.resume(study, env=METER)
    (baseline,) = study.events("baseline_measured")
    assert (baseline["session"], baseline["data"]["samples_file"]) == (2, "baseline_s2_1.json.gz")
    assert {path.name for path in (study.root / "samples").iterdir()} == {
        "baseline_s2_1.json.gz",
        f"{study.trials()[0]}_a1.json.gz",
    }
    assert study.findings() == []


def test_a_baseline_whose_event_was_not_recorded_is_set_aside(lab: Any) -> None:
    session, study = lab.start(lab.write(["first:hang"], measurement=measurement(0.2)), env=METER)
    study.wait_for("phase_entered", phase="measure")
    session.signal(signal.SIGKILL)
    session.wait()
    stray = study.root / "samples" / "baseline_s1_7.json.gz"
    stray.write_bytes((study.root / "samples" / "baseline_s1_1.json.gz").read_bytes())
    lab.resume(study, env=METER)
    assert (study.root / "samples" / "orphans" / stray.name).is_file()
    assert [event["data"]["samples_file"] for event in study.events("baseline_measured")] == [
        "baseline_s1_1.json.gz",
        "baseline_s2_1.json.gz",
    ]
    assert study.findings() == []


def test_a_signal_ends_a_baseline_at_once(lab: Any, until: Any) -> None:
    session, study = lab.start(lab.write(["ok"], measurement=measurement(3600)), env=METER)
    until(lambda: list((study.root / "samples").glob("baseline*.part")), "the recording")
    session.signal(signal.SIGINT)
    session.ended(130)
    assert study.kinds()[-1] == "session_ended"
    assert study.events("baseline_measured", "experiment_running") == []
    assert list((study.root / "samples").iterdir()) == []
    assert lab.survivors() == {}


def test_a_recorder_that_dies_costs_the_baseline_which_is_tried_again_before_the_first_trial(lab: Any) -> None:
    once = {"LLEM_ACTING_RECORDER": f"die_once:{lab.place / 'died'}"}
    study_file = lab.write(["ok", "ok_too"], measurement=measurement(0.2), model={"window_s": 0.1, "settle_s": 0.05})
    _, study = lab.run(study_file, env=once)
    failed, measured = study.events("baseline_measured")
    assert (failed["data"]["why"], failed["data"]["samples_file"]) == ("first", None)
    assert failed["data"]["powers"] == [
        {"channel": "acted/package", "power_w": None, "u_w": None, "reason": "The recorder died."}
    ]
    assert measured["data"]["powers"][0]["power_w"] == pytest.approx(10.0, rel=0.02)
    results = [study.result(trial) for trial in study.trials()]
    assert [result["baseline_seq"] for result in results] == [measured["seq"], measured["seq"]]
    assert all(result["figures"]["energy_total_j"] for result in results)
    assert study.findings() == []
    assert json.loads(lab.llem("study", "verify", study.root, "--json").out)["baselines"] == 1


def test_a_baseline_file_that_is_altered_or_gone_is_found(lab: Any) -> None:
    study_file = lab.write(["ok"], measurement=measurement(0.2), model={"window_s": 0.1, "settle_s": 0.05})
    _, study = lab.run(study_file, env=METER)
    samples = study.root / "samples" / "baseline_s1_1.json.gz"
    samples.write_bytes(samples.read_bytes()[:-20])
    assert study.findings() == [
        "samples/baseline_s1_1.json.gz: the file was altered: its SHA-256 is not the recorded one"
    ]
    assert "samples/baseline_s1_1.json.gz" in lab.llem("study", "verify", study.root, code=3).out
    samples.unlink()
    assert study.findings() == ["samples/baseline_s1_1.json.gz: the file is missing"]
    lab.resume(study, env=METER)
    assert len(study.events("experiment_running")) == 1
