"""A small disk for tests: mounted where no other process sees it, and full, read-only or gone at will."""

import contextlib
import ctypes
import functools
import json
import os
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NEW_MOUNTS, NEW_USER = 0x20000, 0x10000000
DENIED = 77


def in_its_own_mounts(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a child that may mount what nobody else sees, and that is gone with it.

    What it counts in its ``tally`` comes back, as JSON has it.
    """

    @functools.wraps(test)
    def forked(**fixtures: Any) -> None:
        counts = fixtures["disk"].place.with_name("counts.json")
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = DENIED if (denied := part_from_other_mounts()) else 0
                print(f"mounts are denied here: {denied}") if denied else test(**fixtures)
            except BaseException:  # noqa: BLE001 - the parent tells of it
                code = 1
                traceback.print_exc()
            finally:
                if "tally" in fixtures:
                    counts.write_text(json.dumps(vars(fixtures["tally"])))
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == DENIED:
            pytest.skip("this needs a mount: run as root, or allow user namespaces (`unshare -rm true`)")
        if "tally" in fixtures:
            vars(fixtures["tally"]).update(json.loads(counts.read_text()))
        assert code == 0, "it failed in its child: see its trace"

    return forked


def part_from_other_mounts() -> str | None:
    """Give this process mounts of its own; return why that is denied, if it is."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_MOUNTS) != 0:
        if libc.unshare(NEW_USER | NEW_MOUNTS) != 0:
            return os.strerror(ctypes.get_errno())
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    done = subprocess.run(["mount", "--make-rprivate", "/"], check=False, capture_output=True, text=True)
    return done.stderr if done.returncode else None


class SmallDisk:
    """A disk of some megabytes at a place of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._filler = place / "filler"
        self._kept = place.with_name("kept")

    def mount(self, options: str = "size=40m") -> "SmallDisk":
        self.place.mkdir()
        return self.do("mount", "-t", "tmpfs", "-o", options, "tmpfs", self.place)

    def do(self, *command: object) -> "SmallDisk":
        subprocess.run([str(word) for word in command], check=True)
        return self

    def fill(self, *, but: int = 0) -> None:
        """Take all space but so many bytes."""
        with self._filler.open("wb", buffering=0) as file:
            found = os.statvfs(self.place)
            os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - max(but, 1 << 16))
            file.seek(0, os.SEEK_END)
            with contextlib.suppress(OSError):
                while not but:
                    file.write(bytes(4096))

    def clear(self) -> None:
        """Give back what was filled."""
        self._filler.unlink()

    def make_read_only(self) -> None:
        """Have whatever opens a file refused; the kernel leaves what is open writable, unless the disk failed."""
        # Elsewhere first: where a file is open for writing, it would refuse.
        self._kept.mkdir(exist_ok=True)
        self.do("mount", "--bind", self.place, self._kept).do("mount", "-o", "remount,bind,ro", self._kept)
        self.do("mount", "--move", self._kept, self.place)

    def make_writable(self) -> None:
        """Take that back."""
        self.do("umount", self.place)

    def vanish(self) -> None:
        """Take it from its place, as a share whose server went; what is open stays so."""
        kept = self._kept
        kept.mkdir(exist_ok=True)
        self.do("mount", "--bind", self.place, kept).do("umount", "-l", self.place)

    def come_back(self) -> None:
        """Mount it again."""
        self.do("mount", "--bind", self._kept, self.place).do("umount", self._kept)


@pytest.fixture
def disk(tmp_path: Path) -> SmallDisk:
    """Return a disk that a test ``in_its_own_mounts`` can mount."""
    return SmallDisk(tmp_path / "disk")
