import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from llem.domain.decoding import typed_event
from llem.domain.errors import InputError, JournalError
from llem.domain.events import (
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentRunning,
    GapWaited,
    PhaseEntered,
    SessionEnded,
)
from llem.domain.row import GENESIS
from llem.journal.journal import Journal, utc_text
from llem.journal.reader import open_reader

ABOUT = {"trial": "e0_c1", "attempt": 1}
COLUMNS = "seq, recorded_at, session, kind, v, trial, attempt, data, prev_hash, hash"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def phase(number=1):
    return PhaseEntered(**ABOUT, phase="warmup", t_ns=number)


def read(path, **options):
    with open_reader(path) as reader:
        return list(reader.rows(**options))


def as_root_or_not(call):
    """Call as somebody who may not write where root may: permissions do not bind root."""
    if os.geteuid():
        return call()
    os.seteuid(65534)
    try:
        return call()
    finally:
        os.seteuid(0)


def test_appended_events_are_numbered_without_gap_and_chained(path):
    with Journal(path) as journal:
        assert journal.head == (0, GENESIS)
        appended = [journal.append(phase(n)) for n in range(5)]
        assert journal.head == (5, appended[-1].hash)
    assert [row.seq for row in appended] == [1, 2, 3, 4, 5]
    assert [row.prev_hash for row in appended] == [GENESIS, *(row.hash for row in appended[:-1])]
    assert all(row.hash == row.expected_hash() for row in appended)
    assert read(path) == appended


def test_an_event_is_stamped_in_utc_with_microseconds(path):
    odd = datetime(2026, 7, 1, 1, 2, 3, 45, tzinfo=timezone(timedelta(hours=2)))
    with Journal(path, now=lambda: odd) as journal:
        assert journal.append(phase()).recorded_at == "2026-06-30T23:02:03.000045Z"


def test_texts_of_times_sort_as_the_times_do():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(microseconds=n * 333_333) for n in range(20)]
    assert [utc_text(t) for t in times] == sorted(utc_text(t) for t in times)


def test_an_append_that_returned_is_seen_by_a_reader_at_once(path):
    with Journal(path) as journal:
        for n in range(1, 4):
            journal.append(phase(n))
            assert [row.payload()["t_ns"] for row in read(path)] == list(range(1, n + 1))


def test_a_reader_goes_on_from_where_it_was_and_sees_what_came_since(path):
    with Journal(path) as journal:
        journal.append(phase(1))
        with open_reader(path) as reader:
            assert [row.seq for row in reader.rows()] == [1]
            journal.append_all([phase(2), phase(3)])
            assert [row.seq for row in reader.rows(after=1)] == [2, 3]


def test_a_reader_can_ask_for_one_trial_and_one_kind(path):
    with Journal(path) as journal:
        journal.append(ExperimentRunning(**ABOUT, log_file="l", launcher="local"))
        journal.append(phase())
        journal.append(PhaseEntered(trial="e1_c1", attempt=1, phase="load", t_ns=1))
        journal.append(SessionEnded(reason="finished"))
    assert [row.seq for row in read(path, trial="e0_c1")] == [1, 2]
    assert [row.seq for row in read(path, kind="phase_entered")] == [2, 3]
    assert [row.seq for row in read(path, trial="e1_c1", kind="phase_entered")] == [3]
    assert read(path, trial="'; DROP TABLE events; --") == []


def test_the_writer_yields_the_rows_of_some_kinds_in_order(path):
    with Journal(path) as journal:
        running, _, ended = journal.append_all(
            [ExperimentRunning(**ABOUT, log_file="l", launcher="local"), phase(), SessionEnded(reason="finished")]
        )
        assert list(journal.rows(("session_ended", "experiment_running"))) == [running, ended]
        assert len(list(journal.rows())) == 3


def test_the_writer_reads_an_event_by_its_number(path):
    with Journal(path) as journal:
        entered = journal.append(phase())
        assert journal.row(1) == entered
        with pytest.raises(JournalError, match="Event 2 of the journal"):
            journal.row(2)


def test_a_journal_that_is_opened_again_goes_on_with_number_chain_and_session(path):
    with Journal(path) as journal:
        journal.append(phase(1))
        journal.session = 4
        last = journal.append(phase(2))
    with Journal(path) as journal:
        assert journal.head == (2, last.hash)
        assert journal.session == 4
        row = journal.append(phase(3))
        assert (row.seq, row.prev_hash, row.session) == (3, last.hash, 4)
    assert [row.seq for row in read(path)] == [1, 2, 3]


def test_a_group_of_events_is_appended_as_a_whole(path):
    with Journal(path) as journal:
        rows = journal.append_all([phase(n) for n in range(50)])
        rows.append(journal.append(phase(50)))
    assert read(path) == rows


def test_a_group_that_cannot_be_appended_as_a_whole_leaves_nothing(path):
    with Journal(path) as first, Journal(path) as second:
        kept = second.append(phase(1))
        with pytest.raises(JournalError, match="without gap or twin"):
            first.append_all([phase(2), phase(3)])
        assert first.head == (0, GENESIS)
        assert second.append(phase(4)).prev_hash == kept.hash
    assert [row.payload()["t_ns"] for row in read(path)] == [1, 4]


def test_a_refused_group_leaves_the_journal_writable(path):
    with Journal(path) as journal:
        with sqlite3.connect(path) as other:
            other.execute(
                "CREATE TRIGGER picky BEFORE INSERT ON events WHEN NEW.trial = 'bad' "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        other.close()
        bad = PhaseEntered(trial="bad", attempt=1, phase="load", t_ns=1)
        with pytest.raises(JournalError):
            journal.append_all([phase(1), bad, phase(2)])
        with pytest.raises(JournalError):
            journal.append(bad)
        assert journal.append(phase(3)).seq == 1
    assert [row.payload()["t_ns"] for row in read(path)] == [3]


def test_a_second_writer_that_slipped_in_cannot_fork_the_history(path):
    with Journal(path) as first, Journal(path) as second:
        first.append(phase(1))
        with pytest.raises(JournalError, match="without gap or twin"):
            second.append(phase(2))
    assert len(read(path)) == 1


def test_an_append_to_a_journal_that_takes_none_says_that_what_was_recorded_is_kept(path):
    with Journal(path) as journal:
        journal.append(phase(1))
        journal.close()
        with pytest.raises(JournalError, match="everything recorded so far is kept") as refused:
            journal.append(phase(2))
    assert refused.value.exit_code == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET data = '{}' WHERE seq = 2",
        "UPDATE OR REPLACE events SET seq = 1 WHERE seq = 2",
        "UPDATE OR IGNORE events SET data = '{}'",
        "DELETE FROM events WHERE seq = 3",
        "DELETE FROM events",
        f"INSERT OR REPLACE INTO events ({COLUMNS}) SELECT {COLUMNS} FROM events WHERE seq = 2",
        f"REPLACE INTO events ({COLUMNS}) SELECT {COLUMNS} FROM events WHERE seq = 3",
        f"INSERT INTO events ({COLUMNS}) SELECT {COLUMNS} FROM events WHERE seq = 3",
        f"INSERT INTO events ({COLUMNS}) VALUES (5, 't', 1, 'k', 1, NULL, NULL, '{{}}', 'x', 'y')",
        f"INSERT INTO events ({COLUMNS}) VALUES (4, 't', 1, 'k', 1, NULL, NULL, '{{}}', 'wrong', 'y')",
        f"INSERT INTO events ({COLUMNS}) VALUES (0, 't', 1, 'k', 1, NULL, NULL, '{{}}', 'genesis', 'y')",
        f"INSERT INTO events ({COLUMNS}) SELECT 4, 't', 1, 'k', 1, NULL, NULL, 'no json', hash, 'y' "
        "FROM events WHERE seq = 3",
        f"INSERT INTO events ({COLUMNS}) SELECT 4, NULL, 1, 'k', 1, NULL, NULL, '{{}}', hash, 'y' "
        "FROM events WHERE seq = 3",
        f"INSERT INTO events ({COLUMNS}) SELECT 4, 't', 'one', 'k', 1, NULL, NULL, '{{}}', hash, 'y' "
        "FROM events WHERE seq = 3",
        f"INSERT INTO events ({COLUMNS}) SELECT 3, 't', 1, 'k', 1, NULL, NULL, '{{}}', hash, 'y' "
        "FROM events WHERE seq = 2 ON CONFLICT (seq) DO UPDATE SET data = '{}'",
    ],
)
def test_the_database_itself_refuses_to_rewrite_history(path, statement):
    with Journal(path) as journal:
        before = journal.append_all([phase(1), phase(2), phase(3)])
    plain = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError), plain:
        plain.execute(statement)
    plain.close()
    assert read(path) == before


def test_an_insert_that_ignores_conflicts_cannot_add_a_twin(path):
    with Journal(path) as journal:
        before = journal.append_all([phase(1), phase(2)])
    plain = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError), plain:
        plain.execute(f"INSERT OR IGNORE INTO events ({COLUMNS}) SELECT {COLUMNS} FROM events")
    plain.close()
    assert read(path) == before


def test_the_writer_syncs_every_commit_to_a_write_ahead_log(path):
    with Journal(path) as journal:
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_file_says_that_it_is_a_journal_and_of_which_form(path):
    Journal(path).close()
    plain = sqlite3.connect(path)
    assert plain.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"llem", "big"),)
    assert plain.execute("PRAGMA user_version").fetchone() == (1,)
    assert plain.execute("SELECT name FROM pragma_table_list WHERE strict AND name = 'events'").fetchone()
    plain.close()


@pytest.mark.parametrize("readers", [0, 1])
def test_a_journal_is_sealed_unless_somebody_reads_it(path, readers):
    with Journal(path) as journal:
        journal.append_all([phase(1), phase(2)])
        if readers:
            journal._db.execute("PRAGMA busy_timeout=50")  # it waits 10 s for readers to leave
            with open_reader(path) as reader:
                rows = reader.rows()
                next(rows)
                assert journal.seal() is False
                assert [row.seq for row in rows] == [2]
        else:
            assert journal.seal() is True
            assert not path.with_name("journal.db-wal").exists()
    assert len(read(path)) == 2


def test_a_sealed_journal_is_read_from_a_folder_that_nobody_may_write(path):
    with Journal(path) as journal:
        rows = journal.append_all([phase(1), phase(2)])
        assert journal.seal()
    assert read_in_a_read_only_folder([path]) == rows


def test_a_journal_with_its_log_is_read_from_a_folder_that_nobody_may_write(path):
    with Journal(path) as journal:
        rows = [journal.append(phase(n)) for n in range(3)]
        log = path.with_name("journal.db-wal")
        assert log.stat().st_size > 0
        assert read_in_a_read_only_folder([path, log]) == rows


def read_in_a_read_only_folder(files):
    """Return the rows of a journal whose files were copied to where the reader may only read."""
    # Not below tmp_path, whose parents are closed to everybody else.
    with tempfile.TemporaryDirectory() as name:
        for file in files:
            shutil.copy(file, name)
            os.chmod(Path(name, file.name), 0o444)
        os.chmod(name, 0o555)
        copy = Path(name) / files[0].name
        try:
            assert not as_root_or_not(lambda: os.access(name, os.W_OK, effective_ids=True))
            return as_root_or_not(lambda: read(copy))
        finally:
            os.chmod(name, 0o755)


def test_reading_a_sealed_journal_leaves_nothing_beside_it(path):
    with Journal(path) as journal:
        journal.append(phase())
        journal.seal()
    read(path)
    assert [file.name for file in path.parent.iterdir()] == ["journal.db"]


def test_what_a_killed_writer_had_acknowledged_is_read_and_written_on(path):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from llem.domain.events import PhaseEntered\n"
        "from llem.journal.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for n in range(10**9):\n"
        "    row = journal.append(PhaseEntered(trial='t', attempt=1, phase='load', t_ns=n))\n"
        "    print(row.hash, flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    acknowledged = [writer.stdout.readline().strip() for _ in range(40)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    assert path.with_name("journal.db-wal").exists()
    hashes = [row.hash for row in read(path)]
    whole = [text for text in acknowledged if len(text) == 64]
    assert hashes[: len(whole)] == whole
    assert len(hashes) <= len(whole) + 2
    with Journal(path) as journal:
        assert journal.head == (len(hashes), hashes[-1])
        journal.append(phase())
    assert len(read(path)) == len(hashes) + 1


def test_a_copy_taken_while_the_writer_had_it_open_is_read_with_its_log(path, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    with Journal(path) as journal:
        rows = [journal.append(phase(n)) for n in range(3)]
        for file in (path, path.with_name("journal.db-wal")):
            shutil.copy(file, copy)
    assert read(copy / "journal.db") == rows


def test_a_log_that_was_torn_while_it_was_written_costs_only_what_was_torn(path, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    with Journal(path) as journal:
        rows = [journal.append(phase(n)) for n in range(20)]
        for file in (path, path.with_name("journal.db-wal")):
            shutil.copy(file, copy)
    log = copy / "journal.db-wal"
    content = bytearray(log.read_bytes())
    middle = content.rfind(rows[9].hash.encode())
    content[middle] ^= 1
    log.write_bytes(content)
    found = read(copy / "journal.db")
    assert found == rows[: len(found)]


@pytest.mark.parametrize("use", ["read", "write"])
def test_a_journal_of_a_newer_form_is_refused_with_the_advice_to_upgrade(path, use):
    with Journal(path) as journal:
        journal.append(phase())
    plain = sqlite3.connect(path)
    plain.execute("PRAGMA user_version = 2")
    plain.close()
    with pytest.raises(JournalError, match=r"has form 2; this llem knows forms up to 1.*upgrade llem") as refused:
        read(path) if use == "read" else Journal(path)
    assert refused.value.exit_code == 3


@pytest.mark.parametrize("use", ["read", "write"])
@pytest.mark.parametrize(
    "pragma", ["PRAGMA application_id = 77", "PRAGMA user_version = 5", "PRAGMA user_version = 1"]
)
def test_a_database_of_another_program_is_refused_and_left_alone(path, use, pragma):
    plain = sqlite3.connect(path)
    plain.execute("CREATE TABLE notes (text)")
    plain.execute(pragma)
    plain.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="a database of another program"):
        read(path) if use == "read" else Journal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("use", ["read", "write"])
@pytest.mark.parametrize(
    "content", [b"hello, I am no database\n" * 100, b"SQLite format 3\x00", b"\x00" * 4096, b"torn"], ids=len
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(path, use, content):
    path.write_bytes(content)
    with pytest.raises(JournalError):
        read(path) if use == "read" else Journal(path)
    assert path.read_bytes() == content


def test_an_empty_journal_is_refused_by_readers_with_the_reason(path):
    path.write_bytes(b"")
    with pytest.raises(JournalError, match="before the plan was recorded"):
        read(path)


def test_a_folder_without_a_journal_is_no_study(path):
    with pytest.raises(InputError, match=r"is no study: it holds no journal\.db") as refused:
        read(path)
    assert refused.value.exit_code == 2
    assert not path.exists()


@pytest.mark.parametrize("name", ["with space", "per%20cent", "ques?tion#hash", "ünï"])
def test_a_journal_may_lie_in_a_folder_of_any_name(tmp_path, name):
    path = tmp_path / name / "journal.db"
    path.parent.mkdir()
    with Journal(path) as journal:
        row = journal.append(phase())
        assert read(path) == [row]
    with Journal(path) as journal:
        assert journal.head == (1, row.hash)


def test_the_views_answer_plain_sql_while_the_journal_is_open(make, path):
    with Journal(path) as journal:
        journal.append(ExperimentRunning(**ABOUT, log_file="l", launcher="local"))
        journal.append(PhaseEntered(**ABOUT, phase="measure", t_ns=1))
        journal.append(
            ExperimentCompleted(**ABOUT, result_file="r.json", result_sha256=make.sha, headline=make.headline())
        )
        journal.append(ExperimentRunning(trial="e1_c1", attempt=1, log_file="l", launcher="local"))
        journal.append(
            ExperimentFailed(trial="e1_c1", attempt=1, error_type="OutOfMemory", error_message="x", phase="load")
        )
        journal.append(GapWaited(trial="e1_c1", between="trials", planned=5.0, waited_s=5.0))
        journal.append(SessionEnded(reason="finished"))
        plain = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        trials = plain.execute(
            "SELECT trial, attempt, last_event, result_file, energy_total_j, provenance, error_type "
            "FROM trials ORDER BY trial"
        ).fetchall()
        transitions = plain.execute("SELECT seq, trial, attempt, kind, detail FROM transitions").fetchall()
        plain.close()
    assert trials == [
        ("e0_c1", 1, "experiment_completed", "r.json", 120, "counter", None),
        ("e1_c1", 1, "experiment_failed", None, None, None, "OutOfMemory"),
    ]
    assert transitions == [
        (1, "e0_c1", 1, "experiment_running", None),
        (2, "e0_c1", 1, "phase_entered", "measure"),
        (3, "e0_c1", 1, "experiment_completed", None),
        (4, "e1_c1", 1, "experiment_running", None),
        (5, "e1_c1", 1, "experiment_failed", "OutOfMemory"),
        (6, "e1_c1", None, "gap_waited", None),
    ]


def test_a_sound_journal_passes_the_databases_own_check(path):
    with Journal(path) as journal:
        journal.append(phase())
    with open_reader(path) as reader:
        assert reader.integrity() == []


def test_every_text_that_an_event_may_hold_is_stored_and_read_as_it_is(path):
    words = "quote ' \" back \\ null \x00 newline \n emoji 🜂 right-to-left \u202e line \u2028"
    with Journal(path) as journal:
        row = journal.append(SessionEnded(reason="error", detail=words))
    (found,) = read(path)
    assert found == row
    assert typed_event(found).detail == words
    assert found.hash == found.expected_hash()


@pytest.mark.parametrize("number", [1e300, 1e-300, 0.1, 5.0, 3600])
def test_numbers_of_any_size_survive_the_journal(make, path, number):
    study = make.plan()[0]
    event = study.model_copy(update={"limits": study.limits.model_copy(update={"study_s": number})})
    with Journal(path) as journal:
        journal.append(event)
    assert typed_event(read(path)[0]).limits.study_s == number


def test_a_decimal_point_in_a_models_own_options_survives_the_journal(make, path):
    # transformers refuses an integer where an architecture's option is a float: `rms_norm_eps: 1.0`.
    _, planned, *_ = make.plan()
    config = make.config(model={"config": "llama", "initializer_range": 1.0})
    with Journal(path) as journal:
        journal.append(planned.model_copy(update={"config": config}))
    assert isinstance(typed_event(read(path)[0]).config.model.options["initializer_range"], float)


@pytest.mark.parametrize("group", [1, 3])
def test_a_full_disk_loses_nothing_that_was_recorded_and_the_journal_goes_on_when_there_is_space(path, group):
    big = SessionEnded(reason="error", detail="x" * 50_000)
    with Journal(path) as journal:
        kept = [journal.append(phase())]
        (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count={pages}")

        def fill():
            while True:
                kept.extend(journal.append_all([big] * group))

        with pytest.raises(JournalError, match="full"):
            fill()
        assert journal.head == (kept[-1].seq, kept[-1].hash)
        assert read(path) == kept
        journal._db.execute("PRAGMA max_page_count=1000000")
        kept.append(journal.append(phase(2)))
        assert read(path) == kept


def test_a_reader_that_stays_does_not_stop_the_journal_from_ending(path):
    with Journal(path) as journal:
        journal.append_all([phase(1), phase(2)])
        with open_reader(path) as reader:
            rows = reader.rows()
            first = next(rows)
            assert journal.seal() is False
            assert [first, *rows] == list(journal.rows())
        assert journal.seal() is True
