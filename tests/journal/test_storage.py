import errno
import os
import sqlite3

import pytest

from llem.domain.errors import StudyError
from llem.journal.storage import trouble_with, try_writing, unwritable

KEPT = "then run `llem study resume`: everything recorded so far is kept."


@pytest.mark.parametrize(
    ("number", "found", "remedy"),
    [
        (errno.ENOSPC, "the disk is full", "Make space on it"),
        (errno.EDQUOT, "the disk quota is used up", "have it raised"),
        (errno.EFBIG, "files may not become so large here", "ulimit -f unlimited"),
        (errno.EROFS, "its file system is read-only", "Mount it writable"),
        (errno.EACCES, "you may not write there", "writable"),
        (errno.EIO, "the disk failed", "dmesg"),
        (errno.EXDEV, "Invalid cross-device link", "the disk has space and the folder is writable"),
    ],
)
def test_what_the_system_says_is_told_with_the_way_out(number, found, remedy):
    error = unwritable("The result r.json", OSError(number, os.strerror(number)))
    assert isinstance(error, StudyError)
    assert error.message.startswith(f"The result r.json cannot be written: {found}")
    assert os.strerror(number) in error.message
    assert remedy in error.remedy
    assert error.remedy.endswith(KEPT)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE, errno.ENODEV, errno.ENOTCONN, errno.EHOSTDOWN])
def test_a_file_system_that_went_away_is_told_as_gone_and_nothing_is_promised(number):
    error = unwritable("The raw edges", OSError(number, os.strerror(number)))
    assert "its folder is gone" in error.message
    assert "mount its file system again" in error.remedy
    assert KEPT not in error.remedy


def failed(path, statement, uri="mode=rwc"):
    """Return the error that SQLite really raises for a statement."""
    with pytest.raises(sqlite3.OperationalError) as raised:
        sqlite3.connect(f"{path.as_uri()}?{uri}", uri=True).execute(statement)
    return raised.value


def test_what_sqlite_says_is_told_as_the_system_would(tmp_path):
    path = tmp_path / "journal.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)")
    read_only = failed(path, "INSERT INTO t VALUES (1)", "mode=ro")
    assert trouble_with(path, read_only).found == "you may not write there (attempt to write a readonly database)"
    full = sqlite3.connect(path)
    full.execute("PRAGMA max_page_count=2")
    with pytest.raises(sqlite3.OperationalError) as raised:
        full.execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert trouble_with(path, raised.value).found == "the disk is full (database or disk is full)"
    nowhere = tmp_path / "gone" / "journal.db"
    missing = failed(nowhere, "CREATE TABLE t (x)")
    assert trouble_with(nowhere, missing).found == "its folder is gone (unable to open database file)"
    wrong = failed(path, "INSERT INTO u VALUES (1)")
    assert trouble_with(path, wrong).found == "no such table: u"


def test_a_try_leaves_nothing(tmp_path):
    try_writing(tmp_path, 3_000_000)
    assert list(tmp_path.iterdir()) == []
