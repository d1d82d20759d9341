"""Reading a journal, whoever else reads or writes it, from writable and read-only folders alike."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from llem.domain.errors import InputError, JournalError
from llem.domain.row import COLUMNS, Row, row_of
from llem.journal import schema

LOGS = ("-wal", "-journal")
"""What ends the name of a log beside the file, that belongs to it: written ahead, or to roll back."""
ROWS_AT_ONCE = 1_000


@contextmanager
def open_reader(path: Path) -> Iterator["JournalReader"]:
    """Open the journal at ``path`` for reading; where it has a log, readers and the writer never wait for each other.

    A journal without a write-ahead log is read as it lies, also from a read-only folder. One with a log is
    read through it; where the folder forbids that, a copy is read.

    Raises:
        InputError: There is no journal.
        JournalError: It is damaged, foreign or too new.
    """
    if not path.is_file():
        raise InputError(
            f"{path.parent} is no study: it holds no {path.name}.",
            remedy="Give the folder that `llem study run` made; it is named {name}_{time}.",
        )
    with ExitStack() as spare:
        connection = _connect(path, spare)
        try:
            if not schema.checked_version(connection, path):
                raise no_plan(path.parent)
            yield JournalReader(connection, path)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _damaged(path, error) from error
        finally:
            connection.close()


def no_plan(folder: Path) -> JournalError:
    """Return the error for a study whose journal holds no plan."""
    return JournalError(
        f"The journal in {folder} holds no plan: its session ended before the plan was recorded, or it was emptied.",
        remedy="If there are results beside it, restore journal.db from a backup; if not, nothing was measured: "
        "run the study again.",
    )


class JournalReader:
    """An open journal, for reading."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self._waited_for = connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        self.path = path

    def rows(self, after: int = 0, *, trial: str | None = None, kind: str | None = None) -> Iterator[Row]:
        """Yield rows in order: those after number ``after``, of one trial, of one kind.

        Raises:
            JournalError: The file is damaged.
        """
        query = f"SELECT {COLUMNS} FROM events WHERE seq > ?"
        values: list[object] = [after]
        for column, value in (("trial", trial), ("kind", kind)):
            if value is not None:
                query += f" AND {column} = ?"
                values.append(value)
        try:
            if self._waited_for:
                yield from self._in_parts(query, values)
            else:
                yield from map(row_of, self._db.execute(query + " ORDER BY seq", values))
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _damaged(self.path, error) from error

    def _in_parts(self, query: str, values: list[object]) -> Iterator[Row]:
        """Yield the rows of a query without holding up a writer while they are used."""
        query += f" ORDER BY seq LIMIT {ROWS_AT_ONCE}"
        while part := list(map(row_of, self._db.execute(query, values))):
            yield from part
            values = [part[-1].seq, *values[1:]]

    def integrity(self) -> list[str]:
        """Return what SQLite's own check, and ours of its tables, finds wrong; nothing where the file is sound."""
        try:
            found = _checked(self._db) + schema.altered_objects(self._db)
            (free_pages,) = self._db.execute("PRAGMA freelist_count").fetchone()
            if not found and free_pages:
                return self._check_free_pages()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            return [str(error)]
        return found

    def _check_free_pages(self) -> list[str]:
        """Check that no page that is said to be free holds anything: the next append would write over it.

        SQLite leaves this out where the newest thing in the file is a view, so it is done in a copy without views.
        """
        with closing(sqlite3.connect(":memory:")) as copy:
            self._db.backup(copy)
            copy.execute("PRAGMA writable_schema=ON")
            copy.execute("DELETE FROM sqlite_master WHERE type = 'view'")
            copy.execute("PRAGMA writable_schema=RESET")
            return _checked(copy)


def _checked(connection: sqlite3.Connection) -> list[str]:
    found = [str(line) for (line,) in connection.execute("PRAGMA integrity_check")]
    return [] if found == ["ok"] else found


def _connect(path: Path, spare: ExitStack) -> sqlite3.Connection:
    """Open read-only: as it lies without a log, through the log, or a copy where the folder allows neither."""
    logs = [path.with_name(path.name + ending) for ending in LOGS]
    uri = path.absolute().as_uri()
    # A file in the form for a log cannot be opened read-only without one; any other is locked while it is read.
    as_it_lies = schema.in_wal_form(path) and not any(map(_holds_anything, logs))
    try:
        return _opened(f"{uri}?{'immutable=1' if as_it_lies else 'mode=ro'}")
    except (sqlite3.Error, UnicodeDecodeError):
        try:
            return _opened(_copy([path, *logs], spare).as_uri() + "?mode=rw")
        except OSError as error:
            raise JournalError(
                f"The journal {path} can be read from a copy alone, which cannot be made: {error.strerror or error}.",
                remedy="Set TMPDIR to a folder with more space than the journal takes, then try again.",
            ) from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _damaged(path, error) from error


def _copy(files: list[Path], spare: ExitStack) -> Path:
    """Copy the first file, and the others where they exist, into a folder that ``spare`` takes away."""
    # Here, not at the top: they take as long as all else that reading needs, and a copy is hardly ever made.
    import shutil
    import tempfile

    folder = Path(spare.enter_context(tempfile.TemporaryDirectory(prefix="llem-")))
    for file in files:
        if file.exists():
            shutil.copyfile(file, folder / file.name)
    return folder / files[0].name


def _holds_anything(log: Path) -> bool:
    try:
        return log.stat().st_size > 0
    except FileNotFoundError:
        return False  # there is none, or the writer has just folded it in


def _opened(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=10)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (sqlite3.Error, UnicodeDecodeError):  # SQLite's own messages may quote damaged text
        connection.close()
        raise
    return connection


def _damaged(path: Path, error: Exception) -> JournalError:
    return JournalError(
        f"The journal {path} cannot be read: {error}.",
        remedy="It is damaged or is no journal. `llem study log FOLDER --verify` says what is left of it, and "
        "`llem study recover FOLDER` keeps that.",
    )
