"""``llem study status``."""

import shlex
from collections import Counter
from pathlib import Path

from rich.text import Text

from llem.cli.console import table_console
from llem.cli.reading import read_fold
from llem.cli.results import print_results
from llem.cli.screen import say, tell
from llem.cli.text import counted, json_text, printable
from llem.cli.words import budget_text, invalid_text, next_step
from llem.domain.events.session import SessionEnd
from llem.domain.manifest import StudyManifest
from llem.domain.study_result import StudyResult
from llem.exports.manifest import export_manifest
from llem.exports.results import export_results
from llem.journal.reader import no_plan, open_reader
from llem.projections.manifest import ManifestFold
from llem.projections.results import study_result
from llem.study.anchors import anchor_in
from llem.study.folder import StudyFolder, study_in

SHOWN_FAILURES = 10


def show_status(folder: Path, *, as_json: bool) -> None:
    """Print where a study stands, and export again what is behind.

    Raises:
        InputError: The folder is no study.
        JournalError: The journal cannot be read, or holds no plan.
    """
    view = read_fold(folder)
    manifest, result = view.fold.manifest(), study_result(view.fold)
    if manifest is None or result is None:
        raise no_plan(folder)
    if not view.alive:
        _mend_exports(study_in(folder), view.fold)
    if as_json:
        more = {
            "session_alive": view.alive,
            "grid_points_skipped": dict(_left_out(view.fold)),
            "results": result.model_dump(mode="json"),
        }
        say(json_text({**manifest.model_dump(mode="json"), **more}))
        return
    _show(manifest, result, view.fold)
    if view.alive:
        tell(f"A session runs it now. Watch it: llem study log {folder} --follow")
    else:
        reason: SessionEnd = "finished" if view.fold.finished else "interrupted"
        for told in (invalid_text(view.fold), budget_text(view.fold)):
            if told is not None:
                tell(told)
        tell(next_step(reason, view.fold, folder))


def _show(manifest: StudyManifest, result: StudyResult, fold: ManifestFold) -> None:
    console = table_console()
    counts = ", ".join(
        f"{count} {name}"
        for name in ("completed", "running", "pending", "failed", "interrupted", "skipped")
        if (count := getattr(manifest, name))
    )
    name = printable(manifest.study_name)
    console.print(Text(f"{name}: {manifest.status}. {counted(manifest.total_experiments, 'trial')}: {counts}."))
    left_out = _left_out(fold)
    if left_out:
        kinds = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in left_out.items())
        console.print(Text(f"Skipped when it was planned: {counted(left_out.total(), 'grid point')} ({kinds})."))
    print_results(console, result)
    failed = [entry for entry in manifest.experiments if entry.status == "failed"]
    for entry in failed[:SHOWN_FAILURES]:
        console.print(Text(printable(f"{entry.trial} {entry.error_type}: {entry.error_message or ''}", 250)))
    if len(failed) > SHOWN_FAILURES:
        console.print(Text(f"… and {len(failed) - SHOWN_FAILURES} more failed trials"))


def _left_out(fold: ManifestFold) -> Counter[str]:
    """Return how many grid points became no experiment, by kind of reason."""
    counts: Counter[str] = Counter()
    for skipped in (fold.study or {}).get("skipped", ()):
        counts[skipped["kind"]] += len(skipped["points"])
    return counts


def _mend_exports(folder: StudyFolder, fold: ManifestFold) -> None:
    """Export again what is missing, garbled or behind; nobody else does while no session runs.

    What remembers an event that the journal does not have is all that tells of a lost tail, and is left alone.
    """
    for file in (folder.manifest, folder.results_file):
        if _speaks_against(folder, file, fold):
            tell(
                f"warning: {file.name} remembers what the journal does not have. See what is lost: "
                f"llem study log {shlex.quote(str(folder.root))} --verify"
            )
            return
    try:
        if not _is_current(folder.manifest, StudyManifest, fold):
            export_manifest(fold, folder.manifest)
        if not _is_current(folder.results_file, StudyResult, fold):
            export_results(fold, folder.results_file)
    except OSError:
        pass  # a read-only folder: the journal was all that was asked for


def _speaks_against(folder: StudyFolder, file: Path, fold: ManifestFold) -> bool:
    """Return whether an export remembers another journal than this one, or more of it than there is."""
    anchor = anchor_in(file, file.name)
    if anchor is None or (anchor.seq, anchor.hash) == (fold.seq, fold.hash):
        return False
    with open_reader(folder.journal) as reader:
        row = next(reader.rows(anchor.seq - 1), None)
    return row is None or (row.seq, row.hash) != (anchor.seq, anchor.hash)


def _is_current(path: Path, view: type[StudyManifest] | type[StudyResult], fold: ManifestFold) -> bool:
    """Return whether the export at ``path`` is whole and reflects the last event of ``fold``."""
    try:
        exported = view.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return False
    return (exported.journal_seq, exported.journal_hash) == (fold.seq, fold.hash)
