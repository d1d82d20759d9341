"""No name in a study, a journal or a message leads out of the study's folder: nothing is read or written there."""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from llem.cli import app
from llem.domain.decoding import typed_event
from llem.domain.errors import JournalError, LlemError, StudyError
from llem.journal.journal import Journal
from llem.journal.reader import open_reader
from llem.study.folder import OWN, inside, study_in

VICTIM = "the secret of a neighbour: " + "x" * 40
LEADS_OUT = ["../../victim.json", "/etc/passwd", "..", ".", "a/../../b", "nul\0l", ".hidden", ""]


@pytest.mark.parametrize("name", LEADS_OUT)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(JournalError, match="which no file there can be called"):
        inside(tmp_path, name)
    assert inside(tmp_path, "a..b_c1.json") == tmp_path / "a..b_c1.json"


@pytest.mark.parametrize("name", OWN)
def test_a_link_in_the_place_of_what_is_llem_s_own_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    study_in(tmp_path)
    (tmp_path / name).symlink_to("/nowhere")
    with pytest.raises(StudyError, match="is a link"):
        study_in(tmp_path)


def test_a_study_s_folder_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "latest").symlink_to("study")
    assert study_in(tmp_path / "latest").root == tmp_path / "latest"


def forge(root: Path, kind: str, *, until: str | None = None, **changes: Any) -> None:
    """Write the journal of a study anew, whole and chained, with other values in the events of one kind."""
    with open_reader(root / "journal.db") as reader:
        events = [typed_event(row) for row in reader.rows()]
    for path in root.glob("journal.db*"):
        path.unlink()
    (root / "manifest.json").unlink()
    (root / "results.json").unlink(missing_ok=True)
    with Journal(root / "journal.db") as journal:
        for event in events:
            if event.kind == until:
                break
            journal.append(event.model_copy(update=changes) if event.kind == kind else event)


@pytest.fixture(scope="module")
def finished(module_lab: Any) -> Any:
    return module_lab.run(module_lab.write(["ok"]))[1]


def all_that_looks(lab: Any, study: Any, capfd: pytest.CaptureFixture[str]) -> str:
    """Run every command that looks into a study and may change it, a resume among them; return what they say."""
    resumed = lab.begin_resume(study)
    assert resumed.wait() in (0, 1, 3), resumed.err
    for command in (["log"], ["log", "--verify"], ["status"], ["verify"], ["recover"]):
        with contextlib.suppress(SystemExit, LlemError):
            app(["study", command[0], str(study.root), *command[1:]])
    words = capfd.readouterr()
    shown: str = resumed.out + resumed.err + words.out + words.err
    assert "Traceback" not in shown
    return shown


def state_of(place: Path) -> dict[Path, Any]:
    """Return all that lies in a folder: what it holds, or leads to."""
    return {
        path: os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in place.rglob("*")
    }


@pytest.mark.parametrize("field", ["result_file", "samples_file"])
def test_a_journal_that_names_a_file_elsewhere_has_it_neither_read_nor_moved(
    lab: Any, finished: Any, field: str, capfd: pytest.CaptureFixture[str]
) -> None:
    study = lab.copy(finished)
    victim = lab.place / "victim.json"
    victim.write_text(VICTIM)
    digest = hashlib.sha256(victim.read_bytes()).hexdigest()
    of = {"result_file": "result_sha256", "samples_file": "samples_sha256"}[field]
    forge(study.root, "experiment_completed", **{field: "../../victim.json", of: digest})
    assert "which no file there can be called" in lab.resume(study, code=3).err
    shown = all_that_looks(lab, study, capfd)
    assert "is no valid 'experiment_completed'" in shown
    assert VICTIM not in shown
    assert victim.read_text() == VICTIM


@pytest.mark.parametrize("field", ["label", "result_stem"])
def test_a_plan_whose_names_lead_elsewhere_writes_nothing_there(
    lab: Any, finished: Any, field: str, capfd: pytest.CaptureFixture[str]
) -> None:
    study = lab.copy(finished)
    forge(study.root, "experiment_planned", until="session_started", **{field: "../../../out"})
    outside = {path for path in lab.place.iterdir() if path != study.root}
    all_that_looks(lab, study, capfd)
    found = {path for path in lab.place.iterdir() if path != study.root and path.suffix not in (".out", ".err")}
    assert found <= outside
    assert not list(lab.place.parent.glob("out*"))


PLANTED = [
    "results",
    "logs",
    "journal.lock",
    "journal.db",
    "manifest.json",
    "results/orphans",
    ".manifest.json.part",
    "logs/recorder.log",
    "logs/{trial}_a2.log",
    "results/{result}",
    "results/.{result}.part",
    "results/stray.json",
]


@pytest.mark.parametrize("name", PLANTED)
def test_a_link_planted_in_a_folder_leads_nowhere(
    lab: Any, finished: Any, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    study = lab.copy(finished)
    (event,) = study.events("experiment_completed")
    (study.root / "results" / event["data"]["result_file"]).unlink()  # so that a resume has something to run
    (study.root / "results" / "an orphan.json").write_text("{}")
    path = study.root / name.format(trial=event["trial"], result=event["data"]["result_file"])
    victims = lab.place / "victims"
    victims.mkdir()
    if path.is_dir():
        path.rename(victims / "dir")
        (victims / "dir" / "precious.part").write_text(VICTIM)
    elif path.is_file():
        path.rename(victims / "file")
    else:
        (victims / "file").write_text(VICTIM)
    path.symlink_to(victims / "dir" if (victims / "dir").exists() else victims / "file")
    before = state_of(victims)
    shown = all_that_looks(lab, study, capfd)
    assert state_of(victims) == before
    assert VICTIM not in shown
