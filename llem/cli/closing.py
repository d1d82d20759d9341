"""The end of a session on the screen: what was found, and what to type next."""

import json
import sys
from pathlib import Path

from llem.cli.console import table_console
from llem.cli.results import print_results
from llem.cli.screen import silence_broken_streams
from llem.cli.words import invalid_text, next_step
from llem.projections.manifest import ManifestFold
from llem.projections.results import study_result
from llem.study.session import Ending

FOUND = {"experiments", "comparisons", "carbon"}


def close_session(ending: Ending, fold: ManifestFold, root: Path, *, as_json: bool) -> int:
    """Show how a session ended and return its exit code. The table is stdout's, the rest is stderr's."""
    try:
        _show_results(ending, fold, root, as_json=as_json)
        if ending.error is not None:
            print(f"error: {ending.error}", file=sys.stderr)
        invalid = invalid_text(fold)
        if invalid is not None:
            print(invalid, file=sys.stderr)
        print(next_step(ending.reason, fold, root), file=sys.stderr)
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
        print(json.dumps({**closing, **found}), flush=True)
    elif result is not None and any(summary.n_valid + summary.n_invalid for summary in result.experiments):
        print_results(table_console(), result)
