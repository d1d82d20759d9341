"""Whatever is done to a study's record behind llem's back is found."""

import json
import shutil
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llem.domain.errors import InputError, JournalError, LlemError
from llem.domain.events import ExperimentCompleted, ExperimentRunning, SessionEnded, SessionStarted, StudyCompleted
from llem.domain.row import chain_hash
from llem.domain.sensing import SensorReport
from llem.exports.manifest import export_manifest
from llem.journal.journal import Journal
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.study.audit import audit
from llem.study.folder import StudyFolder, create_study_dir
from llem.study.integrity import ORPHANS, drop_torn_files, orphans, set_aside, sha256_of

COLUMNS = "seq, recorded_at, session, kind, v, trial, attempt, data, prev_hash, hash"


@pytest.fixture(scope="session")
def pristine(make, tmp_path_factory):
    """Return the folder of a finished study of two trials, each with a result and raw edges."""
    folder = create_study_dir(tmp_path_factory.mktemp("studies"), "tiny", make.start)
    with Journal(folder.journal) as journal:
        journal.append_all(make.plan(2, 1))
        sensors = SensorReport()
        journal.append(SessionStarted(command="run", llem_version="0.1", pid=1, host=make.host(), sensors=sensors))
        for trial in ("e0_c1", "e1_c1"):
            about = {"trial": trial, "attempt": 1}
            journal.append(ExperimentRunning(**about, log_file="logs/x.log", launcher="local"))
            seq, head = journal.head
            result = json.dumps({"trial": trial, "journal_seq": seq, "journal_hash": head}).encode()
            (folder.results / f"{trial}.json").write_bytes(result)
            (folder.samples / f"{trial}_a1.json.gz").write_bytes(b"edges of " + trial.encode())
            journal.append(
                ExperimentCompleted(
                    **about,
                    result_file=f"{trial}.json",
                    result_sha256=sha256_of(result),
                    samples_file=f"{trial}_a1.json.gz",
                    samples_sha256=sha256_of(b"edges of " + trial.encode()),
                    headline=make.headline(),
                )
            )
        journal.append(StudyCompleted(completed=2, failed=0, skipped=0))
        journal.append(SessionEnded(reason="finished"))
        export_manifest(ManifestFold().apply_all(journal.rows()), folder.manifest)
        assert journal.seal()
    return folder


@pytest.fixture
def study(pristine, tmp_path):
    """Return a copy of that folder, to be spoiled."""
    return copied(pristine, tmp_path)


def copied(pristine, place):
    shutil.copytree(pristine.root, place / "study")
    return StudyFolder(place / "study")


def edit(study, *statements):
    """Change the journal as somebody with SQLite would who has taken the guards away."""
    db = sqlite3.connect(study.journal)
    triggers = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    assert triggers
    for statement in [*(f"DROP TRIGGER {name}" for name in triggers), *statements]:
        db.execute(statement)
    db.commit()
    db.close()


def rechain(study):
    """Make the whole chain fit again, as a forger would."""
    db = sqlite3.connect(study.journal)
    last = "genesis"
    for *columns, _, _ in db.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq").fetchall():
        new = chain_hash(*columns, last)
        db.execute("UPDATE events SET prev_hash = ?, hash = ? WHERE seq = ?", (last, new, columns[0]))
        last = new
    db.commit()
    db.close()


def found_in(study):
    return [(finding.where, finding.found) for finding in audit(study).findings]


def test_a_study_that_nobody_touched_is_clean(study):
    found = audit(study)
    assert found.findings == ()
    assert (found.events, found.results, found.anchors) == (10, 2, 3)


def test_an_audit_leaves_the_study_as_it_is(study):
    before = {path: path.read_bytes() for path in study.root.rglob("*") if path.is_file()}
    audit(study)
    assert {path: path.read_bytes() for path in study.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("data = replace(data, '120', '100') WHERE seq = 6", 6),
        ("recorded_at = '2020-01-01T00:00:00.000000Z' WHERE seq = 1", 1),
        ("session = 2 WHERE seq = 4", 4),
        ("kind = 'experiment_skipped' WHERE seq = 5", 5),
        ("v = 1 WHERE seq = 3", 3),
        ("trial = 'e1_c1' WHERE seq = 6", 6),
        ("attempt = 9 WHERE seq = 6", 6),
        ("prev_hash = hash WHERE seq = 7", 7),
        ("hash = prev_hash WHERE seq = 10", 10),
    ],
)
def test_a_row_that_was_altered_is_found_whichever_column_it_was(study, change, seq):
    edit(study, f"UPDATE events SET {change}")
    where, found = found_in(study)[0]
    assert where == f"event {seq}"
    assert f"event {seq}" in found
    assert audit(study).events == seq - 1


def test_a_row_that_was_removed_from_the_middle_is_found(study):
    edit(study, "DELETE FROM events WHERE seq = 5")
    assert found_in(study)[0] == ("event 5", "event 5 is missing: 6 follows 4")


def test_rows_that_changed_places_are_found(study):
    swap = "UPDATE events SET seq = {0} WHERE seq = {1}".format
    edit(study, swap(99, 5), swap(5, 6), swap(6, 99))
    assert found_in(study)[0][0] == "event 5"


@pytest.mark.parametrize("lost", [1, 3, 6])
def test_a_tail_that_was_cut_off_is_found_by_the_anchors(study, lost):
    edit(study, f"DELETE FROM events WHERE seq > {10 - lost}")
    found = found_in(study)
    assert ("manifest.json", f"it remembers event 10, and the journal ends at {10 - lost}: its tail is lost") in found
    assert audit(study).anchors == 3 - len([where for where, _ in found if where.endswith(".json")])


def test_a_tail_that_was_cut_off_is_found_by_the_results_where_the_manifest_is_gone(study):
    edit(study, "DELETE FROM events WHERE seq > 5")
    study.manifest.unlink()
    assert found_in(study) == [
        ("results/e1_c1.json", "it remembers event 7, and the journal ends at 5: its tail is lost")
    ]


def test_a_history_that_was_rewritten_with_a_new_chain_is_found_by_the_anchors(study):
    edit(study, "UPDATE events SET data = replace(data, '120', '100') WHERE seq = 6")
    rechain(study)
    found = found_in(study)
    assert [where for where, _ in found] == ["manifest.json", "results/e1_c1.json"]
    assert all("is not the one that it remembers: the journal was rewritten" in text for _, text in found)


@pytest.mark.parametrize("data", ["[]", "1", "null", "{}", '{"reason": "bored"}'])
def test_a_forged_row_that_is_no_event_is_found_and_not_tripped_over(study, data):
    edit(study, f"UPDATE events SET data = '{data}' WHERE seq = 10")
    rechain(study)
    assert "event 10" in dict(found_in(study))


@pytest.mark.parametrize("place", ["results/e0_c1.json", "samples/e1_c1_a1.json.gz"])
@pytest.mark.parametrize("damage", ["altered", "missing", "emptied", "a folder"])
def test_a_file_that_is_not_as_it_was_recorded_is_found(study, place, damage):
    path = study.root / place
    if damage == "altered":
        path.write_bytes(path.read_bytes() + b" ")
    elif damage == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
        if damage == "a folder":
            path.mkdir()
    told = {
        "altered": "the file was altered: its SHA-256 is not the recorded one",
        "emptied": "the file was altered: its SHA-256 is not the recorded one",
        "missing": "the file is missing",
        "a folder": "the file cannot be read: Is a directory",
    }
    assert found_in(study) == [(place, told[damage])]
    assert audit(study).results == 1


def test_a_manifest_that_is_gone_or_garbled_says_nothing_against_the_journal(study):
    for content in (b"garbage", b"[]", b'{"journal_seq": "many", "journal_hash": 1}', b"\xff"):
        study.manifest.write_bytes(content)
        assert found_in(study) == []
    study.manifest.unlink()
    assert found_in(study) == []


def test_what_is_exported_while_the_journal_is_read_is_no_lost_tail(study):
    def later(row, fold):
        study.manifest.write_text(json.dumps({"journal_seq": 11, "journal_hash": "of an event after the reading"}))

    assert audit(study, later).findings == ()


@pytest.mark.parametrize("seq", [0, -1])
def test_an_anchor_that_names_no_event_is_found(study, seq):
    study.manifest.write_text(json.dumps({"journal_seq": seq, "journal_hash": "x"}))
    assert [where for where, _ in found_in(study)] == ["manifest.json"]


def test_an_event_of_a_newer_llem_is_told_as_such(study):
    edit(study, "UPDATE events SET kind = 'gpu_melted' WHERE seq = 10")
    rechain(study)
    assert (
        dict(found_in(study))["event 10"] == "Event 10 is a 'gpu_melted' of version 1, which this llem does not know."
    )


@pytest.mark.parametrize("content", [b"garbage" * 1000, b""])
def test_a_journal_that_is_none_is_a_journal_error(study, content):
    study.journal.write_bytes(content)
    with pytest.raises(JournalError):
        audit(study)


def test_a_folder_without_a_journal_is_no_study(tmp_path):
    with pytest.raises(InputError, match="is no study"):
        audit(StudyFolder(tmp_path))


@pytest.fixture(scope="session")
def written(pristine):
    """Return where the journal is not zero: most of the file is reserve."""
    return [place for place, byte in enumerate(pristine.journal.read_bytes()) if byte]


@settings(max_examples=200)
@given(st.data())
def test_no_bit_that_flips_in_the_journal_is_overlooked_or_tripped_over(pristine, written, tmp_path_factory, data):
    study = copied(pristine, tmp_path_factory.mktemp("flipped"))
    with open_reader(pristine.journal) as reader:
        rows = list(reader.rows())
    content = bytearray(study.journal.read_bytes())
    anywhere = st.sampled_from(range(len(written))).map(written.__getitem__) | st.integers(0, len(content) - 1)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(anywhere)] ^= 1 << data.draw(st.integers(0, 7))
    study.journal.write_bytes(content)
    try:
        found = audit(study)
    except LlemError:
        return
    if not found.findings:
        with open_reader(study.journal) as reader:
            assert list(reader.rows()) == rows


@given(st.data())
def test_a_journal_that_was_cut_short_is_found(pristine, tmp_path_factory, data):
    study = copied(pristine, tmp_path_factory.mktemp("cut"))
    content = study.journal.read_bytes()
    study.journal.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    try:
        found = audit(study)
    except LlemError:
        return
    assert found.findings


class TestFilesThatNobodyNames:
    def fold(self, study):
        with open_reader(study.journal) as reader:
            return ManifestFold().apply_all(reader.rows())

    def test_a_result_without_its_event_is_an_orphan(self, study):
        (study.results / "stray.json").write_text("{}")
        (study.samples / "stray.json.gz").write_text("")
        assert [path.name for path in orphans(study, self.fold(study))] == ["stray.json", "stray.json.gz"]

    def test_a_named_file_is_no_orphan(self, study):
        assert orphans(study, self.fold(study)) == []

    def test_orphans_are_set_aside_under_names_that_never_overwrite(self, study):
        places = []
        for n in range(3):
            (study.results / "stray.json").write_text(str(n))
            places.append(set_aside(study.results / "stray.json", ORPHANS))
        assert [place.name for place in places] == ["stray.json", "stray.2.json", "stray.3.json"]
        assert [place.read_text() for place in places] == ["0", "1", "2"]
        assert not (study.results / "stray.json").exists()
        assert orphans(study, self.fold(study)) == []

    def test_a_result_that_was_set_aside_still_anchors_the_journal(self, study):
        set_aside(study.results / "e1_c1.json", ORPHANS)
        study.manifest.unlink()
        edit(study, "DELETE FROM events WHERE seq > 5")
        assert [where for where, _ in found_in(study)] == ["results/orphans/e1_c1.json"]

    def test_unfinished_files_of_a_session_that_died_are_dropped_and_no_others(self, study):
        kept = {path for path in study.root.rglob("*") if path.is_file()}
        (study.samples / "e0_c1_a2.json.gz.part").write_bytes(b"")
        (study.results / ".e0_c1.json.part").write_bytes(b"")
        drop_torn_files(study)
        assert {path for path in study.root.rglob("*") if path.is_file()} == kept
