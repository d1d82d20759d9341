"""Which form a journal has, and how it is brought forward. sqlite-utils does the work; appends never need it."""

import hashlib
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from llem.domain.errors import EnvironmentNotFitError, JournalError
from llem.journal.mounts import JournalMode
from llem.journal.storage import trouble_with

APPLICATION_ID = int.from_bytes(b"llem", "big")
SCHEMA_VERSION = 1
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
MAGIC = b"SQLite format 3\x00"
HEADER_BYTES = 100
USUAL_PAGE_BYTES = 4096
MADE_BY: dict[str, str] = {
    "events": "16c30cbe27d1fd98",
    "events_in_a_row": "b0d4273dbf8c8aba",
    "events_never_change": "385ab7a2bb159dc6",
    "events_never_go": "3cbc3710502d0046",
    "wal_reserve": "1f6f31ddbac0b409",
}
"""What an append goes by: its name, and the SHA-256, cut short, of the SQL that makes it, spaces aside."""


def migrate(path: Path, mode: JournalMode) -> None:
    """Create the journal at ``path``, or bring an older one forward. A current one stays as it is.

    Args:
        path: ``journal.db``.
        mode: How it is made durable while this writes.

    Raises:
        JournalError: A newer llem wrote it, or it is something else.
        EnvironmentNotFitError: This Python's SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise EnvironmentNotFitError(
            f"This Python has SQLite {sqlite3.sqlite_version}; the journal needs 3.37 or newer.",
            remedy="Use a newer Python, such as 3.12 from python.org or conda.",
        )
    if path.exists() and stored_version(path) == SCHEMA_VERSION:
        return
    # Here, not at the top, and without what it loads where it finds it: half a second, 45 MB for the whole session.
    with _as_if_missing("numpy", "pandas"):
        from sqlite_utils import Database

        from llem.migrations import journal_migrations

    try:
        path.touch()  # as the umask has it: SQLite itself would let no group write
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA journal_mode={mode}")
            connection.execute("PRAGMA synchronous=EXTRA")
            journal_migrations.apply(Database(connection))
    except (OSError, sqlite3.Error) as error:
        trouble = trouble_with(path, error)
        raise JournalError(
            f"The journal {path} cannot be created or brought forward: {trouble.found}.", remedy=trouble.remedy
        ) from error


@contextmanager
def _as_if_missing(*packages: str) -> Iterator[None]:
    """Let what is imported meanwhile take packages that nobody has loaded yet for not installed."""
    hidden = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None there makes an import fail
    try:
        yield
    finally:
        for package in hidden:
            del sys.modules[package]


def leave_wal(path: Path, patience_s: float = 10) -> None:
    """Fold a write-ahead log that the journal at ``path`` has into the file, and give up logging so.

    Nothing is shared with other processes meanwhile, so this is safe where memory cannot be shared.

    Args:
        path: ``journal.db``; may be missing.
        patience_s: How long others that have it open are waited for.

    Raises:
        JournalError: It is no journal of llem's, or too new, or somebody has it open.
    """
    if not in_wal_form(path):
        return
    _version_in_header(path)
    connection = sqlite3.connect(path, isolation_level=None, timeout=patience_s)
    try:
        connection.execute(
            "PRAGMA locking_mode=EXCLUSIVE"
        )  # before anything is read: the log's index is private then
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        raise JournalError(
            f"The journal {path} cannot be put into the mode that is safe on its file system: {error}.",
            remedy="Close whatever reads it (datasette, sqlite3, `llem study log --follow`), then try again.",
        ) from error
    finally:
        connection.close()


def in_wal_form(path: Path) -> bool:
    """Return whether the file at ``path`` says of itself that it goes with a write-ahead log."""
    header = _header(path)
    return header[:16] == MAGIC and header[18:19] == b"\x02"


def page_bytes(path: Path) -> int:
    """Return the size of a page of the database at ``path``; SQLite's usual one where its header is no help."""
    size = int.from_bytes(_header(path)[16:18], "big")
    return size if size >= 512 and size.bit_count() == 1 else USUAL_PAGE_BYTES


def refuse_newer(path: Path) -> None:
    """Refuse a journal that says of itself that it is of a newer form, whatever else is wrong with it.

    Raises:
        JournalError: It does.
    """
    header = _header(path)
    if header[:16] == MAGIC and header[68:72] == APPLICATION_ID.to_bytes(4, "big"):
        _checked(APPLICATION_ID, int.from_bytes(header[60:64], "big"), path)


def _header(path: Path) -> bytes:
    """Return the header of the file at ``path``, as much of it as can be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEADER_BYTES)
    except OSError:
        return b""


def stored_version(path: Path) -> int:
    """Return the form of the journal at ``path``; 0 for an empty database.

    Raises:
        JournalError: It is no journal of llem's, or a newer llem wrote it.
    """
    connection = None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        return checked_version(connection, path)
    except (sqlite3.Error, UnicodeDecodeError):
        return _version_in_header(path)
    finally:
        if connection is not None:
            connection.close()


def checked_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the form of the journal behind ``connection``; see ``stored_version``."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return _checked(int(application_id), int(version), path)


def altered_objects(connection: sqlite3.Connection) -> list[str]:
    """Return which tables and guards behind ``connection`` are not as llem makes them: appends would be refused.

    SQLite's own check takes any SQL that it can read for sound.
    """
    found = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    return [
        f"the {kind} {name} is not as llem makes it"
        for kind, name, sql in found
        if name in MADE_BY and _digest(str(sql)) != MADE_BY[name]
    ]


def _digest(sql: str) -> str:
    return hashlib.sha256(" ".join(sql.split()).encode()).hexdigest()[:16]


def _version_in_header(path: Path) -> int:
    """Read the form from the file's own header: what is left where SQLite will not open it."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError as error:
        raise JournalError(
            f"The journal {path} cannot be read: {error.strerror}.",
            remedy="Check the file and its permissions.",
        ) from error
    if header[:16] != MAGIC:
        raise JournalError(
            f"{path} is no SQLite database.",
            remedy="It is damaged or something else: restore it from a backup.",
        )
    return _checked(int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big"), path)


def _checked(application_id: int, version: int, path: Path) -> int:
    if application_id not in (0, APPLICATION_ID) or (application_id == 0 and version):
        raise JournalError(f"{path} is a database of another program.", remedy="Give the folder of a llem study.")
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path} has form {version}; this llem knows forms up to {SCHEMA_VERSION}.",
            remedy="A newer llem wrote this journal: upgrade llem to read it.",
        )
    return version
