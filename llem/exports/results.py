"""``results.json``: what a study found, for people and programs that do not read the journal."""

from pathlib import Path

from llem.journal.durable import write_durably
from llem.projections.manifest import ManifestFold
from llem.projections.results import study_result


def export_results(fold: ManifestFold, path: Path) -> None:
    """Write what the study of ``fold`` found to ``path``, whole or not at all.

    Raises:
        OSError: It could not be written; an older one is still there.
    """
    result = study_result(fold)
    if result is not None:
        write_durably(path, result.model_dump_json(indent=2).encode() + b"\n")
