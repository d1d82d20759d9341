"""Whether what the journal names is still what lies on disk, and what lies there without being named."""

import errno
import hashlib
from collections.abc import Iterable
from pathlib import Path

from llem.projections.manifest import ManifestFold
from llem.projections.trials import KeptResult, TrialState
from llem.study.folder import StudyFolder, inside

ORPHANS = "orphans"
"""Results whole but named by no event: what a session wrote just before it died."""
REJECTED = "rejected"
"""Files that are no longer what their event named."""


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as hex digits."""
    return hashlib.sha256(data).hexdigest()


def require_regular(path: Path) -> None:
    """Refuse a link, which may lead anywhere, and a pipe or a device, which would be read for ever.

    In a folder that came from somebody else there may be any.

    Raises:
        OSError: It is one.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link")
    if path.exists() and not (path.is_file() or path.is_dir()):  # to read a folder fails by itself
        raise OSError(errno.EINVAL, "it is no regular file")


def file_problem(path: Path, sha256: str) -> str | None:
    """Return what is wrong with a file that must have this hash; None where nothing is."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "the file is missing"
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return None if found == sha256 else "the file was altered: its SHA-256 is not the recorded one"


def trial_file_problems(folder: StudyFolder, state: TrialState | KeptResult) -> list[tuple[str, str]]:
    """Return (file below the study folder, what is wrong with it) for the files of a result."""
    named = (
        (folder.results, state.result_file, state.result_sha256),
        (folder.samples, state.samples_file, state.samples_sha256),
    )
    return _problems(named)


def spoiled_results(folder: StudyFolder, fold: ManifestFold) -> list[tuple[TrialState, str, str]]:
    """Return the completed trials whose files are not what they were: (trial, file, what is wrong)."""
    done = [state for state in fold.in_order() if state.status == "completed"]
    problems = [(state, trial_file_problems(folder, state)) for state in done]
    return [(state, *found[0]) for state, found in problems if found]


def kept_file_problems(folder: StudyFolder, fold: ManifestFold) -> list[tuple[str, str]]:
    """Return the same for what stands for no trial: spoiled results that were kept, baselines and sensor checks."""
    kept = [result for state in fold.trials.values() for result in state.superseded]
    of_trials = [problem for result in kept for problem in trial_file_problems(folder, result)]
    return of_trials + _problems((folder.samples, name, sha256) for name, sha256 in fold.samples.items())


def _problems(named: Iterable[tuple[Path, str | None, str | None]]) -> list[tuple[str, str]]:
    problems = []
    for place, name, sha256 in named:
        if name is not None and sha256 is not None:
            problem = file_problem(inside(place, name), sha256)
            if problem is not None:
                problems.append((f"{place.name}/{name}", problem))
    return problems


def drop_torn_files(folder: StudyFolder) -> None:
    """Delete the unfinished files of sessions that died while they wrote: they belong to no result."""
    for path in _files(folder):
        if path.name.endswith(".part"):
            path.unlink(missing_ok=True)


def orphans(folder: StudyFolder, fold: ManifestFold) -> list[Path]:
    """Return the files in ``results/`` and ``samples/`` that nothing in the journal names any more."""
    kept = [result for state in fold.trials.values() for result in state.superseded]
    named = {inside(folder.samples, name) for name in fold.samples}
    done = [state for state in fold.trials.values() if state.status == "completed"]
    results: list[TrialState | KeptResult] = [*done, *kept]
    for result in results:
        named.add(folder.result(str(result.result_file)))
        if result.samples_file:
            named.add(inside(folder.samples, result.samples_file))
    return [path for path in _files(folder) if path not in named]


def set_aside(path: Path, into: str) -> Path:
    """Move a file into the folder ``into`` beside it, under a name that is free there; return the new place."""
    place = path.parent / into
    place.mkdir(exist_ok=True)
    target = place / path.name
    number = 1
    while target.exists():
        number += 1
        target = place / f"{path.stem}.{number}{path.suffix}"
    return path.rename(target)


def _files(folder: StudyFolder) -> Iterable[Path]:
    for place in (folder.results, folder.samples):
        if place.is_dir():
            yield from sorted(path for path in place.iterdir() if path.is_file())
