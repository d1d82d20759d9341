"""Reading a study from its journal, and whether its session is alive."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llem.domain.errors import LlemError
from llem.journal.lock import is_locked
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.study.chain import checked
from llem.study.folder import study_in


@dataclass(frozen=True)
class StudyView:
    """A study as its journal tells it.

    Attributes:
        fold: Where its trials stand; trials that a dead session left running are interrupted.
        alive: Whether a session runs it now.
    """

    fold: ManifestFold
    alive: bool


def read_fold(root: Path) -> StudyView:
    """Return the study in ``root``, every link of its journal's chain checked: no figure comes of a damaged event.

    Raises:
        InputError: The folder is no study.
        JournalError: The journal cannot be read, or is damaged.
    """
    folder = study_in(root)
    alive = is_locked(folder.lock)  # first: a session that ends meanwhile has written its end
    with open_reader(folder.journal) as reader:
        fold = ManifestFold().apply_all(checked(reader.rows()))
    if not alive:
        fold.lay_to_rest()
    return StudyView(fold, alive)


def studies_in(output: Path) -> Iterator[tuple[Path, StudyView]]:
    """Yield the readable studies below ``output`` with their folders, the one written to last first."""
    journals = [root / "journal.db" for root in output.iterdir()] if output.is_dir() else []
    known = [journal for journal in journals if journal.is_file()]
    for journal in sorted(known, key=lambda journal: journal.stat().st_mtime, reverse=True):
        try:
            view = read_fold(journal.parent)
        except LlemError:
            continue
        yield journal.parent, view
