"""The logs of what runs beside the parent: whatever a library prints, so theirs alone to read who runs the study."""

import os
from pathlib import Path
from typing import BinaryIO

from llem.domain.redaction import redacted
from llem.journal.storage import unwritable

MODE = 0o600
MOST_BYTES = 1_000_000
"""A larger log is left as it was written: to look through it would hold up the next trial."""
OF_A_SESSION = ("recorder.log", "zygote.log", "load.log")


def open_log(path: Path, *, anew: bool = False) -> BinaryIO:
    """Open a log for writing, behind what it holds, or ``anew``.

    Raises:
        StudyError: It cannot be written, or somebody has put a link there, which may lead anywhere.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_TRUNC if anew else os.O_APPEND)
    try:
        return os.fdopen(os.open(path, flags, MODE), "wb")
    except OSError as error:
        raise unwritable(f"The log {path}", error) from error


def redact_log(path: Path) -> None:
    """Take the secrets out of a log that nobody writes any more. One that cannot be read or is large stays."""
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW), "r+b") as file:
            raw = file.read(MOST_BYTES + 1)
            text = raw.decode("utf-8", "surrogateescape")
            clean = redacted(text) if len(raw) <= MOST_BYTES else text
            if clean != text:
                file.seek(0)
                file.write(clean.encode("utf-8", "surrogateescape"))
                file.truncate()
    except OSError:
        pass  # there is none


def redact_session_logs(folder: Path) -> None:
    """Do the same to the logs that one session's processes share."""
    for name in OF_A_SESSION:
        redact_log(folder / name)
