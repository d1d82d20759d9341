"""One writer and any number of readers."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from typing import Any

import pytest


@pytest.fixture
def held(lab: Any) -> Any:
    """Return a session that runs, held in its second trial, and its study."""
    session, study = lab.start(lab.write(["ok", "first:hang"]))
    study.wait_for("phase_entered", phase="measure", count=2)
    return session, study


def test_resume_of_a_running_study_is_refused_and_names_who_runs_it(lab: Any, held: Any) -> None:
    session, study = held
    before = study.events()
    refused = lab.llem("study", "resume", study.root, code=3)
    assert "is being run by another session" in refused.err
    assert f"process {session.pid} on {os.uname().nodename}" in refused.err
    assert "llem study log" in refused.err
    assert "Traceback" not in refused.err
    assert session.process.poll() is None
    assert study.events() == before


def test_resume_without_a_folder_passes_a_running_study_by(lab: Any, held: Any) -> None:
    refused = lab.llem("study", "resume", "--output", lab.output, code=2)
    assert "no unfinished study" in refused.err


def test_the_lock_is_free_as_soon_as_its_holder_is_dead(lab: Any, held: Any) -> None:
    session, study = held
    session.signal(signal.SIGKILL)
    session.wait()
    lab.resume(study)
    assert set(study.completions().values()) == {1}


def test_status_of_a_running_study_tells_that_it_runs(lab: Any, held: Any) -> None:
    session, study = held
    tree = json.loads(lab.llem("study", "status", study.root, "--json").out)
    assert tree["session_alive"] is True
    assert (tree["status"], tree["running"], tree["completed"]) == ("running", 1, 1)
    shown = lab.llem("study", "status", study.root)
    assert "1 completed, 1 running" in shown.out
    assert "--follow" in shown.err
    session.signal(signal.SIGKILL)
    session.wait()
    tree = json.loads(lab.llem("study", "status", study.root, "--json").out)
    assert tree["session_alive"] is False
    assert (tree["status"], tree["running"], tree["interrupted"]) == ("interrupted", 0, 1)


def test_the_manifest_on_disk_follows_a_running_study(lab: Any, held: Any, until: Any) -> None:
    _, study = held
    until(lambda: study.manifest()["running"] == 1, "the export of the running trial", 10)
    assert study.manifest()["status"] == "running"
    assert study.manifest()["completed"] == 1


def test_the_log_of_a_running_study_is_read_while_it_is_written(lab: Any, held: Any) -> None:
    _, study = held
    lines = lab.llem("study", "log", study.root, "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [event["seq"] for event in study.events()]
    assert lab.llem("study", "log", study.root, "--verify").out.endswith("nothing found wrong\n")


def test_python_s_sqlite3_reads_a_running_study(lab: Any, held: Any) -> None:
    _, study = held
    connection = sqlite3.connect(study.journal)
    try:
        ended = connection.execute("SELECT last_event FROM trials ORDER BY last_event").fetchall()
        assert ended == [("experiment_completed",), ("experiment_running",)]
        kinds = connection.execute("SELECT DISTINCT kind FROM transitions").fetchall()
        assert ("phase_entered",) in kinds
    finally:
        connection.close()


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the sqlite3 shell is not installed")
def test_the_sqlite3_shell_reads_a_running_study(lab: Any, held: Any) -> None:
    session, study = held
    command = ["sqlite3", str(study.journal), "SELECT count(*) FROM events WHERE kind = 'experiment_completed'"]
    shell = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert shell.stdout == "1\n"
    assert session.process.poll() is None


def test_the_journal_refuses_what_would_rewrite_it_even_from_another_program(lab: Any, held: Any) -> None:
    _, study = held
    connection = sqlite3.connect(study.journal, timeout=10)
    try:
        for statement in ("UPDATE events SET trial = 'x'", "DELETE FROM events WHERE seq = 1"):
            with pytest.raises(sqlite3.IntegrityError, match="facts"):
                connection.execute(statement)
    finally:
        connection.close()


def test_readers_that_come_and_go_never_disturb_a_running_study(lab: Any, until: Any) -> None:
    session, study = lab.start(lab.write(["ok", "ok_too"], cycles=8))
    seen = [0]
    while session.process.poll() is None:
        seen.append(len(study.events()))
    session.ended(0)
    assert seen == sorted(seen)
    assert len(study.completions()) == 16
    assert study.findings() == []


def test_follow_shows_events_as_they_come_and_ends_with_the_session(lab: Any, held: Any, until: Any) -> None:
    session, study = held
    follower = lab.popen(sys.executable, "-m", "llem", "study", "log", str(study.root), "--follow", "--json")
    begun = len(study.events())
    until(lambda: follower.out.count("\n") == begun, "what had happened before")
    assert follower.process.poll() is None
    session.signal(signal.SIGINT)
    session.ended(130)
    follower.ended(0)
    lines = [json.loads(line) for line in follower.out.splitlines()]
    assert [line["seq"] for line in lines] == [event["seq"] for event in study.events()]
    assert [line["kind"] for line in lines[-2:]] == ["experiment_interrupted", "session_ended"]


def test_follow_ends_when_the_session_is_killed(lab: Any, held: Any, until: Any) -> None:
    session, study = held
    follower = lab.popen(sys.executable, "-m", "llem", "study", "log", str(study.root), "--follow")
    until(lambda: "phase_entered" in follower.out, "the first events")
    session.signal(signal.SIGKILL)
    session.wait()
    follower.ended(0)


def test_follow_of_a_resumed_study_shows_both_sessions(lab: Any, held: Any, until: Any) -> None:
    session, study = held
    session.signal(signal.SIGTERM)
    session.ended(143)
    resumed = lab.begin_resume(study)
    follower = lab.popen(sys.executable, "-m", "llem", "study", "log", str(study.root), "--follow", "--json")
    resumed.ended(0)
    follower.ended(0)
    lines = [json.loads(line) for line in lab.llem("study", "log", study.root, "--json").out.splitlines()]
    assert {line["session"] for line in lines} == {1, 2}
    seen = [json.loads(line)["seq"] for line in follower.out.splitlines()]
    assert seen == list(range(1, len(seen) + 1))


def test_two_resumes_at_once_are_one_session_and_one_refusal(lab: Any, held: Any) -> None:
    session, study = held
    session.signal(signal.SIGKILL)
    session.wait()
    both = [lab.begin_resume(study), lab.begin_resume(study)]
    codes = sorted(resumed.wait() for resumed in both)
    # The second may come when the first has ended already; then it finds nothing to do.
    assert codes in ([0, 3], [0, 0])
    assert set(study.completions().values()) == {1}
    assert study.findings() == []
