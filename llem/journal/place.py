"""Whether the files that a session writes are still those at their paths."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from llem.domain.errors import JournalError

OPEN_FILES = Path("/proc/self/fd")


class Identity(NamedTuple):
    """Which file it is, whatever it is called."""

    device: int
    inode: int


class Place:
    """The files of an open journal, as they were when it was opened.

    Who deletes or moves one that is open does not stop its writer: the system lets it write on, into a file that
    nobody finds again.

    Args:
        paths: The files: the database first, then its log.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [(str(path), _identity(str(path))) for path in paths]

    def require(self) -> None:
        """Make sure that every file is where it was.

        Raises:
            JournalError: One was moved, replaced or deleted, or its file system is gone.
        """
        for path, identity in self._files:
            if _identity(path) != identity:
                raise _displaced(Path(path), identity, is_log=path != self._files[0][0])


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)  # with each event: a Path takes three times as long
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)


def _displaced(path: Path, identity: Identity | None, *, is_log: bool) -> JournalError:
    now = _link_to(identity)
    if now is not None and _identity(now) == identity:
        what = f"was moved to {now}"
        remedy = f"Go on where it is now: llem study resume {shlex.quote(str(Path(now).parent))}"
    elif path.exists():
        what = "was replaced by another file"
        remedy = "Put back what was there, then run `llem study resume`."
    else:
        what = "is not there any more"
        remedy = (
            "If its file system was unmounted, mount it again, then run `llem study resume`. What was deleted is "
            "only in your backups."
        )
    if is_log:
        remedy = "What it held is in the journal itself: run `llem study resume`."
    return JournalError(f"{path} {what} while the study ran, so the session ends.", remedy=remedy)


def _link_to(identity: Identity | None) -> str | None:
    """Return what a file that this process has open is called now, as the kernel tells."""
    for link in OPEN_FILES.iterdir():
        try:
            found = link.stat()
            if Identity(found.st_dev, found.st_ino) == identity:
                return os.readlink(link)  # as it is said: it may name no file
        except OSError:
            continue
    return None
