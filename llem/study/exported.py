"""The figures in the files that are exported from a journal, to be compared with what it says."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import JsonValue

from llem.domain.manifest import StudyManifest
from llem.domain.model import Value
from llem.domain.study_result import STUDY_RESULT_SCHEMA_VERSION, StudyResult
from llem.projections.manifest import ManifestFold
from llem.projections.results import study_result
from llem.study.folder import StudyFolder
from llem.study.integrity import require_regular

T = TypeVar("T", bound=Value)


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
    manifest = _read(folder.manifest, StudyManifest)
    if manifest is not None:
        yield Export(folder.manifest.name, manifest.journal_seq, _headlines(manifest), _headlines_by)
    found = _read(folder.results_file, StudyResult)
    if found is not None and found.schema_version == STUDY_RESULT_SCHEMA_VERSION:
        yield Export(folder.results_file.name, found.journal_seq, found.model_dump(mode="json"), _found_by)


def _read(path: Path, form: type[T]) -> T | None:
    try:
        require_regular(path)
        return form.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _headlines(manifest: StudyManifest | None) -> JsonValue:
    entries = () if manifest is None else manifest.experiments
    dumped: JsonValue = [entry.model_dump(mode="json", include={"trial", "headline"}) for entry in entries]
    return {"experiments": dumped}


def _headlines_by(fold: ManifestFold) -> JsonValue:
    return _headlines(fold.manifest())


def _found_by(fold: ManifestFold) -> JsonValue:
    found = study_result(fold)
    return None if found is None else found.model_dump(mode="json")
