"""Ctrl-C, SIGTERM and a dropped terminal: acted on at once, recorded, resumable, and nothing left running."""

import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

METER = {"sensors": ["rapl"], "warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0}
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


class Moment(NamedTuple):
    """When the signal comes: a behaviour that holds the study there, and the sign that it does."""

    behaviour: str
    sign: str
    data: dict[str, str]
    recorder: str = "meter"
    process: str | None = None


MOMENTS = {
    "while the recorder opens its sensors": Moment("ok", "", {}, "slow_open", "acting_recorder"),
    "while the recorder begins": Moment("ok", "experiment_running", {}, "slow_start"),
    "while the worker starts": Moment("first:silent_start", "experiment_running", {}, process="acting_worker"),
    "while it measures": Moment("first:hang", "phase_entered", {"phase": "measure"}),
    "while it measures with children": Moment("first:hang_with_children", "phase_entered", {"phase": "measure"}),
    "while a worker ignores TERM": Moment("first:hang_and_ignore_term", "phase_entered", {"phase": "measure"}),
    "while the recorder ends its record": Moment("ok", "phase_entered", {"phase": "teardown"}, "slow_stop"),
}
CASES = [(moment, signal.SIGINT) for moment in MOMENTS]
CASES += [
    (moment, signum)
    for signum in (signal.SIGTERM, signal.SIGHUP)
    for moment in ("while the recorder opens its sensors", "while the worker starts", "while it measures")
]


def held_at(lab: Any, until: Any, moment: Moment) -> tuple[Any, Any]:
    """Start a study of two trials and return once it is held at ``moment``."""
    study_file = lab.write([moment.behaviour, "ok_too"], measurement=METER)
    session, study = lab.start(study_file, env={"LLEM_ACTING_RECORDER": moment.recorder})
    if moment.sign:
        study.wait_for(moment.sign, **moment.data)
    if moment.process:
        until(lambda: any(moment.process in command for command in session.others().values()), moment.process)
    return session, study


@pytest.mark.parametrize(("when", "signum"), CASES, ids=[f"{s.name} {when}" for when, s in CASES])
def test_a_signal_ends_the_session_and_the_study_can_be_resumed(
    lab: Any, until: Any, when: str, signum: signal.Signals
) -> None:
    session, study = held_at(lab, until, MOMENTS[when])
    session.signal(signum)
    session.ended(EXIT_CODES[signum])

    assert lab.survivors() == {}
    assert "Traceback" not in session.err
    assert session.err.splitlines()[-1] == f"2 of 2 trials left. Go on with: llem study resume {study.root}"
    begun = study.events("experiment_running")
    interrupted = study.events("experiment_interrupted")
    assert [event["trial"] for event in interrupted] == [event["trial"] for event in begun]
    if begun:
        assert signum.name in interrupted[0]["data"]["reason"]
        ended = study.events()[-1]
        assert (ended["kind"], ended["data"]["reason"]) == ("session_ended", "interrupted")
        assert signum.name in ended["data"]["detail"]
        assert study.manifest()["status"] == "interrupted"
        assert study.manifest()["journal_hash"] == ended["hash"]
    assert study.findings() == []

    lab.resume(study, env={"LLEM_ACTING_RECORDER": "meter"})
    assert set(study.completions().values()) == {1}
    assert len(study.completions()) == 2
    assert study.findings() == []


@pytest.mark.parametrize("signum", EXIT_CODES)
def test_a_signal_while_a_measured_worker_takes_its_time_to_leave_keeps_its_result(
    lab: Any, until: Any, signum: signal.Signals
) -> None:
    session, study = lab.start(lab.write(["result_then_slow_exit", "ok"]))
    study.wait_for("experiment_completed")
    session.signal(signum)
    session.ended(EXIT_CODES[signum])
    assert lab.survivors() == {}
    assert study.events("experiment_interrupted") == []
    assert study.completions().total() == 1
    assert study.events("session_ended")[-1]["data"]["reason"] == "interrupted"


def test_ctrl_c_in_a_terminal_reaches_the_whole_group_and_is_still_one_orderly_end(lab: Any, until: Any) -> None:
    session, study = lab.start(lab.write(["first:hang", "ok"]), start_new_session=True)
    study.wait_for("phase_entered", phase="measure")
    os.killpg(session.pid, signal.SIGINT)
    session.ended(130)
    assert lab.survivors() == {}
    (interrupted,) = study.events("experiment_interrupted")
    assert "SIGINT" in interrupted["data"]["reason"]
    assert study.events("experiment_failed") == []


def test_a_second_signal_ends_a_worker_that_ignores_term_without_more_waiting(lab: Any, until: Any) -> None:
    from llem.study.attempt import STOP_GRACE_S

    session, study = lab.start(lab.write(["first:hang_and_ignore_term"]))
    study.wait_for("phase_entered", phase="measure")
    told = datetime.now(UTC)
    session.signal(signal.SIGINT)
    time.sleep(0.3)
    session.signal(signal.SIGINT)
    session.ended(130)
    (interrupted,) = study.events("experiment_interrupted")
    recorded = datetime.fromisoformat(interrupted["recorded_at"])
    assert (recorded - told).total_seconds() < STOP_GRACE_S, "it waited for the grace that the first signal left"
    assert lab.survivors() == {}


def states(lab: Any) -> set[str]:
    """Return in which states the processes of a session are: T for a stopped one."""
    return {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in lab.survivors()}


@pytest.mark.parametrize("signum", [signal.SIGTSTP, signal.SIGSTOP])
def test_an_attempt_with_a_hole_is_made_anew_and_the_hole_is_in_no_limit(
    lab: Any, until: Any, signum: signal.Signals
) -> None:
    session, study = lab.start(
        lab.write(["first:hang_with_children", "ok"], measurement=METER, limits={"silence_s": 2}),
        env={"LLEM_ACTING_RECORDER": "meter", "LLEM_ACTING_ZYGOTE": "ok"},
        process_group=0,  # else no shell could continue it, and SIGTSTP is not heeded
    )
    study.wait_for("phase_entered", phase="measure")
    session.signal(signum)
    if signum == signal.SIGTSTP:
        until(lambda: states(lab) == {"T"}, "all processes to stop")
    else:
        time.sleep(3.2)  # nothing tells of that one: it must be long enough to be seen
    session.signal(signal.SIGCONT)
    session.ended(0)
    assert lab.survivors() == {}
    (interrupted,) = study.events("experiment_interrupted")
    why = "by SIGTSTP" if signum == signal.SIGTSTP else "stopped from outside"
    assert why in interrupted["data"]["reason"]
    assert study.events("experiment_failed") == []
    assert list(study.completions().values()) == [1, 1]
    assert study.findings() == []


def test_a_signal_when_nothing_is_left_to_end_still_shows_in_the_exit_code(lab: Any) -> None:
    session, study = lab.start(lab.write(["ok"], measurement=METER), env={"LLEM_ACTING_RECORDER": "hang_on_close"})
    study.wait_for("session_ended")
    session.signal(signal.SIGTERM)
    session.ended(143)
    assert lab.survivors() == {}
    assert study.manifest()["status"] == "completed"


def test_what_a_sensor_s_library_has_started_ends_with_the_recorder(lab: Any) -> None:
    lab.run(lab.write(["ok"], measurement=METER), env={"LLEM_ACTING_RECORDER": "with_child"})
    assert lab.survivors() == {}


def test_ctrl_c_ends_a_command_without_a_trace(lab: Any) -> None:
    study_file = lab.place / "study.yaml"
    os.mkfifo(study_file)
    session = lab.popen(sys.executable, "-m", "llem", "study", "plan", str(study_file))
    with study_file.open("wb"):  # returns when the command has come to read it
        session.signal(signal.SIGINT)
        session.ended(-signal.SIGINT)
    assert (session.out, session.err) == ("", "")


def test_an_error_that_nobody_can_hear_has_its_exit_code(lab: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    session = lab.llem("study", "plan", "no-such-file.yaml", code=2, stdout=writer, stderr=writer)
    os.close(writer)
    assert session.out == session.err == ""


def test_nohup_keeps_a_study_running_when_its_terminal_goes(lab: Any, until: Any) -> None:
    session, study = lab.start(lab.write(["ok", "ok_too"], cycles=6), before=("nohup",))
    study.wait_for("experiment_completed")
    session.signal(signal.SIGHUP)
    session.ended(0)
    assert study.manifest()["status"] == "completed"


def test_a_screen_that_goes_away_does_not_end_the_study(lab: Any, until: Any) -> None:
    reader, writer = os.pipe()
    study_file = lab.write(["ok", "ok_too"], cycles=3)
    session = lab.begin_run(study_file, stderr=writer)
    os.close(writer)
    with os.fdopen(reader) as screen:
        assert screen.readline().startswith("study folder: ")
    session.wait()
    (root,) = lab.output.iterdir()
    study = lab.study_in(root)
    assert study.manifest()["status"] == "completed"
    assert study.events()[-1]["kind"] == "session_ended"
    shown = lab.llem("study", "status", root, preexec_fn=lambda: os.close(1))  # as `>&-` does
    assert (shown.out, shown.err.count("Traceback")) == ("", 0)
