"""Whether the disk takes what a study is about to record: nothing is measured that cannot be recorded."""

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from llem.domain.errors import StudyError
from llem.journal.journal import Journal
from llem.journal.storage import MAKE_SPACE, try_writing, unwritable
from llem.study.folder import PARTS, StudyFolder

LEAST_BYTES = 16 << 20
"""What is never left to others: the journal grows, and a trial may write more than any before it did."""
LEAST_FILES = 16
FILES_OF_A_TRIAL = 3
"""Its result, its raw edges and its log."""
MARGIN = 1.5
LAST_TRIALS = 8
MOST_TRIED_BYTES = 1 << 20


class Room(NamedTuple):
    """What is free on a disk for who is not root. ``files`` is None where its file system has no fixed number."""

    free_bytes: int
    files: int | None


def room_at(place: Path) -> Room | None:
    """Return the room where ``place`` lies or will lie; None where its file system does not tell."""
    place = place.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        found = os.statvfs(place)
    except OSError:
        return None
    files = found.f_favail if found.f_files else None
    return Room(found.f_bavail * found.f_frsize, files) if found.f_blocks else None


def require_room(place: Path, what: str, needed_bytes: float, trials: int, *, remedy: str) -> None:
    """Make sure that the disk has room for something, margin included.

    Args:
        place: Where it will be written.
        what: What it is, in words.
        needed_bytes: What it is expected to take.
        trials: Of how many trials it is.
        remedy: What to do where there is too little.

    Raises:
        StudyError: There is too little.
    """
    room = room_at(place)
    if room is None:
        return
    needed_bytes = max(LEAST_BYTES, MARGIN * needed_bytes)
    needed_files = LEAST_FILES + trials * FILES_OF_A_TRIAL
    if room.free_bytes < needed_bytes:
        free, needed = _megabytes(room.free_bytes), _megabytes(needed_bytes)
        raise StudyError(f"The disk of {place} has {free} free, and {what} needs {needed}.", remedy=remedy)
    if room.files is not None and room.files < needed_files:
        raise StudyError(
            f"The disk of {place} takes {room.files:,} more files, and {what} needs {needed_files:,}.", remedy=remedy
        )


class StudyDisk:
    """Looks after the disk of a running study.

    Args:
        folder: The study's folder. Its parts may lie on disks of their own.
        journal: Its open journal.
    """

    def __init__(self, folder: StudyFolder, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._places = [folder.root, *(folder.root / part for part in PARTS)]
        self._took: deque[int] = deque([0], maxlen=LAST_TRIALS)

    def require_place(self) -> None:
        """Make sure that the journal is where it was.

        Raises:
            JournalError: It was moved, replaced or deleted, or its file system is gone.
        """
        self._journal.require_place()

    def require_room(self) -> None:
        """Make sure that the next trial can be recorded: by what is free, and by writing as much as the last one did.

        Raises:
            StudyError: It cannot.
            JournalError: The journal is not where it was.
        """
        self.require_place()
        # An export is written beside the one before it.
        exports = sum(_size(path) for path in (self._folder.manifest, self._folder.results_file))
        needed_bytes = max(self._took) + exports
        for place in self._places:
            try:
                try_writing(place, min(max(self._took[-1], 1), MOST_TRIED_BYTES))
            except OSError as error:
                raise unwritable(f"What the next trial records in {place}", error) from error
            require_room(place, "the next trial", needed_bytes, 1, remedy=MAKE_SPACE)

    def took(self, files: Iterable[Path]) -> None:
        """Take note of the files that a trial left."""
        self._took.append(sum(map(_size, files)))


def _size(file: Path) -> int:
    """Return how large a file is; 0 where there is none."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _megabytes(number: float) -> str:
    return f"{number / 1e6:,.1f} MB"
