"""``llem study resume``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem.cli.closing import close_session
from llem.cli.planning import NO_CHANGES, Changes, Yes, agree_to_add, no_question
from llem.cli.reading import studies_in
from llem.cli.run import STUDIES, SessionView, tell_left_out, warn
from llem.domain.errors import InputError
from llem.study.extend import Revision
from llem.study.run import resume_study


def resume(
    folder: Path | None = None,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = STUDIES,
    retry_failed: bool = True,
    study: Path | None = None,
    extend: Annotated[bool, Parameter(negative="")] = False,
    changes: Changes = NO_CHANGES,
    yes: Yes = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Go on with a study that stopped, however it stopped.

    Parameters
    ----------
    folder
        The study's folder; the newest unfinished one below --output if left out.
    output
        Where to look for the newest unfinished study.
    retry_failed
        Run failed and skipped trials again.
    study
        A study file that the study must be like; what differs is shown, and nothing runs.
    extend
        Add the experiments and cycles that only --study has. What was measured stays.
    yes
        With --study: do not ask before many trials are added.
    json
        Print every event as a JSON line on stdout, then a closing line; words go to stderr.
    """
    settings = changes.settings()
    if study is None and (extend or settings):
        raise InputError(
            "--extend, --set, --cycles, --order and --profile change a study file, and none was given.",
            remedy="Name it with --study FILE; without it, a study is resumed as it was planned.",
        )
    revision = None
    if study is not None:
        agree = no_question if yes else agree_to_add
        revision = Revision(study, settings, extend=extend, many=yes, tell=tell_left_out, warn=warn, agree=agree)
    view = SessionView(as_json=json)
    root = newest_unfinished(output) if folder is None else folder
    ending = resume_study(root, view.observe, retry_failed=retry_failed, revision=revision)
    return close_session(ending, view.fold, view.root, as_json=json)


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
