"""What the journal costs: appends against the disk and other tools' journals, replay and audit against a SELECT.

    python benchmarks/journal.py [--events 1000000] [--json FILE]

- append: one durable, validated, chained event, against the floor of the same machine and disk: a page written
  into a preallocated file with pwrite + fdatasync. Beside it, where they are installed, eventsourcing's SQLite
  recorder and optuna's journal file, which take an event of the same data and neither check nor chain it.
- replay: all events of a study of ten events per trial folded into the manifest, against a SELECT of every column.
- audit: the chain and the strict models checked, against the same SELECT; and with the fold that an audit makes.
- resume: processor time, collector and all, until a fresh process has the state of 30,000 trials with three events
  each: the journal opened, its chain checked, trials and plan folded, the trials put in order. What a resume does
  with the files of results is not in it.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from filled_journal import fill
from ratios import Report, alternated, options, over

from llem.domain.events import PhaseEntered
from llem.domain.row import COLUMNS
from llem.journal.journal import Journal
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.study.chain import checked, sound
from llem.study.planned import Planned

EVENTS = 100_000
APPENDS = 100
APPEND_TURNS = 15
REPLAY_TURNS = 5
PAGE = b"x" * 4096
RESUMED_EVENTS = 90_000
EVENT = PhaseEntered(trial="0123456789ab_c1", attempt=1, phase="measure", t_ns=13191221572874)

Append = Callable[[], object]


def main() -> None:
    """Fill journals in a fresh folder of the current disk, take turns, print the table, write JSON if asked."""
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="events that are replayed and audited")
    parser.add_argument("--resume-of", type=Path, help="print the seconds of one resume of a journal; nothing else")
    arguments = parser.parse_args()
    if arguments.resume_of:
        print(resume_cpu_s(arguments.resume_of))
        return
    report = Report("journal")
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        add_appends(report, Path(folder))
        add_replay(report, Path(folder), arguments.events)
        add_resume(report, Path(folder))
    report.finish(arguments.json)


def add_appends(report: Report, folder: Path) -> None:
    """Add what an append costs over the floors and over each peer that is installed."""
    with Journal(folder / "append.db") as journal:
        appends: dict[str, Append] = {
            "ours": lambda: journal.append(EVENT),
            "preallocated": page_writer(folder / "preallocated", written=False),
            "written": page_writer(folder / "written", written=True),
        }
        for name, make in PEERS.items():
            try:
                appends[name] = make(folder)
            except ImportError:
                report.note(f"{name}: not installed (pip install eventsourcing optuna)")
        taken = alternated(APPEND_TURNS + 1, {name: repeated(append) for name, append in appends.items()})
    seconds = {name: values[1:] for name, values in taken.items()}  # the first turn creates what the others reuse
    ours = seconds["ours"]
    report.add("append / pwrite + fdatasync, preallocated", over(ours, seconds["preallocated"]), at_most=1.3)
    report.add("append / the same, onto blocks written before", over(ours, seconds["written"]))
    for name in PEERS.keys() & seconds.keys():
        report.add(f"append / {name}", over(ours, seconds[name]), at_most=1)


def repeated(append: Append) -> Callable[[], None]:
    """Return what appends many times."""

    def many() -> None:
        for _ in range(APPENDS):
            append()

    return many


def page_writer(path: Path, *, written: bool) -> Append:
    """Return what writes one page durably into a file that has its size already.

    Args:
        path: The file.
        written: Whether its blocks hold something already; if not, they are only reserved.
    """
    raw, place = os.open(path, os.O_RDWR | os.O_CREAT), 0
    size = APPENDS * (APPEND_TURNS + 1) * len(PAGE)
    os.posix_fallocate(raw, 0, size)
    if written:
        os.pwrite(raw, bytes(size), 0)
    os.fsync(raw)

    def append() -> None:
        nonlocal place
        place += os.pwrite(raw, PAGE, place)
        os.fdatasync(raw)

    return append


def eventsourcing_recorder(folder: Path) -> Append:
    """Return what appends one event to eventsourcing's SQLite recorder."""
    from eventsourcing.persistence import StoredEvent  # noqa: PLC0415
    from eventsourcing.sqlite import SQLiteAggregateRecorder, SQLiteDatastore  # noqa: PLC0415

    recorder = SQLiteAggregateRecorder(SQLiteDatastore(str(folder / "eventsourcing.db")))
    recorder.create_table()
    originator, version = uuid4(), 0

    def append() -> None:
        nonlocal version
        version += 1
        recorder.insert_events([StoredEvent(originator, version, EVENT.kind, EVENT.model_dump_json().encode())])

    return append


def optuna_journal(folder: Path) -> Append:
    """Return what appends one event to optuna's journal file."""
    from optuna.storages.journal import JournalFileBackend  # noqa: PLC0415

    backend = JournalFileBackend(str(folder / "optuna.log"))
    return lambda: backend.append_logs([EVENT.model_dump(mode="json")])


PEERS: dict[str, Callable[[Path], Append]] = {
    "eventsourcing's SQLite recorder": eventsourcing_recorder,
    "optuna's journal file": optuna_journal,
}


def add_replay(report: Report, folder: Path, events: int) -> None:
    """Add what replay and audit take over reading the rows."""
    path = folder / "replay.db"
    fill(path, events)
    connection = sqlite3.connect(path)

    def select() -> None:
        for _ in connection.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq"):
            pass

    with open_reader(path) as reader:

        def replay() -> None:
            ManifestFold().apply_all(reader.rows()).manifest()

        def audit() -> None:
            for _ in sound(reader.rows()):
                pass

        def audit_and_fold() -> None:
            fold = ManifestFold()
            for row in sound(reader.rows()):
                fold.apply(row)

        actions = {"select": select, "replay": replay, "audit": audit, "audit and fold": audit_and_fold}
        seconds = alternated(REPLAY_TURNS, actions)
    connection.close()
    for name, at_most in (("replay", 2.5), ("audit", 6.0), ("audit and fold", None)):
        report.add(f"{name}, {events:,} events / SELECT", over(seconds[name], seconds["select"]), at_most=at_most)


def add_resume(report: Report, folder: Path) -> None:
    """Add the processor time that a fresh process takes until it has a large study's state."""
    path = folder / "resume.db"
    fill(path, RESUMED_EVENTS, phases=("measure",))
    command = [sys.executable, __file__, "--resume-of", str(path)]
    values = [float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(REPLAY_TURNS)]
    report.add(f"state for a resume of {RESUMED_EVENTS:,} events, CPU", values, at_most=0.6, unit="s")


def resume_cpu_s(path: Path) -> float:
    """Return the processor time, in seconds, until this process has the state of the study in ``path``."""
    started = time.process_time()
    with Journal(path) as journal:
        fold = ManifestFold().apply_all(checked(journal.rows(), []))
        Planned(journal, fold)
        fold.in_order()
        return time.process_time() - started


if __name__ == "__main__":
    main()
