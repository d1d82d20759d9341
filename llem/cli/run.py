"""``llem study run``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llem.cli.closing import close_session
from llem.cli.observers import StudyObserver, choose_display
from llem.cli.planning import agree_to_run, make_plan
from llem.cli.screen import tell
from llem.cli.text import counted, printable
from llem.projections.manifest import ManifestFold
from llem.study.estimate import estimate
from llem.study.folder import StudyFolder
from llem.study.options import USUAL, SessionOptions
from llem.study.plan import StudyPlan
from llem.study.run import start_study

MOST_REASONS = 10


def run_study(
    study: Path, settings: Sequence[str], output: Path, *, fail_fast: bool, lock: bool, yes: bool, as_json: bool
) -> int:
    """Plan a study file, run it, show how it ended and return the exit code.

    Raises:
        InputError: The study cannot be used, or somebody does not want it.
        EnvironmentNotFitError: The machine is not fit for it.
    """
    plan = make_plan(study, settings, yes=yes)
    tell_left_out(plan)
    if not yes:
        agree_to_run(plan, estimate(plan))
    view = SessionView(as_json=as_json)
    ending = start_study(plan, output, view.observe, options=session_options(fail_fast=fail_fast, lock=lock))
    return close_session(ending, view.fold, view.root, as_json=as_json)


def session_options(*, fail_fast: bool, lock: bool) -> SessionOptions:
    """Return what a session works with, as the command line asks."""
    return replace(USUAL, fail_fast=fail_fast, locking=USUAL.locking if lock else None)


def tell_left_out(plan: StudyPlan) -> None:
    """Say on stderr what of the study file will not run, before anything does."""
    for skipped in plan.study.skipped[:MOST_REASONS]:
        count = counted(len(skipped.points), "grid point")
        tell(printable(f"skipped {count} ({skipped.kind.replace('_', ' ')}): {skipped.reason}"))
    if len(plan.study.skipped) > MOST_REASONS:
        tell(f"… and for {len(plan.study.skipped) - MOST_REASONS} more reasons: llem study plan")
    if plan.study.duplicates:
        tell(f"{counted(plan.study.duplicates, 'duplicate')} folded into the same experiment")
    for warning in plan.warnings:
        warn(warning)


def warn(text: str) -> None:
    """Say on stderr what deserves a person's attention."""
    tell(printable(f"warning: {text}"))


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
