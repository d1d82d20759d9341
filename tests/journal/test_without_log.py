"""The journal where a write-ahead log is not safe: a rollback journal, synced to the folder's name."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from llem.domain.errors import JournalError
from llem.domain.events import PhaseEntered
from llem.journal.journal import Journal
from llem.journal.reader import ROWS_AT_ONCE, open_reader
from llem.journal.schema import leave_wal

WRITER = """
import sys
from pathlib import Path
from llem.domain.events import PhaseEntered
from llem.journal.journal import Journal
journal = Journal(Path(sys.argv[1]), mode="delete")
for n in range(10**9):
    print(journal.append(PhaseEntered(trial="t", attempt=1, phase="load", t_ns=n)).hash, flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def phase(number=1):
    return PhaseEntered(trial="t", attempt=1, phase="load", t_ns=number)


def read(path):
    with open_reader(path) as reader:
        return list(reader.rows())


def beside(path):
    return sorted(file.name for file in path.parent.iterdir())


def test_a_new_journal_never_has_a_log(path):
    with Journal(path, mode="delete") as journal:
        assert journal.mode == "delete"
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (3,)
        rows = [journal.append(phase(1)), *journal.append_all([phase(2), phase(3)])]
        assert read(path) == rows
        assert beside(path) == ["journal.db"]
        assert journal.seal() is True
    assert read(path) == rows


def test_a_journal_with_a_log_loses_nothing_when_it_comes_to_where_logs_are_not_safe(path, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "journal.db"
    elsewhere.parent.mkdir()
    with Journal(path) as journal:
        rows = [journal.append(phase(n)) for n in range(5)]
        for name in ("journal.db", "journal.db-wal"):  # as it lies where its writer was killed
            shutil.copy(path.with_name(name), elsewhere.parent)
    with Journal(elsewhere, mode="delete") as journal:
        assert beside(elsewhere) == ["journal.db"]
        rows.append(journal.append(phase(5)))
    assert read(elsewhere) == rows
    with Journal(elsewhere) as journal:
        assert journal.mode == "wal"
        assert journal.head == (6, rows[-1].hash)


def test_a_log_that_somebody_reads_is_not_taken_away(path):
    with Journal(path) as journal:
        row = journal.append(phase())
        with pytest.raises(JournalError, match=r"safe on its file system.*Close whatever reads it"):
            leave_wal(path, patience_s=0.05)
        assert read(path) == [row]


def test_a_foreign_database_with_a_log_is_left_alone(path):
    plain = sqlite3.connect(path)
    plain.execute("PRAGMA journal_mode=WAL")
    plain.execute("PRAGMA user_version=5")
    plain.execute("CREATE TABLE notes (text)")
    plain.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program"):
        Journal(path, mode="delete")
    assert path.read_bytes() == before


def test_a_reader_that_takes_its_time_does_not_hold_up_the_writer(path):
    with Journal(path, mode="delete") as journal:
        journal.append_all([phase(n) for n in range(ROWS_AT_ONCE + 5)])
        journal._db.execute("PRAGMA busy_timeout=0")
        with open_reader(path) as reader:
            rows = reader.rows()
            first = next(rows)
            late = journal.append(phase(-1))
            assert [first, *rows] == read(path)
            assert read(path)[-1] == late


def test_readers_wait_for_the_writer_and_see_only_whole_events(path):
    done = threading.Event()
    counts = []
    with Journal(path, mode="delete") as journal:
        journal.append(phase())

        def look():
            while not done.is_set():
                counts.append(len(read(path)))

        watcher = threading.Thread(target=look)
        watcher.start()
        for n in range(30):
            journal.append_all([phase(n), phase(n)])
        done.set()
        watcher.join()
    assert counts == sorted(counts)
    assert {count % 2 for count in counts} == {1}
    assert len(read(path)) == 61


def test_what_a_killed_writer_had_acknowledged_is_there_and_written_on(path):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    acknowledged = [writer.stdout.readline().strip() for _ in range(25)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [line for line in writer.stdout.read().split() if len(line) == 64]
    writer.wait()
    writer.stdout.close()
    hashes = [row.hash for row in read(path)]
    assert hashes[: len(acknowledged)] == acknowledged
    assert len(hashes) <= len(acknowledged) + 1
    with Journal(path, mode="delete") as journal:
        journal.append(phase())
    assert len(read(path)) == len(hashes) + 1


def test_a_write_that_was_cut_short_is_rolled_back_by_who_reads_and_by_who_writes(path, tmp_path):
    torn = tmp_path / "torn" / "journal.db"
    torn.parent.mkdir()
    with Journal(path, mode="delete") as journal:
        rows = [journal.append(phase(n)) for n in range(3)]
    # The page cache is spilled in the middle of a transaction: half of it is in the file, to be rolled back.
    plain = sqlite3.connect(path, isolation_level=None)
    plain.execute("PRAGMA cache_size=1")
    plain.execute("BEGIN IMMEDIATE")
    plain.execute("UPDATE wal_reserve SET filling = zeroblob(100000)")
    plain.execute("INSERT OR REPLACE INTO wal_reserve VALUES (1, zeroblob(900000))")
    for name in ("journal.db", "journal.db-journal"):
        shutil.copy(path.with_name(name), torn.parent)
    plain.execute("ROLLBACK")
    plain.close()
    assert torn.stat().st_size != path.stat().st_size
    before = torn.read_bytes()
    assert read(torn) == rows
    assert torn.read_bytes() == before, "looking must not change anything"
    with Journal(torn, mode="delete") as journal:
        rows.append(journal.append(phase(3)))
    assert read(torn) == rows
    assert not os.path.exists(f"{torn}-journal")
