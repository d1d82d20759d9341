"""``llem study plan``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem.cli.planning import NO_CHANGES, Changes, Yes, free_bytes, make_plan
from llem.cli.planview import plan_json, show_plan
from llem.cli.run import STUDIES
from llem.study.estimate import estimate
from llem.study.plan import StudyPlan


def plan(
    study: Path,
    *,
    changes: Changes = NO_CHANGES,
    from_: Annotated[list[Path] | None, Parameter(name="--from", negative="", consume_multiple=False)] = None,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = STUDIES,
    explain: Annotated[bool, Parameter(negative="")] = False,
    yes: Yes = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show what a study would run, in which order, and what it would take.

    Parameters
    ----------
    study
        The study file (YAML).
    from_
        Folder of an earlier study to estimate from. Can be given several times.
    output
        Folder in which the study's own folder would be created: its free space is shown.
    explain
        Show every value and where it came from.
    yes
        Plan more than 100,000 trials without asking.
    json
        Print the plan as one line of JSON on stdout.
    """
    made = make_plan(study, changes.settings(), yes=yes)
    present(made, from_ or [], output, as_json=json, every_value=explain)
    return 0


def present(made: StudyPlan, earlier: list[Path], output: Path, *, as_json: bool, every_value: bool) -> None:
    """Print a plan on stdout."""
    expected = estimate(made, earlier)
    free = free_bytes(output)
    if as_json:
        print(plan_json(made, expected, free_bytes=free))
    else:
        show_plan(made, expected, free_bytes=free, every_value=every_value)
