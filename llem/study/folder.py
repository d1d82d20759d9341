"""The folder of a study, and what lies where in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from llem.domain.errors import JournalError, StudyError
from llem.domain.names import SAMPLES_ENDING
from llem.journal.durable import make_folder, sync_folder, write_durably
from llem.journal.storage import unwritable

PARTS = ("results", "samples", "logs")
OWN = (
    *("journal.db", "journal.db-wal", "journal.db-shm", "journal.db-journal", "journal.db.recovered", "journal.lock"),
    *("manifest.json", "results.json", "damaged", *PARTS),
    *(f"{part}/{aside}" for part in PARTS for aside in ("orphans", "rejected")),
)
"""What llem reads, writes or moves in a study's folder under a name that anybody can foresee."""


@dataclass(frozen=True)
class StudyFolder:
    """The places in a study's folder."""

    root: Path

    @property
    def journal(self) -> Path:
        """Return the journal: the only truth."""
        return self.root / "journal.db"

    @property
    def recovered(self) -> Path:
        """Return the journal that a recovery has ready to take the place of the damaged one."""
        return self.root / "journal.db.recovered"

    @property
    def damaged(self) -> Path:
        """Return the folder of damaged journals, and of what was set aside with them."""
        return self.root / "damaged"

    @property
    def lock(self) -> Path:
        """Return the lock file of the one writer."""
        return self.root / "journal.lock"

    @property
    def manifest(self) -> Path:
        """Return the exported manifest."""
        return self.root / "manifest.json"

    @property
    def results_file(self) -> Path:
        """Return the exported results of the whole study."""
        return self.root / "results.json"

    @property
    def study_file(self) -> Path:
        """Return the copy of the study file, as it was given."""
        return self.root / "study.yaml"

    @property
    def results(self) -> Path:
        """Return the folder of result files."""
        return self.root / "results"

    @property
    def samples(self) -> Path:
        """Return the folder of raw edges."""
        return self.root / "samples"

    def result(self, name: str) -> Path:
        """Return the result file of this name; see ``inside``."""
        return inside(self.results, name)

    def samples_of(self, stem: str) -> Path:
        """Return the file of raw edges that is called ``stem``, without its ending; see ``inside``."""
        return inside(self.samples, f"{stem}{SAMPLES_ENDING}")

    def log_of(self, stem: str) -> Path:
        """Return the log that is called ``stem``, without its ending; see ``inside``."""
        return inside(self.logs, f"{stem}.log")

    @property
    def logs(self) -> Path:
        """Return the folder of the workers' and the recorder's output."""
        return self.root / "logs"

    def make_parts(self) -> None:
        """Create what is missing of its parts: an archive may leave out what is empty.

        Raises:
            StudyError: It cannot be created.
        """
        try:
            for part in PARTS:
                (self.root / part).mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(f"The study folder {self.root}", error) from error


def study_dir(output_dir: Path, name: str, started_at: datetime) -> Path:
    """Return where a study's folder will be: ``{name}_{YYYY-MM-DDTHH-MM-SS}`` below ``output_dir``."""
    return output_dir / f"{name}_{started_at:%Y-%m-%dT%H-%M-%S}"


def study_in(root: Path) -> StudyFolder:
    """Return the places in the folder of a study that exists, perhaps somebody else's.

    Raises:
        StudyError: One of them is a link: what is read, written or moved there would be elsewhere.
    """
    for name in OWN:
        if (root / name).is_symlink():
            raise StudyError(
                f"{root / name} is a link, and llem follows none within a study's folder.",
                remedy="Put there what it leads to, or mount that there.",
            )
    return StudyFolder(root)


def inside(place: Path, name: str) -> Path:
    """Return the file called ``name`` in the folder ``place``.

    Raises:
        JournalError: The name leads elsewhere: nobody's journal makes llem read or write outside of its folder.
    """
    if not name or name[0] == "." or "/" in name or "\0" in name:
        raise JournalError(
            f"The journal names a file {name!r} in {place.name}/, which no file there can be called.",
            remedy="It was damaged, or made to lead out of the folder: `llem study log FOLDER --verify` says where.",
        )
    return place / name


def create_study_dir(output_dir: Path, name: str, started_at: datetime) -> StudyFolder:
    """Create a study's folder below ``output_dir``, and its parts, for this study alone.

    Raises:
        StudyError: It cannot be created, or is there already: two studies never share a folder.
    """
    root = study_dir(output_dir, name, started_at)
    try:
        make_folder(output_dir)
        root.mkdir()
        for part in PARTS:
            (root / part).mkdir()
        sync_folder(output_dir)
    except FileExistsError as error:
        if error.filename != str(root):
            raise _cannot_create(root, error) from error
        raise StudyError(
            f"The study folder {root} is there already: another study of this name started in the same second.",
            remedy="Start it again, or give the study another name.",
        ) from None
    except OSError as error:
        raise _cannot_create(root, error) from error
    return StudyFolder(root)


def _cannot_create(root: Path, error: OSError) -> StudyError:
    return StudyError(
        f"The study folder {root} cannot be created: {error.filename}: {error.strerror}.",
        remedy="Choose a folder that you may write to with --output.",
    )


def keep_study_files(folder: StudyFolder, files: Sequence[tuple[str, bytes]], *, revision: int = 0) -> None:
    """Keep the study file, as it was given, in the study's folder; its base files beside it as ``base_1.yaml``, ….

    Args:
        folder: The study's folder.
        files: Name and content of the study file, then of each base file.
        revision: 0 for the file that the study began with; n for its n-th extension, kept as ``study_n.yaml``.

    Raises:
        StudyError: They cannot be written.
    """
    ending = f"_{revision}" if revision else ""
    for number, (_, content) in enumerate(files):
        stem = f"base_{number}" if number else folder.study_file.stem
        path = folder.root / f"{stem}{ending}.yaml"
        try:
            write_durably(path, content)
        except OSError as error:
            raise unwritable(str(path), error) from error
