"""``llem study plan``."""

from pathlib import Path

from llem.cli.planning import free_bytes
from llem.cli.planview import plan_json, show_plan
from llem.cli.screen import say
from llem.study.estimate import estimate
from llem.study.plan import StudyPlan


def present(made: StudyPlan, earlier: list[Path], output: Path, *, as_json: bool, every_value: bool) -> None:
    """Print a plan on stdout."""
    expected = estimate(made, earlier)
    free = free_bytes(output)
    if as_json:
        say(plan_json(made, expected, free_bytes=free))
    else:
        show_plan(made, expected, free_bytes=free, every_value=every_value)
