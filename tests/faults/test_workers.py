"""Workers that do anything: each is ended with its true reason, its neighbour measures, and nothing of it is left.

One study per kind of worker, side by side, holds every behaviour of that kind and a healthy trial after each; the
behaviours are those of ``tests/processes/workers/acting_worker.py``, and ``tests/processes/test_faults.py`` looks at
what is said of each of them.
"""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lab import TERMINAL

TRIAL_S = 2.0
MOST_GROWN_MB = 50
SHOWING = (["log"], ["log", "--json"], ["status"])

Expected = dict[str, str | None]
"""Behaviour → the error type that must be recorded; None where the trial is completed all the same."""
DYING: Expected = {
    "segfault": "WorkerKilled",
    "abort": "WorkerKilled",
    "kill_itself": "WorkerKilled",  # as the kernel does that is out of memory
    "realtime_signal": "WorkerKilled",
    "exit_0": "WorkerExitedWithoutResult",
    "exit_3": "WorkerExitedWithoutResult",
    "exit_after_phases": "WorkerExitedWithoutResult",
    "close_pipe_and_exit": "WorkerExitedWithoutResult",
    "torn": "TornMessage",
    "torn_by_a_kill": "WorkerKilled",
    "exception": "RuntimeError",
    "out_of_memory": "OutOfMemory",
    "result_then_segfault": None,
}
SPEAKING: Expected = {
    "garbage": "InvalidMessage",
    "garbage_nested": "InvalidMessage",
    "garbage_after_phases_at_once": "InvalidMessage",
    "garbage_after_result_at_once": None,
    "unknown_message": "InvalidMessage",
    "not_a_number": "InvalidMessage",
    "phases_backwards": "ProtocolViolation",
    "results_before_anything": "ProtocolViolation",
    "result_twice": None,
    "window_in_the_future": "ImplausibleResult",
    "window_backwards": "InvalidMessage",
    "numbers_beyond_floats": "ImplausibleResult",
    "escapes_in_error": "Bad",
    "escapes_in_log": "WorkerExitedWithoutResult",
    "escapes_on_pipe": "InvalidMessage",
}
FLOODING: Expected = {
    "line_of_50_mb": "MessageTooLarge",
    "a_million_repeats": "MessageTooLarge",
    "thousands_of_segments": "InvalidMessage",
    "leave_flooding_child": "WorkerExitedWithoutResult",
}
HANGING: Expected = {
    "silent_start": "TrialTimeout",
    **{
        f"hang_in:{phase}": "TrialTimeout"
        for phase in ("load", "prepare", "loaded_idle", "count_flops", "warmup", "measure", "prefill", "latency")
    },
    "hang_in:teardown": "TrialTimeout",
}
LINGERING: Expected = {
    "hang_and_ignore_term": "TrialTimeout",
    "hang_with_children": "TrialTimeout",
    "stop_itself": "TrialTimeout",
    "close_pipe_and_sleep": "WorkerClosedPipe",
    "leave_children": "WorkerExitedWithoutResult",
    "leave_children_after_result": None,
    "result_then_slow_exit": None,
}


class Kind(NamedTuple):
    """A study of one kind of workers: what they do and how that must end, how often, and the limits of a trial."""

    expected: Expected
    cycles: int
    limits: Mapping[str, float] = MappingProxyType({})


class Ran(NamedTuple):
    """A session that is over, its study, and by how much its memory grew."""

    session: Any
    study: Any
    grown_mb: float


def peak_mb(pid: int) -> float:
    """Return the most memory that a process ever took; 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    peak_kb = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
    return peak_kb[0] / 1000 if peak_kb else 0.0


def run_side_by_side(lab: Any, studies: dict[str, Path]) -> dict[str, Ran]:
    """Run studies, and watch how much memory their sessions take beyond what they had when they began."""
    begun = {kind: lab.start(study_file) for kind, study_file in studies.items()}
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    while any(session.process.poll() is None for session, _ in begun.values()):
        for kind, (session, study) in begun.items():
            peak = peak_mb(session.pid) if session.process.poll() is None else 0.0
            last[kind] = max(last.get(kind, 0.0), peak)
            if kind not in first and study.events("session_started"):
                first[kind] = peak
        time.sleep(0.1)
    return {
        kind: Ran(session, study, last[kind] - first.get(kind, last[kind]))
        for kind, (session, study) in begun.items()
    }


def test_a_worker_can_do_anything_and_its_study_goes_on(lab: Any, tally: Any, rounds: Any) -> None:
    thousands, megabytes = rounds(100, 1000), rounds(100, 1000)
    tally.fault = (
        "worker that dies, hangs in any phase, says nonsense, floods its pipe (a line of 50 MB; "
        f"{thousands * 1000:,} messages) or its output ({megabytes} MB), prints escape sequences, leaves children, "
        "ignores SIGTERM or does not exit"
    )
    tally.asked = "One attempt with its true reason; the trial after it completes"
    tally.look_for(
        "attempts without their true reason",
        "neighbours without a result",
        "processes left",
        "findings of the audit",
        "outputs with an escape byte",
        f"sessions that grew by over {MOST_GROWN_MB} MB",
        "wrong exit codes",
        "tracebacks",
    )
    flooding = {f"flood:{thousands}": None, f"loud:{megabytes}": None, **FLOODING}
    kinds = {
        "dying": Kind(DYING, rounds(1, 20)),
        "speaking": Kind(SPEAKING, rounds(1, 20)),
        "flooding": Kind(flooding, rounds(1, 2)),
        "hanging": Kind(HANGING, rounds(1, 10), {"trial_s": TRIAL_S}),
        "lingering": Kind(LINGERING, rounds(1, 10), {"trial_s": TRIAL_S}),
    }
    studies = {}
    for name, (expected, cycles, limits) in kinds.items():
        behaviours = [each for number, one in enumerate(expected) for each in (one, f"healthy:{number}")]
        studies[name] = lab.write(behaviours, name=name, limits=limits, cycles=cycles)
    ran = run_side_by_side(lab, studies)
    tally.bad["processes left"] += len(lab.survivors())
    for name, kind in kinds.items():
        look_at(ran[name], kind, lab, tally)
        tally.seen[f"memory that the session of the {name} ones grew by, MB"] = round(ran[name].grown_mb, 1)
    tally.assert_nothing_wrong()


def look_at(ran: Ran, kind: Kind, lab: Any, tally: Any) -> None:
    """Count what became of each behaviour, of the trial after it, and of the session that ran them."""
    session, study, grown_mb = ran
    for number, (name, error_type) in enumerate(kind.expected.items()):
        tally.tried += kind.cycles
        found = endings(study, name)
        tally.bad["attempts without their true reason"] += found != Counter({error_type: kind.cycles})
        well = endings(study, f"healthy:{number}") == Counter({None: kind.cycles})
        tally.bad["neighbours without a result"] += not well
        for told, count in found.items():
            ended = f"ended as {told}" if told else "completed all the same"
            named = name if count == 1 else f"{name} × {count}"
            tally.seen[ended] = f"{tally.seen[ended]}, {named}" if ended in tally.seen else named
    tally.bad["processes left"] += survivors_seen_by_others(study)
    tally.bad["findings of the audit"] += len(study.findings())
    tally.bad[f"sessions that grew by over {MOST_GROWN_MB} MB"] += grown_mb > MOST_GROWN_MB
    tally.bad["wrong exit codes"] += session.process.returncode != 1
    tally.bad["tracebacks"] += "Traceback" in session.err
    shown = [session, *(lab.llem("study", *command, study.root) for command in SHOWING)]
    tally.bad["outputs with an escape byte"] += sum("\x1b" in each.out + each.err for each in shown)


def endings(study: Any, behaviour: str) -> Counter[str | None]:
    """Return how the attempts at an experiment ended: the error type, None where it was completed."""
    (planned,) = [e for e in study.events("experiment_planned") if behaviour_of(e) == behaviour]
    label = planned["data"]["label"]
    ended = [e for e in study.events(*TERMINAL) if str(e["trial"]).rpartition("_c")[0] == label]
    return Counter(event["data"].get("error_type") for event in ended)


def behaviour_of(planned: dict[str, Any]) -> str:
    return str(planned["data"]["config"]["model"]["behaviour"])


def survivors_seen_by_others(study: Any) -> int:
    """Return how many workers found a process of an earlier attempt alive when they started."""
    logs = [path for path in (study.root / "logs").glob("*.log") if path.stat().st_size < 1_000_000]
    return sum(b"SURVIVOR" in path.read_bytes() for path in logs)
