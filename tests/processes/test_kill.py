"""``kill -9`` of the parent at any moment: nothing is lost, doubled or left running, and resume completes."""

import random
import re
import signal
import time
from typing import Any

import pytest

TRIALS = 12
SEEDS = range(6)
KILLS_PER_STUDY = 4


def kill(session: Any, until: Any) -> None:
    """Kill the parent, and wait until nothing that it started lives: a second, by polling, on a busy machine too."""
    session.signal(signal.SIGKILL)
    session.wait()
    deadline = time.monotonic() + 1.0
    while session.others() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert session.others() == {}, "outlived its parent by a second"


def running_trials(study: Any) -> list[tuple[str, int]]:
    """Return the attempts that the journal shows as begun and not ended, in their order."""
    open_attempts: dict[tuple[str, int], None] = {}
    for event in study.events():
        key = (event["trial"], event["attempt"])
        if event["kind"] == "experiment_running":
            open_attempts[key] = None
        elif event["kind"] in ("experiment_completed", "experiment_failed", "experiment_interrupted"):
            open_attempts.pop(key, None)
    return list(open_attempts)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_study_killed_again_and_again_completes_with_every_trial_once(lab: Any, until: Any, seed: int) -> None:
    draw = random.Random(seed)
    study_file = lab.write(["ok", "ok_too"], model={"window_s": 0.1}, cycles=TRIALS // 2, order="blocks")
    session, study = lab.start(study_file)
    cut_short: list[tuple[str, int]] = []
    for number in range(KILLS_PER_STUDY):
        time.sleep(draw.uniform(0.0, 1.5) if number == 0 else draw.uniform(0.3, 1.8))
        if session.process.poll() is None:
            kill(session, until)
        cut_short += running_trials(study)
        if number + 1 < KILLS_PER_STUDY:
            session = lab.begin_resume(study)
    lab.resume(study)

    assert len(study.trials()) == TRIALS
    assert study.completions() == dict.fromkeys(study.trials(), 1)
    interrupted = [(event["trial"], event["attempt"]) for event in study.events("experiment_interrupted")]
    assert sorted(interrupted) == sorted(set(cut_short))
    assert [event["seq"] for event in study.events()] == list(range(1, len(study.events()) + 1))
    assert study.findings() == []
    assert study.manifest()["status"] == "completed"
    assert study.manifest()["completed"] == TRIALS
    named = {study.events("experiment_completed", trial=t)[-1]["data"]["result_file"] for t in study.trials()}
    assert study.result_files() == named
    assert lab.survivors() == {}


def test_a_kill_in_the_middle_of_a_trial_shows_as_an_interrupted_attempt(lab: Any, until: Any) -> None:
    session, study = lab.start(lab.write(["first:hang", "ok"]))
    study.wait_for("phase_entered", phase="measure")
    kill(session, until)
    trial = study.trial_of("first:hang")
    assert study.kinds(trial)[-1] == "phase_entered"

    status = lab.llem("study", "status", study.root)
    assert "interrupted" in status.out
    assert "Go on with: llem study resume" in status.err
    assert study.kinds(trial)[-1] == "phase_entered", "a reader writes no event"

    lab.resume(study)
    ends = [(event["kind"], event["attempt"]) for event in study.terminal(trial)]
    assert ends == [("experiment_interrupted", 1), ("experiment_completed", 2)]
    (interrupted,) = study.events("experiment_interrupted")
    assert interrupted["session"] == 2
    assert interrupted["data"]["phase"] == "measure"
    assert "session that is over" in interrupted["data"]["reason"]
    log = lab.llem("study", "log", study.root, "--trial", trial).out
    assert re.search(rf"{trial}\s+1\s+experiment_interrupted\s", log)
    assert re.search(rf"{trial}\s+2\s+experiment_completed\s", log)


@pytest.mark.parametrize("fault", ["slow_open", "slow_start", "slow_stop"])
def test_a_recorder_dies_with_its_parent_whatever_it_does(lab: Any, until: Any, fault: str) -> None:
    measurement = {"sensors": ["rapl"], "warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0}
    session, study = lab.start(lab.write(measurement=measurement), env={"LLEM_ACTING_RECORDER": fault})
    if fault != "slow_open":
        study.wait_for("experiment_running")
    until(lambda: any("acting_recorder" in command for command in session.others().values()), "the recorder")
    if fault == "slow_stop":
        study.wait_for("phase_entered", phase="teardown")
    kill(session, until)
    lab.resume(study, env={"LLEM_ACTING_RECORDER": "meter"})
    assert set(study.completions().values()) == {1}
    assert study.findings() == []


def test_what_left_its_worker_s_group_outlives_a_killed_parent_and_is_ended_by_resume(lab: Any) -> None:
    session, study = lab.start(lab.write(["first:hang_with_children"]))
    study.wait_for("phase_entered", phase="measure")
    session.signal(signal.SIGKILL)
    session.wait()
    resumed = lab.resume(study)
    assert re.search(r"ended \d process(es)? that an earlier session left behind", resumed.err)
    assert lab.survivors() == {}
    assert set(study.completions().values()) == {1}


def test_a_result_without_its_event_is_set_aside_and_its_trial_runs_again(lab: Any, until: Any) -> None:
    session, study = lab.start(lab.write(["ok", "first:hang"]))
    study.wait_for("experiment_completed")
    study.wait_for("experiment_running", count=2)
    kill(session, until)
    # As if the parent had died between the result and its event.
    planned = study.events("experiment_planned")[1]["data"]["result_stem"] + "_c1.json"
    (study.root / "results" / planned).write_text("{}")
    (study.root / "results" / f".{planned}.part").write_text("{")
    resumed = lab.resume(study)
    assert f"{planned} belongs to no completed trial: set aside" in resumed.err
    assert (study.root / "results" / "orphans" / planned).read_text() == "{}"
    assert not (study.root / "results" / f".{planned}.part").exists()
    assert set(study.completions().values()) == {1}
    assert len(study.completions()) == 2
    assert study.findings() == []


GARBLED = {
    "deleted": None,
    "cut short": b'{"schema_version": 1, "journal_se',
    "binary": bytes(range(256)),
    "a null": b"null",
    "words for numbers": b'{"journal_seq": "many", "journal_hash": 7}',
    "beyond integers": b'{"journal_seq": 1e999, "journal_hash": "x"}',
    "nested without end": b"[" * 200_000,
}


@pytest.fixture(scope="module")
def killed(module_lab: Any, until: Any) -> Any:
    """Return a study whose parent was killed in the middle of its second trial; tests work on copies."""
    session, study = module_lab.start(module_lab.write(["ok", "first:hang"]))
    study.wait_for("phase_entered", phase="measure", count=2)
    kill(session, until)
    return study


@pytest.mark.parametrize("garble", GARBLED.values(), ids=GARBLED)
def test_a_lost_or_garbled_manifest_is_exported_again_and_disturbs_nobody(
    lab: Any, killed: Any, garble: bytes | None
) -> None:
    study = lab.copy(killed)
    manifest = study.root / "manifest.json"

    def spoil() -> None:
        manifest.unlink(missing_ok=True)
        if garble is not None:
            manifest.write_bytes(garble)

    spoil()
    status = lab.llem("study", "status", study.root, "--json")
    assert '"interrupted": 1' in status.out
    assert study.manifest()["interrupted"] == 1
    spoil()
    assert lab.llem("study", "log", study.root, "--verify").out.endswith("nothing found wrong\n")
    lab.resume(study)
    assert study.manifest()["status"] == "completed"
    assert study.manifest()["journal_seq"] == study.events()[-1]["seq"]
    assert study.manifest()["journal_hash"] == study.events()[-1]["hash"]
