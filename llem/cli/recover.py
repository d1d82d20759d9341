"""``llem study recover``."""

import shlex
from pathlib import Path

from llem.cli.screen import say, tell
from llem.cli.text import counted, json_text, printable
from llem.exports.manifest import export_manifest
from llem.exports.results import export_results
from llem.projections.manifest import ManifestFold
from llem.study.folder import StudyFolder, study_in
from llem.study.recover import Recovery, recover

MOST_OF_A_LINE = 1_000
SHOWN = 10


def show_recovery(root: Path, *, dry_run: bool, as_json: bool) -> None:
    """Recover a study's journal where it is damaged, export anew what is made of it, and print what was found.

    Raises:
        InputError: The folder is no study.
        JournalLockedError: A session runs it now.
        JournalError: Nothing can be recovered.
        StudyError: Files cannot be written or moved.
    """
    folder, quoted = study_in(root), shlex.quote(str(root))
    found, fold = recover(folder, dry_run=dry_run)
    if found.outcome == "recovered":
        _export(folder, fold)
    if as_json:
        say(json_text(found.model_dump(mode="json")))
    else:
        _show(found)
    next_step = {
        "nothing_wrong": "The journal is whole; nothing was changed. Files are checked by: "
        f"llem study log {quoted} --verify",
        "would_recover": "Nothing was changed.",
        "recovered": f"Go on with: llem study resume {quoted}",
    }
    tell(next_step[found.outcome])


def _show(found: Recovery) -> None:
    for finding in found.findings:
        say(printable(f"{finding.where}: {finding.found}", MOST_OF_A_LINE))
    if found.outcome == "nothing_wrong":
        say(f"{found.events:,} events, nothing found wrong")
        return
    would = "would be " if found.outcome == "would_recover" else ""
    say(f"{counted(found.events, 'event')} {would}kept; {_lost_text(found)}")
    say(f"{found.completed} of {counted(found.trials, 'trial')} {'would ' if would else ''}keep their result")
    if found.lost_trials:
        say(f"events of {_listed(found.lost_trials)} are lost")
    if found.set_aside:
        say(f"set aside{' would be' if would else ''}: {_listed(found.set_aside)}")
    if found.kept_in is not None:
        say(f"the damaged journal is kept in {found.kept_in}")


def _lost_text(found: Recovery) -> str:
    """Return what was lost behind the sound events, as far as it is known."""
    told = [
        f"{number:,} {what}"
        for number, what in ((found.unreadable, "unreadable"), (found.invalid, "invalid"))
        if number
    ]
    if found.remembered_seq is not None:
        told.append(f"event {found.remembered_seq:,} is the last that a file remembers")
    return f"lost: {', '.join(told)}" if told else "none is known to be lost"


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN:,} more (--json)" if len(names) > SHOWN else ""
    return printable(", ".join(names[:SHOWN]) + more, MOST_OF_A_LINE)


def _export(folder: StudyFolder, fold: ManifestFold) -> None:
    """Write anew what is made of the journal; what cannot be written now is written by the next command that can."""
    fold.lay_to_rest()
    try:
        export_manifest(fold, folder.manifest)
        export_results(fold, folder.results_file)
    except OSError as error:
        tell(f"warning: {error.filename} could not be written ({error.strerror})")
