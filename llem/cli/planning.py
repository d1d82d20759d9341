"""What ``plan``, ``run`` and ``resume --study`` share: a file into a plan, and the question before a large one."""

import sys
from collections.abc import Sequence
from pathlib import Path

from llem.cli.screen import tell
from llem.cli.text import duration_text, printable
from llem.domain.errors import InputError
from llem.study.disk import room_at
from llem.study.estimate import Estimate
from llem.study.load import ManyTrialsError, load_study
from llem.study.plan import StudyPlan, plan_study

ASK_TRIALS = 1_000
ASK_DURATION_S = 8 * 3600


def make_plan(study: Path, settings: Sequence[str], *, yes: bool) -> StudyPlan:
    """Return the plan of a study file, asking first where it spans more trials than anybody means.

    Raises:
        StudyFileError: The study cannot be used.
        ManyTrialsError: It spans too many trials, and nobody at a terminal says that this is meant.
    """
    try:
        return plan_study(load_study(study, settings, many=yes))
    except ManyTrialsError as error:
        if not at_terminal() or not _agreed(f"{error.message} Plan it all the same?"):
            raise
    return plan_study(load_study(study, settings, many=True))


def agree_to_run(plan: StudyPlan, estimate: Estimate) -> None:
    """Ask before a large or long study starts; where nobody can be asked, it starts.

    Raises:
        InputError: The answer was no.
    """
    least = "at least" if estimate.at_least else "about"
    if plan.trials > ASK_TRIALS or estimate.duration_s > ASK_DURATION_S:
        _require_yes(f"{plan.trials:,} trials, {least} {duration_text(estimate.duration_s)}. Run them?")


def agree_to_add(trials: int) -> None:
    """Ask before many trials are added to a study; where nobody can be asked, they are.

    Raises:
        InputError: The answer was no.
    """
    if trials > ASK_TRIALS:
        _require_yes(f"{trials:,} trials would be added. Run them?")


def no_question(trials: int) -> None:
    """Ask nothing: ``--yes`` said so."""


def _require_yes(question: str) -> None:
    if at_terminal() and not _agreed(question):
        raise InputError("Nothing was run.", remedy="`llem study plan` shows the whole plan; --yes does not ask.")


def at_terminal() -> bool:
    """Return whether a person can be asked and can see the question."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _agreed(question: str) -> bool:
    tell(f"{printable(question)} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def free_bytes(output: Path) -> int | None:
    """Return the free space where ``output`` lies or will lie; None where it cannot be known."""
    room = room_at(output)
    return None if room is None else room.free_bytes
