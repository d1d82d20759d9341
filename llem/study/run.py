"""``run`` and ``resume``: two ways into the same session."""

import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from llem.domain.decoding import typed_event
from llem.domain.errors import InputError, JournalError
from llem.domain.events import ExperimentPlanned, StudyExtended
from llem.journal.journal import Journal, utc_now
from llem.journal.lock import StudyLock
from llem.journal.reader import no_plan, open_reader
from llem.journal.salvage import log_hides
from llem.journal.storage import MAKE_SPACE
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold
from llem.study.anchors import agreement, anchor_findings, anchors_of, sound_anchors
from llem.study.chain import checked
from llem.study.device_locks import may_use_gpus
from llem.study.diagnosis import examine
from llem.study.disk import require_room
from llem.study.estimate import bytes_left_to_write, estimate
from llem.study.extend import Extension, Revision
from llem.study.folder import StudyFolder, create_study_dir, keep_study_files, study_dir, study_in
from llem.study.host import require_linux, this_process
from llem.study.integrity import spoiled_results
from llem.study.options import USUAL, SessionOptions
from llem.study.plan import StudyPlan
from llem.study.recover import require_settled
from llem.study.relimit import NewLimits
from llem.study.session import Ending, Observer, Session
from llem.study.signals import EndingSignals

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
        EnvironmentNotFitError: Another study uses the GPUs; nothing was written.
        StudyError: The folder cannot be created, or its disk has too little space; nothing was written.
        JournalError: The journal cannot be created; nothing was run.
    """
    require_linux()
    require_room(
        output_dir,
        "this study",
        estimate(plan).disk_bytes,
        plan.trials,
        remedy="Make space on it, or choose a folder on another one with --output.",
    )
    place = (output_dir, plan.study.study_name, now())
    wanted = may_use_gpus(planned.config for planned in plan.experiments)
    # Once there is a folder, a signal waits until there is a study that can be resumed.
    with _devices_held(study_dir(*place), options, wanted=wanted), EndingSignals() as signals:
        folder = create_study_dir(*place)
        keep_study_files(folder, plan.sources)
        mode = options.find_mount(folder.root).journal_mode
        with StudyLock(folder.lock, this_process()), Journal(folder.journal, mode=mode) as journal:
            journal.append_all([plan.study, *plan.experiments])
            fold = ManifestFold().apply_all(journal.rows())
            session = Session(
                folder,
                journal,
                fold,
                command="run",
                observer=observe(folder, fold),
                options=options,
                signals=signals,
            )
            return _run(session, journal, signals)


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
        EnvironmentNotFitError: Another study uses the GPUs; nothing was recorded.
        JournalError: Its journal is damaged, or shorter than its anchors say.
        StudyError: Its disk has too little space, or its folder cannot be written to.
    """
    require_linux()
    folder = study_in(root)
    if not folder.journal.is_file():
        raise InputError(
            f"{root} is no study: it holds no {folder.journal.name}.",
            remedy="Give the folder that `llem study run` made; it is named {name}_{time}.",
        )
    with StudyLock(folder.lock, this_process()):
        # By readers, so that a study that is damaged, or for which the file is refused, is not touched, nor opened.
        extension = _compared(folder, revision) if revision else None
        fold = _sound_fold(folder)
        _require_room(folder, fold, extension)
        mode = options.find_mount(root).journal_mode
        wanted = _left_for_gpus(folder, fold, extension)
        held = _devices_held(root, options, wanted=wanted)
        with held, EndingSignals() as signals, Journal(folder.journal, mode=mode) as journal:
            folder.make_parts()
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
                signals=signals,
                retry_failed=retry_failed,
            )
            return _run(session, journal, signals)


def _devices_held(root: Path, options: SessionOptions, *, wanted: bool) -> AbstractContextManager[object]:
    """Hold the GPUs of this machine for a study that may use them, unless that is left to a scheduler."""
    return options.locking.hold(root) if options.locking is not None and wanted else nullcontext()


def _left_for_gpus(folder: StudyFolder, fold: ManifestFold, extension: Extension | None) -> bool:
    """Return whether a study has something left to run, and an experiment that may use GPUs."""
    if not extension and fold.status() == "completed" and not spoiled_results(folder, fold):
        return False
    added = [event.config for event in extension.events if isinstance(event, ExperimentPlanned)] if extension else []
    with open_reader(folder.journal) as reader:
        events = map(typed_event, reader.rows(kind="experiment_planned"))
        planned = (event.config for event in events if isinstance(event, ExperimentPlanned))
        return may_use_gpus(added) or may_use_gpus(planned)


def _compared(folder: StudyFolder, revision: Revision | NewLimits) -> Extension | None:
    """Return what the revision adds to the study, every link of its journal's chain checked."""
    with open_reader(folder.journal) as reader:
        plan = PlanFold().apply_all(checked(reader.rows()))
    if plan.study is None:
        raise no_plan(folder.root)
    return revision.against(folder.root, plan)


def _require_room(folder: StudyFolder, fold: ManifestFold, extension: Extension | None) -> None:
    """Make sure that the disk takes what is left to run; nothing is written before."""
    events = extension.events if extension else ()
    more = sum(len(event.sequence) for event in events if isinstance(event, StudyExtended))
    left = len(fold.trials) - fold.count("completed") + more
    if left:
        needed_bytes = bytes_left_to_write(folder, fold, more)
        require_room(folder.root, "the rest of this study", needed_bytes, left, remedy=MAKE_SPACE)


def _run(session: Session, journal: Journal, signals: EndingSignals) -> Ending:
    ending = session.run()
    if ending.reason in ("finished", "breaker"):
        journal.seal()
    interrupted = signals.interrupted()  # perhaps when there was nothing left to interrupt
    return ending if interrupted is None or ending.error else replace(ending, exit_code=interrupted.exit_code)


def _sound_fold(folder: StudyFolder) -> ManifestFold:
    """Return the fold of the journal: its file, every link of its chain, and the anchors outside it are checked."""
    require_settled(folder)
    hashes: list[str] = []
    with open_reader(folder.journal) as reader:
        broken = reader.integrity()
        fold = ManifestFold().apply_all(checked(reader.rows(), hashes))
    doubted = [anchor for anchor in anchors_of(folder) if agreement(anchor, hashes) is False]
    # Whether to believe them takes the hash of every file, and the session will look at those once more.
    lost = anchor_findings(sound_anchors(folder, fold, doubted), hashes) if doubted else []
    hidden = examine(folder, []).findings if log_hides(folder.journal) else []
    problems = [f"{folder.journal.name}: {text}" for text in broken]
    problems += [f"{finding.where}: {finding.found}" for finding in (*lost, *hidden)]
    if problems:
        raise JournalError(
            f"The journal of {folder.root} is not whole: {problems[0]}.",
            remedy="Restore journal.db and journal.db-wal from a backup. To go on with what is left: "
            f"llem study recover {shlex.quote(str(folder.root))}",
        )
    return fold
