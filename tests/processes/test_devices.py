"""Studies on a simulated GPU that others use too."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from simulated_gpu import COUNTED

METHOD = {"sensors": ["nvml"], "guard_s": 0, "latency_passes": 0, "count_flops": False}


@pytest.fixture
def locks(nvml: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Return the environment of sessions that share simulated GPUs and the place of their locks."""
    place = tmp_path / "lock"
    place.mkdir()
    place.chmod(0o1777)
    return {**nvml, "LLEM_LOCKS": str(place)}


def begun(lab: Any, locks: dict[str, str]) -> Any:
    """Return a session that holds the GPUs, in the midst of a trial, and its study."""
    session, study = lab.start(lab.write(["hang"], measurement=METHOD), env=locks)
    study.wait_for("phase_entered", phase="measure")
    return session, study


def test_of_two_studies_on_one_gpu_one_runs_and_the_other_exits_having_written_nothing(
    lab: Any, locks: dict[str, str]
) -> None:
    session, study = begun(lab, locks)
    second = lab.write(measurement={**METHOD, "sensors": []})  # what it measures with is not what it runs on
    before = set(lab.output.iterdir())
    refused = lab.begin_run(second, env=locks).ended(3)
    assert f"{COUNTED} is in use by another study: {study.root}" in refused.err
    assert f"process {session.pid} on {os.uname().nodename}, since 20" in refused.err
    assert "Traceback" not in refused.err
    assert set(lab.output.iterdir()) == before
    # Where there is no GPU in common, or a scheduler answers for it, nobody is in the way.
    lab.run(second, "--no-lock", env=locks)
    lab.run(lab.write(measurement=METHOD, transformers={"device": "cpu"}), env=locks)
    assert session.process.poll() is None
    session.signal(signal.SIGKILL)
    session.wait()
    lab.run(second, env=locks)


def test_a_resume_is_refused_like_a_run_and_records_nothing(lab: Any, locks: dict[str, str]) -> None:
    _, failed = lab.run(lab.write(["out_of_memory"], measurement=METHOD), env=locks, code=1)
    _, completed = lab.run(lab.write(["ok"], measurement=METHOD), env=locks)
    session, _ = begun(lab, locks)
    before = failed.events()
    refused = lab.resume(failed, "--limit=study_s=100", env=locks, code=3)
    assert "is in use by another study" in refused.err
    assert failed.events() == before
    lab.resume(completed, env=locks)  # nothing is left to run, so it needs no GPU
    assert session.process.poll() is None
