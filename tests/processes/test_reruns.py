"""A trial that was spoiled runs again directly after, and what it gave before is kept, found and verified."""

import json
import random
import signal
import time
from typing import Any

import pytest

CODES = {"LLEM_ACTING_RERUN_CODES": "token_count"}
SPOILED = "fewer_tokens_than_asked"


def ends(study: Any, trial: str) -> list[tuple[str, int]]:
    return [(event["kind"].removeprefix("experiment_"), event["attempt"]) for event in study.terminal(trial)]


def entry(study: Any, trial: str) -> dict[str, Any]:
    (found,) = [entry for entry in study.manifest()["experiments"] if entry["trial"] == trial]
    return dict(found)


def summaries(study: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((study.root / "results.json").read_text())["experiments"]
    return found


def test_a_spoiled_trial_runs_again_directly_after_and_its_result_is_kept(lab: Any) -> None:
    session, study = lab.run(lab.write([f"first:{SPOILED}", "ok"], order="blocks"), env=CODES)
    trial = study.trial_of(f"first:{SPOILED}")
    assert ends(study, trial) == [("completed", 1), ("completed", 2)]
    first, second = (event["data"]["result_file"] for event in study.events("experiment_completed", trial=trial))
    assert second == first.removesuffix(".json") + "_a2.json"
    assert {first, second} <= study.result_files()
    began = [event["trial"] for event in study.events("experiment_running")]
    assert began[began.index(trial) : began.index(trial) + 2] == [trial, trial]
    assert f"{trial} is invalid (token_count): runs again (1 of 2)" in session.err
    assert "in no mean" not in session.err

    told = entry(study, trial)
    assert (told["status"], told["attempts"], told["invalid_results"]) == ("completed", 2, 1)
    assert (told["result_file"], told["headline"]["invalid"]) == (second, [])
    kept = [one for summary in summaries(study) for one in summary["invalid_cycles"]]
    assert kept == [{"cycle": 1, "codes": ["token_count"], "attempt": 1, "ran_again": True}]
    assert [(one["n_valid"], one["n_invalid"]) for one in summaries(study)] == [(1, 0), (1, 0)]
    assert study.findings() == []
    assert "3 of 3 results recomputed" in lab.llem("study", "verify", study.root).out


def test_after_the_limit_a_trial_stays_invalid_and_the_last_lines_say_so(lab: Any) -> None:
    session, study = lab.run(lab.write([SPOILED, "ok"], reruns=1), env=CODES)
    trial = study.trial_of(SPOILED)
    assert ends(study, trial) == [("completed", 1), ("completed", 2)]
    *_, told, last = session.err.splitlines()
    assert told == "1 of 2 trials is invalid and in no mean: token_count 1 ×"
    assert last.startswith("All 2 trials completed.")
    (spoiled,) = [one for one in summaries(study) if one["n_invalid"]]
    assert [(one["attempt"], one["ran_again"]) for one in spoiled["invalid_cycles"]] == [(1, True), (2, False)]
    assert (spoiled["n_valid"], spoiled["energy_per_output_token_j"]) == (0, None)
    assert study.manifest()["status"] == "completed"
    assert told in lab.llem("study", "status", study.root).err
    assert lab.llem("study", "log", study.root, "--trial", trial).out.count("INVALID: token_count") == 2

    events = len(study.events())
    lab.resume(study, env=CODES)
    assert len(study.events()) == events, "nothing is left to do"


def test_without_reruns_and_for_what_does_not_pass_nothing_runs_again(lab: Any) -> None:
    for changes, env in (({"reruns": 0}, CODES), ({}, {})):
        _, study = lab.run(lab.write([SPOILED], **changes), env=env)
        assert ends(study, study.trial_of(SPOILED)) == [("completed", 1)]


def test_a_kill_in_the_middle_of_a_re_run_is_resumed_as_a_further_attempt(lab: Any) -> None:
    behaviour = f"turns:{SPOILED}/hang/ok"
    session, study = lab.start(lab.write([behaviour, "ok"]), env=CODES)
    trial = study.trial_of(behaviour)
    study.wait_for("experiment_running", count=2)
    study.wait_for("phase_entered", count=2, phase="measure")
    session.signal(signal.SIGKILL)
    session.wait()
    lab.llem("study", "status", study.root)
    told = entry(study, trial)
    assert (told["status"], told["result_file"], told["headline"], told["invalid_results"]) == (
        "interrupted",
        None,
        None,
        1,
    )
    assert study.findings() == []

    lab.resume(study, env=CODES)
    assert ends(study, trial) == [("completed", 1), ("interrupted", 2), ("completed", 3)]
    told = entry(study, trial)
    assert (told["attempts"], told["invalid_results"]) == (3, 1)
    assert told["result_file"].endswith("_c1_a3.json")
    assert not (study.root / "results" / "orphans").exists()
    assert study.findings() == []
    assert json.loads(lab.llem("study", "verify", study.root, "--json").out)["kept"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_with_baselines_and_re_runs_all_ends_valid_and_sound(lab: Any, seed: int) -> None:
    draw = random.Random(seed)
    settings = {"warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0, "sensors": ["rapl"]}
    study_file = lab.write(
        [f"turns:{SPOILED}/{SPOILED}/ok", f"first:{SPOILED}", "ok"],
        measurement={**settings, "bare_idle_s": 0.3},
        model={"window_s": 0.1, "settle_s": 0.05},
        cycles=2,
        order="blocks",
    )
    env = {**CODES, "LLEM_ACTING_RECORDER": "meter"}
    session, study = lab.start(study_file, env=env)
    for _ in range(4):
        time.sleep(draw.uniform(0.2, 1.6))
        session.process.kill()
        session.wait()
        session = lab.begin_resume(study, env=env)
    session.ended(0)

    assert study.findings() == []
    for trial in study.trials():
        *spoiled, last = study.events("experiment_completed", trial=trial)
        codes = [event["data"]["headline"]["invalid"] for event in spoiled]
        assert codes == [["token_count"]] * len(spoiled)
        assert last["data"]["headline"]["invalid"] == []
        names = [event["data"]["result_file"] for event in (*spoiled, last)]
        assert len(set(names)) == len(names) <= 3
        assert set(names) <= study.result_files()
        assert entry(study, trial).get("invalid_results", 0) == len(spoiled)
    named = {event["data"]["result_file"] for event in study.events("experiment_completed")}
    assert study.result_files() == named
    verified = json.loads(lab.llem("study", "verify", study.root, "--json").out)
    assert verified["findings"] == []
    assert verified["recomputed"] == len(study.events("experiment_completed"))
    assert verified["baselines"] == len(study.events("baseline_measured"))


def test_a_trial_whose_session_ended_before_its_re_run_runs_again_at_resume(lab: Any, until: Any) -> None:
    study_file = lab.write([f"first:{SPOILED}"], gaps={"between_trials": 3600})
    session, study = lab.start(study_file, env=CODES)
    until(lambda: "idle before the next trial" in session.err, "the gap before the re-run")
    session.signal(signal.SIGTERM)
    session.ended(143)
    trial = study.trial_of(f"first:{SPOILED}")
    assert ends(study, trial) == [("completed", 1)]
    assert study.manifest()["status"] == "interrupted"
    resumed = lab.resume(study, env=CODES)
    assert "runs again (1 of 2)" in resumed.err
    assert ends(study, trial) == [("completed", 1), ("completed", 2)]
    assert study.findings() == []


def test_a_re_run_that_fails_leaves_a_trial_that_failed_and_the_kept_result(lab: Any) -> None:
    behaviour = f"turns:{SPOILED}/exception/ok"
    _, study = lab.run(lab.write([behaviour]), code=1, env=CODES)
    trial = study.trial_of(behaviour)
    assert (entry(study, trial)["status"], entry(study, trial)["invalid_results"]) == ("failed", 1)
    lab.resume(study, env=CODES)
    assert ends(study, trial) == [("completed", 1), ("failed", 2), ("completed", 3)]
    assert study.findings() == []


def test_a_kept_result_that_was_altered_is_found_and_makes_nothing_run_again(lab: Any) -> None:
    study_file = lab.write([f"first:{SPOILED}", "hang"], limits={"trial_s": 3600})
    session, study = lab.start(study_file, env=CODES)
    study.wait_for("experiment_running", count=3)
    session.signal(signal.SIGINT)
    session.ended(130)
    trial = study.trial_of(f"first:{SPOILED}")
    first = study.root / "results" / study.events("experiment_completed", trial=trial)[0]["data"]["result_file"]
    tree = json.loads(first.read_text())
    first.write_text(json.dumps({**tree, "journal_hash": "0" * 64}))
    assert any(first.name in finding and "was altered" in finding for finding in study.findings())
    shown = lab.llem("study", "verify", study.root, code=3)
    assert f"results/{first.name}: the file was altered" in shown.out

    resumed = lab.begin_resume(study, env=CODES)
    study.wait_for("experiment_running", count=4)
    resumed.signal(signal.SIGINT)
    resumed.ended(130)
    assert f"results/{first.name}: the file was altered" in resumed.err
    assert ends(study, trial) == [("completed", 1), ("completed", 2)]
    assert first.exists()


def test_the_gap_between_trials_comes_before_a_re_run_too(lab: Any) -> None:
    _, study = lab.run(lab.write([f"first:{SPOILED}"], gaps={"between_trials": 0.2}), env=CODES)
    kinds = [kind for kind in study.kinds() if kind in ("experiment_running", "gap_waited")]
    assert kinds == ["experiment_running", "gap_waited", "experiment_running"]


def test_more_reruns_may_be_allowed_later(lab: Any) -> None:
    behaviour = f"turns:{SPOILED}/{SPOILED}/ok"
    _, study = lab.run(lab.write([behaviour], reruns=0), env=CODES)
    trial = study.trial_of(behaviour)
    more = lab.write([behaviour], reruns=3)
    lab.resume(study, f"--study={more}", "--extend", env=CODES)
    assert ends(study, trial) == [("completed", 1), ("completed", 2), ("completed", 3)]
    assert entry(study, trial)["invalid_results"] == 2
    assert study.findings() == []
