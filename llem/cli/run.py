"""``llem study run``."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem.cli.closing import close_session
from llem.cli.observers import StudyObserver, choose_display
from llem.cli.planning import NO_CHANGES, Changes, Yes, agree_to_run, make_plan
from llem.cli.words import counted, printable
from llem.projections.manifest import ManifestFold
from llem.study.estimate import estimate
from llem.study.folder import StudyFolder
from llem.study.plan import StudyPlan
from llem.study.run import start_study

STUDIES = Path("studies")
MOST_REASONS = 10


def run(
    study: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = STUDIES,
    changes: Changes = NO_CHANGES,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    yes: Yes = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Measure every experiment of a study, each in its own worker process.

    Parameters
    ----------
    study
        The study file (YAML).
    output
        Folder in which the study's own folder is created.
    dry_run
        Show the plan and run nothing, as `llem study plan` does.
    yes
        Do not ask before a large or long study.
    json
        Print every event as a JSON line on stdout, then a closing line; words go to stderr.
    """
    plan = make_plan(study, changes.settings(), yes=yes)
    if dry_run:
        from llem.cli.plan import present

        present(plan, [], output, as_json=json, every_value=False)
        return 0
    tell_left_out(plan)
    if not yes:
        agree_to_run(plan, estimate(plan))
    view = SessionView(as_json=json)
    ending = start_study(plan, output, view.observe)
    return close_session(ending, view.fold, view.root, as_json=json)


def tell_left_out(plan: StudyPlan) -> None:
    """Say on stderr what of the study file will not run, before anything does."""
    for skipped in plan.study.skipped[:MOST_REASONS]:
        count = counted(len(skipped.points), "grid point")
        print(printable(f"skipped {count} ({skipped.kind.replace('_', ' ')}): {skipped.reason}"), file=sys.stderr)
    if len(plan.study.skipped) > MOST_REASONS:
        print(f"… and for {len(plan.study.skipped) - MOST_REASONS} more reasons: llem study plan", file=sys.stderr)
    if plan.study.duplicates:
        print(f"{counted(plan.study.duplicates, 'duplicate')} folded into the same experiment", file=sys.stderr)
    for warning in plan.warnings:
        warn(warning)


def warn(text: str) -> None:
    """Say on stderr what deserves a person's attention."""
    print(printable(f"warning: {text}"), file=sys.stderr)


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
