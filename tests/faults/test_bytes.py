"""Bytes flipped, zeroed, overwritten and cut off anywhere in a study: a named damage, or no figure that is wrong.

Each case is a copy of a real study, finished or killed in the middle, with one to three hits in its files. What llem
then says of it is compared with what is known of the original: no trial that is called trustworthy, and no figure
that is shown, may differ from it, and where one would differ, the damage must be named. ``tests/damage`` looks closer
at each kind of damage of a journal, and at its recovery.
"""

import contextlib
import io
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from spoil import LENGTHS, WAYS, spoil, written

from llem.cli.log import show_audit
from llem.cli.reading import read_fold
from llem.cli.verify import show_verification
from llem.domain.errors import JournalError, LlemError
from llem.domain.events import SessionEnded
from llem.domain.manifest import StudyManifest
from llem.domain.row import Row
from llem.domain.study_result import StudyResult
from llem.journal.journal import Journal
from llem.journal.reader import open_reader
from llem.study.anchors import anchors_of
from llem.study.audit import Audit, audit
from llem.study.folder import StudyFolder
from llem.study.verify import verify

METER = {"LLEM_ACTING_RECORDER": "meter"}
MEASURED = {"warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0, "sensors": ["rapl"]}
MODEL = {"window_s": 0.1, "settle_s": 0.02}
FILES = {
    "the journal": ("journal.db", "journal.db-wal"),
    "result files": ("results/*.json",),
    "files of samples": ("samples/*.json.gz",),
    "manifest and results.json": ("manifest.json", "results.json"),
    "any file of the study": ("journal.db*", "results/*.json", "samples/*", "*.json", "study.yaml", "journal.lock"),
}
EXPORTS = {"manifest.json": StudyManifest, "results.json": StudyResult}
WRONGS = (
    "altered events called sound",
    "wrong figures called trustworthy",
    "wrong figures shown",
    "damages not named",
    "tracebacks",
)


@dataclass(frozen=True, repr=False)
class Original:
    """A study as its session left it, and all that is true of it.

    Attributes:
        root: Its folder.
        rows: Its journal.
        remembered: The last event that a file outside the journal remembers.
        figures: The headline of each completed trial.
        files: The result file and the file of samples of each completed trial.
        exports: What its exports say.
    """

    root: Path
    rows: list[Row]
    remembered: int
    figures: dict[str, Any]
    files: dict[str, tuple[str, str]]
    exports: dict[str, Any]

    @classmethod
    def of(cls, root: Path) -> "Original":
        with open_reader(root / "journal.db") as reader:
            rows = list(reader.rows())
        done = [(row.trial, row.stored()) for row in rows if row.kind == "experiment_completed"]
        return cls(
            root,
            rows,
            max(anchor.seq for anchor in anchors_of(StudyFolder(root))),
            {trial: data["headline"] for trial, data in done},
            {trial: (f"results/{data['result_file']}", f"samples/{data['samples_file']}") for trial, data in done},
            {name: said_by(root / name) for name in EXPORTS},
        )


def said_by(path: Path) -> Any:
    """Return the figures in an export; None where it is missing or nothing can read it."""
    try:
        tree = EXPORTS[path.name].model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    if isinstance(tree, StudyManifest):
        return {entry.trial: entry.headline for entry in tree.experiments}
    return tree.model_dump(mode="json")


@cache
def places(path: Path) -> list[int]:
    return written(path.read_bytes())


@pytest.fixture(scope="module")
def originals(module_lab: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Original]:
    """Return a study that is over, and one whose session was killed: a part of its events lies in its log."""
    study_file = module_lab.write(["ok", "exception", "ok_too"], model=MODEL, measurement=MEASURED, cycles=2)
    _, finished = module_lab.run(study_file, code=1, env=METER)
    session, killed = module_lab.start(study_file, env=METER)
    killed.wait_for("experiment_completed", count=3)
    session.process.kill()
    session.wait()
    kept = Path(shutil.copytree(killed.root, tmp_path_factory.mktemp("killed") / "study"))
    assert (kept / "journal.db-wal").stat().st_size
    found = [Original.of(finished.root), Original.of(kept)]
    assert len(found[0].figures) == 4
    return found


@pytest.fixture(scope="module")
def in_memory() -> Iterator[Path]:
    """Return a folder for the copies: in memory where there is such a place."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as place:
        yield Path(place)


@pytest.mark.parametrize("which", FILES)
def test_damaged_bytes_never_make_a_wrong_figure(
    which: str, originals: list[Original], in_memory: Path, tally: Any, rounds: Any, draw: random.Random
) -> None:
    tally.fault = f"bytes flipped, zeroed, overwritten or cut off in {which}"
    tally.asked = "Damage is named; whatever is called trustworthy or shown is as it was"
    tally.look_for(*WRONGS)
    wrongs = []
    for number in range(rounds(45, 500)):
        case = Case(draw.choice(originals), in_memory / "study")
        hits = case.spoil(FILES[which], draw)
        tally.tried += 1
        try:
            outcome = case.look(told=not number % 4)
        except Exception as error:  # noqa: BLE001 - whatever it is, a user would see a traceback
            case.wrongs.append("tracebacks")
            outcome = repr(error)
        for wrong in case.wrongs:
            tally.bad[wrong] += 1
            wrongs.append(f"{wrong}: {outcome}: {hits}")
        if not case.wrongs:
            tally.seen[outcome] = tally.seen.get(outcome, 0) + 1
        shutil.rmtree(case.root)
    print("\n".join(wrongs))
    tally.assert_nothing_wrong()


def test_a_resume_of_damaged_bytes_goes_on_or_says_why(
    originals: list[Original], lab: Any, tally: Any, rounds: Any, draw: random.Random
) -> None:
    tally.fault = "resume of a study with damaged bytes, after `llem study recover` where it asks for that"
    tally.asked = "It ends with every trial accounted for and nothing found wrong, or refuses and says why"
    tally.look_for("results lost", "findings of the audit", "refusals without a word", "tracebacks")
    wrongs = []
    for number in range(rounds(3, 40)):
        case = Case(draw.choice(originals), lab.place / f"study {number}")
        hits = case.spoil(FILES["any file of the study"], draw)
        tally.tried += 1
        wrong, outcome = resumed(lab, case)
        tally.bad.update(wrong)
        tally.seen[outcome] = tally.seen.get(outcome, 0) + 1
        wrongs += [f"{+wrong}: {outcome}: {hits}"] if +wrong else []
    print("\n".join(wrongs))
    tally.assert_nothing_wrong()


def resumed(lab: Any, case: "Case") -> tuple[Counter[str], str]:
    """Resume a damaged study, or recover and resume it; return what must not be, and what came of it."""
    study, outcome = lab.study_in(case.root), "went on"
    sessions = [lab.begin_resume(study, env=METER)]
    if sessions[0].wait() in (2, 3):
        sessions.append(lab.llem("study", "recover", case.root, code=None))
        outcome = "refused: nothing is left to recover"
        if sessions[1].process.returncode == 0:
            sessions.append(lab.begin_resume(study, env=METER))
            outcome = "went on after a recovery" if sessions[2].wait() in (0, 1) else "refused after a recovery"
    refused = [session for session in sessions if session.process.returncode not in (0, 1)]
    wrong = Counter(
        {
            "tracebacks": sum("Traceback" in session.err for session in sessions),
            "refusals without a word": sum("error: " not in session.err for session in refused),
        }
    )
    if outcome.startswith("went on"):
        wrong["findings of the audit"] += len(study.findings())
        wrong["results lost"] += sum(study.completions()[trial] != 1 for trial in case.original.figures)
    else:
        wrong["results lost"] += outcome == "refused after a recovery"
    if +wrong:
        print(*(session.err for session in refused))
    return wrong, outcome


class Case:
    """One copy of a study, to be spoiled and looked at.

    Args:
        original: The study.
        root: Where the copy is made.
    """

    def __init__(self, original: Original, root: Path) -> None:
        self.original = original
        self.root = Path(shutil.copytree(original.root, root))
        self.wrongs: list[str] = []

    def spoil(self, patterns: Sequence[str], draw: random.Random) -> list[str]:
        """Hit some of its files; return what was done."""
        files = sorted({path for pattern in patterns for path in self.root.glob(pattern) if path.stat().st_size})
        files = [path for path in files if not path.name.endswith("-shm")]
        done = []
        for _ in range(draw.randint(1, 3)):
            path = draw.choice(files)
            if draw.random() < 0.03:
                path.unlink(missing_ok=True)
                done.append(f"{path.name} deleted")
            elif path.exists():
                source = self.original.root / path.relative_to(self.root)
                hit = (draw.choice(WAYS), draw.random(), draw.choice(LENGTHS), draw.randrange(256))
                path.write_bytes(spoil(path.read_bytes(), places(source), *hit))
                done.append(f"{path.name} {hit}")
        return done

    def look(self, *, told: bool) -> str:
        """Look at it as a user may; return what came of it, having noted what must not be.

        Args:
            told: Whether what is found is printed too, as the commands do.
        """
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                seen: list[Row] = []
                found = audit(StudyFolder(self.root), lambda row, _: seen.append(row))
            except LlemError as error:
                self._require("damages not named", bool(str(error)))
                self._shown()
                return "named: nothing of the journal can be read"
            self._require("altered events called sound", seen == self.original.rows[: found.events])
            self._trusted(found)
            self._shown()
            verification = verify(StudyFolder(self.root))
            if told:
                assert show_audit(self.root, as_json=False) == (3 if found.findings else 0)
                assert show_verification(self.root, as_json=True) == (3 if verification.findings else 0)
        changed = self._changed_exports()
        if found.findings:
            return "named by the audit"
        self._require("damages not named", found.events >= self.original.remembered)
        self._require("damages not named", self._takes_events())
        if verification.findings:
            return "named by the verification"
        self._require("damages not named", not changed)
        if found.events < len(self.original.rows):
            return "ends earlier, where no file remembers more, as after a power cut"
        if any(said is None for name, said in self._said().items() if self.original.exports[name] is not None):
            return "an export that nothing can read: the next session makes it anew"
        return "no figure, event or file that counts is altered"

    def _trusted(self, found: Audit) -> None:
        """Compare what is called trustworthy with the original."""
        figures = self._figures(through=found.events)
        for trial in found.trustworthy:
            self._require("wrong figures called trustworthy", figures.get(trial) == self.original.figures[trial])
            for file in self.original.files[trial]:
                same = (self.root / file).read_bytes() == (self.original.root / file).read_bytes()
                self._require("wrong figures called trustworthy", same)

    def _figures(self, through: int) -> dict[str, Any]:
        rows = self.original.rows[:through]
        return {str(row.trial): row.stored()["headline"] for row in rows if row.kind == "experiment_completed"}

    def _shown(self) -> None:
        """Compare what ``status`` shows with the original."""
        try:
            fold = read_fold(self.root).fold
        except LlemError as error:
            self._require("damages not named", bool(str(error)))
            return
        for state in fold.in_order():
            if state.headline is not None:
                self._require("wrong figures shown", state.headline == self.original.figures.get(state.trial))

    def _takes_events(self) -> bool:
        """Return whether its journal takes a further event."""
        try:
            with Journal(self.root / "journal.db") as journal:
                journal.append(SessionEnded(reason="interrupted", detail=None))
        except JournalError:
            return False
        return True

    def _changed_exports(self) -> bool:
        """Return whether an export that can be read says other figures than the original's."""
        said = self._said()
        return any(said[name] not in (None, told) for name, told in self.original.exports.items())

    def _said(self) -> dict[str, Any]:
        return {name: said_by(self.root / name) for name in EXPORTS}

    def _require(self, what: str, holds: bool) -> None:
        if not holds:
            self.wrongs.append(what)
