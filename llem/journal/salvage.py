"""What can still be read of a damaged journal: row by row, by every way that may still lead to one.

Nothing here says whether a row is as it was written. The chain does: a row that fits it is proven, wherever it
was found.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from llem.domain.errors import JournalError
from llem.domain.row import COLUMNS, Row, row_of
from llem.journal import schema
from llem.journal.journal import Journal
from llem.journal.reader import LOGS
from llem.journal.wal import WriteAheadLog

LEAST_ROW_BYTES = 160
"""What a row takes at least: two hashes of 64 characters, and the time."""


class Unreadable(NamedTuple):
    """A row that SQLite cannot give."""

    seq: int
    why: str


class Remains:
    """A damaged journal, or what was made of its parts, open for reading."""

    def __init__(self, connection: sqlite3.Connection, file_bytes: int) -> None:
        self._db = connection
        self._most_rows = file_bytes // LEAST_ROW_BYTES

    def rows(self, after: int = 0) -> Iterator[Row | Unreadable]:
        """Yield the rows after number ``after`` in rising order; where one cannot be read, each is asked for."""
        last, end = after, None
        while True:
            try:
                for row in self._rows("seq > ? ORDER BY seq", last):
                    if row.seq > last:  # a damaged tree can lead in circles
                        last = row.seq
                        yield row
                return
            except (sqlite3.Error, UnicodeDecodeError) as error:
                why = str(error)
            if end is None:
                end = self._end()
            while True:
                last += 1
                if last > end:
                    return
                try:
                    found = list(self._rows("seq = ?", last))
                except (sqlite3.Error, UnicodeDecodeError) as error:
                    why = str(error)
                    yield Unreadable(last, why)
                    continue
                if found:
                    yield found[0]
                    break

    def _rows(self, which: str, number: int) -> Iterator[Row]:
        return map(row_of, self._db.execute(f"SELECT {COLUMNS} FROM events WHERE {which}", (number,)))

    def _end(self) -> int:
        """Return a number that no row is beyond."""
        try:
            (last,) = self._db.execute("SELECT max(seq) FROM events").fetchone()
        except (sqlite3.Error, UnicodeDecodeError):
            last = None
        return self._most_rows if last is None else min(int(last), self._most_rows)


def remains_of(path: Path, spare: Path) -> Iterator[Remains]:
    """Yield every way to read the journal at ``path`` that opens, the one nearest to how it lies first.

    Each works on a copy in ``spare``, a folder for this alone, and ends when the next is asked for. The journal is
    not touched.

    Raises:
        JournalError: A newer llem wrote it, or it cannot be copied.
    """
    schema.refuse_newer(path)
    found = False
    for fresh_page in (False, True):
        for log in _ways(path):
            connection = _opened(_copied(path, spare, log, fresh_page=fresh_page))
            if connection is not None:
                found = True
                try:
                    yield Remains(connection, sum(file.stat().st_size for file in spare.iterdir()))
                finally:
                    connection.close()
        if found:
            return  # SQLite found the table: the first page is sound


def log_hides(path: Path) -> bool:
    """Return whether the log of the journal at ``path`` holds what SQLite does not read, for a damage before it.

    Only of a journal that nobody writes: whoever does is ahead of what this reads.
    """
    return _log(path).hides


def _log(path: Path) -> WriteAheadLog:
    try:
        content = _beside(path, "-wal").read_bytes()
    except OSError:
        content = b""
    return WriteAheadLog(content, schema.page_bytes(path))


def _ways(path: Path) -> tuple[str, ...]:
    """Return what can be made of the logs beside a journal."""
    if _beside(path, "-wal").is_file():
        return ("as it lies", "mended", "none")
    return ("as it lies", "none") if _beside(path, "-journal").is_file() else ("none",)


def _copied(path: Path, spare: Path, log: str, *, fresh_page: bool) -> Path:
    """Return a copy of the journal with one of the ways to take its log, alone in ``spare``."""
    copy = spare / "journal.db"
    try:
        for file in spare.iterdir():
            file.unlink()
        shutil.copyfile(path, copy)
        if fresh_page:
            _renew_first_page(copy)
        if log == "mended":
            _beside(copy, "-wal").write_bytes(_log(path).mended())
        elif log == "as it lies":
            for ending in LOGS:
                if _beside(path, ending).is_file():
                    shutil.copyfile(_beside(path, ending), _beside(copy, ending))
    except OSError as error:
        raise JournalError(
            f"The journal {path} cannot be copied to look into it: {error.strerror} ({spare}).",
            remedy="Set TMPDIR to a folder with more space than the journal takes, then try again.",
        ) from error
    return copy


def _renew_first_page(copy: Path) -> None:
    """Put the first page of a fresh journal in the place of the copy's."""
    page = bytearray(_fresh_first_page())
    page[28:32] = (copy.stat().st_size // len(page)).to_bytes(4, "big")
    with copy.open("r+b") as file:
        file.write(page)


@cache
def _fresh_first_page() -> bytes:
    """Return the first page of a journal without events.

    It holds the file's header and where each table begins. The migrations alone decide that, so it is the same in
    every journal of a form, but for the number of pages.
    """
    with tempfile.TemporaryDirectory(prefix="llem-") as spare:
        fresh = Path(spare) / "journal.db"
        Journal(fresh, mode="delete").close()
        return fresh.read_bytes()[: schema.page_bytes(fresh)]


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _opened(copy: Path) -> sqlite3.Connection | None:
    """Open a copy; None where SQLite does not even find the table in it."""
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(f"SELECT {COLUMNS} FROM events LIMIT 0")
    except (sqlite3.Error, UnicodeDecodeError):
        connection.close()
        return None
    return connection
