"""A power cut at any moment: whatever the disk has taken of what was not synced, nothing acknowledged is missing.

Sessions run with a library preloaded that writes down each change of the disk, each sync, and each line that told
the world of an event. From that, the disk is made anew as it may be after a power cut at any of these moments; what
it may then hold is said in ``tests/plugins/power_cut.py``. Each such image is looked at by the audit that
``llem study log --verify`` is and by what ``status`` reads, and now and then by a real ``resume``, to the end.
"""

import os
import random
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from power_cut import Change, Disk, Model, build, files_of, read_log, told_events

from llem.cli.reading import read_fold
from llem.domain.errors import JournalError
from llem.domain.row import Row
from llem.journal.reader import open_reader
from llem.study.audit import audit
from llem.study.folder import StudyFolder
from llem.study.recover import recover

METER = {"LLEM_ACTING_RECORDER": "meter"}
MODES = {"wal": METER, "delete": {**METER, "LLEM_ACTING_FILE_SYSTEM": "nfs4"}}
MEASURED = {"warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0, "sensors": ["rapl"]}
BEHAVIOURS = ["ok", "first:kill_itself", "ok_too"]
WRONGS = (
    "acknowledged events lost",
    "acknowledged results lost",
    "events altered",
    "files torn",
    "findings of the audit",
    "trials run twice",
    "tracebacks",
)


@dataclass(frozen=True, repr=False)
class Recorded:
    """What sessions of one study did to the disk.

    Attributes:
        changes: Every change, sync and acknowledged event.
        root: The disk's folder.
        study: The study's folder, relative to that.
        rows: The journal in the end.
        wholes: Everything that each file was when it got its name, by its path on the disk.
        environment: What the sessions ran with.
    """

    changes: list[Change]
    root: Path
    study: Path
    rows: list[Row]
    wholes: dict[str, set[bytes]]
    environment: dict[str, str]


@pytest.fixture(scope="module")
def in_memory() -> Iterator[Path]:
    """Return a folder for the images: in memory where there is such a place."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as place:
        yield Path(place)


class Preloaded:
    """A lab whose sessions are written down.

    Args:
        lab: The lab.
        library: What is preloaded.
        environment: What the sessions run with.
    """

    def __init__(self, lab: Any, library: Path, environment: dict[str, str]) -> None:
        self._log, self._heard = lab.place / "changes", lab.place / "heard"
        self.root, self._environment = lab.place / "disk", environment
        self.root.mkdir()
        lab.output = self.root / "studies"
        self._preloading = {
            **environment,
            "LD_PRELOAD": str(library),
            "LLEM_DISK_ROOT": str(self.root),
            "LLEM_DISK_LOG": str(self._log),
            "LLEM_DISK_HEARD": str(self._heard),
        }

    def begin(self, begin: Callable[..., Any], *arguments: Any) -> Any:
        """Start a session, or whatever ``begin`` starts, that is written down."""
        with self._heard.open("ab") as heard:
            return begin(*arguments, "--json", env=self._preloading, stdout=heard)

    def changes(self, before: Path | None = None) -> list[Change]:
        """Return what was written down, once it is sure that it leads from what ``before`` holds to what is there."""
        changes, disk = read_log(self._log), Disk(self.root, before)
        for change in changes:
            disk.apply(change)
        assert disk.files() == files_of(self.root)
        return changes

    def recorded(self, study: Any) -> Recorded:
        """Return what the sessions of a study did."""
        changes, disk, wholes = self.changes(), Disk(self.root), {}
        for change in changes:
            disk.apply(change)
            if change.kind == "r":
                name = str(Path(change.other).relative_to(self.root))
                found = disk.content(name)
                if found is not None:
                    wholes.setdefault(name, set()).add(found)
        rows = read(study.root)
        told = told_events(disk.heard)
        assert told
        assert {event["seq"]: event["hash"] for event in told}.items() <= {row.seq: row.hash for row in rows}.items()
        return Recorded(changes, self.root, study.root.relative_to(self.root), rows, wholes, self._environment)


def record(lab: Any, library: Path, environment: dict[str, str], draw: random.Random) -> Recorded:
    """Record a session that ends, by itself or by a signal, and one that goes on from there to the end."""
    made = Preloaded(lab, library, environment)
    session = made.begin(lab.begin_run, lab.write(BEHAVIOURS, measurement=MEASURED, cycles=2, retries=1))
    study = lab.study_of(session)
    ending = draw.choice([None, signal.SIGINT, signal.SIGKILL])
    if ending is not None:
        study.wait_for("phase_entered", count=draw.randint(2, 25))
        session.signal(ending)
    session.wait()
    made.begin(lab.begin_resume, study).ended(0)
    return made.recorded(study)


class Cut(NamedTuple):
    """A power cut: after which change, and what the disk has taken by then of what was not synced."""

    after: int
    model: Model
    seed: int


class Images:
    """The images of one recording, looked at.

    Args:
        recorded: The recording.
        place: Where images are made.
        tally: Where what is found is counted.
    """

    def __init__(self, recorded: Recorded, place: Path, tally: Any) -> None:
        self._recorded = recorded
        self._image = place / "image"
        self._tally = tally
        self.wrongs: list[str] = []

    def cuts(self, draw: random.Random, count: int) -> list[Cut]:
        """Return power cuts: one after each sync that leaves nothing but what was synced, and ``count`` others."""
        kinds = [change.kind for change in self._recorded.changes]
        syncs = [place for place, kind in enumerate(kinds, 1) if kind == "s"]
        turns = [place for place, kind in enumerate(kinds, 1) if kind in "saru"]
        least = [Cut(place, Model(ordered=draw.random() < 0.5, kept=0.0), 0) for place in syncs]
        others = [
            Cut(
                draw.choice(turns) if draw.random() < 0.5 else draw.randint(1, len(kinds)),
                Model.drawn(draw),
                draw.getrandbits(32),
            )
            for _ in range(count)
        ]
        return sorted(least + others)

    def look_at(self, cuts: Sequence[Cut]) -> None:
        """Look at the image of each cut; they come in order of time."""
        disk, at = Disk(self._recorded.root), 0
        for cut in cuts:
            for change in self._recorded.changes[at : cut.after]:
                disk.apply(change)
            at = cut.after
            disk.image(self._image, cut.model, random.Random(cut.seed))
            self._tally.tried += 1
            try:
                self._look(cut, told_events(disk.heard))
            except Exception as error:  # noqa: BLE001 - whatever it is, it would have been a traceback
                self._wrong("tracebacks", cut, repr(error))
            shutil.rmtree(self._image)

    def resume(self, cut: Cut, lab: Any) -> None:
        """Resume the study as the cut leaves it, to its end."""
        disk = Disk(self._recorded.root)
        for change in self._recorded.changes[: cut.after]:
            disk.apply(change)
        told = told_events(disk.heard)
        place = lab.place / f"resumed after {cut.after}"
        disk.image(place, cut.model, random.Random(cut.seed))
        study = lab.study_in(place / self._recorded.study)
        before = audit(StudyFolder(study.root))
        session = lab.begin_resume(study, env=self._recorded.environment)
        self._count("studies resumed to the end", 1)
        if session.wait() != 0 or "Traceback" in session.err:
            self._wrong("tracebacks", cut, session.err)
            return
        if read(study.root)[: before.events] != self._recorded.rows[: before.events]:
            self._wrong("events altered", cut, "by the resume")
        kept = {event["trial"] for event in told if event["kind"] == "experiment_completed"}
        if set(study.completions().values()) != {1} or len(study.completions()) != 2 * len(BEHAVIOURS):
            self._wrong("trials run twice", cut, study.completions())
        if not kept <= set(before.trustworthy):
            self._wrong("acknowledged results lost", cut, kept)
        if study.findings():
            self._wrong("findings of the audit", cut, study.findings())

    def _look(self, cut: Cut, told: list[dict[str, Any]]) -> None:
        study, rows = self._image / self._recorded.study, self._recorded.rows
        last = told[-1]["seq"] if told else 0
        for path, content in files_of(self._image).items():
            if path.endswith((".json", ".json.gz", ".yaml")) and content not in self._recorded.wholes.get(path, ()):
                self._wrong("files torn", cut, path)
        if not (study / "journal.db").exists():
            self._count("cut before there was a journal", 1)
            self._wrong("acknowledged events lost", cut, "the journal", last)
            return
        seen: list[Row] = []
        try:
            found = audit(StudyFolder(study), lambda row, _: seen.append(row))
        except JournalError as error:
            self._count("cut before there was a plan", 1)
            self._wrong("acknowledged events lost", cut, str(error), last)
            return
        self._wrong("acknowledged events lost", cut, f"{found.events} of {last}", last - found.events)
        if seen != rows[: found.events]:
            self._wrong("events altered", cut, found.events)
        self._wrong("findings of the audit", cut, found.findings, len(found.findings))
        done = {event["trial"] for event in told if event["kind"] == "experiment_completed"}
        self._wrong("acknowledged results lost", cut, done, len(done - set(found.trustworthy)))
        if not (study / "study.yaml").exists():
            self._wrong("files torn", cut, "there is no study.yaml")
        assert read_fold(study).fold.seq == found.events

    def _wrong(self, what: str, cut: Cut, why: object, count: int = 1) -> None:
        if count > 0:
            self._tally.bad[what] += count
            self.wrongs.append(f"{what}: {cut}: {why}")

    def _count(self, what: str, count: int) -> None:
        self._tally.seen[what] = self._tally.seen.get(what, 0) + count


def read(study: Path) -> list[Row]:
    with open_reader(study / "journal.db") as reader:
        return list(reader.rows())


@pytest.mark.parametrize("mode", MODES)
def test_no_power_cut_loses_an_acknowledged_event(
    mode: str, lab: Any, in_memory: Path, tally: Any, rounds: Any, draw: random.Random, tmp_path: Path
) -> None:
    named = {"wal": "with a write-ahead log", "delete": "without one, as on a network file system"}[mode]
    tally.fault = f"power cut at a random moment, journal {named}"
    tally.asked = "Every acknowledged event and result is there, the chain clean, every file whole or absent"
    tally.look_for(*WRONGS)
    library, wrongs = build(tmp_path), []
    for number in range(rounds(1, 4)):
        lab.place = tmp_path / str(number)
        lab.place.mkdir()
        recorded = record(lab, library, MODES[mode], draw)
        images = Images(recorded, in_memory, tally)
        cuts = images.cuts(draw, rounds(80, 500))
        images.look_at(cuts)
        told = next(place for place, change in enumerate(recorded.changes, 1) if change.kind == "a")
        for cut in draw.sample([cut for cut in cuts if cut.after > told], rounds(2, 6)):
            images.resume(cut, lab)
        wrongs += images.wrongs
    print("\n".join(wrongs))
    tally.assert_nothing_wrong()


def test_no_power_cut_spoils_a_recovery(
    lab: Any, in_memory: Path, tally: Any, rounds: Any, draw: random.Random, tmp_path: Path
) -> None:
    tally.fault = "power cut at a random moment of `llem study recover`"
    tally.asked = "The next recovery comes to the same end, and every file of before is still somewhere"
    tally.look_for("events lost", "files lost", "findings of the audit", "tracebacks")
    made = Preloaded(lab, build(tmp_path), METER)
    _, study = lab.run(lab.write(BEHAVIOURS, measurement=MEASURED, retries=1), env=METER)
    rows = read(study.root)
    cut = rows[2 * len(rows) // 3].seq
    altered(study.journal, f"UPDATE events SET attempt = 7 WHERE seq = {cut}")
    before = Path(shutil.copytree(made.root, lab.place / "before"))
    kept = {content for path, content in files_of(before).items() if not path.endswith((".json", ".lock"))}
    kept |= {path.read_bytes() for path in (before / "studies").glob("*/results/*.json")}
    made.begin(lab.llem, "study", "recover", study.root)
    changes = made.changes(before)
    disk, at = Disk(made.root, before), 0
    wrongs = []
    for place in sorted(draw.choices(range(len(changes) + 1), k=rounds(40, 600))):
        for change in changes[at:place]:
            disk.apply(change)
        at, model, image = place, Model.drawn(draw), in_memory / "image"
        disk.image(image, model, draw)
        folder = StudyFolder(image / study.root.relative_to(made.root))
        tally.tried += 1
        try:
            recover(folder)
            found = read(folder.root)
            lost = kept - set(files_of(image).values())
            wrong = {
                "events lost": found[:-1] != rows[: cut - 1] or found[-1].kind != "journal_recovered",
                "files lost": len(lost),
                "findings of the audit": len(audit(folder).findings),
            }
        except Exception as error:  # noqa: BLE001 - whatever it is, it would have been a traceback
            wrong = {"tracebacks": 1, repr(error): 0}
        tally.bad.update({name: int(count) for name, count in wrong.items() if count})
        wrongs += [f"after {place}, {model}: {wrong}"] if any(wrong.values()) else []
        shutil.rmtree(image)
    print("\n".join(wrongs))
    tally.assert_nothing_wrong()


def altered(journal: Path, statement: str) -> None:
    """Change a journal as somebody with SQLite would who takes its guards away and puts them back."""
    db = sqlite3.connect(journal, isolation_level=None)
    guards = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for each in (*(f"DROP TRIGGER {name}" for name, _ in guards), statement, *(sql for _, sql in guards)):
        db.execute(each)
    db.close()
