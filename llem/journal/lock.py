"""One writer per study: a lock that the kernel releases when its holder dies, however it dies."""

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from llem.domain.errors import JournalLockedError, StudyError
from llem.journal.storage import unwritable


@dataclass(frozen=True)
class LockHolder:
    """Who holds a study's lock: enough to find the process, and to know a stale record."""

    pid: int
    host: str
    boot_id: str
    started_at: str


class StudyLock:
    """The exclusive lock on a study folder, for the life of a session.

    ``flock`` on a file of its own: readers of the journal are never in its way, and the kernel lets go of
    it when the process ends. Children must not inherit the descriptor, so it is close-on-exec.

    Args:
        path: The lock file, created where missing and left in place afterwards.
        holder: Written into the file, so that whoever is refused can be told who holds it.

    Raises:
        JournalLockedError: Another session holds it.
        StudyError: The lock file cannot be written, or its file system has no locks.
    """

    def __init__(self, path: Path, holder: LockHolder) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise unwritable(f"The study's lock {path}", error) from error
        try:
            taken = acquired(self._fd)
        except OSError as error:
            os.close(self._fd)
            raise StudyError(
                f"The study's lock {path} cannot be taken: {error.strerror}. Its file system may have no locks.",
                remedy="Put the study on a file system that has them (--output), or mount it with locking.",
            ) from error
        if not taken:
            os.close(self._fd)
            raise locked_error(path)
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, json.dumps(asdict(holder)).encode(), 0)
        except OSError as error:
            os.close(self._fd)
            raise unwritable(f"The study's lock {path}", error) from error

    def release(self) -> None:
        """Let go of the lock. Closing the descriptor is what releases it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquired(fd: int) -> bool:
    """Take the exclusive lock on an open file; return whether that could be done, without waiting for a holder."""
    # A reader that asks `is_locked` holds the lock for microseconds: a few tries tell it from a session.
    for _ in range(5):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


def is_locked(path: Path) -> bool:
    """Return whether a session holds the lock now. A folder that cannot be asked counts as free."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(fd)


def lock_holder(path: Path) -> LockHolder | None:
    """Return who wrote the lock file last; None where that cannot be read."""
    try:
        return LockHolder(**json.loads(path.read_bytes()))
    except (OSError, TypeError, ValueError):
        return None


def locked_error(path: Path) -> JournalLockedError:
    """Return the error for a study that another session holds, with who that is."""
    holder = lock_holder(path)
    who = (
        f"process {holder.pid} on {holder.host}, since {holder.started_at}"
        if holder
        else "a process that left no name"
    )
    return JournalLockedError(
        f"The study in {path.parent} is being run by another session: {who}.",
        remedy="Watch it with `llem study log --follow`, or end that process and resume.",
    )
