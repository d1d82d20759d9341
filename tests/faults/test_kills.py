"""SIGKILL of every process of a study at random moments: what was acknowledged stays, and the study completes."""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle, repeat, zip_longest
from pathlib import Path
from typing import Any

import pytest
from lab import TINY_LLAMA

from llem.sensors.samples import PART

PROCESSES = {"LLEM_ACTING_ZYGOTE": "ok", "LLEM_ACTING_RECORDER": "meter"}
METERED = {"sensors": ["rapl"], "warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0}
WINDOW_S = 0.05
WATTS = 10.0
"""What the acted meter shows, exactly."""
WITHIN_S = 1.0
"""So long after its parent a process may live."""
IN_TRIALS, AT_THE_END = 0.5, 0.2
"""The shares of the moments at which a session is killed, the rest lies in its start; of a recorder's, both."""
ACTED_S, REAL_S = 0.7, 4.0
"""About as long as a session takes to start, and several trials."""
CLOSING_S = 0.05
"""… and so long its end takes, from its last trial on."""
CREATION_S = 0.25
"""… and so long the creation of a study, from its first folder on."""
PATIENCE_S = 300.0
"""A busy machine takes a minute to load torch."""
MOST_IN_A_STUDY = 12
ENDS_THE_SESSION = ("the parent", "every process at once")
TOLD_AS = {
    "the worker": {"WorkerKilled"},
    "the zygote": {"ZygoteDied", "WorkerNotStarted"},
    "the recorder": set[str](),
}
"""What an attempt may fail with when a process was killed."""

Begin = Callable[[], tuple[Any, Any]]


def told_by(session: Any) -> list[dict[str, Any]]:
    """Return every event that a session has shown: it shows one when it is durable."""
    lines = [json.loads(line) for line in session.out.splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in lines if line["kind"] != "closing"]


def processes_of(session: Any, kind: str) -> list[int]:
    """Return the living processes of a session that are of this kind."""
    found = []
    for pid, command in session.others().items():
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        # A forked worker shows its zygote's command, and a new one has no name yet.
        is_worker = name == "llem-worker" or "acting_worker" in command or "llem.worker " in command
        kinds = {
            "the worker": is_worker,
            "the zygote": name == "llem-zygote",
            "the recorder": "recorder" in command,
        }
        if kinds[kind]:
            found.append(pid)
    return found


def kill(pids: Iterable[int]) -> int:
    """Kill processes, and return how many of them were there."""
    killed = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed += 1
    return killed


def wait_while(session: Any, condition: Callable[[], bool]) -> None:
    """Wait while the condition holds and the session lives."""
    while session.process.poll() is None and condition():
        time.sleep(0.005)


def left_after(session: Any) -> int:
    """Return how many processes of a session that is over live for longer than a second."""
    deadline = time.monotonic() + WITHIN_S
    while (left := session.others()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(left)


class Witness:
    """Knows what a study's journal has held, and looks whether it still does; what is wrong goes into the tally."""

    def __init__(self, study: Any, tally: Any) -> None:
        self._study = study
        self._tally = tally
        self._rows: list[tuple[Any, ...]] = []
        tally.look_for(
            "acknowledged events lost",
            "recorded events changed",
            "trials doubled",
            "results missing",
            "findings of the audit",
            "tracebacks shown",
        )

    def look(self, session: Any) -> None:
        """Compare the journal with what it has held, and with what the session has told."""
        rows, bad = [tuple(row) for row in self._study.rows()], self._tally.bad
        told = {(event["seq"], event["hash"]) for event in told_by(session)}
        bad["acknowledged events lost"] += len(told - {(row[0], row[-1]) for row in rows})
        kept = zip_longest(self._rows, rows[: len(self._rows)])
        bad["recorded events changed"] += sum(before != now for before, now in kept)
        bad["tracebacks shown"] += session.err.count("Traceback")
        self._rows = rows

    def look_at_the_end(self) -> None:
        """Look at the study, which is complete."""
        study, bad, seen = self._study, self._tally.bad, self._tally.seen
        completions = study.completions()
        bad["trials doubled"] += sum(count > 1 for count in completions.values())
        named = {e["trial"]: e["data"]["result_file"] for e in study.events("experiment_completed")}
        kept = study.result_files()
        bad["results missing"] += sum(named.get(trial) not in kept for trial in study.trials())
        bad["findings of the audit"] += len(study.findings())
        seen["trials completed"] = seen.get("trials completed", 0) + len(completions)
        seen["events"] = seen.get("events", 0) + len(self._rows)


class Killer:
    """Kills processes of studies, one study after the other.

    Args:
        tally: The counts.
        draw: Random numbers.
        begin: Starts a study, and returns its session and the study.
        resume: Starts a session that goes on with a study.
        stretch_s: A moment lies within this time of what it is about.
    """

    def __init__(
        self, tally: Any, draw: random.Random, begin: Begin, resume: Callable[[Any], Any], stretch_s: float
    ) -> None:
        self._tally, self._draw = tally, draw
        self._begin, self._resume = begin, resume
        self._stretch_s = stretch_s
        self._records: set[Path] = set()
        tally.look_for("processes left after 1 s", "exit codes that are not 0")

    def studies(self, victims: Iterator[str], wanted: int) -> Iterator[Any]:
        """Kill one victim after the other until as many as are wanted were; yield each study when it is complete."""
        while self._tally.tried < wanted:
            yield self._study(victims, wanted)

    def _study(self, victims: Iterator[str], wanted: int) -> Any:
        session, study = self._begin()
        witness = Witness(study, self._tally)
        for _, victim in zip(range(MOST_IN_A_STUDY), victims, strict=False):
            self._wait_for_a_moment(session, study, victim)
            if self._tally.tried == wanted or session.process.poll() is not None:
                break
            self._tally.tried += self._strike(session, victim)
            if session.process.poll() == -signal.SIGKILL:
                self._tally.bad["processes left after 1 s"] += left_after(session)
                witness.look(session)
                session = self._resume(study)
        self._tally.bad["exit codes that are not 0"] += session.wait(PATIENCE_S) != 0
        self._tally.bad["processes left after 1 s"] += left_after(session)
        witness.look(session)
        witness.look_at_the_end()
        return study

    def _wait_for_a_moment(self, session: Any, study: Any, victim: str) -> None:
        """Wait until a random moment: of a session's start, of its trials or of its end; of a child's life."""
        part, over_s = self._draw.random(), self._stretch_s
        if victim not in ENDS_THE_SESSION:
            wait_while(session, lambda: not processes_of(session, victim))
            if victim == "the recorder" and part < IN_TRIALS + AT_THE_END:
                wait_while(session, lambda: not self._new_records(study))
                self._records |= self._new_records(study)
        elif part < IN_TRIALS:
            wait_while(session, lambda: '"session_started"' not in session.out)
        elif part < IN_TRIALS + AT_THE_END:
            wait_while(session, lambda: '"study_completed"' not in session.out)
            over_s = CLOSING_S
        time.sleep(self._draw.uniform(0, over_s))

    def _new_records(self, study: Any) -> set[Path]:
        """Return the records that are being made now; a dead recorder's lies there for a moment too."""
        return set((study.root / "samples").glob(f"*{PART}")) - self._records

    def _strike(self, session: Any, victim: str) -> bool:
        """Kill the victim, and return whether there was one."""
        if victim not in ENDS_THE_SESSION:
            return kill(processes_of(session, victim)) > 0
        others = session.others() if victim == "every process at once" else {}
        pids = [session.pid, *others]
        self._draw.shuffle(pids)
        kill(pids)
        return bool(session.wait() == -signal.SIGKILL)


@pytest.fixture
def killer_of(lab: Any, tally: Any, draw: random.Random) -> Callable[[int], Killer]:
    """Return what makes a killer: of studies with so many cycles that have every kind of process, all quick."""

    def killer(cycles: int) -> Killer:
        study_file = lab.write(
            ["ok", "ok_too"],
            cycles=cycles,
            order="blocks",
            retries=50,
            measurement=METERED,
            model={"window_s": WINDOW_S},
        )
        return Killer(
            tally,
            draw,
            begin=lambda: lab.start(study_file, "--json", env=PROCESSES),
            resume=lambda study: lab.begin_resume(study, "--json", env=PROCESSES),
            stretch_s=ACTED_S,
        )

    return killer


@pytest.mark.parametrize("victim", ENDS_THE_SESSION)
def test_a_killed_session_is_gone_on_with(killer_of: Any, tally: Any, rounds: Any, victim: str) -> None:
    tally.fault = f"SIGKILL of {victim}"
    tally.asked = "Then a resume, which is killed too, until one comes to the end."
    assert all(killer_of(cycles=4).studies(repeat(victim), rounds(8, 250)))
    tally.assert_nothing_wrong()


@pytest.mark.parametrize("victim", TOLD_AS)
def test_a_study_goes_on_by_itself_without_a_child(killer_of: Any, tally: Any, rounds: Any, victim: str) -> None:
    tally.fault = f"SIGKILL of {victim}"
    tally.asked = "The session tries again what failed by it, and ends with exit code 0."
    tally.look_for("faults told as another", "failures without a kill", "energies that are wrong")
    failed: list[str] = []
    unmetered = 0
    for study in killer_of(cycles=15).studies(repeat(victim), rounds(8, 170)):
        failed += [event["data"]["error_type"] for event in study.events("experiment_failed")]
        for event in study.events("experiment_completed"):
            told = event["data"]["headline"]
            if told["energy_total_j"] is None:
                unmetered += 1
                tally.bad["energies that are wrong"] += not told["energy_reason"]
            else:
                off_j = abs(told["energy_total_j"] - WATTS * told["duration_s"])
                tally.bad["energies that are wrong"] += off_j > told["u_energy_total_j"]
    tally.bad["faults told as another"] += sum(error not in TOLD_AS[victim] for error in failed)
    tally.bad["failures without a kill"] += max(0, len(failed) - tally.tried)
    tally.seen["attempts that failed by it"] = len(failed)
    tally.seen["results without energy, with the reason"] = unmetered
    tally.assert_nothing_wrong()


def test_a_study_that_is_killed_while_it_is_created_has_a_way_on(
    lab: Any, tally: Any, rounds: Any, draw: random.Random
) -> None:
    tally.fault = "SIGKILL of the parent while it creates a study"
    tally.asked = "A resume completes it, or says that nothing had begun."
    tally.look_for("acknowledged events lost", "resumes that do neither", "tracebacks shown")
    study_file, place = lab.write(["ok"]), lab.output
    outcomes: Counter[str] = Counter()
    for number in range(rounds(3, 60)):
        lab.output = place / str(number)
        session = lab.begin_run(study_file, "--json", env=PROCESSES)
        wait_while(session, lambda: not list(lab.output.glob("*")))
        time.sleep(draw.uniform(0, CREATION_S))
        tally.tried += kill([session.pid])
        session.wait()
        (root,) = lab.output.iterdir()
        study = lab.study_in(root)
        resumed = lab.begin_resume(study, "--json", env=PROCESSES)
        code = resumed.wait()
        if code == 0:
            Witness(study, tally).look(session)
            outcome = "completed"
        else:
            tally.bad["acknowledged events lost"] += len(told_by(session))
            refused = (code, "no study" in resumed.err or "no plan" in resumed.err)
            outcome = "nothing had begun" if refused in ((2, True), (3, True)) else "neither"
        outcomes[outcome] += 1
        tally.bad["tracebacks shown"] += resumed.err.count("Traceback")
    tally.bad["resumes that do neither"] += outcomes.pop("neither", 0)
    tally.seen.update(outcomes)
    tally.assert_nothing_wrong()


@pytest.mark.model
def test_a_real_model_is_measured_whatever_is_killed(lab: Any, tally: Any, rounds: Any, draw: random.Random) -> None:
    tally.fault = "SIGKILL of the worker, the parent, the zygote and all at once, with a real model"
    tally.asked = "The session goes on by itself, or with a resume."
    tally.look_for("faults told as another")
    study_file = lab.write(
        name="real",
        model=TINY_LLAMA,
        dtype="float32",
        prompts={"count": 3, "input_tokens": 12},
        measurement={"sensors": [], "warmup_passes": 1, "min_window_s": 0.2, "min_passes": 2, "guard_s": 0.05},
        cycles=4,
        retries=50,
    )
    llem = (sys.executable, "-m", "llem", "study")

    def begin() -> tuple[Any, Any]:
        session = lab.popen(*llem, "run", str(study_file), "--output", str(lab.output), "--json")
        return session, lab.study_of(session)

    killer = Killer(
        tally, draw, begin, lambda study: lab.popen(*llem, "resume", str(study.root), "--json"), stretch_s=REAL_S
    )
    victims = cycle(["the worker", "the parent", "the zygote", "every process at once"])
    for study in killer.studies(victims, rounds(2, 40)):
        failed = {event["data"]["error_type"] for event in study.events("experiment_failed")}
        tally.bad["faults told as another"] += len(failed - TOLD_AS["the worker"] - TOLD_AS["the zygote"])
    tally.assert_nothing_wrong()
