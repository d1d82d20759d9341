"""``llem study resume``."""

from collections.abc import Sequence
from pathlib import Path

from llem.cli.closing import close_session
from llem.cli.planning import agree_to_add, no_question
from llem.cli.reading import studies_in
from llem.cli.run import SessionView, session_options, tell_left_out, warn
from llem.domain.errors import InputError
from llem.study.extend import Revision
from llem.study.relimit import NewLimits
from llem.study.run import resume_study


def revision(
    study: Path | None, settings: Sequence[str], limits: Sequence[str], *, extend: bool, yes: bool
) -> Revision | NewLimits | None:
    """Return what a study file, or new limits alone, ask of the study; None where neither was given.

    Raises:
        InputError: A file that was not named would be changed, or both were given.
    """
    if study is not None and limits:
        raise InputError(
            "--limit changes the limits of the plan as it was recorded, and --study names another plan.",
            remedy="With --study, write --set limits.NAME=VALUE --extend.",
        )
    if study is not None:
        agree = no_question if yes else agree_to_add
        return Revision(study, settings, extend=extend, many=yes, tell=tell_left_out, warn=warn, agree=agree)
    if extend or settings:
        raise InputError(
            "--extend, --set, --cycles, --order and --profile change a study file, and none was given.",
            remedy="Name it with --study FILE; without it, a study is resumed as it was planned.",
        )
    return NewLimits(limits) if limits else None


def resume_folder(
    root: Path,
    revision: Revision | NewLimits | None,
    *,
    retry_failed: bool,
    fail_fast: bool,
    lock: bool,
    as_json: bool,
) -> int:
    """Go on with the study in ``root``, show how it ended and return the exit code.

    Raises:
        InputError: The folder is no study, or the file that it must be like is not.
        EnvironmentNotFitError: The machine is not fit for it.
    """
    view = SessionView(as_json=as_json)
    options = session_options(fail_fast=fail_fast, lock=lock)
    ending = resume_study(root, view.observe, retry_failed=retry_failed, revision=revision, options=options)
    return close_session(ending, view.fold, view.root, as_json=as_json)


def newest_unfinished(output: Path) -> Path:
    """Return the folder of the study that was written to last and has trials left to run.

    Raises:
        InputError: There is none.
    """
    for root, view in studies_in(output):
        if not view.alive and view.fold.status() != "completed":
            return root
    raise InputError(
        f"There is no unfinished study below {output}.",
        remedy="Name a study's folder, or start one: llem study run STUDY.yaml",
    )
