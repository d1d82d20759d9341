"""Tests of several processes at a time, and one alone: each set of turns stands for a process."""

import fcntl
import threading
import time

import pytest
from distribution import Turns


@pytest.fixture
def processes(tmp_path):
    return [Turns(tmp_path) for _ in range(3)]


def begun(turns, *, alone):
    """Wait for a turn in a thread of its own; the event tells that it came."""
    came = threading.Event()
    threading.Thread(target=lambda: (turns.begin(alone=alone), came.set()), daemon=True).start()
    return came


def someone_waits_in_the_door(folder):
    with (folder / "door").open() as door:
        try:
            fcntl.flock(door, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_tests_that_may_be_disturbed_run_at_a_time(processes):
    for turns in processes:
        turns.begin(alone=False)


def test_who_wants_to_be_alone_waits_for_all_others_and_nobody_slips_in_before(processes, tmp_path):
    running, alone, late = processes
    running.begin(alone=False)
    alone_came = begun(alone, alone=True)
    deadline = time.monotonic() + 10
    while not someone_waits_in_the_door(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    late_came = begun(late, alone=False)
    assert not late_came.wait(0.05)
    assert not alone_came.is_set()
    running.end()
    assert alone_came.wait(10)
    assert not late_came.wait(0.05)
    alone.end()
    assert late_came.wait(10)
