"""``llem study status``."""

import json as jsonlib
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from llem.cli.closing import print_experiments, table_console
from llem.cli.reading import read_fold
from llem.cli.words import LEGEND, counted, next_step, printable
from llem.domain.events.session import SessionEnd
from llem.domain.manifest import StudyManifest
from llem.exports.manifest import export_manifest
from llem.journal.reader import no_plan
from llem.projections.manifest import ManifestFold
from llem.projections.results import summarise
from llem.study.folder import StudyFolder

SHOWN_FAILURES = 10


def status(folder: Path, *, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Show where a study stands, from its journal alone; also while it runs.

    Parameters
    ----------
    folder
        The study's folder.
    json
        Print the manifest, and whether a session runs it now, as JSON on stdout.
    """
    view = read_fold(folder)
    manifest = view.fold.manifest()
    if manifest is None:
        raise no_plan(folder)
    if not view.alive:
        _mend_export(StudyFolder(folder), view.fold)
    if json:
        left_out = dict(_left_out(view.fold))
        tree = {**manifest.model_dump(mode="json"), "session_alive": view.alive, "grid_points_skipped": left_out}
        print(jsonlib.dumps(tree))
        return 0
    _show(manifest, view.fold)
    if view.alive:
        print(f"A session runs it now. Watch it: llem study log {folder} --follow", file=sys.stderr)
    else:
        reason: SessionEnd = "finished" if view.fold.finished else "interrupted"
        print(next_step(reason, view.fold, folder), file=sys.stderr)
    return 0


def _show(manifest: StudyManifest, fold: ManifestFold) -> None:
    console = table_console()
    counts = ", ".join(
        f"{count} {name}"
        for name in ("completed", "running", "pending", "failed", "interrupted", "skipped")
        if (count := getattr(manifest, name))
    )
    console.print(
        Text(f"{manifest.study_name}: {manifest.status}. {counted(manifest.total_experiments, 'trial')}: {counts}.")
    )
    left_out = _left_out(fold)
    if left_out:
        kinds = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in left_out.items())
        console.print(Text(f"Skipped when it was planned: {counted(left_out.total(), 'grid point')} ({kinds})."))
    print_experiments(console, summarise(fold))
    console.print(Text(LEGEND, style="dim"))
    failed = [entry for entry in manifest.experiments if entry.status == "failed"]
    for entry in failed[:SHOWN_FAILURES]:
        console.print(Text(f"{entry.trial} {entry.error_type}: {printable(entry.error_message or '', 200)}"))
    if len(failed) > SHOWN_FAILURES:
        console.print(Text(f"… and {len(failed) - SHOWN_FAILURES} more failed trials"))


def _left_out(fold: ManifestFold) -> Counter[str]:
    """Return how many grid points became no experiment, by kind of reason."""
    counts: Counter[str] = Counter()
    for skipped in (fold.study or {}).get("skipped", ()):
        counts[skipped["kind"]] += len(skipped["points"])
    return counts


def _mend_export(folder: StudyFolder, fold: ManifestFold) -> None:
    """Export the manifest again where it is missing, garbled or behind; nobody else does while no session runs."""
    try:
        exported = StudyManifest.model_validate_json(folder.manifest.read_bytes())
        if (exported.journal_seq, exported.journal_hash) == (fold.seq, fold.hash):
            return
    except (OSError, ValueError):
        pass
    try:
        export_manifest(fold, folder.manifest)
    except OSError:
        pass  # a read-only folder: the journal was all that was asked for
