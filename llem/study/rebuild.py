"""Putting a new journal in the place of a damaged one, so that no step can be the wrong one to be killed at.

1. The new journal is written beside the old one, whose files are copied into ``damaged/{time}/``. The study is as
   it was.
2. The new journal gets the name ``journal.db.recovered``. From here on it is the truth: whoever recovers the study
   again goes on with step 3, and a resume refuses.
3. What does not go with the new journal moves into ``damaged/{time}/``: files that no event of it names, and files
   that remember an event which it does not have.
4. The old journal's logs are deleted, and the new journal takes the name ``journal.db``.
"""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from llem.domain.decoding import typed_event
from llem.domain.errors import JournalError
from llem.domain.events import JournalRecovered
from llem.domain.events.recovery import KeptFile
from llem.domain.row import Row
from llem.journal.durable import make_folder, sync_folder
from llem.journal.journal import Journal
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.study.anchors import agreement, anchor_in, anchors_of, sound_anchors
from llem.study.chain import checked
from llem.study.folder import StudyFolder
from llem.study.integrity import orphans

BESIDE = ("-wal", "-journal", "-shm")
"""What may lie beside a journal and belongs to it."""
ROWS_AT_ONCE = 1_000
LOG = re.compile(r"(?P<trial>.+)_a(?P<attempt>[0-9]+)\.log")


def keep_damaged(folder: StudyFolder, now: datetime) -> tuple[str, tuple[KeptFile, ...]]:
    """Copy the journal's files into a new folder below ``damaged/``; return its name and what it holds.

    Raises:
        OSError: They cannot be copied.
    """
    stem = name = f"{now:%Y-%m-%dT%H-%M-%S}"
    number = 1
    while (folder.damaged / name).exists():
        number += 1
        name = f"{stem}.{number}"
    folder.damaged.mkdir(exist_ok=True)
    part = folder.damaged / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    sources = [folder.journal, *(folder.journal.with_name(folder.journal.name + ending) for ending in BESIDE)]
    try:
        kept = tuple(_copied(source, part / source.name) for source in sources if source.is_file())
        sync_folder(part)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    part.rename(folder.damaged / name)
    sync_folder(folder.damaged)
    return name, kept


def _copied(source: Path, target: Path) -> KeptFile:
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while block := read.read(1 << 20):
            digest.update(block)
            written.write(block)
        written.flush()
        os.fsync(written.fileno())
    return KeptFile(name=source.name, sha256=digest.hexdigest())


class NewJournal:
    """A journal that gets the first events of another one, and is in nobody's way until it is whole.

    Args:
        folder: The study's folder.
        events: How many events it gets.
    """

    def __init__(self, folder: StudyFolder, events: int) -> None:
        self._folder = folder
        self._events = events
        self._path = folder.root / ".journal.db.part"
        self._rows: list[Row] = []
        self._discard()
        self._journal = Journal(self._path, mode="delete")

    def take(self, row: Row, fold: ManifestFold) -> None:
        """Take an event over, as it is, if it is one of those."""
        if row.seq <= self._events:
            self._rows.append(row)
            if len(self._rows) >= ROWS_AT_ONCE:
                self._write()

    def commit(self, event: JournalRecovered) -> None:
        """Go on with ``event``, and be what the study is recovered to from now on.

        Raises:
            JournalError: It cannot be written.
        """
        self._write()
        self._journal.append(event)
        self._journal.close()
        self._path.rename(self._folder.recovered)
        sync_folder(self._folder.root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()
        self._discard()

    def _discard(self) -> None:
        """Leave nothing of what was not committed."""
        for ending in ("", *BESIDE):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)

    def _write(self) -> None:
        if self._rows:
            self._journal.adopt(self._rows)
        self._rows = []


def settle(folder: StudyFolder) -> tuple[JournalRecovered, ManifestFold]:
    """Put the journal that a recovery has ready in its place; return its last event, and its fold.

    Raises:
        JournalError: It is not what a recovery leaves.
        OSError: A file cannot be moved. Settling again goes on from there.
    """
    event, fold, hashes = read_recovered(folder)
    place = folder.damaged / event.kept_in
    for path in misfits(folder, fold, hashes):
        target = place / path.relative_to(folder.root)
        make_folder(target.parent)
        if not target.parent.resolve().is_relative_to(folder.root.resolve()):
            raise OSError(errno.ELOOP, "a link leads out of the study's folder", str(target.parent))
        path.replace(target)
        sync_folder(target.parent)
    for ending in BESIDE:
        folder.journal.with_name(folder.journal.name + ending).unlink(missing_ok=True)
    sync_folder(folder.root)  # or SQLite could find the old log beside the new journal, and take it for its own
    folder.recovered.replace(folder.journal)
    sync_folder(folder.root)
    return event, fold


def read_recovered(folder: StudyFolder) -> tuple[JournalRecovered, ManifestFold, list[str]]:
    """Return the last event, the fold and the hashes of the journal that a recovery has ready.

    Raises:
        JournalError: It is not what a recovery leaves.
    """
    fold, hashes, last = ManifestFold(), [], None
    with open_reader(folder.recovered) as reader:
        for last in checked(reader.rows()):
            fold.apply(last)
            hashes.append(last.hash)
    event = None if last is None else typed_event(last)
    if not isinstance(event, JournalRecovered):
        raise JournalError(
            f"{folder.recovered} is no journal that a recovery made.",
            remedy="Move it away, then recover the study again.",
        )
    return event, fold, hashes


def misfits(folder: StudyFolder, fold: ManifestFold, hashes: Sequence[str]) -> list[Path]:
    """Return the files of a study that do not go with a journal of these hashes: they came after what it lost.

    Files that it names and that are not as recorded are not among them: a resume rejects those.
    """
    results = anchor_in(folder.results_file, folder.results_file.name)
    anchors = [*sound_anchors(folder, fold, anchors_of(folder)), *([results] if results else [])]
    stale = [folder.root / anchor.file for anchor in anchors if agreement(anchor, hashes) is False]
    return list(dict.fromkeys([*stale, *orphans(folder, fold), *_logs_of_lost_attempts(folder, fold)]))


def _logs_of_lost_attempts(folder: StudyFolder, fold: ManifestFold) -> Iterator[Path]:
    """Yield the output of attempts that no event tells of: the next attempt of that number would overwrite it."""
    if not folder.logs.is_dir():
        return
    for path in sorted(folder.logs.iterdir()):
        match = LOG.fullmatch(path.name)
        state = fold.trials.get(match["trial"]) if match else None
        if match and state and int(match["attempt"]) > state.attempts:
            yield path
