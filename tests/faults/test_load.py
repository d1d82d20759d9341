"""A long study with a fault in every tenth trial: all are accounted for, and the parent neither grows nor leaks."""

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

FAULTS = {
    "segfault": "WorkerKilled",
    "exception": "RuntimeError",
    "garbage": "InvalidMessage",
    "exit_0": "WorkerExitedWithoutResult",
    "hang": "SilenceTimeout",
    "torn": "TornMessage",
    "kill_itself": "WorkerKilled",
    "out_of_memory": "OutOfMemory",
    "close_pipe_and_exit": "WorkerExitedWithoutResult",
    "leave_children": "WorkerExitedWithoutResult",
    "window_in_the_future": "ImplausibleResult",
    "phases_backwards": "ProtocolViolation",
}
EVERY = 10
SILENCE_S = 2.0
LOOK_EVERY_S = 0.02
TRIAL_BYTES = 2_000
"""What the parent may keep of a trial."""
STEP_BYTES = 1_000_000
"""Memory grows in steps: an allocator takes much at a time."""
REAPED_WITHIN_S = 5.0


@dataclass(frozen=True)
class Sample:
    """A session's parent at one moment: after how many trials, its memory, and how many descriptors it has."""

    ended: int
    rss_bytes: int
    descriptors: int


class Watch:
    """Looks at a session's processes from outside.

    Attributes:
        samples: What was seen of the parent.
        zombies: Processes that had exited and stayed unreaped for longer than a moment.
    """

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.zombies: set[str] = set()
        self._since: dict[str, float] = {}

    def until_over(self, session: Any, study: Any) -> None:
        """Look until the session is over."""
        last = ended = 0
        with closing(sqlite3.connect(f"{study.journal.as_uri()}?mode=ro", uri=True, timeout=10)) as journal:
            while session.process.poll() is None:
                for seq, kind in journal.execute("SELECT seq, kind FROM events WHERE seq > ?", (last,)):
                    last, ended = seq, ended + (kind in ("experiment_completed", "experiment_failed"))
                try:
                    self._look(session, ended)
                except OSError:
                    continue  # it has just exited
                time.sleep(LOOK_EVERY_S)

    def _look(self, session: Any, ended: int) -> None:
        parent = Path(f"/proc/{session.pid}")
        rss_bytes = int((parent / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.samples.append(Sample(ended, rss_bytes, len(os.listdir(parent / "fd"))))
        children = children_of(session.pid)
        workers = [worker for child in children for worker in children_of(child)]
        dead = {child for child in children + workers if is_zombie(child)}
        now = time.monotonic()
        self._since = {child: self._since.get(child, now) for child in dead}
        self.zombies |= {child for child, since in self._since.items() if now - since > REAPED_WITHIN_S}


def children_of(pid: int | str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def is_zombie(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def test_every_trial_of_a_long_study_with_many_faults_is_accounted_for(lab: Any, tally: Any, rounds: Any) -> None:
    trials = rounds(200, 2000)
    faults = list(islice(cycle(FAULTS), trials // EVERY))
    behaviours = [behaviour for fault in faults for behaviour in [*["ok"] * (EVERY - 1), fault]]
    tally.fault = f"A study of {trials:,} trials with a fault in every tenth, of {len(FAULTS)} kinds"
    tally.asked = "Each is told as what it is, and the others complete."
    tally.look_for("trials without one end", "faults told as another", "findings of the audit", "zombies")
    session, study = lab.start(
        lab.write(
            sweep={"zip": {"model.behaviour": behaviours, "model.number": list(range(trials))}},
            limits={"silence_s": SILENCE_S},
        ),
        env={"LLEM_ACTING_ZYGOTE": "ok"},
    )
    watch = Watch()
    watch.until_over(session, study)
    session.ended(1)
    tally.tried = len(faults)

    ends = {event["trial"]: event for event in study.events("experiment_completed", "experiment_failed")}
    count = len(study.events("experiment_completed", "experiment_failed", "experiment_interrupted"))
    tally.bad["trials without one end"] += abs(trials - len(ends)) + abs(trials - count)
    for trial, behaviour in zip(study.trials(), behaviours, strict=True):
        found = ends[trial]["data"].get("error_type")
        tally.bad["faults told as another"] += found != FAULTS.get(behaviour)
    tally.bad["findings of the audit"] += len(study.findings())
    tally.bad["processes left"] += len(lab.survivors())
    tally.bad["zombies"] += len(watch.zombies)

    quarter = [sample for sample in watch.samples if sample.ended <= trials / 4]
    last = [sample for sample in watch.samples if trials * 3 / 4 <= sample.ended < trials]
    grown_bytes = last[-1].rss_bytes - quarter[-1].rss_bytes
    tally.seen["the parent's memory after a quarter, MB"] = round(quarter[-1].rss_bytes / 1e6, 1)
    tally.seen["… at the end, MB"] = round(last[-1].rss_bytes / 1e6, 1)
    tally.seen["its growth per trial, kB"] = round(grown_bytes / 1e3 / (trials * 3 / 4), 2)
    tally.seen["its descriptors in the first quarter"] = spread(quarter)
    tally.seen["… in the last one"] = spread(last)
    tally.assert_nothing_wrong()
    assert grown_bytes <= TRIAL_BYTES * trials * 3 / 4 + STEP_BYTES
    # One for every fault would be more than an attempt holds at any moment.
    assert min(sample.descriptors for sample in last) <= max(sample.descriptors for sample in quarter)


def spread(samples: list[Sample]) -> str:
    counts = [sample.descriptors for sample in samples]
    return f"{min(counts)} to {max(counts)}"
