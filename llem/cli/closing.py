"""The end of a session on the screen: what was found, and what to type next."""

from pathlib import Path

from llem.cli.console import table_console
from llem.cli.results import print_results
from llem.cli.screen import say, silence_broken_streams, tell
from llem.cli.text import json_text, printable
from llem.cli.words import budget_text, invalid_text, next_step
from llem.domain.events.session import SessionEnd
from llem.projections.manifest import ManifestFold
from llem.projections.results import study_result
from llem.study.session import Ending

HOW_ON: dict[SessionEnd, str] = {
    "study_deadline": "A resume has as long again; --limit study_s=… gives it another limit.",
    "energy_budget": "Raise it with: llem study resume --limit energy_kwh=…",
    "fail_fast": "The rest stays pending.",
    "breaker": "The rest is skipped. See what ails this machine: llem doctor",
}
"""What a person may want to know where a session was stopped."""
FOUND = {"experiments", "comparisons", "carbon"}


def close_session(ending: Ending, fold: ManifestFold, root: Path, *, as_json: bool) -> int:
    """Show how a session ended and return its exit code. The table is stdout's, the rest is stderr's."""
    try:
        _show_results(ending, fold, root, as_json=as_json)
        if ending.error is not None:
            tell(f"error: {ending.error}")
        for told in (invalid_text(fold), budget_text(fold), stopped_text(ending)):
            if told is not None:
                tell(told)
        if ending.error is None or root.is_dir():  # where it has gone, the error says what to do
            tell(next_step(ending.reason, fold, root))
    except OSError:
        silence_broken_streams()  # nobody looks any more; the exit code tells all the same
    return ending.exit_code


def _show_results(ending: Ending, fold: ManifestFold, root: Path, *, as_json: bool) -> None:
    result = study_result(fold)
    if as_json:
        found = (
            {} if result is None else result.model_dump(mode="json", include={"experiments", "comparisons", "carbon"})
        )
        closing = {"kind": "closing", "folder": str(root), "status": fold.status(), "exit_code": ending.exit_code}
        say(json_text({**closing, **found}), flush=True)
    elif result is not None and any(summary.n_valid + summary.n_invalid for summary in result.experiments):
        print_results(table_console(), result)


def stopped_text(ending: Ending) -> str | None:
    """Return what stopped a session before all trials had run; None where nothing of the plan's did."""
    if ending.stopped is None:
        return None
    return f"Stopped: {printable(ending.stopped)}. {HOW_ON.get(ending.reason, '')}".rstrip()
