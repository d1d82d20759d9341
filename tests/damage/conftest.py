"""Studies as a session leaves them, to be spoiled: journal, files, and what they came to after each event."""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llem.domain.events import (
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentInterrupted,
    ExperimentRunning,
    PhaseEntered,
    SessionEnded,
    SessionStarted,
    StudyCompleted,
    StudyExtended,
)
from llem.domain.row import Row
from llem.domain.sensing import SensorReport
from llem.domain.spec import Limits
from llem.exports.manifest import export_manifest
from llem.exports.results import export_results
from llem.journal.journal import Journal
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.study.anchors import anchors_of
from llem.study.folder import StudyFolder, create_study_dir
from llem.study.integrity import sha256_of


@dataclass(frozen=True, repr=False)
class Recorded:
    """A study in a folder, the rows of its journal, and what its trials came to after each of them."""

    folder: StudyFolder
    rows: list[Row]
    manifests: list[Any]

    @property
    def remembered(self) -> int:
        """Return the last event that a file outside the journal remembers."""
        return max(anchor.seq for anchor in anchors_of(self.folder))

    def copy(self, place: Path) -> StudyFolder:
        """Return a copy of the folder, to be spoiled."""
        return StudyFolder(Path(shutil.copytree(self.folder.root, place / "study")))

    def seq_of(self, kind: str, trial: str | None = None) -> int:
        """Return the number of the last event of a kind, of a trial."""
        return max(row.seq for row in self.rows if row.kind == kind and trial in (None, row.trial))

    @staticmethod
    def standing(fold: ManifestFold) -> Any:
        """Return what a fold says of the trials."""
        manifest = fold.manifest()
        return None if manifest is None else manifest.model_dump(mode="json")["experiments"]

    @staticmethod
    def read(folder: StudyFolder) -> list[Row]:
        """Return the rows that SQLite gives."""
        with open_reader(folder.journal) as reader:
            return list(reader.rows())


class Recorder:
    """Writes what a session would write."""

    def __init__(self, make: Any, folder: StudyFolder, journal: Journal) -> None:
        self.make, self.folder, self.journal = make, folder, journal

    def begin(self, command: str) -> None:
        host, sensors = self.make.host(), SensorReport()
        event = SessionStarted(command=command, llem_version="0.1", pid=1, host=host, sensors=sensors)
        self.journal.append(event)

    def attempt(self, trial: str, number: int = 1, *, ending: str = "completed") -> None:
        about = {"trial": trial, "attempt": number}
        self.journal.append(ExperimentRunning(**about, log_file=f"logs/{trial}_a{number}.log", launcher="local"))
        (self.folder.logs / f"{trial}_a{number}.log").write_text("words of a worker")
        for t_ns, phase in enumerate(("load", "warmup", "measure")):
            self.journal.append(PhaseEntered(**about, phase=phase, t_ns=t_ns))
        if ending == "failed":
            self.journal.append(ExperimentFailed(**about, error_type="Crashed", error_message="x", phase="measure"))
        elif ending == "interrupted":
            self.journal.append(ExperimentInterrupted(**about, reason="SIGINT", phase="measure"))
        elif ending == "completed":
            self._complete(about)

    def export(self) -> None:
        fold = ManifestFold().apply_all(self.journal.rows())
        export_manifest(fold, self.folder.manifest)
        export_results(fold, self.folder.results_file)

    def _complete(self, about: dict[str, Any]) -> None:
        stem = f"{about['trial']}_a{about['attempt']}"
        seq, head = self.journal.head
        result = json.dumps({**about, "journal_seq": seq, "journal_hash": head}).encode()
        edges = f"edges of {stem}".encode()
        (self.folder.results / f"{about['trial']}.json").write_bytes(result)
        (self.folder.samples / f"{stem}.json.gz").write_bytes(edges)
        self.journal.append(
            ExperimentCompleted(
                **about,
                result_file=f"{about['trial']}.json",
                result_sha256=sha256_of(result),
                samples_file=f"{stem}.json.gz",
                samples_sha256=sha256_of(edges),
                headline=self.make.headline(energy_total_j=100.0 + seq),
            )
        )


def record(make: Any, place: Path, *, finished: bool) -> Recorded:
    """Record a study of two experiments, extended to three cycles: sealed at its end, or as SIGKILL leaves it."""
    written = create_study_dir(place, "written", make.start)
    with Journal(written.journal) as journal:
        recorder = Recorder(make, written, journal)
        journal.append_all(make.plan(2, 2))
        recorder.begin("run")
        recorder.attempt("e0_c1")
        recorder.attempt("e1_c1", ending="failed")
        recorder.attempt("e1_c2", ending="interrupted")
        journal.append(SessionEnded(reason="interrupted", detail="SIGINT"))
        journal.session += 1
        journal.append(
            StudyExtended(
                study_design_hash=make.sha,
                llem_version="0.1",
                cycles=3,
                limits=Limits(),
                sequence=[1, 0],
                added=0,
                summaries=({"batch_size": 1}, {"batch_size": 2}),
            )
        )
        recorder.begin("resume")
        recorder.attempt("e1_c1", 2)
        recorder.attempt("e1_c2", 2)
        recorder.attempt("e0_c2")
        recorder.export()
        recorder.attempt("e1_c3")
        recorder.attempt("e0_c3", ending="completed" if finished else "killed")
        if finished:
            journal.append_all([StudyCompleted(completed=6, failed=0, skipped=0), SessionEnded(reason="finished")])
            recorder.export()
            assert journal.seal()
        rows = list(journal.rows())
        kept = StudyFolder(Path(shutil.copytree(written.root, place / "kept")))  # with its log, if it has one
    fold, manifests = ManifestFold(), []
    for row in rows:
        fold.apply(row)
        manifests.append(Recorded.standing(fold))
    return Recorded(kept, rows, manifests)


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder in memory where there is such a place: these tests are not about what is synced to disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path_factory.mktemp("on_disk")
        return
    with tempfile.TemporaryDirectory(dir=memory) as place:
        yield Path(place)


@pytest.fixture(scope="session")
def sealed(make: Any, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Return a finished study: one file is its whole journal."""
    return record(make, tmp_path_factory.mktemp("sealed"), finished=True)


@pytest.fixture(scope="session")
def live(make: Any, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Return a study whose session was killed in its last trial: what was recorded lies in the log."""
    return record(make, tmp_path_factory.mktemp("live"), finished=False)


@pytest.fixture(params=["sealed", "live"])
def recorded(request: pytest.FixtureRequest) -> Recorded:
    """Return one study after the other."""
    found: Recorded = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def finished(sealed: Recorded, tmp_path: Path) -> StudyFolder:
    """Return a copy of the finished study, to be spoiled."""
    return sealed.copy(tmp_path)


@pytest.fixture(scope="session")
def edit() -> Callable[..., None]:
    """Return what changes a journal as somebody with SQLite would who takes its guards away and puts them back."""

    def change(study: StudyFolder, *statements: str) -> None:
        db = sqlite3.connect(study.journal, isolation_level=None)
        guards = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for statement in (*(f"DROP TRIGGER {name}" for name, _ in guards), *statements, *(sql for _, sql in guards)):
            db.execute(statement)
        db.close()

    return change
