"""``run`` and ``resume``: two ways into the same session."""

import os
import platform
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from llem.domain.errors import InputError, JournalError
from llem.journal.journal import Journal, utc_now, utc_text
from llem.journal.lock import LockHolder, StudyLock
from llem.journal.reader import no_plan, open_reader
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold
from llem.study.audit import anchor_findings, anchors_of, checked
from llem.study.extend import Extension, Revision
from llem.study.folder import StudyFolder, create_study_dir, keep_study_files
from llem.study.host import boot_id, require_linux
from llem.study.integrity import kept_file_problems, trial_file_problems
from llem.study.options import USUAL, SessionOptions
from llem.study.plan import StudyPlan
from llem.study.relimit import NewLimits
from llem.study.session import Ending, Observer, Session

MakeObserver = Callable[[StudyFolder, ManifestFold], Observer]


def start_study(
    plan: StudyPlan,
    output_dir: Path,
    observe: MakeObserver,
    *,
    now: Callable[[], datetime] = utc_now,
    options: SessionOptions = USUAL,
) -> Ending:
    """Create the folder of a planned study, record its plan, and run it.

    Args:
        plan: The plan, as ``plan_study`` makes it.
        output_dir: Where the study's folder is created.
        observe: Makes the observer for a folder.
        now: The clock that names the folder, in UTC.
        options: What the session works with.

    Raises:
        StudyError: The folder cannot be created; nothing was run.
        JournalError: The journal cannot be created; nothing was run.
    """
    require_linux()
    folder = create_study_dir(output_dir, plan.study.study_name, now())
    keep_study_files(folder, plan.sources)
    mode = options.find_mount(folder.root).journal_mode
    with StudyLock(folder.lock, _holder()), Journal(folder.journal, mode=mode) as journal:
        journal.append_all([plan.study, *plan.experiments])
        fold = ManifestFold().apply_all(journal.rows())
        session = Session(folder, journal, fold, command="run", observer=observe(folder, fold), options=options)
        return _run(session, journal)


def resume_study(
    root: Path,
    observe: MakeObserver,
    *,
    retry_failed: bool = True,
    revision: Revision | NewLimits | None = None,
    options: SessionOptions = USUAL,
) -> Ending:
    """Run what is left of the study in ``root``. Its journal is all that this needs.

    With a revision, the study must be what a study file says, or may become it by an extension.

    Args:
        root: The study's folder.
        observe: Makes the observer for a folder.
        retry_failed: Whether failed and skipped trials run again.
        revision: A study file to compare with, and perhaps to extend the study by; or new limits alone.
        options: What the session works with.

    Raises:
        InputError: ``root`` is no study, or the revision differs from it and is no extension.
        JournalLockedError: Another session runs it now.
        JournalError: Its journal is damaged, or shorter than its anchors say.
    """
    require_linux()
    folder = StudyFolder(root)
    if not folder.journal.is_file():
        raise InputError(
            f"{root} is no study: it holds no {folder.journal.name}.",
            remedy="Give the folder that `llem study run` made; it is named {name}_{time}.",
        )
    with StudyLock(folder.lock, _holder()):
        # Compared by a reader, so that a study for which the file is refused is not touched, not even opened.
        extension = revision and _compared(folder, revision)
        with Journal(folder.journal, mode=options.find_mount(root).journal_mode) as journal:
            for part in (folder.results, folder.samples, folder.logs):
                part.mkdir(exist_ok=True)
            fold = _sound_fold(folder, journal)
            journal.session += 1
            if extension:
                keep_study_files(folder, extension.sources, revision=extension.number)
                for row in journal.append_all(extension.events):
                    fold.apply(row)
            session = Session(
                folder,
                journal,
                fold,
                command="resume",
                observer=observe(folder, fold),
                options=options,
                retry_failed=retry_failed,
            )
            return _run(session, journal)


def _compared(folder: StudyFolder, revision: Revision | NewLimits) -> Extension | None:
    """Return what the revision adds to the study, every link of its journal's chain checked."""
    with open_reader(folder.journal) as reader:
        plan = PlanFold().apply_all(checked(reader.rows()))
    if plan.study is None:
        raise no_plan(folder.root)
    return revision.against(folder.root, plan)


def _run(session: Session, journal: Journal) -> Ending:
    ending = session.run()
    if ending.reason in ("finished", "breaker"):
        journal.seal()
    return ending


def _sound_fold(folder: StudyFolder, journal: Journal) -> ManifestFold:
    """Return the fold of the journal, every link of its chain checked, and the anchors outside it too."""
    hashes: list[str] = []
    fold = ManifestFold().apply_all(checked(journal.rows(), hashes))
    spoiled = {file for state in fold.trials.values() for file, _ in trial_file_problems(folder, state)}
    spoiled |= {file for file, _ in kept_file_problems(folder, fold)}
    # What an altered result remembers counts for nothing: its trial runs again, or it is in no figure anyway.
    anchors = [anchor for anchor in anchors_of(folder) if anchor.file not in spoiled]
    lost = anchor_findings(anchors, hashes)
    if lost:
        raise JournalError(
            f"The journal of {folder.root} is not whole: {lost[0].where}: {lost[0].found}.",
            remedy="Restore journal.db and journal.db-wal from a backup. To go on with what is left, move "
            "manifest.json and the newer result files away: their trials run again.",
        )
    return fold


def _holder() -> LockHolder:
    return LockHolder(pid=os.getpid(), host=platform.node(), boot_id=boot_id(), started_at=utc_text(utc_now()))
