"""``llem study verify``."""

import sys
import time
from pathlib import Path

from llem.cli.screen import redraw, say, tell
from llem.cli.text import counted, json_text, printable
from llem.study.folder import study_in
from llem.study.verify import Verification, verify

PATIENCE_S = 1.0
MOST_OF_A_LINE = 1_000


def show_verification(folder: Path, *, as_json: bool) -> int:
    """Print what a verification of a study found and return the exit code.

    Raises:
        InputError: The folder is no study.
        JournalError: The journal cannot be read at all.
    """
    progress = _Progress()
    try:
        found = verify(study_in(folder), progress.show)
    finally:
        progress.close()
    if as_json:
        say(json_text(found.model_dump(mode="json")))
    else:
        _show(found)
    if found.findings:
        tell("What is not named above is as it was recorded and as it was computed.")
    return 3 if found.findings else 0


def _show(found: Verification) -> None:
    for finding in found.findings:
        say(printable(f"{finding.where}: {finding.found}", MOST_OF_A_LINE))
    for arithmetic, results in found.other_arithmetic.items():
        were = "was" if results == 1 else "were"
        say(
            f"{counted(results, 'result')} {were} made by arithmetic {arithmetic}; "
            f"this llem recomputes {found.arithmetic}: not recomputed"
        )
    verdict = "nothing found wrong" if not found.findings else f"{len(found.findings)} FOUND WRONG"
    baselines = f"{counted(found.baselines, 'baseline')} and " if found.baselines else ""
    say(
        f"{found.events:,} events chained, {baselines}{found.recomputed:,} of "
        f"{counted(found.completed + found.kept, 'result')} recomputed, "
        f"{found.figures:,} figures compared, {found.anchors:,} anchors agree: {verdict}"
    )


class _Progress:
    """Tells on a terminal how far a long verification is; a pipe or a file gets nothing of it."""

    def __init__(self) -> None:
        self._shown = False
        self._next_s = time.monotonic() + PATIENCE_S

    def show(self, number: int, of: int) -> None:
        """Say which result is being recomputed, about once a second."""
        if time.monotonic() >= self._next_s and sys.stderr is not None and sys.stderr.isatty():
            redraw(f"result {number:,} of {of:,}")
            self._shown = True
            self._next_s = time.monotonic() + PATIENCE_S

    def close(self) -> None:
        """Leave the line as it was."""
        if self._shown:
            redraw()
