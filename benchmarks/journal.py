"""What the journal costs, as ratios taken in alternation in one run: never an absolute time.

    python benchmarks/journal.py [--json FILE]

- append: one durable, validated, chained event, against the floor of the same machine and disk: the same
  bytes written into a preallocated file with pwrite + fdatasync.
- replay: all events folded into the manifest, against a bare SELECT of every column.
- audit: the chain and the strict models checked, against the same SELECT.
"""

import argparse
import gc
import json
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from llem.domain.decoding import typed_event
from llem.domain.events import ExperimentPlanned, ExperimentRunning, PhaseEntered, StudyPlanned
from llem.domain.identity import config_hash
from llem.domain.row import COLUMNS
from llem.domain.spec import ExperimentConfig, Limits
from llem.journal.journal import Journal
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold, trial_id
from llem.study.audit import checked

APPENDS_PER_TURN = 100
TURNS = 15
REPLAYED_EVENTS = 30_000


def main() -> None:
    """Run both benchmarks in a fresh folder of the current disk, print the table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the ratios to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        ratios = {**append_ratio(Path(folder)), **replay_ratios(Path(folder))}
    print(f"{'what':<44} {'median':>7} {'min':>7} {'max':>7}")
    for name, values in ratios.items():
        print(f"{name:<44} {statistics.median(values):>7.2f} {min(values):>7.2f} {max(values):>7.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(ratios, indent=2))


def append_ratio(folder: Path) -> dict[str, list[float]]:
    """Return, turn by turn, the time of durable appends over that of the floor."""
    event = PhaseEntered(trial="0123abcd_c1", attempt=1, phase="measure", t_ns=123456789)
    raw = os.open(folder / "floor", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(raw, 0, APPENDS_PER_TURN * (TURNS + 1) * 4096)
    payload = b"x" * 4096
    written = 0
    ratios = []
    with Journal(folder / "append.db") as journal:

        def ours() -> None:
            for _ in range(APPENDS_PER_TURN):
                journal.append(event)

        def floor() -> None:
            nonlocal written
            for _ in range(APPENDS_PER_TURN):
                written += os.pwrite(raw, payload, written)
                os.fdatasync(raw)

        ours(), floor()
        ratios = [seconds(ours) / seconds(floor) for _ in range(TURNS)]
    os.close(raw)
    return {"append / (pwrite + fdatasync)": ratios}


def replay_ratios(folder: Path) -> dict[str, list[float]]:
    """Return, turn by turn, the time of replay and audit over that of reading the rows."""
    path = folder / "replay.db"
    fill(path)
    connection = sqlite3.connect(path)
    ratios: dict[str, list[float]] = {"replay into the manifest / SELECT": [], "audit / SELECT": []}
    with open_reader(path) as reader:

        def scan() -> None:
            for _ in connection.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq"):
                pass

        def replay() -> None:
            ManifestFold().apply_all(reader.rows()).manifest()

        def audit() -> None:
            for row in checked(reader.rows()):
                typed_event(row)

        for _ in range(TURNS // 3):
            floor_s = seconds(scan)
            ratios["replay into the manifest / SELECT"].append(seconds(replay) / floor_s)
            ratios["audit / SELECT"].append(seconds(audit) / floor_s)
    return ratios


def fill(path: Path) -> None:
    """Write a journal of about REPLAYED_EVENTS events: three to a trial, as in a real study."""
    cycles, experiments = 10, REPLAYED_EVENTS // 30
    configs = [
        ExperimentConfig(model="some/model", batch_size=1, engine_options={"n": n}) for n in range(experiments)
    ]
    planned = StudyPlanned(
        study_name="bench",
        study_design_hash="0" * 64,
        llem_version="0",
        base_dir=".",
        cycles=cycles,
        order="sequential",
        seed=0,
        sequence=list(range(experiments)) * cycles,
        limits=Limits(),
        declared=experiments,
    )
    events: list[ExperimentPlanned] = []
    for index, config in enumerate(configs):
        key = config_hash(config)
        events.append(
            ExperimentPlanned(
                index=index,
                label=key[:12],
                config=config,
                config_hash=key,
                config_summary={"transformers.n": index},
                result_stem=key,
            )
        )
    with Journal(path) as journal:
        journal.append_all([planned, *events])
        for event in events:
            for cycle in range(1, cycles + 1):
                trial = trial_id(event.label, cycle)
                journal.append_all(
                    [
                        ExperimentRunning(trial=trial, attempt=1, log_file="x", launcher="bench"),
                        PhaseEntered(trial=trial, attempt=1, phase="load", t_ns=1),
                        PhaseEntered(trial=trial, attempt=1, phase="measure", t_ns=2),
                    ]
                )


def seconds(action: Callable[[], None]) -> float:
    """Return how long ``action`` takes, the garbage collector held off."""
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    action()
    elapsed = time.perf_counter() - started
    gc.enable()
    return elapsed


if __name__ == "__main__":
    main()
