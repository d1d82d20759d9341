"""A study that nobody watches: what hangs is ended, what failed by chance is tried again, what cannot go on stops."""

import signal
from typing import Any, NamedTuple

import pytest

KILLED = "kill_itself"
METER = {"sensors": ["rapl"], "warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0}
SHORT = {"start_s": 2.0, "load_s": 0.6, "warmup_s": 0.6, "measurement_s": 0.6, "silence_s": None}


class Hang(NamedTuple):
    """A worker that hangs, and the limit that ends it."""

    error_type: str
    phase: str
    limit: str


HANGS = {
    "silent_start": Hang("StartTimeout", "start", "start_s"),
    "hang_in:load": Hang("LoadTimeout", "load", "load_s"),
    "hang_in:prepare": Hang("LoadTimeout", "prepare", "load_s"),
    "hang_in:warmup": Hang("WarmupTimeout", "warmup", "warmup_s"),
    "hang_in:measure": Hang("MeasurementTimeout", "measure", "measurement_s"),
    "hang_in:latency": Hang("MeasurementTimeout", "latency", "measurement_s"),
    "hang_in:teardown": Hang("MeasurementTimeout", "teardown", "measurement_s"),
}
SILENCES = {
    "hang_in:load": Hang("LoadTimeout", "load", "load_s"),
    "hang_in:warmup": Hang("SilenceTimeout", "warmup", "silence_s"),
    "hang_in:measure": Hang("SilenceTimeout", "measure", "silence_s"),
}


@pytest.fixture(scope="module")
def hung(module_lab: Any) -> dict[str, Any]:
    """Run both studies side by side: one whose phases have limits, one whose silence has."""
    phases = module_lab.start(module_lab.write(list(HANGS), name="phases", limits=SHORT))
    silence = {"silence_s": 0.6, "load_s": 1.2, "measurement_s": 30.0}
    silences = module_lab.start(module_lab.write([*SILENCES, "speak_for_a_while"], name="silences", limits=silence))
    for session, _ in (phases, silences):
        session.ended(1)
    assert module_lab.survivors() == {}
    return {"phases": phases[1], "silences": silences[1]}


CASES = [("phases", *case) for case in HANGS.items()] + [("silences", *case) for case in SILENCES.items()]


@pytest.mark.parametrize(("name", "behaviour", "hang"), CASES, ids=[f"{name}-{what}" for name, what, _ in CASES])
def test_a_hang_is_ended_and_told_with_its_phase_and_its_limit(
    hung: dict[str, Any], name: str, behaviour: str, hang: Hang
) -> None:
    study = hung[name]
    (event,) = study.terminal(study.trial_of(behaviour))
    data = event["data"]
    assert (data["error_type"], data["phase"]) == (hang.error_type, hang.phase)
    assert f"limits.{hang.limit} " in data["error_message"]
    assert f"--limit {hang.limit}=" in data["error_message"]
    assert (data["exit_code"], data["signal"]) == (None, None)
    assert study.findings() == []


def test_a_worker_that_speaks_is_not_silent(hung: dict[str, Any]) -> None:
    study = hung["silences"]
    assert study.completions()[study.trial_of("speak_for_a_while")] == 1


def ends(study: Any, trial: str) -> list[tuple[str, int]]:
    return [(event["kind"].removeprefix("experiment_"), event["attempt"]) for event in study.terminal(trial)]


def began(study: Any) -> list[str]:
    return [event["trial"] for event in study.events("experiment_running")]


def test_a_fault_of_the_environment_is_tried_again_at_once_and_one_of_the_configuration_is_not(lab: Any) -> None:
    behaviours = ["first:kill_itself", KILLED, "out_of_memory", "exception", "ok"]
    session, study = lab.run(lab.write(behaviours, retries=1), code=1)
    trials = [study.trial_of(behaviour) for behaviour in behaviours]
    assert [ends(study, trial) for trial in trials] == [
        [("failed", 1), ("completed", 2)],
        [("failed", 1), ("failed", 2)],
        [("failed", 1)],
        [("failed", 1)],
        [("completed", 1)],
    ]
    assert began(study) == [trials[0], trials[0], trials[1], trials[1], *trials[2:]]
    assert f"{trials[0]} failed by its environment (WorkerKilled): tried again (1 of 1)" in session.err
    assert study.findings() == []


def test_retries_are_counted_across_a_kill_and_an_interrupted_one_does_not_count(lab: Any) -> None:
    behaviour = "turns:kill_itself/hang/kill_itself"
    session, study = lab.start(lab.write([behaviour], retries=1))
    trial = study.trial_of(behaviour)
    study.wait_for("phase_entered", phase="measure")
    session.signal(signal.SIGKILL)
    session.wait()
    lab.resume(study, "--no-retry-failed", code=1)
    assert ends(study, trial) == [("failed", 1), ("interrupted", 2), ("failed", 3)]
    lab.resume(study, code=1)  # what failed for good has its retries again
    assert ends(study, trial)[3:] == [("failed", 4), ("failed", 5)]


def test_failures_in_a_row_end_the_study_after_a_rest_and_a_probe_and_a_resume_begins_with_one(lab: Any) -> None:
    limits = {"consecutive_failures": 2, "cool_down_s": 0.3}
    session, study = lab.run(lab.write([KILLED], cycles=6, limits=limits), code=1)
    manifest = study.manifest()
    assert (manifest["failed"], manifest["skipped"], manifest["status"]) == (3, 3, "failed")
    why = {event["data"]["reason"] for event in study.events("experiment_skipped")}
    assert why == {
        "2 trials in a row failed by their environment, and so did the probe. The last: WorkerKilled, "
        + began(study)[-1]
    }
    assert study.kinds()[-2:] == ["study_completed", "session_ended"]
    assert study.events("session_ended")[0]["data"]["reason"] == "breaker"
    assert "cooling down for 0.3 s, then one trial shows whether that is over" in session.err
    *_, stopped, last = session.err.splitlines()
    assert stopped.startswith("Stopped: 2 trials in a row failed by their environment")
    assert stopped.endswith("See what ails this machine: llem doctor")
    assert f"llem study resume {study.root}" in last

    resumed = lab.resume(study, code=1)
    assert len(began(study)) == 4
    assert len(study.events("experiment_skipped")) == 3
    assert "cooling down" not in resumed.err
    assert study.findings() == []


def test_a_probe_that_succeeds_lets_the_study_go_on(lab: Any) -> None:
    limits = {"consecutive_failures": 2, "cool_down_s": 0.1}
    behaviours = [KILLED, "abort", "out_of_memory", "ok", "segfault", "ok_too"]
    session, study = lab.run(lab.write(behaviours, limits=limits), code=1)
    assert (study.manifest()["completed"], study.manifest()["failed"]) == (2, 4)
    assert session.err.count("cooling down for") == 1
    assert study.events("session_ended")[0]["data"]["reason"] == "finished"


def test_a_cool_down_ends_at_once_by_a_signal_and_a_resume_goes_on_with_the_probe(lab: Any, until: Any) -> None:
    limits = {"consecutive_failures": 1, "cool_down_s": 3600.0}
    session, study = lab.start(lab.write(["first:kill_itself", "ok"], limits=limits))
    until(lambda: "cooling down for" in session.err, "the cool-down")
    session.signal(signal.SIGINT)
    session.ended(130)
    assert study.manifest()["pending"] == 1
    lab.resume(study)
    assert study.manifest()["completed"] == 2


def test_a_session_that_is_to_fail_fast_ends_at_its_first_failed_trial_and_leaves_the_rest(lab: Any) -> None:
    file = lab.write(["ok", "turns:kill_itself/kill_itself/ok", "ok_too"], retries=1)
    session, study = lab.run(file, "--fail-fast", code=1)
    manifest = study.manifest()
    assert (manifest["completed"], manifest["failed"], manifest["pending"]) == (1, 1, 1)
    assert len(began(study)) == 3
    (ended,) = study.events("session_ended")
    failed = study.trial_of("turns:kill_itself/kill_itself/ok")
    assert ended["data"] == {"reason": "fail_fast", "detail": f"{failed} failed: WorkerKilled"}
    *_, stopped, last = session.err.splitlines()
    assert stopped == f"Stopped: {failed} failed: WorkerKilled. The rest stays pending."
    assert last == f"2 of 3 trials left. Go on with: llem study resume {study.root}"
    lab.resume(study, "--fail-fast")
    assert study.manifest()["status"] == "completed"


def test_a_study_ends_with_its_energy_and_goes_on_with_more_of_it(lab: Any) -> None:
    env = {"LLEM_ACTING_RECORDER": "meter"}
    file = lab.write(
        ["ok", "ok_too"],
        measurement={**METER, "latency_passes": 0, "count_flops": False},
        model={"window_s": 0.1, "settle_s": 0.05},
        limits={"energy_kwh": 1.5e-7},
    )
    session, study = lab.run(file, code=1, env=env)
    (ended,) = study.events("session_ended")
    assert ended["data"]["reason"] == "energy_budget"
    assert ended["data"]["detail"].startswith("limits.energy_kwh = 1.5e-07, measured ")
    assert (study.manifest()["completed"], study.manifest()["pending"]) == (1, 1)
    *_, taken, stopped, last = session.err.splitlines()
    assert taken.startswith("Windows took ")
    assert stopped.endswith("Raise it with: llem study resume --limit energy_kwh=…")
    assert last.startswith("1 of 2 trials left.")

    lab.resume(study, code=1, env=env)
    assert len(began(study)) == 1
    lab.resume(study, "--limit=energy_kwh=1000", env=env)
    assert study.manifest()["status"] == "completed"
    assert study.events("study_extended")[0]["data"]["limits"]["energy_kwh"] == 1000.0
    assert study.findings() == []


def test_energy_that_nobody_measured_is_in_no_budget_and_the_last_lines_say_so(lab: Any) -> None:
    session, _ = lab.run(lab.write(["ok", "ok_too"], limits={"energy_kwh": 1.5e-7}))
    assert session.err.splitlines()[-2] == (
        "Windows took 0 of limits.energy_kwh = 1.5e-07 kWh; not in it: 2 results without measured energy."
    )
