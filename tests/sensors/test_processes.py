"""Whose a process is: on a tree of files that looks like /proc, and on real processes."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from llem.sensors.processes import foreign_processes, own_processes

SESSION = 100


@pytest.fixture
def proc(tmp_path):
    """Return a function that shows a process."""

    def show(pid, parent, name="python", environ=b"PATH=/bin\0"):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0 -1 4194560")
        if environ is not None:
            (folder / "environ").write_bytes(environ)
        return tmp_path

    show(1, 0, "init")
    show(SESSION, 1, "llem")
    return show


@pytest.mark.parametrize("name", ["python", "a b", "odd) S 1 (", ""])
def test_what_descends_from_the_session_is_its_own(proc, name):
    proc(101, SESSION, name)
    root = proc(102, 101, name)
    assert foreign_processes([SESSION, 101, 102], SESSION, root) == 0


def test_what_descends_from_somebody_else_is_foreign(proc):
    proc(200, 1)
    root = proc(201, 200)
    assert foreign_processes([201, 200], SESSION, root) == 2


def test_what_carries_an_attempts_marker_is_its_own_wherever_it_hangs(proc):
    proc(300, 1, environ=b"A=1\0LLEM_ATTEMPT=e0_c1_a1\0")
    root = proc(301, 1, environ=b"NOT_LLEM_ATTEMPT=1\0")
    assert foreign_processes([300], SESSION, root) == 0
    assert foreign_processes([301], SESSION, root) == 1


def test_a_process_that_may_not_be_looked_into_is_foreign(proc):
    assert foreign_processes([400], SESSION, proc(400, 1, environ=None)) == 1


@pytest.mark.parametrize(("unknown", "foreign"), [([], 0), ([9001], 0), ([9001, 9001], 0), ([9001, 9002, 9003], 2)])
def test_of_pids_that_are_not_shown_one_may_be_the_studys_own(proc, unknown, foreign):
    assert foreign_processes(unknown, SESSION, proc(500, SESSION)) == foreign


def test_parents_in_a_circle_or_without_a_number_end_the_search(proc):
    proc(600, 601)
    proc(601, 600)
    root = proc(602, "x")
    assert foreign_processes([600, 602], SESSION, root) == 2


def test_the_studys_own_are_named_and_a_pid_that_is_not_shown_is_nobodys(proc):
    proc(700, SESSION)
    proc(701, 1, environ=b"LLEM_ATTEMPT=e0_c1_a1\0")
    root = proc(702, 1)
    assert own_processes([700, 701, 702, 9001], SESSION, root) == [700, 701]


@contextmanager
def sleeping(**environment):
    script = "import time; print(flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, **environment}
    )
    try:
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_real_processes_are_told_apart():
    with sleeping() as child, sleeping(LLEM_ATTEMPT="e0_c1_a1") as marked:
        assert foreign_processes([os.getpid(), child], os.getpid()) == 0
        assert foreign_processes([child, os.getpid()], child) == 1
        assert foreign_processes([marked], child) == 0
