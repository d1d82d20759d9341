"""Why something cannot be written, in words: by what the system said, and where that says little, by a try."""

import errno
import resource
import sqlite3
from pathlib import Path
from typing import NamedTuple

from llem.domain.errors import StudyError

TRY_BYTES = 1 << 16


class Trouble(NamedTuple):
    """What keeps something from being written, and what mends that, as a sentence."""

    found: str
    remedy: str


def _mended(way_out: str) -> str:
    return f"{way_out}, then run `llem study resume`: everything recorded so far is kept."


MAKE_SPACE = _mended("Make space on it")
_GONE = Trouble(
    "its folder is gone",
    "Put it back or mount its file system again, then run `llem study resume`; if it was moved, resume it where it "
    "is now. What was deleted is only in your backups.",
)
_TROUBLES = {
    errno.ENOSPC: Trouble("the disk is full", MAKE_SPACE),
    errno.EDQUOT: Trouble("the disk quota is used up", _mended("Make space within it, or have it raised")),
    errno.EFBIG: Trouble(
        "files may not become so large here", _mended("Raise the limit of this shell (`ulimit -f unlimited`)")
    ),
    errno.EROFS: Trouble(
        "its file system is read-only",
        _mended("Mount it writable (the kernel also makes it read-only after an error of the disk: see `dmesg`)"),
    ),
    errno.EACCES: Trouble("you may not write there", _mended("Make the folder and what is in it writable")),
    errno.EIO: Trouble("the disk failed", _mended("See what `dmesg` says of it, and mend it")),
}
_TROUBLES[errno.EPERM] = _TROUBLES[errno.EACCES]
# A network file system whose server went, or a disk that was unplugged, is told in any of these ways.
for _number in ("ENOENT", "ENOTDIR", "ESTALE", "ENODEV", "ENXIO", "ENOTCONN", "EHOSTDOWN", "ETIMEDOUT", "ESHUTDOWN"):
    _TROUBLES[getattr(errno, _number)] = _GONE


def trouble_with(path: Path, error: Exception) -> Trouble:
    """Return what an error says about writing ``path``: of the system, or of SQLite, which tells less."""
    if isinstance(error, OSError):
        return _told(error.errno, error.strerror or str(error))
    return _told(_number_of(path, error), str(error))


def unwritable(what: str, error: OSError) -> StudyError:
    """Return the error for what cannot be written: ``what`` in words, with its place."""
    trouble = trouble_with(Path(), error)
    return StudyError(f"{what} cannot be written: {trouble.found}.", remedy=trouble.remedy)


def try_writing(folder: Path, size: int = TRY_BYTES) -> None:
    """Write so many bytes into a file in ``folder`` that has no name and is gone afterwards.

    What ``statvfs`` cannot tell shows in that: a quota, a limit of file sizes, a folder that is gone or read-only.

    Raises:
        OSError: It cannot be done.
    """
    import tempfile  # noqa: PLC0415 - who reads a journal writes nothing, and this loads much

    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        left = size
        while left > 0:
            left -= file.write(bytes(left))


def _told(number: int | None, said: str) -> Trouble:
    known = _TROUBLES.get(number or 0)
    if known is None:
        return Trouble(said, _mended("Check that the disk has space and the folder is writable"))
    return Trouble(f"{known.found} ({said})", known.remedy)


def _number_of(path: Path, error: Exception) -> int | None:
    """Return the number by which the system would tell of an error of SQLite's; None where it is of another kind."""
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says in which call
    if kind == sqlite3.SQLITE_FULL:
        return errno.ENOSPC
    otherwise = {
        sqlite3.SQLITE_IOERR: errno.EIO,
        sqlite3.SQLITE_READONLY: errno.EACCES,
        sqlite3.SQLITE_PERM: errno.EACCES,
        sqlite3.SQLITE_CANTOPEN: None,
    }
    return _tried(path) or otherwise[kind] if kind in otherwise else None


def _tried(path: Path) -> int | None:
    """Return why nothing can be written beside ``path``, or nothing more to it; None where all of that goes well."""
    try:
        try_writing(path.parent)
    except OSError as error:
        return error.errno
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    logged = path.with_name(f"{path.name}-wal")
    largest = max((file.stat().st_size for file in (path, logged) if file.exists()), default=0)
    return errno.EFBIG if limit != resource.RLIM_INFINITY and largest + TRY_BYTES > limit else None
