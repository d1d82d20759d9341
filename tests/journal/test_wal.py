"""A damaged write-ahead log: what is behind the damage is found, and what a power cut leaves is no damage."""

import shutil
import sqlite3

import pytest

from llem.domain.events import PhaseEntered
from llem.journal.journal import Journal
from llem.journal.wal import FRAME, HEADER, WriteAheadLog

PAGE_BYTES = 4096
STEP = FRAME.size + PAGE_BYTES
EVENTS = 30


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """Return a journal and its log, as they lie while a session writes."""
    place, kept = tmp_path_factory.mktemp("live"), tmp_path_factory.mktemp("kept")
    with Journal(place / "journal.db") as journal:
        for number in range(EVENTS):
            journal.append(PhaseEntered(trial="t", attempt=1, phase="load", t_ns=number))
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(place / name, kept)
    return (kept / "journal.db").read_bytes(), (kept / "journal.db-wal").read_bytes()


def events_in(live, log, place):
    """Return how many events SQLite finds in the journal with another log."""
    (place / "journal.db").write_bytes(live[0])
    (place / "journal.db-wal").write_bytes(log)
    db = sqlite3.connect(place / "journal.db")
    (count,) = db.execute("SELECT count(*) FROM events").fetchone()
    db.close()
    return count


def frames_of(log):
    """Return where the frames of this round of the log begin."""
    salts = log[16:24]
    return [start for start in range(HEADER.size, len(log) - STEP + 1, STEP) if log[start + 8 : start + 16] == salts]


def flipped(log, place):
    content = bytearray(log)
    content[place] ^= 4
    return bytes(content)


def test_a_sound_log_hides_nothing_and_is_mended_into_itself(live):
    log = live[1]
    read = WriteAheadLog(log, PAGE_BYTES)
    assert not read.hides
    assert log.startswith(read.mended())
    assert len(read.mended()) == frames_of(log)[-1] + STEP


@pytest.mark.parametrize("part", [0, 4, 8, 16, 20, FRAME.size + 9, STEP - 1])
def test_a_damage_in_the_middle_hides_what_is_behind_it(live, tmp_path, part):
    log = live[1]
    frames = frames_of(log)
    damaged = flipped(log, frames[len(frames) // 2] + part)
    left = events_in(live, damaged, tmp_path)
    assert left < EVENTS
    assert WriteAheadLog(damaged, PAGE_BYTES).hides
    mended = events_in(live, WriteAheadLog(damaged, PAGE_BYTES).mended(), tmp_path)
    assert mended == EVENTS


@pytest.mark.parametrize("damage", [lambda log: bytes(32) + log[32:], lambda log: flipped(log, 17)])
def test_a_damaged_head_hides_the_whole_log(live, tmp_path, damage):
    damaged = damage(live[1])
    assert events_in(live, damaged, tmp_path) == 0
    assert WriteAheadLog(damaged, PAGE_BYTES).hides
    assert events_in(live, WriteAheadLog(damaged, PAGE_BYTES).mended(), tmp_path) == EVENTS


@pytest.mark.parametrize("part", [0, 4, 8, 16, FRAME.size + 9])
def test_a_last_transaction_that_was_torn_hides_nothing(live, tmp_path, part):
    log = live[1]
    torn = flipped(log, frames_of(log)[-1] + part)
    assert not WriteAheadLog(torn, PAGE_BYTES).hides
    assert events_in(live, torn, tmp_path) == EVENTS - 1


@pytest.mark.parametrize("log", [b"", b"torn", bytes(32), bytes(10_000)], ids=len)
def test_what_is_no_log_hides_nothing_and_is_mended_into_none(log):
    read = WriteAheadLog(log, PAGE_BYTES)
    assert not read.hides
    assert read.mended() == b""
