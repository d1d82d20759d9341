"""Studies on a simulated GPU that others use too."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from simulated_gpu import COUNTED, SimulatedDevice

METHOD = {"sensors": ["nvml"], "guard_s": 0, "latency_passes": 0, "count_flops": False}


@pytest.fixture
def locks(nvml: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Return the environment of sessions that share simulated GPUs and the place of their locks."""
    place = tmp_path / "lock"
    place.mkdir()
    place.chmod(0o1777)
    return {**nvml, "LLEM_LOCKS": str(place)}


def begun(lab: Any, locks: dict[str, str], name: str = "first") -> Any:
    """Return a session that holds the GPUs, in the midst of a trial, and its study."""
    session, study = lab.start(lab.write(["hang"], name=name, measurement=METHOD), env=locks)
    study.wait_for("phase_entered", phase="measure")
    return session, study


def test_of_two_studies_on_one_gpu_one_runs_and_the_other_exits_having_written_nothing(
    lab: Any, locks: dict[str, str]
) -> None:
    session, study = begun(lab, locks)
    # A name of its own: studies of one name that begin in the same second are refused for that. And no sensors: what
    # a study measures with is not what it runs on.
    second = lab.write(name="second", measurement={**METHOD, "sensors": []})
    before = set(lab.output.iterdir())
    refused = lab.begin_run(second, env=locks).ended(3)
    assert f"{COUNTED} is in use by another study: {study.root}" in refused.err
    assert f"process {session.pid} on {os.uname().nodename}, since 20" in refused.err
    assert "Traceback" not in refused.err
    assert set(lab.output.iterdir()) == before
    # Where there is no GPU in common, or a scheduler answers for it, nobody is in the way.
    lab.run(second, "--no-lock", env=locks)
    lab.run(lab.write(name="on_cpu", measurement=METHOD, transformers={"device": "cpu"}), env=locks)
    assert session.process.poll() is None
    session.signal(signal.SIGKILL)
    session.wait()
    lab.run(lab.write(name="third", measurement=METHOD), env=locks)


def test_a_resume_is_refused_like_a_run_and_records_nothing(lab: Any, locks: dict[str, str]) -> None:
    _, failed = lab.run(lab.write(["out_of_memory"], measurement=METHOD), env=locks, code=1)
    _, completed = lab.run(lab.write(["ok"], name="completed", measurement=METHOD), env=locks)
    session, _ = begun(lab, locks, name="holds")
    before = failed.events()
    refused = lab.resume(failed, "--limit=study_s=100", env=locks, code=3)
    assert "is in use by another study" in refused.err
    assert failed.events() == before
    lab.resume(completed, env=locks)  # nothing is left to run, so it needs no GPU
    assert session.process.poll() is None


NOBODY = 2**22 + 1  # more than any kernel numbers


def test_a_trial_waits_until_what_an_attempt_left_on_the_gpu_is_gone(lab: Any, nvml_of: Any, until: Any) -> None:
    left = subprocess.Popen(["sleep", "600"], env={**os.environ, "LLEM_ATTEMPT": "/another/study/e0_c1/1"})
    try:
        env = nvml_of(SimulatedDevice(processes=((left.pid,),)))
        session, study = lab.start(lab.write(measurement=METHOD), env=env)
        until(lambda: "waits for clean GPUs, 60 s at most" in session.err, "the word that it waits")
        assert f"{COUNTED} still has processes of this study ({left.pid})" in session.err
        assert study.kinds()[-1] == "experiment_running"
    finally:
        left.kill()
        left.wait()
    session.ended(0)
    assert study.events("experiment_failed") == []


def test_memory_that_is_not_given_back_fails_the_attempt_which_is_tried_again(
    lab: Any, nvml_of: Any, tmp_path: Path
) -> None:
    load_file = tmp_path / "load"
    held = SimulatedDevice(
        load_file=load_file,
        since_load=True,  # from the first trial's work on somebody holds it
        memory_bytes=80 << 30,
        memory_used_bytes=1 << 30,
        processes=((NOBODY, 0.0, 1e9, 4 << 30),),
    )
    work = {"load_file": str(load_file), "work_w": 300.0, "idle_w": 80.0, "devices": [COUNTED]}
    file = lab.write(model=work, measurement=METHOD, cycles=2, retries=1, limits={"clean_s": 0.3})
    env = nvml_of(held)
    _, study = lab.run(file, code=1, env=env)
    first, second = study.trials()
    assert [event["kind"] for event in study.terminal(first)] == ["experiment_completed"]
    failed = study.terminal(second)
    assert [event["kind"] for event in failed] == ["experiment_failed"] * 2
    for event in failed:
        assert (event["data"]["error_type"], event["data"]["phase"]) == ("DeviceNotClean", "start")
        said = f"5.00 GiB of the memory of {COUNTED} are used, 1.00 GiB when the session began"
        assert said in event["data"]["error_message"]
        assert "limits.clean_s (0.3 s)" in event["data"]["error_message"]
    # A new session takes things as it finds them.
    lab.resume(study, env=env)
    assert study.findings() == []
