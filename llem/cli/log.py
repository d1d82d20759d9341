"""``llem study log``: the events as they were recorded.

It loads what showing a row needs and no more: the first line is there at once, however large the journal is.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llem.cli.eventtext import event_text, row_json
from llem.cli.screen import say, tell
from llem.cli.text import json_text, printable
from llem.domain.errors import InputError, JournalError
from llem.domain.row import Row
from llem.journal.reader import JournalReader, open_reader
from llem.study.folder import StudyFolder, study_in

if TYPE_CHECKING:
    from llem.study.audit import Audit  # loaded only to audit

POLL_S = 0.25
MOST_OF_A_LINE = 1_000
MOST_OF_A_DETAIL = 160
SHOWN_TRIALS = 50
HEADER = f"{'seq':>6}  {'time (UTC)':<26}  {'ses':>3}  {'trial':<14} {'att':>3}  {'event':<22}  detail"


def show_log(root: Path, *, follow: bool, trial: str | None, kind: str | None, as_json: bool) -> None:
    """Print the events of a study, of one trial, of one kind.

    Raises:
        InputError: The folder is no study, or no event of it can be of that trial or kind.
        JournalError: The journal cannot be read.
    """
    folder = study_in(root)
    _require_known(folder, trial, kind)  # before anything is printed
    if not as_json:
        say(HEADER, flush=True)
    shown = False
    for row in _following(folder, trial, kind) if follow else _rows(folder, trial, kind):
        say(_shown(row, as_json=as_json), flush=not shown)  # the first one at once, then by blocks
        shown = True


def _shown(row: Row, *, as_json: bool) -> str:
    try:
        return row_json(row) if as_json else _line(row)
    except (AttributeError, TypeError, ValueError) as error:
        raise JournalError(
            f"Event {row.seq} cannot be shown: {error!r}.",
            remedy="The journal is damaged: `llem study log FOLDER --verify` says where.",
        ) from None


def _require_known(folder: StudyFolder, trial: str | None, kind: str | None) -> None:
    """Refuse a folder that is no study, and a trial or kind that no event can have."""
    with open_reader(folder.journal) as reader:
        if trial is not None and next(reader.rows(trial=trial), None) is None:
            _require_among("trial", trial, _planned_trials(reader))
        if kind is not None and next(reader.rows(kind=kind), None) is None:
            from llem.domain.events import CURRENT_VERSION

            _require_among("kind", kind, list(CURRENT_VERSION))


def _planned_trials(reader: JournalReader) -> list[str]:
    from llem.projections.manifest import ManifestFold

    kinds = ("study_planned", "study_extended", "experiment_planned")
    rows = sorted(row for kind in kinds for row in reader.rows(kind=kind))
    return list(ManifestFold().apply_all(rows).trials)


def _require_among(name: str, value: str, known: list[str]) -> None:
    import difflib

    if value not in known:
        close = difflib.get_close_matches(value, known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"It is one of {', '.join(known[:20])}."
        raise InputError(f"--{name}: this study has no {name} {value!r}.", remedy=hint)


def _rows(folder: StudyFolder, trial: str | None, kind: str | None) -> Iterator[Row]:
    with open_reader(folder.journal) as reader:
        yield from reader.rows(trial=trial, kind=kind)


def _following(folder: StudyFolder, trial: str | None, kind: str | None) -> Iterator[Row]:
    """Yield rows as they are appended, until no session writes any more.

    The journal is opened anew each time: a reader that found no write-ahead log would not see one appear.
    """
    from llem.journal.lock import is_locked

    last = 0
    while True:
        alive = is_locked(folder.lock)  # asked before reading: what a session wrote before it ended is read
        with open_reader(folder.journal) as reader:
            for row in reader.rows(last):
                last = row.seq
                if (trial is None or row.trial == trial) and (kind is None or row.kind == kind):
                    yield row
        if not alive:
            return
        say(end="", flush=True)  # nobody waits for what we have
        time.sleep(POLL_S)


def _line(row: Row) -> str:
    attempt = "" if row.attempt is None else str(row.attempt)
    return printable(
        f"{row.seq:>6}  {row.recorded_at[:26]:<26}  {row.session:>3}  {row.trial or '':<14} {attempt:>3}  "
        f"{row.kind:<22}  {event_text(row)[:MOST_OF_A_DETAIL]}",
        MOST_OF_A_LINE,
    )


def show_audit(root: Path, *, as_json: bool) -> int:
    """Print what an audit of a study found and return the exit code.

    Raises:
        InputError: The folder is no study.
        JournalError: The journal cannot be read at all.
    """
    import shlex

    from llem.study.audit import audit

    result = audit(study_in(root))
    if as_json:
        say(json_text(result.model_dump(mode="json")))
    else:
        for finding in result.findings:
            say(printable(f"{finding.where}: {finding.found}", MOST_OF_A_LINE))
        if result.findings:
            _show_trust(result)
        verdict = "nothing found wrong" if not result.findings else f"{len(result.findings)} FOUND WRONG"
        say(
            f"{result.events} events chained, {result.results} results as recorded, "
            f"{result.anchors} anchors agree: {verdict}"
        )
    if result.findings:
        tell("What is not named above is as it was recorded.")
    if result.damaged:
        tell(f"To go on with what is sound: llem study recover {shlex.quote(str(root))}")
    return 3 if result.findings else 0


def _show_trust(result: "Audit") -> None:
    """Say which trials still stand, and which do not and why."""
    for doubtful in result.doubtful[:SHOWN_TRIALS]:
        say(printable(f"not trustworthy: {doubtful.trial}: {doubtful.reason}", MOST_OF_A_LINE))
    if len(result.doubtful) > SHOWN_TRIALS:
        say(f"… and {len(result.doubtful) - SHOWN_TRIALS:,} more trials that are not: --json")
    number, shown = len(result.trustworthy), ", ".join(result.trustworthy[:SHOWN_TRIALS]) or "none"
    more = f" and {number - SHOWN_TRIALS:,} more: --json" if number > SHOWN_TRIALS else ""
    say(f"trustworthy results ({number:,}): {shown}{more}")
