"""Making a study whole again whose journal is damaged: what is sound goes into a new journal, the old one is kept."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from llem.domain.errors import InputError, JournalError, StudyError
from llem.domain.events import JournalRecovered
from llem.domain.model import Value
from llem.domain.row import Row
from llem.journal.journal import utc_now
from llem.journal.lock import StudyLock, is_locked, locked_error
from llem.projections.manifest import ManifestFold
from llem.study.anchors import Anchor, AuditFinding, anchor_findings, anchors_of, sound_anchors
from llem.study.diagnosis import Diagnosis, examine
from llem.study.folder import StudyFolder
from llem.study.host import this_process
from llem.study.rebuild import NewJournal, keep_damaged, misfits, read_recovered, settle
from llem.version import __version__

Outcome = Literal["nothing_wrong", "recovered", "would_recover"]


class Recovery(Value):
    """What a recovery found and did.

    Attributes:
        outcome: ``nothing_wrong``, ``recovered``, or ``would_recover`` where nothing was to be changed.
        events: Events that are sound, from the first on: the new journal begins with them.
        unreadable: Events after them that cannot be read.
        invalid: Events after them that can be read, and were altered or have nothing sound to follow.
        remembered_seq: The last event that a file outside of the journal remembers; null where that is not lost.
        trials: Trials of the plan.
        completed: Trials that keep their result.
        lost_trials: Trials that events are known to be lost of.
        kept_in: Where the old journal is, below the study's folder; null where nothing was changed.
        set_aside: Files that only lost events named, or that remember one; now in ``kept_in``, at the same place.
        findings: What was wrong with the journal.
    """

    outcome: Outcome
    events: int
    unreadable: int = 0
    invalid: int = 0
    remembered_seq: int | None = None
    trials: int
    completed: int
    lost_trials: tuple[str, ...] = ()
    kept_in: str | None = None
    set_aside: tuple[str, ...] = ()
    findings: tuple[AuditFinding, ...] = ()


def recover(
    folder: StudyFolder, *, dry_run: bool = False, now: Callable[[], datetime] = utc_now
) -> tuple[Recovery, ManifestFold]:
    """Put what is sound of a damaged journal into a new one, so that the study can be resumed; return its fold too.

    Where nothing is wrong, nothing is touched. It may be killed at any time and called again.

    Args:
        folder: The study's folder.
        dry_run: Only find out what would be done.
        now: The clock that names the folder of the old journal.

    Raises:
        InputError: The folder is no study.
        JournalLockedError: A session runs it now.
        JournalError: Not even the plan is sound, or a newer llem wrote the journal; nothing was touched.
        StudyError: Files cannot be written or moved. The next call goes on.
    """
    if not folder.journal.is_file() and not folder.recovered.is_file():
        raise InputError(
            f"{folder.root} is no study: it holds no {folder.journal.name}.",
            remedy="Give the folder that `llem study run` made; it is named {name}_{time}.",
        )
    if is_locked(folder.lock):
        raise locked_error(folder.lock)
    if folder.recovered.is_file():
        if dry_run:
            event, fold, _ = read_recovered(folder)
            return _told("would_recover", event, fold), fold
        with StudyLock(folder.lock, this_process()):
            return _settled(folder)
    found = _Salvage.of(folder)
    if not found.findings:
        return found.report("nothing_wrong"), found.fold
    if dry_run:
        return found.report("would_recover"), found.fold
    with StudyLock(folder.lock, this_process()):
        _rebuild(folder, found, now())
        report, fold = _settled(folder)
        return report.model_copy(update={"findings": tuple(found.findings)}), fold


def require_settled(folder: StudyFolder) -> None:
    """Refuse a study that a recovery was cut short of: its journal is about to be replaced.

    Raises:
        JournalError: It is one.
    """
    if folder.recovered.exists():
        raise JournalError(
            f"A recovery of {folder.root} was cut short.",
            remedy=f"Let it come to its end: llem study recover {shlex.quote(str(folder.root))}",
        )


class _PlanEnds:
    """Knows up to which event the plan is whole: an extension without all of its experiments is none."""

    def __init__(self) -> None:
        self._expected = self._planned = 0
        self.whole = 0

    def saw(self, row: Row, fold: ManifestFold) -> None:
        """Take in the next event."""
        if row.kind == "study_planned":
            self._expected = 1 + max(row.payload()["sequence"], default=-1)
        elif row.kind == "study_extended":
            self._expected += row.payload()["added"]
        elif row.kind == "experiment_planned":
            self._planned += 1
        if self._expected and self._planned >= self._expected:
            self.whole = row.seq


@dataclass(frozen=True)
class _Salvage:
    """What can be kept of a journal, and why not all of it.

    Attributes:
        folder: The study's folder.
        anchors: What can be believed of what files outside the journal remember.
        diagnosis: What was found in the journal.
        fold: The fold of the events that can be kept.
        hashes: Their hashes.
        findings: What is wrong; nothing where it is whole.
    """

    folder: StudyFolder
    anchors: Sequence[Anchor]
    diagnosis: Diagnosis
    fold: ManifestFold
    hashes: list[str]
    findings: list[AuditFinding]

    @classmethod
    def of(cls, folder: StudyFolder) -> "_Salvage":
        """Look into a study's journal.

        Raises:
            JournalError: Not even the plan is sound, or a newer llem wrote the journal.
        """
        anchors, ends = list(anchors_of(folder)), _PlanEnds()
        found = examine(folder, anchors, ends.saw)
        part = found.part
        if part.newer:
            raise JournalError(
                part.broken or "A newer llem wrote this journal.", remedy="Upgrade llem to recover it."
            )
        if not ends.whole:
            why = "".join(f" ({finding.where}: {finding.found})" for finding in found.findings[:1])
            raise JournalError(
                f"Nothing of the study in {folder.root} can be recovered: its plan is not sound{why}.",
                remedy="Restore journal.db and journal.db-wal from a backup, or run the study again from its "
                "study.yaml. The files in results/ stay where they are.",
            )
        fold, hashes = part.fold, part.hashes[: ends.whole]
        if ends.whole < len(part.hashes):
            fold = ManifestFold()
            examine(folder, anchors, lambda row, _: fold.apply(row) if row.seq <= ends.whole else None)
        believed = sound_anchors(folder, fold, anchors)
        findings = [*found.findings, *anchor_findings(believed, found.hashes)]
        return cls(folder, believed, found, fold, hashes, findings)

    @property
    def remembered_seq(self) -> int | None:
        """Return the last event that an anchor remembers; None where it is kept."""
        last = max((anchor.seq for anchor in self.anchors), default=0)
        return last if last > len(self.hashes) else None

    def event(self, kept_in: str, **more: object) -> JournalRecovered:
        """Return the event that a new journal goes on with."""
        first, rest = self.findings[0], self.diagnosis.rest
        dropped = len(self.diagnosis.part.hashes) - len(self.hashes)
        set_aside = misfits(self.folder, self.fold, self.hashes)
        return JournalRecovered.model_validate(
            {
                "llem_version": __version__,
                "reason": f"{first.where}: {first.found}",
                "unreadable": rest.unreadable,
                "invalid": rest.invalid + dropped,
                "remembered_seq": self.remembered_seq,
                "lost_trials": tuple(trial for trial in rest.trials if trial in self.fold.trials),
                "kept_in": kept_in,
                "files": (),
                "set_aside": tuple(str(path.relative_to(self.folder.root)) for path in set_aside),
                **more,
            }
        )

    def report(self, outcome: Outcome) -> Recovery:
        """Return what was found, where nothing is done about it."""
        if not self.findings:
            return _nothing_wrong(len(self.hashes), self.fold)
        told = _told(outcome, self.event("0"), self.fold)
        return told.model_copy(update={"events": len(self.hashes), "kept_in": None, "findings": tuple(self.findings)})


def _nothing_wrong(events: int, fold: ManifestFold) -> Recovery:
    completed = fold.count("completed")
    return Recovery(outcome="nothing_wrong", events=events, trials=len(fold.trials), completed=completed)


def _told(outcome: Outcome, event: JournalRecovered, fold: ManifestFold) -> Recovery:
    """Return what the event of a recovery says."""
    return Recovery(
        outcome=outcome,
        events=fold.seq - 1,
        unreadable=event.unreadable,
        invalid=event.invalid,
        remembered_seq=event.remembered_seq,
        trials=len(fold.trials),
        completed=fold.count("completed"),
        lost_trials=event.lost_trials,
        kept_in=f"damaged/{event.kept_in}",
        set_aside=event.set_aside,
        findings=(AuditFinding(where="journal.db", found=event.reason),),
    )


def _rebuild(folder: StudyFolder, found: _Salvage, now: datetime) -> None:
    """Keep the damaged journal, and have the new one ready.

    Raises:
        StudyError: Files cannot be written; the study is as it was.
        JournalError: Likewise, or the journal is not what was found.
    """
    try:
        with NewJournal(folder, len(found.hashes)) as new:
            again = examine(folder, found.anchors, new.take)
            # Until it was locked, somebody else may have written it, or recovered it.
            if (again.part.hashes, again.findings) != (found.diagnosis.part.hashes, found.diagnosis.findings):
                raise JournalError("The journal changed while it was read.", remedy="Recover it once more.")
            kept_in, files = keep_damaged(folder, now)
            new.commit(found.event(kept_in, files=files))
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _settled(folder: StudyFolder) -> tuple[Recovery, ManifestFold]:
    """Put the new journal in its place.

    Raises:
        StudyError: A file cannot be moved; the next recovery goes on.
    """
    try:
        event, fold = settle(folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return _told("recovered", event, fold), fold


def _cannot_write(folder: StudyFolder, error: OSError) -> StudyError:
    return StudyError(
        f"The study in {folder.root} cannot be recovered: {error.filename or folder.root}: {error.strerror}.",
        remedy="Check that the disk has space for the journal twice and the folder is writable, then recover it "
        "again: nothing is lost.",
    )
