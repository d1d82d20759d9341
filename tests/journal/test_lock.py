import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from llem.domain.errors import JournalLockedError, StudyError
from llem.journal.lock import LockHolder, StudyLock, is_locked, lock_holder

HOLDER = LockHolder(pid=4242, host="box", boot_id="boot", started_at="2026-01-02T03:04:05Z")
HOLD = (
    "import json, sys, time\n"
    "from pathlib import Path\n"
    "from llem.journal.lock import LockHolder, StudyLock\n"
    "lock = StudyLock(Path(sys.argv[1]), LockHolder(**json.loads(sys.argv[2])))\n"
    "print('held', flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.lock"


@pytest.fixture
def held(path):
    """Return another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), json.dumps(asdict(HOLDER))], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_session_is_refused_and_told_who_holds_the_study(path, held):
    with pytest.raises(JournalLockedError) as refused:
        StudyLock(path, HOLDER)
    told = str(refused.value)
    assert "process 4242 on box, since 2026-01-02T03:04:05Z" in told
    assert str(path.parent) in told
    assert "llem study log --follow" in told
    assert refused.value.exit_code == 3


def test_a_second_lock_in_one_process_is_refused_too(path):
    with StudyLock(path, HOLDER), pytest.raises(JournalLockedError):
        StudyLock(path, HOLDER)


def test_a_refused_session_leaves_the_holders_name_in_place(path, held):
    with pytest.raises(JournalLockedError):
        StudyLock(path, replace(HOLDER, pid=1))
    assert lock_holder(path) == HOLDER


def test_the_kernel_releases_the_lock_of_a_session_that_is_killed(path, held):
    assert is_locked(path)
    held.send_signal(signal.SIGKILL)
    held.wait()
    assert not is_locked(path)
    StudyLock(path, HOLDER).release()


def test_a_released_lock_can_be_taken_again(path):
    with StudyLock(path, HOLDER):
        assert is_locked(path)
    assert not is_locked(path)
    with StudyLock(path, replace(HOLDER, pid=7)):
        assert lock_holder(path).pid == 7


def test_releasing_twice_is_releasing_once(path):
    lock = StudyLock(path, HOLDER)
    lock.release()
    before = os.open(path, os.O_RDONLY)
    lock.release()
    os.fstat(before)
    os.close(before)


def test_a_child_of_the_session_does_not_keep_the_lock(path):
    lock = StudyLock(path, HOLDER)
    child = subprocess.Popen(
        [sys.executable, "-c", "print('here', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    )
    try:
        assert child.stdout.readline() == b"here\n"
        lock.release()
        assert not is_locked(path)
    finally:
        child.communicate(b"\n")


def test_asking_whether_it_is_locked_does_not_lock_out_a_session(path):
    StudyLock(path, HOLDER).release()
    asked = [is_locked(path) for _ in range(100)]
    StudyLock(path, HOLDER).release()
    assert not any(asked)


def test_a_shorter_name_replaces_a_longer_one_whole(path):
    StudyLock(path, replace(HOLDER, host="x" * 500)).release()
    StudyLock(path, HOLDER).release()
    assert json.loads(path.read_text()) == asdict(HOLDER)


@pytest.mark.parametrize("content", [b"", b"garbage", b'{"pid": 1}', b"\xff"])
def test_a_lock_whose_holder_left_no_name_is_still_a_lock(path, content):
    with StudyLock(path, HOLDER):
        path.write_bytes(content)
        assert lock_holder(path) is None
        with pytest.raises(JournalLockedError, match="a process that left no name"):
            StudyLock(path, HOLDER)


def test_a_folder_without_a_lock_file_is_free_and_stays_as_it_is(path):
    assert not is_locked(path)
    assert lock_holder(path) is None
    assert not path.exists()


def test_a_lock_that_cannot_be_opened_is_a_study_error(tmp_path):
    with pytest.raises(StudyError, match="cannot be written: its folder is gone"):
        StudyLock(tmp_path / "nowhere" / "journal.lock", HOLDER)
