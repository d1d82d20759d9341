"""``llem study resume``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem.cli.closing import close_session
from llem.cli.reading import studies_in
from llem.cli.run import STUDIES, SessionView
from llem.domain.errors import InputError
from llem.study.run import resume_study


def resume(
    folder: Path | None = None,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = STUDIES,
    retry_failed: bool = True,
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
    json
        Print every event as a JSON line on stdout, then a closing line; words go to stderr.
    """
    view = SessionView(as_json=json)
    root = newest_unfinished(output) if folder is None else folder
    ending = resume_study(root, view.observe, retry_failed=retry_failed)
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
