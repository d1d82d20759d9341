"""The figures in the files that are exported from a journal, to be compared with what it says."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pydantic import JsonValue

from llem.domain.manifest import StudyManifest
from llem.projections.manifest import ManifestFold
from llem.study.folder import StudyFolder


class Export(NamedTuple):
    """The figures in one exported file.

    Attributes:
        file: The file, below the study folder.
        seq: The event that it reflects.
        stands: The figures in it.
        view: Gives the same figures by a fold of the journal up to that event.
    """

    file: str
    seq: int
    stands: JsonValue
    view: Callable[[ManifestFold], JsonValue]


def exports_of(folder: StudyFolder) -> Iterator[Export]:
    """Yield the exports that can be read; one that is missing or garbled says nothing, and is exported anew."""
    try:
        manifest = StudyManifest.model_validate_json(folder.manifest.read_bytes())
    except (OSError, ValueError):
        return
    yield Export(folder.manifest.name, manifest.journal_seq, _headlines(manifest), _headlines_by)


def _headlines(manifest: StudyManifest | None) -> JsonValue:
    entries = () if manifest is None else manifest.experiments
    dumped: JsonValue = [entry.model_dump(mode="json", include={"trial", "headline"}) for entry in entries]
    return {"experiments": dumped}


def _headlines_by(fold: ManifestFold) -> JsonValue:
    return _headlines(fold.manifest())
