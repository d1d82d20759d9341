"""Disks that are full, read-only or gone: the session ends at once with exit code 3, and all that it said is kept."""

import functools
import json
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_disk import SmallDisk, in_its_own_mounts

from llem.study.disk import LEAST_BYTES

METER = {"sensors": ["rapl"], "warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0}
METERED = {"LLEM_ACTING_RECORDER": "meter"}


class Held:
    """A study of three trials, held in the second one while something happens to its disk."""

    def __init__(self, lab: Any, *, metered: bool = True) -> None:
        self.lab = lab
        self.go = lab.place / "go"
        self.env = METERED if metered else {}
        study_file = lab.write(
            ["ok", "wait_for_a_file", "first:ok"],
            model={"until": str(self.go)},
            **({"measurement": METER} if metered else {}),
        )
        self.session, self.study = lab.start(study_file, "--json", env=self.env)
        self.study.wait_for("phase_entered", count=2, phase="measure")
        self.before = self.study.events()

    def ended(self, *words: str, go: bool = True) -> None:
        """Let the trial end, or not: the session must, with exit code 3 and these words, and leave no process."""
        if go:
            self.go.touch()
        self.session.ended(3)
        for text in words:
            assert text in self.session.err
        assert "Traceback" not in self.session.err
        assert self.lab.survivors() == {}

    def said(self) -> set[str]:
        """Return the hashes of the events that the session said it had recorded."""
        lines = [json.loads(line) for line in self.session.out.splitlines()]
        return {line["hash"] for line in lines if "hash" in line}

    def resumes(self, study: Any = None) -> None:
        """Resume where the study is now: everything that was said is there, and every trial is completed once."""
        study = study or self.study
        self.go.touch()
        assert study.findings() == []
        self.lab.resume(study, env=self.env)
        assert self.said() <= {event["hash"] for event in study.events()}
        assert study.events()[: len(self.before)] == self.before
        assert sorted(study.completions().values()) == [1, 1, 1]
        assert study.findings() == []
        ended = {event["data"]["error_type"] for event in study.events("experiment_failed")}
        assert ended == set(), "a fault of the disk is none of the trial"


@pytest.fixture
def held(lab: Any) -> Callable[..., Held]:
    return functools.partial(Held, lab)


@pytest.mark.parametrize("metered", [True, False], ids=["raw edges", "the result"])
@in_its_own_mounts
def test_a_disk_that_fills_up_while_a_trial_runs_ends_the_session_and_leaves_no_result(
    lab: Any, disk: SmallDisk, held: Any, metered: bool
) -> None:
    lab.output = disk.mount().place / "studies"
    study = held(metered=metered)
    disk.fill()
    what = "The raw edges" if metered else "The result"
    study.ended(f"error: {what} {study.study.root}", "cannot be written: the disk is full (No space left on device)")
    assert "Make space on it, then run `llem study resume`: everything recorded so far is kept." in study.session.err
    last = f"2 of 3 trials left. Go on with: llem study resume {study.study.root}"
    assert study.session.err.splitlines()[-1] == last
    assert [event["data"]["reason"] for event in study.study.events("session_ended")] == ["environment"]
    assert len(study.study.events("experiment_interrupted")) == 1
    for part in ("results", "samples") if metered else ("results",):
        assert len(list((study.study.root / part).iterdir())) == 1, "what was cut short is gone"
    refused = lab.resume(study.study, env=METERED, code=3)
    assert "free, and the rest of this study needs 16.8 MB" in refused.err
    disk.clear()
    study.resumes()


@in_its_own_mounts
def test_a_worker_whose_words_fill_the_disk_is_the_last_one_of_its_session(lab: Any, disk: SmallDisk) -> None:
    lab.output = disk.mount().place / "studies"
    session, study = lab.start(lab.write(["first:loud", "ok"]))
    session.ended(3)
    assert "What the next trial records in" in session.err
    assert "cannot be written: the disk is full" in session.err
    (failed,) = study.terminal(study.trial_of("first:loud"))
    assert (failed["kind"], failed["data"]["error_type"]) == ("experiment_failed", "WorkerExitedWithoutResult")
    assert len(study.events("experiment_running")) == 1
    for log in (study.root / "logs").iterdir():
        log.unlink()
    lab.resume(study)
    assert sorted(study.completions().values()) == [1, 1]
    assert study.findings() == []


@in_its_own_mounts
def test_the_next_trial_is_not_measured_where_it_might_not_be_recorded(lab: Any, disk: SmallDisk, held: Any) -> None:
    lab.output = disk.mount().place / "studies"
    study = held()
    disk.fill(but=LEAST_BYTES // 2)
    study.ended("free, and the next trial needs 16.8 MB. Make space on it, then run `llem study resume`")
    assert len(study.study.events("experiment_running")) == study.study.completions().total() == 2
    disk.clear()
    study.resumes()


@in_its_own_mounts
def test_a_disk_that_takes_no_more_files_ends_the_session(lab: Any, disk: SmallDisk, held: Any) -> None:
    lab.output = disk.mount("size=40m,nr_inodes=60").place / "studies"
    study = held()
    spare = [disk.place / f"spare{number}" for number in range(os.statvfs(disk.place).f_favail)]
    for path in spare:
        path.touch()
    study.ended("cannot be written: the disk is full (No space left on device)")
    spare[0].unlink()
    refused = lab.resume(study.study, env=METERED, code=3)
    assert "more files, and the rest of this study needs 22." in refused.err
    for path in spare[1:]:
        path.unlink()
    study.resumes()


@in_its_own_mounts
def test_a_study_that_its_disk_has_no_room_for_is_refused_and_nothing_is_written(lab: Any, disk: SmallDisk) -> None:
    lab.output = disk.mount("size=15m").place / "studies" / "here"
    refused = lab.begin_run(lab.write()).ended(3)
    free = "15.7 MB free, and this study needs 16.8 MB."
    assert refused.err == (
        f"error: The disk of {lab.output} has {free} Make space on it, or choose a folder on another one with "
        "--output.\n"
    )
    assert list(disk.place.iterdir()) == []


@in_its_own_mounts
def test_a_file_system_that_turns_read_only_ends_the_session(lab: Any, disk: SmallDisk, held: Any) -> None:
    lab.output = disk.mount().place / "studies"
    study = held()
    disk.make_read_only()
    study.ended("The raw edges", "cannot be written: its file system is read-only (Read-only file system). Mount it")
    assert study.study.findings() == []
    refused = lab.resume(study.study, env=METERED, code=3)
    assert "its file system is read-only" in refused.err
    disk.make_writable()
    study.resumes()


@in_its_own_mounts
def test_a_mount_that_vanishes_ends_the_session_at_once(lab: Any, disk: SmallDisk, held: Any) -> None:
    lab.output = disk.mount().place / "studies"
    study = held()
    disk.vanish()
    study.ended("journal.db is not there any more", "mount it again, then run `llem study resume`", go=False)
    assert "Go on with" not in study.session.err
    disk.come_back()
    study.resumes()


def test_a_folder_that_is_moved_ends_the_session_at_once_and_is_resumed_where_it_is(lab: Any, held: Any) -> None:
    study = held()
    elsewhere = study.study.root.rename(lab.place / "else where")
    study.ended(f"journal.db was moved to {elsewhere}/journal.db while the study ran", go=False)
    assert study.session.err.splitlines()[-1].endswith(f"Go on where it is now: llem study resume '{elsewhere}'")
    study.resumes(lab.study_in(elsewhere))


def test_a_folder_that_is_deleted_ends_the_session_at_once(lab: Any, held: Any) -> None:
    study = held()
    shutil.rmtree(study.study.root)
    study.ended("journal.db is not there any more", "What was deleted is only in your backups.", go=False)
    assert "Go on with" not in study.session.err
    assert not study.study.root.exists()


def test_a_log_that_is_deleted_ends_the_session_before_its_events_are_lost(lab: Any, held: Any) -> None:
    study = held()
    study.study.journal.with_name("journal.db-wal").unlink()
    study.ended("journal.db-wal is not there any more", go=False)
    study.resumes()


def test_raw_edges_beyond_a_limit_of_file_sizes_leave_a_trial_without_a_result(lab: Any, held: Any) -> None:
    study = held()
    commands = study.session.others()
    (recorder,) = (pid for pid, command in commands.items() if "acting_recorder" in command)
    resource.prlimit(recorder, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    for pid in (study.session.pid, *commands):
        assert signal.SIGXFSZ in ignored_by(pid), commands.get(pid)
    study.ended("The raw edges", "files may not become so large here (File too large)", "ulimit -f unlimited")
    study.resumes()


def test_a_journal_beyond_a_limit_of_file_sizes_ends_the_session(lab: Any, held: Any) -> None:
    study = held(metered=False)
    resource.prlimit(study.session.pid, resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
    study.ended("files may not become so large here", "ulimit -f unlimited")
    study.resumes()


def ignored_by(pid: int) -> set[int]:
    """Return the signals that a process ignores."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn:")]
    mask = int(line.split()[1], 16)
    return {signum for signum in signal.valid_signals() if mask >> (signum - 1) & 1}
