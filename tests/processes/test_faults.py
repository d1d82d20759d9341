"""A worker can do anything: its trial ends once, with the true reason, nothing is left, and the study goes on."""

import os
import pty
import re
import select
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Ending(NamedTuple):
    """How a trial must end."""

    error_type: str | None  # None: it is completed all the same
    phase: str = "start"
    exit_code: int | None = None
    signal: str | None = None
    said: str = ""


COMPLETED = Ending(None)
ESCAPES = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e"
OWN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[1A|\x1b\[2K|\r")
"""What llem itself writes to a terminal: styles, and the redrawing of its own lines."""

QUICK = {
    "segfault": Ending("WorkerKilled", "measure", signal="SIGSEGV", said="SIGSEGV"),
    "abort": Ending("WorkerKilled", "load", signal="SIGABRT", said="SIGABRT"),
    "kill_itself": Ending("WorkerKilled", "warmup", signal="SIGKILL", said="SIGKILL"),
    "exit_0": Ending("WorkerExitedWithoutResult", exit_code=0, said="exited with code 0"),
    "exit_3": Ending("WorkerExitedWithoutResult", exit_code=3, said="exited with code 3"),
    "exit_after_phases": Ending("WorkerExitedWithoutResult", "teardown", exit_code=0),
    "close_pipe_and_exit": Ending("WorkerExitedWithoutResult", "load", exit_code=5),
    "garbage": Ending("InvalidMessage", "measure", said="Loading checkpoint shards"),
    "garbage_nested": Ending("InvalidMessage"),
    "unknown_message": Ending("InvalidMessage", said="energy"),
    "not_a_number": Ending("InvalidMessage", said="load_s"),
    "torn": Ending("TornMessage", "measure", exit_code=0, said="no end"),
    "torn_by_a_kill": Ending("WorkerKilled", "measure", signal="SIGKILL"),
    "line_of_50_mb": Ending("MessageTooLarge", "load", said="1,000,000"),
    "phases_backwards": Ending("ProtocolViolation", "measure", said="'load' while in 'measure'"),
    "window_in_the_future": Ending("ImplausibleResult", "measure"),
    "window_in_the_past": Ending("ImplausibleResult", "measure"),
    "load_in_the_past": Ending("ImplausibleResult", "measure", said="the worker's load lies outside"),
    "load_after_the_warmup": Ending("ImplausibleResult", "measure", said="warm-up begins before its load is over"),
    "prefill_within_the_window": Ending("ImplausibleResult", "measure", said="prefill begins before its window is"),
    "thousands_of_segments": Ending("InvalidMessage", "measure", said="at most 64 items"),
    "a_million_repeats": Ending("MessageTooLarge", "measure", said="1,000,000"),
    "close_its_ears_and_soak": COMPLETED,
    "window_backwards": Ending("InvalidMessage", "measure", said="t0_ns < t1_ns"),
    "escapes_in_error": Ending("Bad", "load", exit_code=0, said="bad"),
    "escapes_in_log": Ending("WorkerExitedWithoutResult", exit_code=4, said="last words"),
    "escapes_on_pipe": Ending("InvalidMessage"),
    "out_of_memory": Ending("OutOfMemory", "load", exit_code=1, said="Lower batch_size"),
    "exception": Ending("RuntimeError", "warmup", exit_code=1, said="shapes differ"),
    "flood": COMPLETED,
    "result_twice": COMPLETED,
    "result_then_segfault": COMPLETED,
    "fewer_tokens_than_asked": COMPLETED,
    "loud": COMPLETED,
    "ok": COMPLETED,
}
SLOW = {
    "hang": Ending("TrialTimeout", "measure", said="measure"),
    "silent_start": Ending("TrialTimeout", "start"),
    "stop_itself": Ending("TrialTimeout", "load"),
    "hang_and_ignore_term": Ending("TrialTimeout", "measure"),
    "hang_with_children": Ending("TrialTimeout", "measure"),
    "close_pipe_and_sleep": Ending("WorkerClosedPipe", "load"),
    "leave_children": Ending("WorkerExitedWithoutResult", "load", exit_code=7),
    "leave_children_after_result": COMPLETED,
    "result_then_slow_exit": COMPLETED,
    "ok": COMPLETED,
}
ENDED_AT_ONCE = ("InvalidMessage", "MessageTooLarge", "ProtocolViolation", "ImplausibleResult")
TRIAL_S = 2.0


class Ended(NamedTuple):
    """A study that has run, and what was seen of it."""

    study: Any
    session: Any
    survivors: dict[int, str]


@pytest.fixture(scope="module")
def faulty(module_lab: Any) -> dict[str, Ended]:
    """Run every fault once in a new process and once in a forked one, in studies side by side."""
    begun = {}
    for group, faults in GROUPS.items():
        limits = {"trial_s": TRIAL_S} if faults is SLOW else {}
        study_file = module_lab.write(list(faults), name=group, limits=limits)
        begun[group] = module_lab.start(study_file, env=FORKED if group.endswith("-forked") else {})
    for session, _ in begun.values():
        session.wait()
    survivors = module_lab.survivors()
    return {
        f"{group}/{name}": Ended(study, session, survivors)
        for group, (session, study) in begun.items()
        for name in GROUPS[group]
    }


GROUPS = {"quick": QUICK, "slow": SLOW, "quick-forked": QUICK, "slow-forked": SLOW}
FORKED = {"LLEM_ACTING_ZYGOTE": "ok"}
CASES = [pytest.param(group, n, e, id=f"{group}-{n}") for group, faults in GROUPS.items() for n, e in faults.items()]


@pytest.mark.parametrize(("group", "name", "ending"), CASES)
def test_a_fault_gives_one_terminal_event_with_the_true_reason(
    faulty: dict[str, Ended], group: str, name: str, ending: Ending
) -> None:
    study = faulty[f"{group}/{name}"].study
    trial = study.trial_of(name)
    (event,) = study.terminal(trial)
    data = event["data"]
    if ending.error_type is None:
        assert event["kind"] == "experiment_completed", data
        assert study.result(trial)["trial"] == trial
        return
    assert event["kind"] == "experiment_failed"
    assert data["error_type"] == ending.error_type, data
    assert data["phase"] == ending.phase
    found = (data["exit_code"], data["signal"])
    # A worker that is ended for what it says may have left by itself just before.
    assert found == (ending.exit_code, ending.signal) or (found == (0, None) and ending.error_type in ENDED_AT_ONCE)
    assert ending.said in data["error_message"]
    assert data["error_message"].isprintable() or name == "escapes_in_error"


@pytest.mark.parametrize("group", GROUPS)
def test_the_study_goes_on_after_every_fault_and_says_that_some_failed(faulty: dict[str, Ended], group: str) -> None:
    study, session, _ = faulty[f"{group}/ok"]
    expected = GROUPS[group]
    launchers = {event["data"]["launcher"] for event in study.events("experiment_running")}
    assert launchers == {"local-warm" if group.endswith("-forked") else "local-cold"}
    assert session.wait() == 1
    completed = {study.trial_of(name) for name, ending in expected.items() if ending.error_type is None}
    assert {trial for trial, times in study.completions().items() if times} == completed
    assert study.kinds()[-2:] == ["study_completed", "session_ended"]
    manifest = study.manifest()
    assert manifest["status"] == "partial"
    assert manifest["completed"] == len(completed)
    assert manifest["failed"] == len(expected) - len(completed)
    assert (manifest["running"], manifest["pending"], manifest["interrupted"]) == (0, 0, 0)
    assert study.findings() == []


@pytest.mark.parametrize("group", GROUPS)
def test_only_completed_trials_have_result_files(faulty: dict[str, Ended], group: str) -> None:
    study = faulty[f"{group}/ok"].study
    named = {event["data"]["result_file"] for event in study.events("experiment_completed")}
    assert study.result_files() == named
    assert {path.name for path in (study.root / "results").iterdir()} == named


def test_nothing_of_any_attempt_is_left_when_its_study_has_ended(faulty: dict[str, Ended]) -> None:
    assert faulty["quick/ok"].survivors == {}


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_of_an_attempt_is_left_when_the_next_one_starts(faulty: dict[str, Ended], group: str) -> None:
    study = faulty[f"{group}/ok"].study
    logs = [path for path in (study.root / "logs").glob("*.log") if path.stat().st_size < 1_000_000]
    assert len(logs) >= len(SLOW)
    assert [path.name for path in logs if b"SURVIVOR" in path.read_bytes()] == []


def test_the_words_of_a_faulty_worker_stay_in_its_log(faulty: dict[str, Ended]) -> None:
    study, session, _ = faulty["quick/loud"]
    (running,) = study.events("experiment_running", trial=study.trial_of("loud"))
    log = study.root / running["data"]["log_file"]
    assert log.stat().st_size == 100_000_000
    assert "loud loud" not in session.out + session.err


def test_a_worker_that_did_less_than_asked_is_kept_but_marked_invalid(faulty: dict[str, Ended]) -> None:
    study, session, _ = faulty["quick/fewer_tokens_than_asked"]
    result = study.result(study.trial_of("fewer_tokens_than_asked"))
    assert [finding["code"] for finding in result["validity"]] == ["token_count"]
    assert "INVALID: token_count" in session.err


def test_a_trace_of_the_worker_is_kept_in_its_event(faulty: dict[str, Ended]) -> None:
    study = faulty["quick/exception"].study
    (event,) = study.terminal(study.trial_of("exception"))
    assert event["data"]["traceback"] == "Traceback …\nRuntimeError"


def test_no_energy_is_null_with_its_reason_where_no_sensor_was_asked_for(faulty: dict[str, Ended]) -> None:
    study = faulty["quick/ok"].study
    (event,) = study.terminal(study.trial_of("ok"))
    assert event["data"]["headline"]["energy_total_j"] is None
    assert event["data"]["headline"]["energy_reason"] == "no sensor was asked for"
    result = study.result(study.trial_of("ok"))
    assert result["figures"]["energy_total_j"] is None
    assert result["figures"]["unknown"]["energy_total_j"] == "no sensor was asked for"
    assert result["provenance"] == "none"
    assert result["samples_file"] is None


@pytest.mark.parametrize("terminal", [False, True], ids=["to a file", "to a terminal"])
def test_no_escape_sequence_of_a_worker_reaches_the_screen(lab: Any, *, terminal: bool) -> None:
    behaviours = ["escapes_in_error", "escapes_in_error_type", "escapes_in_log", "escapes_on_pipe"]
    study_file = lab.write(behaviours, model={"note": ESCAPES}, sweep={"model.title": [ESCAPES]})
    if terminal:
        shown, folder = on_a_terminal(lab, study_file)
    else:
        session, study = lab.run(study_file, code=1)
        shown, folder = session.out + session.err, study.root
    for command in (["log"], ["log", "--follow"], ["log", "--json"], ["log", "--verify"], ["status"], ["verify"]):
        shown += (words := lab.llem("study", *command, folder)).out + words.err
    shown += (words := lab.llem("study", "plan", study_file)).out + words.err
    assert "4 of 4 trials have no result" in shown
    assert "pwned" in shown
    assert set(filter(lambda char: not char.isprintable(), OWN.sub("", shown) if terminal else shown)) <= {"\n"}


def on_a_terminal(lab: Any, study_file: Path) -> tuple[str, Path]:
    """Run a study whose screen is a terminal; return what was shown there and the study's folder."""
    driver = Path(__file__).parent / "workers" / "driver.py"
    ours, theirs = pty.openpty()
    pid = os.fork()
    if pid == 0:
        for descriptor in (0, 1, 2):
            os.dup2(theirs, descriptor)
        environment = {**os.environ, "LLEM_TEST_MARK": lab.mark, "TERM": "xterm-256color", "COLUMNS": "200"}
        command = [sys.executable, str(driver), "run", str(lab.output), str(study_file)]
        os.execve(sys.executable, command, environment)
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break  # the terminal's other side is closed
        shown += chunk
    os.close(ours)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    (folder,) = lab.output.iterdir()
    return shown.decode("utf-8", "replace"), folder


def test_a_worker_killed_by_a_realtime_signal_is_a_failed_trial_like_any_other(lab: Any) -> None:
    _, study = lab.run(lab.write(["realtime_signal", "ok"]), code=1)
    (event,) = study.terminal(study.trial_of("realtime_signal"))
    assert event["kind"] == "experiment_failed"
    assert event["data"]["error_type"] == "WorkerKilled"
    assert study.completions()[study.trial_of("ok")] == 1


def test_numbers_that_no_figure_can_hold_fail_the_trial_and_not_the_study(lab: Any) -> None:
    _, study = lab.run(lab.write(["numbers_beyond_floats", "ok"]), code=1)
    (event,) = study.terminal(study.trial_of("numbers_beyond_floats"))
    assert event["kind"] == "experiment_failed"
    assert event["data"]["error_type"] in ("InvalidMessage", "ImplausibleResult")
    assert study.completions()[study.trial_of("ok")] == 1


def test_a_child_that_floods_the_pipe_after_its_worker_left_cannot_hold_the_study(lab: Any) -> None:
    session, study = lab.start(lab.write(["leave_flooding_child", "ok"], limits={"trial_s": 3}))
    assert session.wait(timeout_s=30) == 1
    (event,) = study.terminal(study.trial_of("leave_flooding_child"))
    assert event["data"]["error_type"] in ("WorkerExitedWithoutResult", "TrialTimeout")
    assert lab.survivors() == {}


def test_what_a_worker_told_before_its_garbage_counts(lab: Any) -> None:
    _, study = lab.run(lab.write(["garbage_after_phases_at_once"]), code=1)
    trial = study.trial_of("garbage_after_phases_at_once")
    (event,) = study.terminal(trial)
    assert event["data"]["error_type"] == "InvalidMessage"
    phases = [phase["data"]["phase"] for phase in study.events("phase_entered", trial=trial)]
    assert phases == ["load", "prepare"]
    assert event["data"]["phase"] == "prepare"


def test_a_result_counts_whatever_its_worker_says_afterwards(lab: Any) -> None:
    _, study = lab.run(lab.write(["garbage_after_result_at_once"]))
    assert study.completions()[study.trial_of("garbage_after_result_at_once")] == 1


def test_a_study_of_which_every_trial_fails_has_failed_and_says_so(lab: Any) -> None:
    session, study = lab.run(lab.write(["exception"], cycles=3), code=1)
    manifest = study.manifest()
    assert manifest["status"] == "failed"
    assert (manifest["completed"], manifest["failed"]) == (0, 3)
    assert "3 of 3 trials have no result" in session.err.splitlines()[-1]
    assert f"llem study resume {study.root}" in session.err.splitlines()[-1]
    assert [event["data"]["reason"] for event in study.events("session_ended")] == ["finished"]


def test_a_worker_that_cannot_be_started_fails_its_trial_and_says_why(lab: Any) -> None:
    environment = {"LLEM_ACTING_WORKER": "/nonexistent/worker"}
    _, study = lab.run(lab.write(cycles=2), code=1, env=environment)
    failed = study.events("experiment_failed")
    assert [event["data"]["error_type"] for event in failed] == ["WorkerNotStarted"] * 2
    assert "No such file" in failed[0]["data"]["error_message"]
    assert [event["data"]["phase"] for event in failed] == ["start", "start"]


def test_a_failed_trial_is_retried_by_resume_as_its_next_attempt(lab: Any) -> None:
    _, study = lab.run(lab.write(["first:exception", "ok"]), code=1)
    lab.resume(study)
    trial = study.trial_of("first:exception")
    ends = [(event["kind"], event["attempt"]) for event in study.terminal(trial)]
    assert ends == [("experiment_failed", 1), ("experiment_completed", 2)]
    assert study.manifest()["status"] == "completed"


def test_a_worker_stopped_by_its_user_is_ended_at_its_deadline(faulty: dict[str, Ended]) -> None:
    study = faulty["slow/stop_itself"].study
    (event,) = study.terminal(study.trial_of("stop_itself"))
    assert event["data"]["signal"] is None  # it was we who ended it
    assert signal.SIGSTOP.name not in event["data"]["error_message"]
