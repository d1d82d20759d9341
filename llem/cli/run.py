"""``llem study run``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem.cli.closing import close_session
from llem.cli.observers import StudyObserver, choose_display
from llem.projections.manifest import ManifestFold
from llem.study.folder import StudyFolder
from llem.study.load import load_study
from llem.study.plan import plan_study
from llem.study.run import start_study

STUDIES = Path("studies")


def run(
    study: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = STUDIES,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Measure every experiment of a study, each in its own worker process.

    Parameters
    ----------
    study
        The study file (YAML).
    output
        Folder in which the study's own folder is created.
    json
        Print every event as a JSON line on stdout, then a closing line; words go to stderr.
    """
    loaded = load_study(study)
    view = SessionView(as_json=json)
    ending = start_study(plan_study(loaded), output, view.observe)
    return close_session(ending, view.fold, view.root, as_json=json)


class SessionView:
    """Makes a session's observer, and remembers what it looked at for the closing words."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.fold = ManifestFold()
        self.root = Path()

    def observe(self, folder: StudyFolder, fold: ManifestFold) -> StudyObserver:
        """Return the observer of a session over ``folder``."""
        self.fold, self.root = fold, folder.root
        return StudyObserver(folder, choose_display(as_json=self._as_json))
