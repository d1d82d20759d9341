"""A damaged journal is made whole again by what is sound of it, and nothing of the old one is lost."""

import json
import os
import shutil
import signal
import sys

import pytest

from llem.cli.log import show_log
from llem.cli.recover import show_recovery
from llem.domain.decoding import typed_event
from llem.domain.errors import InputError, JournalError, JournalLockedError, StudyError
from llem.domain.events import JournalRecovered, SessionEnded
from llem.domain.row import chain_hash
from llem.journal.journal import Journal
from llem.journal.lock import StudyLock
from llem.study.audit import audit
from llem.study.folder import StudyFolder
from llem.study.host import this_process
from llem.study.integrity import sha256_of
from llem.study.recover import recover, require_settled
from llem.study.verify import verify


@pytest.fixture
def killed(live, tmp_path):
    return live.copy(tmp_path)


def flip(path, text):
    """Flip a bit of the first place in a file where ``text`` stands."""
    content = bytearray(path.read_bytes())
    content[content.index(text)] ^= 1
    path.write_bytes(content)


def files_of(study):
    return {
        str(path.relative_to(study.root)): path.read_bytes()
        for path in study.root.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


def test_a_whole_journal_is_left_as_it_is(recorded, tmp_path):
    study = recorded.copy(tmp_path)
    before = files_of(study)
    found, fold = recover(study)
    assert (found.outcome, found.events, found.findings) == ("nothing_wrong", len(recorded.rows), ())
    assert (fold.seq, fold.hash) == (len(recorded.rows), recorded.rows[-1].hash)
    assert files_of(study) == before


def test_spoiled_results_are_no_damage_of_the_journal(finished):
    next(finished.results.iterdir()).write_text('{"journal_seq": 9999, "journal_hash": "x"}')
    assert audit(finished).findings
    assert recover(finished)[0].outcome == "nothing_wrong"


def test_an_altered_event_costs_what_came_after_it_and_the_study_says_so_for_ever(sealed, finished, edit):
    seq = sealed.seq_of("experiment_running", "e1_c3")
    edit(finished, f"UPDATE events SET attempt = 7 WHERE seq = {seq}")
    before = files_of(finished)
    planned, _ = recover(finished, dry_run=True)
    assert files_of(finished) == before, "a dry run changes nothing"
    found, fold = recover(finished)

    assert planned == found.model_copy(update={"outcome": "would_recover", "kept_in": None})
    assert (found.outcome, found.events) == ("recovered", seq - 1)
    assert (found.unreadable, found.invalid) == (0, len(sealed.rows) - seq + 1)
    assert found.remembered_seq == len(sealed.rows)
    assert (found.trials, found.completed) == (6, 4)
    assert found.lost_trials == ("e1_c3", "e0_c3")
    assert found.findings[0].found == f"event {seq} was altered: its hash is not that of its content"

    *kept, last = sealed.read(finished)
    assert kept == sealed.rows[: seq - 1]
    event = typed_event(last)
    assert isinstance(event, JournalRecovered)
    assert event.reason == f"event {seq}: {found.findings[0].found}"
    assert sealed.standing(fold) == sealed.manifests[seq - 2]

    aside = finished.root / found.kept_in
    assert (aside / "journal.db").read_bytes() == before["journal.db"]
    assert [(file.name, file.sha256) for file in event.files] == [("journal.db", sha256_of(before["journal.db"]))]
    gone = {name for name in before if not (finished.root / name).exists()}
    lost = {f"{place}/{trial}{end}" for trial in ("e0_c3", "e1_c3") for place, end in LOST_OF_A_TRIAL}
    assert gone == lost | {"manifest.json", "results.json"} == set(found.set_aside) == set(event.set_aside)
    assert all((aside / name).read_bytes() == before[name] for name in gone)

    assert audit(finished).findings == ()
    assert not finished.journal.with_name("journal.db-wal").exists()
    assert recover(finished)[0].outcome == "nothing_wrong"


LOST_OF_A_TRIAL = [("results", ".json"), ("samples", "_a1.json.gz"), ("logs", "_a1.log")]


def test_a_trial_that_lost_its_second_attempt_goes_on_from_its_first(sealed, finished, edit):
    edit(finished, f"DELETE FROM events WHERE seq = {sealed.seq_of('experiment_running', 'e1_c1')}")
    found, fold = recover(finished)
    assert (fold.trials["e1_c1"].status, fold.trials["e1_c1"].attempts) == ("failed", 1)
    assert found.completed == 1
    assert (finished.logs / "e1_c1_a1.log").exists()
    assert not (finished.logs / "e1_c1_a2.log").exists()
    assert (finished.root / found.kept_in / "logs" / "e1_c1_a2.log").exists()


def test_events_behind_a_damage_in_the_log_are_all_recovered(live, killed):
    log_file = killed.journal.with_name("journal.db-wal")
    flip(log_file, live.rows[9].hash.encode())
    assert len(live.read(killed)) < len(live.rows)
    found = audit(killed)
    assert (found.damaged, found.events) == (True, len(live.rows))
    assert "can be read only by leaving out what is damaged" in found.findings[0].found
    recovery, fold = recover(killed)
    assert (recovery.events, recovery.unreadable, recovery.invalid) == (len(live.rows), 0, 0)
    assert recovery.remembered_seq is None
    assert recovery.set_aside == ()
    assert live.read(killed)[:-1] == live.rows
    assert fold.trials["e0_c3"].status == "running"  # for the next session to settle
    assert (killed.root / recovery.kept_in / log_file.name).exists()
    assert audit(killed).findings == ()


@pytest.mark.parametrize("damage", ["header", "all of it"])
def test_a_lost_log_is_found_by_the_anchors_and_the_study_goes_on_from_what_is_left(live, killed, damage, edit):
    path = killed.journal.with_name("journal.db-wal")
    if damage == "header":
        path.write_bytes(bytes(32) + path.read_bytes()[32:])
        assert recover(killed)[0].events == len(live.rows)
        return
    with Journal(killed.journal) as journal:  # its events reach the file, all but the last 14
        journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    edit(killed, f"DELETE FROM events WHERE seq > {len(live.rows) - 14}")
    found, _ = recover(killed)
    assert (found.events, found.remembered_seq) == (len(live.rows) - 14, live.remembered)
    assert "its tail is lost" in found.findings[0].found
    assert audit(killed).findings == ()


def test_pages_that_cannot_be_read_are_told_event_by_event(sealed, finished):
    content = bytearray(finished.journal.read_bytes())
    middle = content.index(sealed.rows[20].hash.encode()) // 4096 * 4096
    content[middle : middle + 4096] = bytes(4096)
    finished.journal.write_bytes(content)
    found = audit(finished)
    unread = [finding for finding in found.findings if "cannot be read" in finding.found and "event" in finding.where]
    assert {f"event {seq}" for seq in range(found.events + 1, 22)} <= {finding.where for finding in unread}
    recovery, _ = recover(finished)
    assert recovery.events == found.events < 21
    assert recovery.unreadable == len(unread)
    assert recovery.unreadable + recovery.invalid == len(sealed.rows) - recovery.events


def test_a_journal_whose_first_page_is_lost_is_whole_again(sealed, finished):
    content = finished.journal.read_bytes()
    finished.journal.write_bytes(bytes(4096) + content[4096:])
    with pytest.raises(JournalError, match="no SQLite database"):
        Journal(finished.journal)
    assert audit(finished).events == len(sealed.rows)
    found, _ = recover(finished)
    assert found.events == len(sealed.rows)
    assert sealed.read(finished)[:-1] == sealed.rows


def test_damage_of_the_file_that_costs_no_event_is_mended_too(sealed, finished):
    content = bytearray(finished.journal.read_bytes())
    content[32:40] = (5).to_bytes(4, "big") + (1).to_bytes(4, "big")  # page 5 is free, it says
    finished.journal.write_bytes(content)
    assert {finding.where for finding in audit(finished).findings} == {"journal.db"}
    assert audit(finished).events == len(sealed.rows)
    found, _ = recover(finished)
    assert (found.events, found.set_aside) == (len(sealed.rows), ())
    assert audit(finished).findings == ()


@pytest.mark.parametrize(
    ("sql", "altered", "what"),
    [
        (b"CHECK (id = 1)", b"CHECK (id = 9)", "table wal_reserve"),
        (b"CHECK (session >= 1)", b"CHECK (session >= 9)", "table events"),
        (b"max(seq), 0) + 1", b"max(seq), 0) + 7", "trigger events_in_a_row"),
    ],
)
def test_a_table_or_guard_that_would_refuse_the_next_event_is_named_and_mended(sealed, finished, sql, altered, what):
    content = finished.journal.read_bytes()
    assert content.count(sql) == 1
    finished.journal.write_bytes(content.replace(sql, altered))
    assert [finding.found for finding in audit(finished).findings] == [f"the {what} is not as llem makes it"]
    assert recover(finished)[0].events == len(sealed.rows)
    assert audit(finished).findings == ()
    with Journal(finished.journal) as journal:
        journal.append(SessionEnded(reason="interrupted", detail=None))


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, bytes(9000)])
def test_where_nothing_is_left_nothing_is_touched_and_the_way_out_is_told(finished, content):
    finished.journal.write_bytes(content)
    before = files_of(finished)
    with pytest.raises(JournalError, match="backup") as refused:
        recover(finished)
    assert refused.value.exit_code == 3
    assert files_of(finished) == before


def test_a_plan_that_is_not_whole_is_none(finished, edit):
    edit(finished, "UPDATE events SET data = replace(data, 'e1', 'e2') WHERE seq = 3")
    before = files_of(finished)
    with pytest.raises(JournalError, match=r"its plan is not sound \(event 3: .*run the study again"):
        recover(finished)
    assert files_of(finished) == before


def test_an_extension_that_is_not_whole_is_left_out(make, sealed, finished, edit):
    study, *_ = make.plan(3, 3)
    extension = next(row for row in sealed.rows if row.kind == "study_extended")
    data = json.dumps({**extension.stored(), "added": 1, "sequence": [*extension.stored()["sequence"], 2, 2, 2]})
    stored = [*extension[:7], data, extension.prev_hash]
    values = f"data = '{data}', hash = '{chain_hash(*stored)}'"
    edit(finished, f"UPDATE events SET {values} WHERE seq = {extension.seq}")
    found, fold = recover(finished)
    assert found.events == extension.seq - 1
    assert len(fold.trials) == 4
    assert found.invalid == len(sealed.rows) - found.events
    assert study.cycles == 3


def test_a_journal_of_a_newer_llem_is_not_cut_down_to_what_this_one_knows(sealed, finished, edit):
    last = sealed.rows[-1]
    hashed = chain_hash(*last._replace(kind="gpu_melted")[:-1])
    edit(finished, f"UPDATE events SET kind = 'gpu_melted', hash = '{hashed}' WHERE seq = {last.seq}")
    with pytest.raises(JournalError, match=r"'gpu_melted'.*Upgrade llem"):
        recover(finished)
    edit(finished, "PRAGMA user_version = 9")
    with pytest.raises(JournalError, match="upgrade llem"):
        recover(finished)


def test_a_study_that_is_running_is_left_alone(finished, edit):
    edit(finished, "DELETE FROM events WHERE seq = 9")
    with StudyLock(finished.lock, this_process()):
        for dry_run in (True, False):
            with pytest.raises(JournalLockedError, match=f"process {os.getpid()} on"):
                recover(finished, dry_run=dry_run)
    assert recover(finished)[0].outcome == "recovered"


def test_a_folder_without_a_journal_is_no_study(tmp_path, finished):
    finished.journal.unlink()
    with pytest.raises(InputError, match="is no study"):
        recover(finished)


def test_a_journal_that_was_recovered_goes_on_and_can_be_recovered_again(sealed, finished, edit):
    edit(finished, "DELETE FROM events WHERE seq = 30")
    recover(finished)
    with Journal(finished.journal) as journal:
        journal.session += 1
        rows = [journal.append(SessionEnded(reason="interrupted", detail=str(number))) for number in range(8)]
    assert audit(finished).findings == ()
    edit(finished, f"DELETE FROM events WHERE seq = {rows[4].seq}")
    found, fold = recover(finished)
    assert found.events == rows[3].seq
    kinds = [row.kind for row in sealed.read(finished)]
    assert [seq for seq, kind in enumerate(kinds, 1) if kind == "journal_recovered"] == [30, found.events + 1]
    assert len(list(finished.damaged.iterdir())) == 2
    assert fold.seq == found.events + 1
    assert audit(finished).findings == ()


def in_a_child(action):
    """Run ``action`` in a process of its own, and return how that ended."""
    pid = os.fork()
    if not pid:
        try:
            action()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "sqlite3.connect"}


def killed_at(number, root, action):
    """Return a function that does ``action`` and kills its process before its ``number``-th change below ``root``."""
    left = [number]

    def before(event, arguments):
        written = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if (written or event in CHANGES) and str(root) in str(arguments[0]):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    def run():
        sys.addaudithook(before)
        action()

    return run


def test_whenever_it_is_killed_the_next_one_comes_to_the_same_end(live, in_memory, edit):
    # A damage that costs something: the altered event is in the file, and there is a log besides.
    original = live.copy(in_memory)
    edit(original, "UPDATE events SET attempt = 7 WHERE seq = 40")
    with Journal(original.journal) as journal:
        journal._db.execute("INSERT OR REPLACE INTO wal_reserve VALUES (1, zeroblob(9000))")
        damaged = StudyFolder(shutil.copytree(original.root, in_memory / "damaged study"))
    begin, refused, number = files_of(damaged), 0, 0
    assert "journal.db-wal" in begin
    ended = -signal.SIGKILL
    while ended:
        number += 1
        study = StudyFolder(shutil.copytree(damaged.root, in_memory / f"killed {number}"))
        ended = in_a_child(killed_at(number, study.root, lambda study=study: recover(study)))
        assert ended in (0, -signal.SIGKILL)
        kept = set(files_of(study).values())
        assert set(begin.values()) - kept <= {b""}, "nothing is in one place less than before"
        if study.recovered.exists():
            refused += 1
            with pytest.raises(JournalError, match=r"was cut short.*llem study recover"):
                require_settled(study)
        recover(study)
        *rows, last = live.read(study)
        assert (rows, last.kind) == (live.rows[:39], "journal_recovered")
        assert audit(study).findings == ()
        assert set(begin.values()) - set(files_of(study).values()) <= {b""}
        shutil.rmtree(study.root)
    assert number > 20
    assert refused > 3


def test_a_full_disk_leaves_the_study_as_it_was(finished, edit):
    import resource

    edit(finished, "DELETE FROM events WHERE seq = 30")
    before = files_of(finished)

    def without_space():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 * 5, -1))
        try:
            recover(finished)
        except (StudyError, JournalError) as error:
            os._exit(7 if "space" in str(error) else 8)

    assert in_a_child(without_space) == 7
    after = files_of(finished)
    after.pop("journal.lock", None)
    assert {name: after[name] for name in before if name != "journal.lock"} == {
        name: content for name, content in before.items() if name != "journal.lock"
    }
    assert [name for name in after if name not in before and not name.startswith("damaged/")] == []
    assert recover(finished)[0].outcome == "recovered"


class TestCommand:
    def test_it_says_what_was_kept_and_lost_and_what_to_type_next(self, finished, capsys, edit):
        edit(finished, "DELETE FROM events WHERE seq = 30")
        show_recovery(finished.root, dry_run=True, as_json=False)
        would = capsys.readouterr()
        assert "29 events would be kept; lost: " in would.out
        assert "Nothing was changed." in would.err
        show_recovery(finished.root, dry_run=False, as_json=False)
        shown = capsys.readouterr()
        assert "event 30: event 30 is missing: 31 follows 29\n29 events kept; lost: " in shown.out
        assert "invalid, event" in shown.out
        assert "is the last that a file remembers\n2 of 6 trials keep their result\n" in shown.out
        assert "events of e1_c2, e0_c2, e1_c3, e0_c3 are lost" in shown.out
        assert "the damaged journal is kept in damaged/20" in shown.out
        assert shown.err == f"Go on with: llem study resume {finished.root}\n"
        manifest = json.loads(finished.manifest.read_bytes())
        assert (manifest["journal_seq"], manifest["status"], manifest["completed"]) == (30, "interrupted", 2)
        assert json.loads(finished.results_file.read_bytes())["journal_seq"] == 30
        assert verify(finished).findings != (), "these results are made up"
        show_recovery(finished.root, dry_run=False, as_json=False)
        assert "The journal is whole; nothing was changed." in capsys.readouterr().err

    def test_its_json_says_the_same(self, finished, capsys, edit):
        edit(finished, "DELETE FROM events WHERE seq = 30")
        show_recovery(finished.root, dry_run=False, as_json=True)
        told = json.loads(capsys.readouterr().out)
        assert (told["outcome"], told["events"], told["trials"], told["completed"]) == ("recovered", 29, 6, 2)
        assert told["kept_in"].startswith("damaged/20")

    def test_a_log_shows_that_a_journal_was_recovered(self, finished, capsys, edit):
        edit(finished, "DELETE FROM events WHERE seq = 30")
        recover(finished)
        show_log(finished.root, follow=False, trial=None, kind=None, as_json=False)
        line = capsys.readouterr().out.splitlines()[-1]
        assert "journal_recovered" in line
        assert "event 30 is missing: 31 follows 29" in line
