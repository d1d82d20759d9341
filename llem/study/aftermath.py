"""What earlier sessions of a study left behind, settled before the first trial of a new one."""

from collections.abc import Callable

from llem.domain.events import Event, ExperimentInterrupted, ResultRejected
from llem.domain.row import Row
from llem.journal.storage import unwritable
from llem.projections.manifest import ManifestFold
from llem.study.folder import StudyFolder
from llem.study.integrity import (
    ORPHANS,
    REJECTED,
    drop_torn_files,
    kept_file_problems,
    orphans,
    set_aside,
    spoiled_results,
)
from llem.study.launcher import Launcher


def settle_aftermath(
    folder: StudyFolder,
    fold: ManifestFold,
    launcher: Launcher,
    append: Callable[[Event], Row],
    warn: Callable[[str], None],
) -> None:
    """Settle processes that still run, trials found running, and files that are not what they were.

    Args:
        folder: The study's folder.
        fold: The study; ``append`` keeps it up to date.
        launcher: Ends processes of earlier sessions.
        append: Records an event durably.
        warn: Told what deserves a person's attention.

    Raises:
        StudyError: A file cannot be moved or removed.
    """
    try:
        swept = launcher.sweep()
        if swept:
            warn(f"ended {swept} processes that an earlier session left behind")
        for state in fold.in_order():
            if state.status == "running":
                append(
                    ExperimentInterrupted.model_validate(
                        {
                            "trial": state.trial,
                            "attempt": state.attempts,
                            "reason": "found running in a session that is over",
                            "phase": state.phase,
                        }
                    )
                )
        for state, file, reason in spoiled_results(folder, fold):
            append(ResultRejected(trial=state.trial, attempt=state.attempts, file=file, reason=reason))
            warn(f"{file}: {reason}; its trial runs again")
            if (folder.root / file).exists():
                set_aside(folder.root / file, REJECTED)
        for file, reason in kept_file_problems(folder, fold):
            warn(f"{file}: {reason}; no figure of a valid trial is made of it, and nothing runs again")
        drop_torn_files(folder)
        for path in orphans(folder, fold):
            moved = set_aside(path, ORPHANS)
            warn(f"{path.name} belongs to no completed trial: set aside as {moved}")
    except OSError as error:
        raise unwritable(f"What earlier sessions left in {folder.root}", error) from error
