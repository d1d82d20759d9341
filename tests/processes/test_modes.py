"""Who may read and write a study's files is up to the umask of who runs it; logs are that person's alone."""

import signal
import stat
from pathlib import Path
from typing import Any

import pytest


def modes(root: Path) -> dict[str, int]:
    """Return the mode of everything in a folder, by its path there."""
    return {str(path.relative_to(root)): stat.S_IMODE(path.lstat().st_mode) for path in [root, *root.rglob("*")]}


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o002], ids=oct)
def test_every_file_of_a_study_has_the_mode_that_the_umask_leaves(lab: Any, umask: int) -> None:
    under = ("sh", "-c", f'umask {umask:03o}; exec "$@"', "sh")
    study_file = lab.write(["ok", "hang"], measurement={"sensors": ["codecarbon"]})
    session, study = lab.start(study_file, before=under)
    study.wait_for("experiment_completed")
    study.wait_for("phase_entered", phase="measure", count=2)
    session.signal(signal.SIGKILL)  # so that the write-ahead log is still there
    session.wait()
    found = modes(study.root)
    expected = {"journal.db", "journal.db-wal", "journal.lock", "manifest.json", "study.yaml", "logs/recorder.log"}
    assert expected <= found.keys()
    assert {str(Path(name).parent) for name in found} >= {"results", "samples", "logs"}
    for name, mode in found.items():
        path = study.root / name
        whole = 0o777 if path.is_dir() else 0o600 if name.startswith("logs/") else 0o666
        assert mode == whole & ~umask, f"{name} has {mode:o}"
