"""What ``resume`` keeps, what it runs again, and what it refuses."""

import json
import os
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

MEASUREMENT = {"warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0, "sensors": ["rapl"]}
METER = {"LLEM_ACTING_RECORDER": "meter"}


@pytest.fixture(scope="module")
def finished(module_lab: Any) -> Any:
    """Return a completed study of two trials with raw edges; tests work on copies."""
    _, study = module_lab.run(module_lab.write(["ok", "ok_too"], measurement=MEASUREMENT), env=METER)
    return study


@pytest.fixture(scope="module")
def partial(module_lab: Any) -> Any:
    """Return a study with a completed trial and one that failed at its first attempt; tests work on copies."""
    _, study = module_lab.run(module_lab.write(["ok", "first:exception"], name="partial"), code=1)
    return study


def test_resume_of_a_completed_study_does_nothing_and_says_so(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    results = {path: path.read_bytes() for path in (study.root / "results").iterdir()}
    resumed = lab.resume(study, env=METER)
    assert "All 2 trials completed." in resumed.err.splitlines()[-1]
    assert len(study.events("experiment_running")) == 2
    assert {path: path.read_bytes() for path in (study.root / "results").iterdir()} == results
    assert study.manifest()["status"] == "completed"
    assert study.findings() == []


def test_resume_works_where_the_folder_was_moved_to_and_without_the_study_file(lab: Any, partial: Any) -> None:
    study = lab.copy(partial)
    (study.root / "study.yaml").unlink()
    lab.resume(study)
    assert study.manifest()["status"] == "completed"


SPOILT = {
    "missing": lambda path: path.unlink(),
    "altered": lambda path: path.write_bytes(path.read_bytes().replace(b'"passes": 1', b'"passes": 2')),
    "altered in its anchor": lambda path: path.write_bytes(
        path.read_bytes().replace(b'"journal_seq": ', b'"journal_seq": 9999')
    ),
    "empty": lambda path: path.write_bytes(b""),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b" "),
}


@pytest.mark.parametrize(
    ("part", "spoil"),
    [
        *(("results", spoil) for spoil in SPOILT.values()),
        ("samples", SPOILT["missing"]),
        ("samples", SPOILT["grown"]),
    ],
    ids=[*(f"result {name}" for name in SPOILT), "samples missing", "samples grown"],
)
def test_a_completed_trial_whose_file_is_not_as_recorded_runs_again(
    lab: Any, finished: Any, part: str, spoil: Any
) -> None:
    study = lab.copy(finished)
    done = study.events("experiment_completed")[0]
    name = done["data"]["result_file" if part == "results" else "samples_file"]
    path = study.root / part / name
    before = path.read_bytes()
    spoil(path)
    assert not path.exists() or path.read_bytes() != before
    assert any(name in finding for finding in study.findings())

    resumed = lab.resume(study, env=METER)
    (rejected,) = study.events("result_rejected")
    assert (rejected["trial"], rejected["attempt"]) == (done["trial"], 1)
    assert rejected["data"]["file"] == f"{part}/{name}"
    assert ("missing" if spoil is SPOILT["missing"] else "altered") in rejected["data"]["reason"]
    assert "its trial runs again" in resumed.err
    assert [event["attempt"] for event in study.events("experiment_completed", trial=done["trial"])] == [1, 2]
    assert study.completions() == dict.fromkeys(study.trials(), 1)
    assert study.manifest()["status"] == "completed"
    assert study.findings() == []


def test_an_altered_result_is_kept_aside_and_never_overwritten(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    (name,) = {study.events("experiment_completed")[0]["data"]["result_file"]}
    path = study.root / "results" / name
    altered = path.read_bytes().replace(b'"passes": 1', b'"passes": 3')
    path.write_bytes(altered)
    lab.resume(study, env=METER)
    assert (study.root / "results" / "rejected" / name).read_bytes() == altered
    assert path.read_bytes() != altered


def test_files_that_no_trial_names_are_set_aside_under_names_of_their_own(lab: Any, partial: Any) -> None:
    study = lab.copy(partial)
    stray = study.root / "results" / "stray.json"
    (study.root / "results" / "orphans").mkdir()
    (study.root / "results" / "orphans" / "stray.json").write_text("[1]")
    stray.write_text("[2]")
    resumed = lab.resume(study)
    assert "stray.json belongs to no completed trial: set aside" in resumed.err
    assert not stray.exists()
    kept = {path.read_text() for path in (study.root / "results" / "orphans").glob("stray*")}
    assert kept == {"[1]", "[2]"}
    assert study.findings() == []


def test_failed_trials_are_left_alone_where_that_is_asked(lab: Any, partial: Any) -> None:
    study = lab.copy(partial)
    resumed = lab.resume(study, "--no-retry-failed", code=1)
    assert len(study.events("experiment_running")) == 2
    assert study.manifest()["status"] == "partial"
    assert "1 of 2 trials have no result" in resumed.err.splitlines()[-1]
    lab.resume(study)
    assert study.manifest()["status"] == "completed"


def test_interrupted_and_pending_trials_run_also_where_failed_ones_are_left_alone(lab: Any) -> None:
    session, study = lab.start(lab.write(["first:exception", "first:hang", "ok"]))
    study.wait_for("phase_entered", phase="measure")
    session.signal(signal.SIGINT)
    session.ended(130)
    lab.resume(study, "--no-retry-failed", code=1)
    assert study.completions()[study.trial_of("first:hang")] == 1
    assert study.completions()[study.trial_of("ok")] == 1
    assert study.completions()[study.trial_of("first:exception")] == 0
    assert study.manifest()["status"] == "partial"


def test_the_study_s_deadline_leaves_trials_pending_and_can_be_resumed(lab: Any) -> None:
    study_file = lab.write(["ok", "first:hang", "ok_too"], limits={"study_s": 2.0})
    session, study = lab.run(study_file, code=1)
    assert [event["kind"] for event in study.terminal(study.trial_of("ok"))] == ["experiment_completed"]
    (interrupted,) = study.terminal(study.trial_of("first:hang"))
    assert interrupted["kind"] == "experiment_interrupted"
    assert "limits.study_s" in interrupted["data"]["reason"]
    ended = study.events()[-1]
    assert (ended["kind"], ended["data"]["reason"]) == ("session_ended", "study_deadline")
    assert study.events("study_completed") == []
    manifest = study.manifest()
    assert (manifest["status"], manifest["pending"], manifest["interrupted"]) == ("interrupted", 1, 1)
    assert "llem study resume" in session.err.splitlines()[-1]
    assert lab.survivors() == {}
    lab.resume(study)
    assert study.manifest()["status"] == "completed"


def test_the_newest_unfinished_study_is_resumed_where_none_is_named(lab: Any, finished: Any, partial: Any) -> None:
    studies = lab.place / "many"
    studies.mkdir()
    shutil.copytree(finished.root, studies / "finished")
    shutil.copytree(partial.root, studies / "partial")
    (studies / "no study").mkdir()
    (studies / "file").write_text("x")
    # The real command line, which would start a real worker: refuse retries, so that none is started.
    resumed = lab.llem("study", "resume", "--output", studies, "--no-retry-failed", code=1)
    assert f"study folder: {studies / 'partial'}" in resumed.err


def test_a_lost_tail_of_the_journal_is_found_by_its_anchors_and_refused(lab: Any) -> None:
    session, study = lab.start(lab.write(["ok", "first:hang"]))
    study.wait_for("phase_entered", phase="measure", count=2)
    # A copy of the database without its log, as careless backups make it, beside files that remember more.
    copy = lab.study_in(lab.place / "restored")
    copy.root.mkdir()
    shutil.copyfile(study.journal, copy.journal)
    session.signal(signal.SIGKILL)
    session.wait()
    for part in ("results", "samples", "logs"):
        shutil.copytree(study.root / part, copy.root / part)
    shutil.copyfile(study.root / "manifest.json", copy.root / "manifest.json")

    assert len(copy.events()) < len(study.events())
    refused = lab.resume(copy, code=3)
    assert "its tail is lost" in refused.err
    assert "Restore journal.db and journal.db-wal" in refused.err
    assert "Traceback" not in refused.err
    verified = lab.llem("study", "log", copy.root, "--verify", code=3)
    assert "its tail is lost" in verified.out
    # There are results: whatever a command finds, it must not tell anyone to throw them away.
    shown = lab.llem("study", "status", copy.root, code=None)
    assert "Nothing was measured" not in shown.out + shown.err
    assert "Delete the folder" not in shown.out + shown.err


def test_a_shortened_journal_is_refused_with_its_remedy_and_the_remedy_works(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    shorten(study.journal, keep=len(study.events()) - 3)
    refused = lab.resume(study, env=METER, code=3)
    assert "its tail is lost" in refused.err
    assert "manifest.json" in refused.err
    verified = lab.llem("study", "log", study.root, "--verify", code=3)
    assert "its tail is lost" in verified.out
    (study.root / "manifest.json").unlink()
    lab.resume(study, env=METER)
    assert study.manifest()["status"] == "completed"
    assert study.findings() == []


def shorten(journal: Path, *, keep: int) -> None:
    """Cut a journal down to its first ``keep`` events, as a restored older copy would be."""
    connection = sqlite3.connect(journal, isolation_level=None)
    connection.execute("DROP TRIGGER events_never_go")
    connection.execute("DELETE FROM events WHERE seq > ?", (keep,))
    connection.execute(
        "CREATE TRIGGER events_never_go BEFORE DELETE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are facts: they are never deleted'); END"
    )
    connection.close()


def test_a_damaged_journal_is_refused_then_recovered_and_the_study_goes_on(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    second = study.trials()[1]
    lost = study.events("experiment_completed", trial=second)[0]["seq"]
    content = bytearray(study.journal.read_bytes())
    content[content.rindex(b"result_file") + 2] ^= 1
    study.journal.write_bytes(content)
    before = study.journal.read_bytes()
    refused = lab.resume(study, env=METER, code=3)
    assert "was altered" in refused.err
    assert "llem study recover" in refused.err
    assert study.journal.read_bytes() == before, "what is damaged is not opened for writing"

    recovered = lab.llem("study", "recover", study.root)
    assert f"{lost - 1} events kept; lost: " in recovered.out
    assert f"Go on with: llem study resume {study.root}" in recovered.err
    lab.resume(study, env=METER)
    assert study.manifest()["status"] == "completed"
    assert [event["trial"] for event in study.events("experiment_completed")] == study.trials()
    assert [event["seq"] for event in study.events("journal_recovered")] == [lost]
    assert study.findings() == []
    assert "found wrong" in lab.llem("study", "verify", study.root).out
    assert len(list((study.root / "damaged").rglob("*.json"))) >= 3, "manifest, results and the lost result"


def test_an_altered_event_is_found_and_the_study_is_not_resumed_on_it(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    connection = sqlite3.connect(study.journal, isolation_level=None)
    connection.execute("DROP TRIGGER events_never_change")
    connection.execute("UPDATE events SET data = replace(data, '\"cycles\":1', '\"cycles\":2') WHERE seq = 1")
    connection.close()
    refused = lab.resume(study, env=METER, code=3)
    assert "event 1 was altered" in refused.err
    assert "Traceback" not in refused.err
    verified = lab.llem("study", "log", study.root, "--verify", code=3)
    assert "event 1 was altered" in verified.out


def test_a_finished_study_is_sealed_so_that_one_file_is_the_whole_journal(lab: Any, finished: Any) -> None:
    assert not finished.journal.with_name("journal.db-wal").exists()
    alone = lab.study_in(lab.place / "alone")
    alone.root.mkdir()
    shutil.copyfile(finished.journal, alone.journal)
    assert [event["hash"] for event in alone.events()] == [event["hash"] for event in finished.events()]
    status = json.loads(lab.llem("study", "status", alone.root, "--json").out)
    assert status["status"] == "completed"


def test_on_a_network_file_system_the_journal_goes_without_a_log_and_the_session_says_so_once(lab: Any) -> None:
    on_nfs = {"LLEM_ACTING_FILE_SYSTEM": "nfs4"}
    session, study = lab.start(lab.write(["ok", "first:hang"]), env=on_nfs)
    study.wait_for("phase_entered", phase="measure", count=2)
    assert not study.journal.with_name("journal.db-wal").exists()
    session.signal(signal.SIGKILL)
    session.wait()
    resumed = lab.resume(study, env=on_nfs)
    for words in (session.err, resumed.err):
        assert words.count("the study lies on nfs4, where a write-ahead log is not safe") == 1
    told = [(e["data"]["file_system"], e["data"]["journal_mode"]) for e in study.events("session_started")]
    assert told == [("nfs4", "delete")] * 2
    assert study.completions() == dict.fromkeys(study.trials(), 1)
    assert study.findings() == []


def test_a_recorder_that_is_killed_costs_its_trial_the_energy_and_nothing_more(lab: Any, until: Any) -> None:
    study_file = lab.write(["ok", "ok_too"], model={"window_s": 1.0}, measurement=MEASUREMENT)
    session, study = lab.start(study_file, env=METER)
    study.wait_for("phase_entered", phase="measure")
    (recorder,) = [pid for pid, command in session.others().items() if "acting_recorder" in command]
    os.kill(recorder, signal.SIGKILL)
    session.ended(0)

    without, measured = (study.result(study.trial_of(behaviour)) for behaviour in ("ok", "ok_too"))
    assert without["figures"]["energy_total_j"] is None
    assert without["figures"]["energy_per_output_token_j"] is None
    assert without["figures"]["unknown"]["energy_total_j"] == "The recorder died."
    assert without["provenance"] == "none"
    assert without["samples_file"] is None
    assert without["figures"]["output_tokens_per_s"] > 0
    (event,) = study.terminal(study.trial_of("ok"))
    assert event["data"]["headline"]["energy_total_j"] is None
    assert event["data"]["headline"]["energy_reason"] == "The recorder died."

    seconds = measured["figures"]["duration_s"]
    assert measured["figures"]["energy_total_j"] == pytest.approx(10.0 * seconds, rel=1e-3)
    assert measured["provenance"] == "counter"
    assert measured["boundary"] == "cpu_package"
    assert study.findings() == []


def test_a_recorder_that_finds_no_sensor_leaves_the_energy_null_with_its_words(lab: Any) -> None:
    _, study = lab.run(lab.write(measurement=MEASUREMENT), env={"LLEM_ACTING_RECORDER": "none"})
    (event,) = study.events("experiment_completed")
    assert event["data"]["headline"]["energy_total_j"] is None
    assert "There is no meter." in event["data"]["headline"]["energy_reason"]
    (session,) = study.events("session_started")
    assert session["data"]["sensors"]["unavailable"][0]["remedy"] == "Buy one."


def test_a_recorder_that_does_not_leave_does_not_hold_the_session(lab: Any) -> None:
    _, study = lab.run(lab.write(measurement=MEASUREMENT), env={"LLEM_ACTING_RECORDER": "hang_on_close"})
    assert lab.survivors() == {}
    assert study.events("experiment_completed")[0]["data"]["headline"]["energy_total_j"] > 0


def test_all_sensors_of_this_machine_give_a_figure_or_the_reason_why_not(lab: Any) -> None:
    measurement = {**MEASUREMENT, "sensors": "auto"}
    _, study = lab.run(lab.write(model={"window_s": 1.0}, measurement=measurement))
    result = study.result(study.trials()[0])
    energy_j = result["figures"]["energy_total_j"]
    if energy_j is None:
        assert result["provenance"] == "none"
        assert result["figures"]["unknown"]["energy_total_j"]
    else:
        assert energy_j > 0
        assert result["provenance"] in ("counter", "sampled", "modelled")
        in_total = [part for part in result["components"] if part["in_total"]]
        assert {part["channel"]["provenance"] == "modelled" for part in in_total} == {
            result["provenance"] == "modelled"
        }
    assert study.findings() == []
