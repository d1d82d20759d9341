"""A study whose disk fails at a random moment: what it had recorded is kept, and it is resumed to its end."""

import json
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from small_disk import SmallDisk, in_its_own_mounts

METER = {"sensors": ["rapl"], "warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0}
METERED = {"LLEM_ACTING_RECORDER": "meter"}
TRIALS = 8
LATEST_S = 2.0
SMALL_BYTES = 40_000
"""Less than a journal, more than what a session says: its words go to files too."""
WRONGS = (
    "events lost",
    "trials without a result",
    "trials with two",
    "findings of the audit",
    "processes left",
    "other exit codes, or traces",
)


class Fault(NamedTuple):
    """What is done to the disk of a running session, and what takes that back."""

    told: str
    break_: Callable[[SmallDisk, Any], object]
    mend: Callable[[SmallDisk], object]


def limit(pid: int, size: int = SMALL_BYTES) -> None:
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    except ProcessLookupError:
        return  # it has just ended


def limit_recorder(disk: SmallDisk, session: Any) -> None:
    for pid, command in session.others().items():
        if "acting_recorder" in command:
            limit(pid, size=1)


def sign(disk: SmallDisk) -> Path:
    """Return the file whose presence makes the failing disk fail."""
    return disk.place.with_name("broken")


FAULTS = {
    "full": Fault("a disk (tmpfs) that is full", lambda disk, _: disk.fill(), SmallDisk.clear),
    "read-only": Fault("a disk that turns read-only", lambda disk, _: disk.make_read_only(), SmallDisk.make_writable),
    "unmounted": Fault("a disk that is unmounted", lambda disk, _: disk.vanish(), SmallDisk.come_back),
    "moved": Fault(
        "a study's folder that is moved away",
        lambda disk, _: (disk.place / "studies").rename(disk.place / "elsewhere"),
        lambda disk: (disk.place / "elsewhere").rename(disk.place / "studies"),
    ),
    "limit": Fault("`RLIMIT_FSIZE` on the session", lambda _, session: limit(session.pid), lambda disk: None),
    "failing": Fault(
        "a disk that fails to sync (`EIO`)", lambda disk, _: sign(disk).touch(), lambda disk: sign(disk).unlink()
    ),
    "limit of the recorder": Fault("`RLIMIT_FSIZE` on the recorder", limit_recorder, lambda disk: None),
}


@pytest.fixture
def env(tmp_path: Path, disk: SmallDisk) -> dict[str, str]:
    """Return the environment of a session on a disk that can fail."""
    library = tmp_path / "failing_disk.so"
    source = Path(__file__).with_name("failing_disk.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    return {**METERED, "LD_PRELOAD": str(library), "LLEM_TEST_EIO": str(sign(disk))}


@pytest.mark.parametrize("fault", FAULTS)
@in_its_own_mounts
def test_a_disk_that_fails_at_a_random_moment_costs_nothing_that_was_recorded(
    lab: Any, disk: SmallDisk, tally: Any, draw: random.Random, rounds: Any, env: Any, fault: str
) -> None:
    lab.output = disk.mount().place / "studies"
    tally.fault = f"{FAULTS[fault].told[0].upper()}{FAULTS[fault].told[1:]}, at a random moment of a study"
    tally.asked = "The session ends with exit code 3 and no trace; a resume completes the study."
    tally.look_for(*WRONGS)
    for number in range(rounds(1, 12)):
        study_file = lab.write(["ok", "ok_too"], name=f"round{number}", cycles=TRIALS // 2, measurement=METER)
        session, study = lab.start(study_file, "--json", env=env)
        time.sleep(draw.uniform(0, LATEST_S))
        FAULTS[fault].break_(disk, session)
        code = session.wait()
        tally.tried += 1
        tally.bad["processes left"] += len(lab.survivors())
        FAULTS[fault].mend(disk)
        finished = "study_completed" in study.kinds()
        tally.bad["other exit codes, or traces"] += code != (0 if finished else 3) or "Traceback" in session.err
        tally.seen["sessions ended by it"] = int(tally.seen.get("sessions ended by it", 0)) + (code == 3)
        tally.bad["findings of the audit"] += len(study.findings())
        lab.resume(study, env=env)
        tally.bad["events lost"] += len(said(session) - {event["hash"] for event in study.events()})
        completions = study.completions().values()
        tally.bad["trials without a result"] += TRIALS - len(completions)
        tally.bad["trials with two"] += sum(count != 1 for count in completions)
        tally.bad["findings of the audit"] += len(study.findings())
        shutil.rmtree(study.root)  # the disk is small, and a study wants 16 MiB of it free
    tally.assert_nothing_wrong()


def said(session: Any) -> set[str]:
    """Return the hashes of the events that a session said it had recorded, as far as its words were kept."""
    lines = [line for line in session.out.splitlines(keepends=True) if line.endswith("\n")]
    return {row["hash"] for row in map(json.loads, lines) if "hash" in row}
