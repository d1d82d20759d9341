"""The writer of a journal: durable, gapless, chained appends."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from llem.domain.errors import JournalError
from llem.domain.events import Event
from llem.domain.redaction import redacted
from llem.domain.row import COLUMNS, GENESIS, Row, chain_hash, row_of
from llem.journal import schema
from llem.journal.mounts import JournalMode, mount_of
from llem.journal.place import Place
from llem.journal.storage import trouble_with

WAL_PAGES = 128
# EXTRA syncs the folder too: a rollback journal is gone for good when its name is.
SYNCHRONOUS: dict[JournalMode, str] = {"wal": "FULL", "delete": "EXTRA"}
# Without a write-ahead log the writer waits for whoever reads.
PATIENCE_S: dict[JournalMode, float] = {"wal": 10, "delete": 60}
WORDS = {
    "experiment_failed": ("error_message", "traceback"),
    "experiment_interrupted": ("reason",),
    "session_ended": ("detail",),
}
"""What others say in an event, by its kind: they may quote a token, which has no place in a record for ever."""
INSERT = f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def utc_text(moment: datetime) -> str:
    """Return a UTC time as text with microseconds, which sorts as the times do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Journal:
    """The journal of one study, open for appending. The caller holds the study's lock.

    An append that returned survives SIGKILL and power loss: write-ahead log, ``synchronous=FULL``; where memory
    cannot be shared among readers, as on a network file system, a rollback journal, ``synchronous=EXTRA``.

    Args:
        path: ``journal.db``; created where missing, brought forward where older, put into ``mode`` where it is not.
        now: The clock that stamps events.
        mode: How it is made durable; as its file system allows where left out.

    Raises:
        JournalError: The file is damaged, foreign or too new, or cannot be written.
    """

    def __init__(self, path: Path, *, now: Callable[[], datetime] = utc_now, mode: JournalMode | None = None) -> None:
        mode = mode or mount_of(path).journal_mode
        if mode == "delete":
            schema.leave_wal(path)
        schema.migrate(path, mode)
        self.path = path
        self._now = now
        try:
            # Autocommit: each INSERT is a transaction of its own unless `append_all` opens one.
            self._db = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_S[mode])
            (granted,) = self._db.execute(f"PRAGMA journal_mode={mode}").fetchone()
            self.mode: JournalMode = "wal" if granted == "wal" else "delete"
            self._db.execute(f"PRAGMA synchronous={SYNCHRONOUS[self.mode]}")  # kept per connection, not in the file
            if self.mode == "wal":
                self._presize_wal()
            last = self._db.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite's own messages may quote damaged text
            raise _cannot_write(path, error) from error
        log = [path.with_name(f"{path.name}-wal")] if self.mode == "wal" else []
        self._place = Place([path, *log])
        self._seq: int = last[0] if last else 0
        self._hash: str = last[-1] if last else GENESIS
        self.session: int = last[2] if last else 1

    @property
    def head(self) -> tuple[int, str]:
        """Return number and hash of the last event."""
        return self._seq, self._hash

    def append(self, event: Event) -> Row:
        """Append one event and return its row once it is durable.

        Raises:
            JournalError: It could not be written. What was appended before is intact.
        """
        return self.append_all((event,))[0]

    def append_all(self, events: Sequence[Event]) -> list[Row]:
        """Append several events in one transaction: all of them or none.

        Raises:
            JournalError: They could not be written.
        """
        seq, last_hash = self._seq, self._hash
        rows = []
        for event in events:
            seq += 1
            stored = (
                seq,
                utc_text(self._now()),
                self.session,
                event.kind,
                event.v,
                event.trial,
                event.attempt,
                _json_text(event),
                last_hash,
            )
            last_hash = chain_hash(*stored)
            rows.append(Row(*stored, last_hash))
        self._insert(rows)
        return rows

    def adopt(self, rows: Sequence[Row]) -> None:
        """Append events as another journal has them, in one transaction; they follow the last one here.

        Raises:
            JournalError: They do not follow it, or could not be written.
        """
        self._insert(rows)
        self.session = rows[-1].session

    def _insert(self, rows: Sequence[Row]) -> None:
        try:
            if len(rows) == 1:
                self._db.execute(INSERT, rows[0])
            else:
                with self._transaction():
                    self._db.executemany(INSERT, rows)
        except sqlite3.Error as error:
            raise _cannot_write(self.path, error) from error
        self.require_place()
        self._seq, self._hash = rows[-1].seq, rows[-1].hash

    def require_place(self) -> None:
        """Make sure that the file that is open is the one at ``path``, and its log the one beside it.

        Raises:
            JournalError: One was moved, replaced or deleted: what is appended now would be found by nobody.
        """
        try:
            self._place.require()
        except JournalError:
            with suppress(sqlite3.Error):  # a log that was deleted is there for us alone, and as long as we have it
                self._db.execute("PRAGMA wal_checkpoint").fetchall()
            raise

    def rows(self, kinds: Sequence[str] = ()) -> Iterator[Row]:
        """Yield the rows of some kinds, or all, in order.

        Raises:
            JournalError: They cannot be read.
        """
        chosen = f"WHERE kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        try:
            yield from map(row_of, self._db.execute(f"SELECT {COLUMNS} FROM events {chosen} ORDER BY seq", kinds))
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise JournalError(
                f"The journal {self.path} cannot be read: {error}.",
                remedy="See what `dmesg` says of its disk. `llem study log FOLDER --verify` says what is left of it.",
            ) from error

    def row(self, seq: int) -> Row:
        """Return the row of event number ``seq``.

        Raises:
            JournalError: It cannot be read.
        """
        try:
            found = self._db.execute(f"SELECT {COLUMNS} FROM events WHERE seq = ?", (seq,)).fetchone()
            why = "it is not there"
        except (sqlite3.Error, UnicodeDecodeError) as error:
            found, why = None, str(error)
        if found is None:
            raise JournalError(
                f"Event {seq} of the journal {self.path} cannot be read: {why}.",
                remedy="It is damaged. `llem study log FOLDER --verify` says what is left of it.",
            )
        return row_of(found)

    def seal(self) -> bool:
        """Fold the write-ahead log into the file, so that it can be copied and read from a read-only folder.

        Return whether it is sealed: readers that have it open now prevent it, and lose nothing.
        """
        try:
            self._db.execute("PRAGMA busy_timeout=200")  # a reader that stays must not hold up the end of a study
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (mode,) = self._db.execute("PRAGMA journal_mode=DELETE").fetchone()
        except sqlite3.Error:
            return False
        return bool(mode == "delete")

    def close(self) -> None:
        """Close the journal. The last one to close it folds the write-ahead log into the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)

    def _presize_wal(self) -> None:
        (page_bytes,) = self._db.execute("PRAGMA page_size").fetchone()
        self._db.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        self._db.execute(
            "INSERT OR REPLACE INTO wal_reserve (id, filling) VALUES (1, zeroblob(?))",
            (WAL_PAGES * page_bytes,),
        )
        self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK on an error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._db.execute("COMMIT")
        elif self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _json_text(event: Event) -> str:
    """Return an event's data as it is stored; keys keep their order, which people read."""
    data = event.data()
    for name in WORDS.get(event.kind, ()):
        words = data[name]
        if isinstance(words, str):
            data[name] = redacted(words)
    return _ENCODER.encode(data)


def _cannot_write(path: Path, error: Exception) -> JournalError:
    trouble = trouble_with(path, error)
    return JournalError(f"The journal {path} cannot be written: {trouble.found}.", remedy=trouble.remedy)
