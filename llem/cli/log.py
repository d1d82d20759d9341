"""``llem study log``."""

import difflib
import json as jsonlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem.cli.words import baseline_text, counted, counter_text, duration_text, row_json
from llem.domain.decoding import typed_event
from llem.domain.errors import InputError
from llem.domain.events import CURRENT_VERSION, BaselineMeasured, GapWaited, SensorsChecked
from llem.domain.row import Row
from llem.domain.spec import CoolDown
from llem.journal.lock import is_locked
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.study.folder import StudyFolder

POLL_S = 0.25
HEADER = f"{'seq':>6}  {'time (UTC)':<26}  {'ses':>3}  {'trial':<14} {'att':>3}  {'event':<22}  detail"
DETAIL_KEYS = (
    "error_type",
    "error_message",
    "phase",
    "reason",
    "detail",
    "result_file",
    "study_name",
    "command",
)


def log(
    folder: Path,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    trial: str | None = None,
    kind: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    verify: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show and audit every event of a study; also while it runs, and from a read-only copy.

    Parameters
    ----------
    folder
        The study's folder.
    follow
        Go on showing events until the session ends.
    trial
        Only this trial's events.
    kind
        Only events of this kind.
    json
        Print JSON lines on stdout.
    verify
        Audit the study instead of showing its events.
    """
    if verify:
        return _verify(StudyFolder(folder), as_json=json)
    _require_known(StudyFolder(folder), trial, kind)  # before anything is printed
    if not json:
        print(HEADER, flush=True)
    rows = _following(StudyFolder(folder), trial, kind) if follow else _rows(StudyFolder(folder), trial, kind)
    for row in rows:
        print(row_json(row) if json else _line(row), flush=follow)
    return 0


def _require_known(folder: StudyFolder, trial: str | None, kind: str | None) -> None:
    """Refuse a folder that is no study, and a trial or kind that no event can have."""
    planned = ManifestFold()
    with open_reader(folder.journal) as reader:
        if trial is not None:
            kinds = ("study_planned", "study_extended", "experiment_planned")
            planned.apply_all(sorted(row for kind in kinds for row in reader.rows(kind=kind)))
    for name, value, known in (("trial", trial, list(planned.trials)), ("kind", kind, list(CURRENT_VERSION))):
        if value is not None and value not in known:
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
        time.sleep(POLL_S)


def _line(row: Row) -> str:
    words = _WORDS.get(row.kind, _data_text)(row)
    detail = "".join(char if char.isprintable() else " " for char in words)[:160]
    attempt = "" if row.attempt is None else str(row.attempt)
    return (
        f"{row.seq:>6}  {row.recorded_at[:26]:<26}  {row.session:>3}  {row.trial or '':<14} {attempt:>3}  "
        f"{row.kind:<22}  {detail}"
    )


def _data_text(row: Row) -> str:
    data = row.payload()
    return "  ".join(str(data[key]) for key in DETAIL_KEYS if data.get(key))


def _planned_text(row: Row) -> str:
    data = row.payload()
    return f"{counted(len(data['sequence']), 'trial')}, order {data['order']}"


def _extended_text(row: Row) -> str:
    data = row.payload()
    return (
        f"{data['added']:,} experiments added, {data['cycles']:,} cycles now, {len(data['sequence']):,} trials more"
    )


def _gap_text(row: Row) -> str:
    event = typed_event(row)
    return gap_text(event) if isinstance(event, GapWaited) else ""


def _completed_text(row: Row) -> str:
    data = row.payload()
    codes = data["headline"].get("invalid", ())
    return "  ".join([data["result_file"], *([f"INVALID: {', '.join(codes)}"] if codes else [])])


def _checked_text(row: Row) -> str:
    event = typed_event(row)
    return checked_text(event) if isinstance(event, SensorsChecked) else ""


def _baseline_text(row: Row) -> str:
    event = typed_event(row)
    return baseline_text(event) if isinstance(event, BaselineMeasured) else ""


_WORDS: dict[str, Callable[[Row], str]] = {
    "study_planned": _planned_text,
    "study_extended": _extended_text,
    "gap_waited": _gap_text,
    "experiment_completed": _completed_text,
    "sensors_checked": _checked_text,
    "baseline_measured": _baseline_text,
}


def gap_text(gap: GapWaited) -> str:
    """Return what a gap was: ``between trials: 2:05 min, at 45 °C, asked for 45 °C``."""
    waited = f"between {gap.between}: {duration_text(gap.waited_s)}"
    if not isinstance(gap.planned, CoolDown):
        return waited
    reached = "temperature unknown" if gap.temperature_c is None else f"at {gap.temperature_c:g} °C"
    reason = f" ({gap.reason})" if gap.reason else ""
    return f"{waited}, {reached}, asked for {gap.planned.cool_to_c:g} °C{reason}"


def checked_text(event: SensorsChecked) -> str:
    """Return what a sensor check found: ``16 s, idle and under load  GPU-1 good, a true integral``."""
    check = event.check
    load = "idle and under load" if check.load else f"idle only ({check.no_load_reason})"
    devices = [f"{found.device} {found.grade}, {counter_text(found)}" for found in check.devices]
    return "  ".join([f"{duration_text(check.duration_s)}, {load}", *devices])


def _verify(folder: StudyFolder, *, as_json: bool) -> int:
    from llem.study.audit import audit

    result = audit(folder)
    if as_json:
        print(jsonlib.dumps(result.model_dump(mode="json")))
    else:
        for finding in result.findings:
            print(f"{finding.where}: {finding.found}")
        verdict = "nothing found wrong" if not result.findings else f"{len(result.findings)} FOUND WRONG"
        print(
            f"{result.events} events chained, {result.results} results as recorded, "
            f"{result.anchors} anchors agree: {verdict}"
        )
    if result.findings:
        print("What is not named above is as it was recorded.", file=sys.stderr)
    return 3 if result.findings else 0
