"""``manifest.json``: the manifest, for people and programs that do not read the journal."""

import errno
import os
import time
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from llem.domain.manifest import ExperimentManifestEntry
from llem.domain.row import Row
from llem.journal.durable import write_durably, write_parts_durably
from llem.projections.manifest import ManifestFold
from llem.projections.trials import TrialState

EXPORT_EVERY_S = 0.9
TICK_S = 1.1
"""A session ticks at least this often: what would be due before the next tick is exported at this one."""
MOST_SHARE = 0.2
"""Writing takes about this share of the time at most: where it would take more, a large study has a slow disk."""
SAYS_NOTHING_NEW = ("phase_entered",)
"""Kinds that change no entry. An export for them would fall into the very windows in which trials are measured."""

_COPIED_BYTES = 1 << 18
_NO_ENTRIES, _END = b"[]\n}", b"\n  ]\n}\n"


class ManifestFile:
    """``manifest.json``, in which an entry is made anew only after its trial has changed.

    The rest is copied from the file that was written before, so that nothing of it stays in memory: at ten thousand
    trials that would be 12 MB. The content is that of ``StudyManifest.model_dump_json(indent=2)`` and a newline, and
    every entry has passed its model.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._changed: set[str] = set()
        self._places: dict[str, int] = {}
        self._sizes = array("Q")
        self._before: _Written | None = None

    def saw(self, row: Row) -> None:
        """Take note of an event, which changes its own trial alone; one that extends the study changes all."""
        if row.kind == "study_extended":
            self._before = None
        elif row.trial is not None:
            self._changed.add(row.trial)

    def write(self, fold: ManifestFold) -> bool:
        """Write the manifest of ``fold``, whole or not at all; return whether every entry was made anew.

        Raises:
            OSError: It could not be written; an older one is still there.
        """
        outline = fold.outline()
        if outline is None:
            return False
        head = outline.model_dump_json(indent=2).encode()
        if not fold.trials:
            write_durably(self.path, head + b"\n")
            return True
        head = head.removesuffix(_NO_ENTRIES) + b"["
        before, self._before = self._before, None  # what fails below makes all entries anew next time
        if before is not None and before.is_as_written() and len(self._places) == len(fold.trials):
            entries = self._mostly_copied(fold, before)
        else:
            before = None
            entries = self._made(fold.in_order())
        write_parts_durably(self.path, chain((head,), entries, (_END,)))
        self._before = _Written(self.path, start=len(head), size=len(head) + sum(self._sizes) + len(_END))
        self._changed.clear()
        return before is None

    def _made(self, states: Sequence[TrialState]) -> Iterator[bytes]:
        """Yield every entry."""
        self._places = {state.trial: place for place, state in enumerate(states)}
        self._sizes = array("Q")
        for place, state in enumerate(states):
            entry = _entry(state, place)
            self._sizes.append(len(entry))
            yield entry

    def _mostly_copied(self, fold: ManifestFold, before: "_Written") -> Iterator[bytes]:
        """Yield the entries of the trials that changed, and what stood between them in the file."""
        at, done = before.start, 0
        for place, trial in sorted((self._places[trial], trial) for trial in self._changed):
            between = sum(self._sizes[done:place])
            yield from before.copied(at, between)
            at, done = at + between + self._sizes[place], place + 1
            entry = _entry(fold.trials[trial], place)
            self._sizes[place] = len(entry)
            yield entry
        yield from before.copied(at, sum(self._sizes[done:]))


class _Written:
    """A file as it was written, held open: still that one where somebody deletes it or puts another in its place.

    Args:
        path: The file.
        start: Where its first entry begins.
        size: How long it is.
    """

    def __init__(self, path: Path, *, start: int, size: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        self._state = (size, self._found()[1])
        self.start = start

    def _found(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns

    def is_as_written(self) -> bool:
        """Return whether nobody has changed it since."""
        return self._found() == self._state

    def copied(self, at: int, size: int) -> Iterator[bytes]:
        """Yield ``size`` bytes from ``at`` on.

        Raises:
            OSError: They cannot be read, or are not there any more.
        """
        for start in range(at, at + size, _COPIED_BYTES):
            part = os.pread(self._descriptor, min(_COPIED_BYTES, at + size - start), start)
            if len(part) < min(_COPIED_BYTES, at + size - start):
                raise OSError(errno.EIO, "the one before was cut short meanwhile")
            yield part


def export_manifest(fold: ManifestFold, path: Path) -> None:
    """Write the manifest of ``fold`` to ``path``, whole or not at all.

    Raises:
        OSError: It could not be written; an older one is still there.
    """
    ManifestFile(path).write(fold)


class ManifestExporter:
    """Keeps ``manifest.json`` current within about a second, however many events come.

    A failed export is a warning: the journal has it all, and the next export tries again.

    Args:
        path: The file.
        warn: Told of the first of any failures in a row.
        clock: Monotonic seconds.
    """

    def __init__(self, path: Path, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._file = ManifestFile(path)
        self._warn = warn
        self._clock = clock
        self._due = float("-inf")
        self._stale: ManifestFold | None = None
        self._failing = False

    def update(self, row: Row, fold: ManifestFold) -> None:
        """Take note that ``row`` changed ``fold``; export unless that was done within the last second."""
        if row.kind not in SAYS_NOTHING_NEW:
            self._file.saw(row)
            self._stale = fold
            self._export_if_due(0.0)

    def tick(self) -> None:
        """Export what has changed since, if it may not wait for the next tick."""
        self._export_if_due(TICK_S)

    def _export_if_due(self, within_s: float) -> None:
        if self._stale is not None and self._clock() + within_s >= self._due:
            self.export_now(self._stale)

    def export_now(self, fold: ManifestFold) -> None:
        """Export at once."""
        started, anew = self._clock(), False
        self._stale = None
        try:
            anew = self._file.write(fold)
            self._failing = False
        except OSError as error:
            if not self._failing:
                self._warn(f"{self._file.path.name} could not be written ({error.strerror}); the journal has it all")
            self._failing = True
            self._stale = fold
        # Making all entries happens once: it says nothing of what the next export takes.
        took_s = 0.0 if anew else self._clock() - started
        self._due = started + max(EXPORT_EVERY_S, took_s / MOST_SHARE)


def _entry(state: TrialState, place: int) -> bytes:
    """Return the entry of a trial as it stands in the file, behind what parts it from the one before."""
    entry = ExperimentManifestEntry.model_validate(state, from_attributes=True)
    text = entry.model_dump_json(indent=2).encode().replace(b"\n", b"\n    ")
    return (b",\n    " if place else b"\n    ") + text
