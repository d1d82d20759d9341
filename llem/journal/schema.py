"""Which form a journal has, and how it is brought forward. sqlite-utils does the work; appends never need it."""

import sqlite3
from pathlib import Path

from llem.domain.errors import EnvironmentNotFitError, JournalError

APPLICATION_ID = int.from_bytes(b"llem", "big")
SCHEMA_VERSION = 1
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables


def migrate(path: Path) -> None:
    """Create the journal at ``path``, or bring an older one forward. A current one stays as it is.

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
    # Here, not at the top: sqlite_utils loads pandas where it finds it, up to half a second.
    from sqlite_utils import Database

    from llem.migrations import journal_migrations

    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        journal_migrations.apply(Database(connection))
    except sqlite3.Error as error:
        raise JournalError(
            f"The journal {path} cannot be created or brought forward: {error}.",
            remedy="Check that the folder is writable and the disk has space.",
        ) from error
    finally:
        connection.close()


def stored_version(path: Path) -> int:
    """Return the form of the journal at ``path``; 0 for an empty database.

    Raises:
        JournalError: It is no journal of llem's, or a newer llem wrote it.
    """
    connection = None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        return checked_version(connection, path)
    except sqlite3.Error:
        return _version_in_header(path)
    finally:
        if connection is not None:
            connection.close()


def checked_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the form of the journal behind ``connection``; see ``stored_version``."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return _checked(int(application_id), int(version), path)


def _version_in_header(path: Path) -> int:
    """Read the form from the file's own header: what is left where SQLite will not open it."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise JournalError(
            f"The journal {path} cannot be read: {error.strerror}.",
            remedy="Check the file and its permissions.",
        ) from error
    if header[:16] != b"SQLite format 3\x00":
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
