import shutil

import pytest

from llem.domain.errors import JournalError
from llem.domain.events import SessionEnded
from llem.journal.journal import Journal
from llem.journal.reader import open_reader

EVENT = SessionEnded(reason="finished")


@pytest.fixture(params=["wal", "delete"])
def journal(request, tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    with Journal(folder / "journal.db", mode=request.param) as opened:
        opened.append(EVENT)
        yield opened


def test_a_journal_in_its_place_takes_events(journal):
    journal.require_place()
    assert journal.append(EVENT).seq == 2


def test_no_event_is_acknowledged_that_went_into_a_moved_journal(journal, tmp_path):
    journal.path.parent.rename(tmp_path / "elsewhere")
    with pytest.raises(JournalError) as raised:
        journal.require_place()
    assert raised.value.message == (
        f"{journal.path} was moved to {tmp_path}/elsewhere/journal.db while the study ran, so the session ends."
    )
    assert raised.value.remedy == f"Go on where it is now: llem study resume {tmp_path}/elsewhere"
    with pytest.raises(JournalError):
        journal.append(EVENT)
    assert journal.head[0] == 1


def test_no_event_is_acknowledged_that_went_into_a_deleted_journal(journal):
    shutil.rmtree(journal.path.parent)
    with pytest.raises(JournalError):
        journal.append(EVENT)
    with pytest.raises(JournalError, match="is not there any more"):
        journal.require_place()


def test_a_journal_with_another_in_its_place_takes_no_more_events(journal):
    copy = journal.path.with_name("copy.db")
    shutil.copyfile(journal.path, copy)
    copy.replace(journal.path)
    with pytest.raises(JournalError, match="was replaced by another file"):
        journal.require_place()


def test_a_journal_whose_log_was_deleted_keeps_what_was_in_it(tmp_path):
    path = tmp_path / "journal.db"
    with Journal(path, mode="wal") as journal, open_reader(path) as reader:
        journal.append(EVENT)
        path.with_name("journal.db-wal").unlink()
        with pytest.raises(JournalError, match=r"journal\.db-wal is not there any more") as raised:
            journal.append(EVENT)
        assert raised.value.remedy.startswith("What it held is in the journal itself")
        # Who reads is the last one to have the log, and folds nothing in.
        journal.close()
        assert [row.seq for row in reader.rows()] == [1, 2]
    with Journal(path, mode="wal") as journal:
        assert [row.seq for row in journal.rows()] == [1, 2]
