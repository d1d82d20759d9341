"""The wall clock set backwards and forwards during a study: no order, duration, gap or limit goes by it."""

import os
import random
import shutil
import signal
import subprocess
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

SHIM = Path(__file__).with_name("shifted_clock.c")
PROCESSES = {"LLEM_ACTING_ZYGOTE": "ok", "LLEM_ACTING_RECORDER": "meter"}
METERED = {"sensors": ["rapl"], "warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0}
WATTS = 10.0
WINDOW_S, GAP_S, SILENCE_S = 0.1, 0.1, 2.0
HANGS = "first:hang"
PLANNED, CYCLES = "experiment_planned", 2
BACK = "events stamped before the one before them"
SET_BY_S = (1, 60, 3600, 86_400, 30 * 86_400)

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


class WallClock:
    """The wall clock of the processes that have its environment."""

    def __init__(self, place: Path) -> None:
        library, offset = place / "shifted_clock.so", place / "offset"
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, SHIM], check=True)
        self._offset = os.open(offset, os.O_RDWR | os.O_CREAT)
        self.set_by(0)
        self.environment = {**PROCESSES, "LD_PRELOAD": str(library), "LLEM_CLOCK_OFFSET": str(offset)}

    def set_by(self, seconds: int) -> None:
        """Have it show so much more than it is; less where that is negative."""
        os.pwrite(self._offset, (seconds * 10**9).to_bytes(8, "little", signed=True), 0)

    def set_at_random(self, draw: random.Random) -> None:
        """Set it forwards or backwards."""
        self.set_by(draw.choice((-1, 1)) * draw.choice(SET_BY_S))


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """Return the clock of sessions that are started with its environment."""
    return WallClock(tmp_path)


class Verdict:
    """Counts what of complete studies went by the wall clock."""

    def __init__(self, tally: Any) -> None:
        self._bad, self._seen = tally.bad, tally.seen
        self._seen[BACK] = 0
        tally.look_for("durations that are wrong", "energies that are wrong", "gaps that are wrong")
        tally.look_for("events or trials out of order", "faults but those of a limit", "findings of the audit")

    def look(self, study: Any, lived_s: float) -> None:
        """Look at a study that took at most so long by our own monotonic clock."""
        self._look_at_order(study)
        bad = self._bad
        for event in study.events("experiment_completed"):
            told = event["data"]["headline"]
            off_j = abs(told["energy_total_j"] - WATTS * told["duration_s"])
            bad["durations that are wrong"] += not WINDOW_S <= told["duration_s"] < lived_s
            bad["energies that are wrong"] += off_j > told["u_energy_total_j"]
        gaps_s = [event["data"]["waited_s"] for event in study.events("gap_waited")]
        bad["gaps that are wrong"] += not gaps_s or not all(GAP_S <= gap_s < lived_s for gap_s in gaps_s)
        faults = [event["data"]["error_type"] for event in study.events("experiment_failed")]
        hung = sum(event["data"]["config"]["model"]["behaviour"] == HANGS for event in study.events(PLANNED))
        bad["faults but those of a limit"] += faults != ["SilenceTimeout"] * hung * CYCLES
        bad["findings of the audit"] += len(study.findings())

    def _look_at_order(self, study: Any) -> None:
        events = study.events()
        times = [datetime.fromisoformat(event["recorded_at"]) for event in events]
        self._seen[BACK] += sum(earlier > later for earlier, later in pairwise(times))
        entered_ns = [event["data"]["t_ns"] for event in events if event["kind"] == "phase_entered"]
        labels = [event["data"]["label"] for event in events if event["kind"] == PLANNED]
        planned = [labels[index] for index in events[0]["data"]["sequence"]]
        begun = dict.fromkeys(event["trial"] for event in events if event["kind"] == "experiment_running")
        self._bad["events or trials out of order"] += (
            entered_ns != sorted(entered_ns) or [trial.rpartition("_c")[0] for trial in begun] != planned
        )


def write(lab: Any, *behaviours: str) -> Path:
    path: Path = lab.write(
        list(behaviours),
        cycles=CYCLES,
        model={"window_s": WINDOW_S},
        measurement=METERED,
        gaps={"between_trials": GAP_S},
        limits={"silence_s": SILENCE_S, "study_s": 600.0},
        retries=1,
    )
    return path


def test_a_clock_that_is_set_during_a_study_changes_neither_order_nor_duration(
    lab: Any, clock: WallClock, tally: Any, rounds: Any, draw: random.Random
) -> None:
    tally.fault = "The wall clock set backwards or forwards, by a second to a month, while a study runs"
    tally.asked = "Order, durations, energies, gaps and limits go by the monotonic clock."
    study_file, verdict, wanted = write(lab, "ok", "ok_too", HANGS), Verdict(tally), rounds(30, 400)
    while tally.tried < wanted:
        begun = time.monotonic()
        session, study = lab.start(study_file, env=clock.environment)
        while session.process.poll() is None:
            time.sleep(draw.uniform(0, 0.3))
            clock.set_at_random(draw)
            tally.tried += 1
        session.ended(0)
        verdict.look(study, time.monotonic() - begun)
    assert tally.seen[BACK], "the clock was not set"
    tally.assert_nothing_wrong()


def test_a_study_is_resumed_whatever_the_clock_shows_by_then(
    lab: Any, clock: WallClock, tally: Any, rounds: Any, draw: random.Random
) -> None:
    tally.fault = "The wall clock set backwards or forwards, by a second to a month, before a resume after a kill"
    tally.asked = "The study completes."
    study_file, verdict = write(lab, "ok", "ok_too"), Verdict(tally)
    for _ in range(rounds(3, 40)):
        begun = time.monotonic()
        clock.set_by(0)
        session, study = lab.start(study_file, env=clock.environment)
        study.wait_for("experiment_completed")
        time.sleep(draw.uniform(0, 0.5))
        session.signal(signal.SIGKILL)
        session.wait()
        clock.set_at_random(draw)
        tally.tried += 1
        resumed = lab.resume(study, env=clock.environment)
        tally.bad["tracebacks shown"] += resumed.err.count("Traceback")
        verdict.look(study, time.monotonic() - begun)
    tally.assert_nothing_wrong()
