"""A worker that soaks, a recorder with a thermometer, and the parent between them: real processes and pipes."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llem.domain.deadlines import Deadlines
from llem.domain.measured import Measured
from llem.domain.messages import WorkerSpec
from llem.domain.spec import Limits
from llem.study.local import LocalLauncher
from llem.study.recording import RecorderClient
from llem.study.signals import EndingSignals
from llem.study.soak import SoakWatcher
from llem.study.supervise import Supervisor

WORKERS = Path(__file__).parent / "workers"
SOAKING = {"model": {"behaviour": "soak"}}
METER = {"sensors": ["rapl"], "guard_s": 0, "latency_passes": 0, "count_flops": False}


def soak(make: Any, place: Path, **model: Any) -> Any:
    """Have a worker soak until its devices were steady for half a second, and return the record of it."""
    config = make.config(model={"config": "llama", "behaviour": "soak", **model})
    spec = WorkerSpec(trial="a_c1", attempt=1, config=config, base_dir="/", soak=True)
    command = (sys.executable, "-P", str(WORKERS / "acting_recorder.py"))
    with EndingSignals() as signals:
        recorder = RecorderClient([], place / "recorder.log", signals, command=command)
        launcher = LocalLauncher(str(place), (sys.executable, str(WORKERS / "acting_worker.py")), zygote=None)
        started_ns = time.monotonic_ns()
        worker = launcher.prepare(spec, place / "worker.log", signals).start()
        try:
            watcher = SoakWatcher(recorder.temperatures, worker.tell, over_s=0.5, look_every_s=0.1)
            measured = Supervisor(
                worker,
                started_ns=started_ns,
                deadlines=Deadlines(Limits(trial_s=60), time.monotonic()),
                signals=signals,
                on_phases=lambda messages: [watcher.entered(message) for message in messages],
                on_progress=lambda message: None,
                tick=watcher.tick,
            ).watch()
        finally:
            worker.end(patience_s=5, grace_s=1, signals=signals)
            recorder.close()
    assert isinstance(measured, Measured)
    return measured.soak


def test_a_worker_soaks_until_its_device_is_warm(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLEM_ACTING_RECORDER", "warm")
    found = soak(make, tmp_path)
    assert (found.steady, found.reason) == (True, None)
    assert found.interval.duration_s >= 0.5


def test_a_worker_whose_device_never_settles_goes_on_at_its_limit(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLEM_ACTING_RECORDER", "warming")
    assert soak(make, tmp_path, soak_s=2).steady is False


def test_without_a_thermometer_a_soak_ends_at_once_and_the_result_says_why(lab: Any) -> None:
    _, study = lab.run(lab.write(**SOAKING, measurement=METER), env={"LLEM_ACTING_RECORDER": "meter"})
    result = study.result(study.trials()[0])
    found = result["measured"]["soak"]
    assert (found["steady"], found["reason"]) == (None, "no sensor of this study tells the temperature of package-0")
    assert "soak" in [event["data"]["phase"] for event in study.events("phase_entered")]
    assert study.findings() == []


def test_a_recorder_that_dies_of_being_asked_costs_the_energy_and_not_the_trial(lab: Any) -> None:
    study_file = lab.write(**SOAKING, measurement=METER)
    _, study = lab.run(study_file, env={"LLEM_ACTING_RECORDER": "dying_thermometer"})
    result = study.result(study.trials()[0])
    found = result["measured"]["soak"]
    assert (found["steady"], found["reason"]) == (None, "The recorder died.")
    assert result["figures"]["energy_total_j"] is None
    assert result["unrecorded"] == "The recorder died."


def test_a_recorder_goes_on_recording_while_it_is_asked(lab: Any) -> None:
    study_file = lab.write(model={"behaviour": "soak", "soak_s": 2, "settle_s": 0.1}, measurement=METER)
    _, study = lab.run(study_file, env={"LLEM_ACTING_RECORDER": "warm"})
    result = study.result(study.trials()[0])
    assert result["measured"]["soak"]["steady"] is False
    assert result["figures"]["energy_total_j"] > 0
