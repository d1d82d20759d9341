"""Two sessions that want one study, and readers beside its writer."""

import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pytest

from llem.domain.events import PhaseEntered
from llem.journal.journal import Journal
from llem.journal.lock import StudyLock
from llem.study.folder import StudyFolder
from llem.study.host import this_process

APPENDS = 150
MOST_SLOWER = 2.0


def started_at(study: Any) -> str:
    """Return since when the session lives that holds the study's lock."""
    holder: dict[str, Any] = json.loads((study.root / "journal.lock").read_text())
    return str(holder["started_at"])


def told_in_full(refused: Any, holder: Any, study: Any) -> bool:
    """Return whether a session that was refused names who runs the study."""
    who = f"process {holder.pid} on {os.uname().nodename}, since {started_at(study)}"
    return who in refused.err and "Traceback" not in refused.err


def test_of_two_resumes_at_once_one_runs_and_one_is_refused(
    lab: Any, tally: Any, rounds: Any, draw: random.Random
) -> None:
    tally.fault = "Two resumes at once"
    tally.asked = "One runs; the other exits with 3 and names its process, host and start."
    tally.look_for("sessions beside another", "refusals that do not say by whom", "findings of the audit")
    first, study = lab.start(lab.write(["hang"]))
    first.signal(signal.SIGTERM)
    first.ended(143)
    begun = len(study.events("session_started"))
    for _ in range(rounds(6, 100)):
        pair = [lab.begin_resume(study)]
        time.sleep(draw.choice((0, draw.uniform(0, 0.05))))
        pair.append(lab.begin_resume(study))
        while all(session.process.poll() is None for session in pair):
            time.sleep(0.005)
        running, refused = sorted(pair, key=lambda session: session.process.poll() is not None)
        refused.ended(3)
        tally.bad["refusals that do not say by whom"] += not told_in_full(refused, running, study)
        running.signal(signal.SIGTERM)
        running.wait()  # it may be so early that nobody listens yet
        tally.tried += 1
    tally.bad["sessions beside another"] += max(0, len(study.events("session_started")) - begun - tally.tried)
    tally.bad["findings of the audit"] += len(study.findings())
    tally.assert_nothing_wrong()


def test_a_resume_while_a_run_lives_is_refused(lab: Any, tally: Any, rounds: Any, draw: random.Random) -> None:
    tally.fault = "A resume while a run lives"
    tally.asked = "It exits with 3, names process, host and start, and the run goes on."
    tally.look_for("sessions beside another", "refusals that do not say by whom", "findings of the audit")
    study_file, place = lab.write(["hang"]), lab.output
    for number in range(rounds(6, 100)):
        lab.output = place / str(number)
        session, study = lab.start(study_file)
        time.sleep(draw.uniform(0, 0.2))
        refused = lab.begin_resume(study).ended(3)
        tally.bad["refusals that do not say by whom"] += not told_in_full(refused, session, study)
        assert study.wait_for("phase_entered", phase="measure")["session"] == 1
        session.signal(signal.SIGTERM)
        session.ended(143)
        tally.bad["sessions beside another"] += len(study.events("session_started")) - 1
        tally.bad["findings of the audit"] += len(study.findings())
        tally.tried += 1
    tally.assert_nothing_wrong()


@contextmanager
def readers_of(lab: Any, study: Any, until: Any) -> Iterator[None]:
    """Have a study read meanwhile: followed twice, asked for its status without end, and held in a transaction."""
    llem = f"{sys.executable} -m llem study"
    # What they print stays off the disk that the writer waits for.
    follow = f"{llem} log {study.root} --follow --json | (head -c 1; exec cat > /dev/null)"
    ask = f"while {llem} status {study.root} --json > /dev/null; do echo; done"
    readers = [lab.popen("sh", "-c", command, start_new_session=True) for command in (follow, follow, ask)]
    connection = sqlite3.connect(study.journal, isolation_level=None)
    try:
        until(lambda: all(reader.out for reader in readers), "the first words of every reader")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM events").fetchone()
        yield
        assert all(reader.process.poll() is None for reader in readers)
    finally:
        connection.close()
        for reader in readers:
            os.killpg(reader.pid, signal.SIGKILL)
            reader.wait()


def waited_for_a_core_s() -> float:
    """Return how long this process has been ready to run and had no core."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


@pytest.mark.undisturbed
def test_readers_do_not_slow_the_writer(lab: Any, tally: Any, rounds: Any, until: Any) -> None:
    tally.fault = "Readers beside the writer: two that follow, one that asks for the status, a transaction held open"
    tally.asked = f"An append takes at most {MOST_SLOWER:g} times as long; the wait for a core is left out."
    tally.look_for("events lost", "findings of the audit")
    session, study = lab.start(lab.write(["hang"]))
    study.wait_for("experiment_running")
    session.signal(signal.SIGTERM)
    session.ended(143)
    before, folder = len(study.events()), StudyFolder(study.root)
    event = PhaseEntered(trial=study.trials()[0], attempt=1, phase="measure", t_ns=time.monotonic_ns())
    ratios: list[float] = []
    in_all: list[float] = []
    with StudyLock(folder.lock, this_process()), Journal(folder.journal) as journal:

        def block_s() -> tuple[float, float]:
            """Append, and return how long that took without waiting for a core, and in all."""
            begun, waited_s = time.perf_counter(), waited_for_a_core_s()
            for _ in range(APPENDS):
                journal.append(event)
            took_s = time.perf_counter() - begun
            return took_s - (waited_for_a_core_s() - waited_s), took_s

        block_s()  # the first one is slower
        for _ in range(rounds(7, 40)):
            before_s = block_s()
            with readers_of(lab, study, until):
                beside_s = block_s()
            after_s = block_s()
            ratios.append(beside_s[0] / fmean((before_s[0], after_s[0])))
            in_all.append(beside_s[1] / fmean((before_s[1], after_s[1])))
            tally.tried += 1
    tally.seen["an append beside readers, times one without, median of blocks"] = round(median(ratios), 2)
    tally.seen["the same with the wait for a core"] = round(median(in_all), 2)
    tally.seen["appends in a block"] = APPENDS
    tally.bad["events lost"] += before + APPENDS * (3 * tally.tried + 1) - len(study.events())
    tally.bad["findings of the audit"] += len(study.findings())
    tally.assert_nothing_wrong()
    assert median(ratios) <= MOST_SLOWER
