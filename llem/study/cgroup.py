"""What the kernel counted of its out-of-memory killer, in the cgroup that this process shares with its workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path("/")
GIB = 1 << 30


class _Version(NamedTuple):
    """How a version of cgroups calls its files: with a count of kills, and with the most memory."""

    counts: str
    limit: str


VERSIONS = {
    "cgroup2": _Version("memory.events", "memory.max"),
    "cgroup": _Version("memory.oom_control", "memory.limit_in_bytes"),
}


@dataclass(frozen=True)
class MemoryGroup:
    """The cgroup of this process that counts memory.

    Attributes:
        folder: Where its files are, as the system names them.
        mount: Where its hierarchy is mounted.
        version: How the files are called.
        root: Stands for ``/``.
    """

    folder: Path
    mount: Path
    version: _Version
    root: Path

    @classmethod
    def own(cls, root: Path = ROOT) -> "MemoryGroup | None":
        """Return that of this process; None where there is none, or it does not count kills."""
        for kind, mounted_part, mount in _hierarchies(root):
            version = VERSIONS[kind]
            for folder in _folders(root, kind, mounted_part, mount):
                group = cls(folder, mount, version, root)
                if group.kills() is not None:
                    return group
        return None

    @property
    def counter(self) -> Path:
        """Return the file that counts kills."""
        return self.folder / self.version.counts

    def kills(self) -> int | None:
        """Return how many of its processes the out-of-memory killer has ended; None where that is not counted."""
        words = dict(line.split(maxsplit=1) for line in _lines(self.root, self.counter) if " " in line)
        return _number(words.get("oom_kill", ""))

    def limit_bytes(self) -> int | None:
        """Return how much memory its processes may have together, the machine's own being the most."""
        folders = [self.folder, *(above for above in self.folder.parents if above.is_relative_to(self.mount))]
        told = [_number(*_lines(self.root, folder / self.version.limit)[:1]) for folder in folders]
        return min(filter(None, [*told, _machine_bytes(self.root)]), default=None)


class KillWatch:
    """Notices a kill by the out-of-memory killer from when it is made.

    Args:
        group: The cgroup that counts it; None where none does.
    """

    def __init__(self, group: MemoryGroup | None) -> None:
        self._group = group
        self._before = group.kills() if group else None

    def evidence(self) -> str | None:
        """Return in words what shows that it has struck since; None where nothing does."""
        now = self._group.kills() if self._group else None
        if self._group is None or self._before is None or now is None or now <= self._before:
            return None
        limit_bytes = self._group.limit_bytes()
        share = (
            "" if limit_bytes is None else f", whose processes have a total capacity of {limit_bytes / GIB:.2f} GiB"
        )
        return (
            f"the kernel's out-of-memory killer struck in its cgroup{share}: oom_kill in {self._group.counter} "
            f"rose from {self._before} to {now}"
        )


def _hierarchies(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield each hierarchy that may count memory: its kind, the part of it that is mounted, and where (proc(5))."""
    for line in _lines(root, Path("/proc/self/mountinfo")):
        before, _, after = line.partition(" - ")
        places, kinds = before.split(), after.split()
        if len(places) < 6 or len(kinds) < 3:
            continue
        if kinds[0] == "cgroup2" or (kinds[0] == "cgroup" and "memory" in kinds[2].split(",")):
            yield kinds[0], places[3], Path(places[4])


def _folders(root: Path, kind: str, mounted_part: str, mount: Path) -> Iterator[Path]:
    """Yield where this process's cgroup may be: in a container, what is mounted may be that cgroup itself."""
    for line in _lines(root, Path("/proc/self/cgroup")):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" if kind == "cgroup2" else "memory" in controllers.split(","):
            if PurePosixPath(path).is_relative_to(mounted_part):
                yield mount / PurePosixPath(path).relative_to(mounted_part)
            yield mount


def _machine_bytes(root: Path) -> int | None:
    found = [line.split() for line in _lines(root, Path("/proc/meminfo")) if line.startswith("MemTotal:")]
    kib = _number(found[0][1]) if found and len(found[0]) > 1 else None
    return None if kib is None else kib * 1024


def _lines(root: Path, file: Path) -> list[str]:
    try:
        return (root / file.relative_to("/")).read_text().splitlines()
    except (OSError, ValueError):
        return []


def _number(text: str = "") -> int | None:
    return int(text) if text.isdecimal() else None
