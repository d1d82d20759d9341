"""Which file system a folder lies on, and whether a write-ahead log is safe there."""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

JournalMode = Literal["wal", "delete"]
"""``wal``: a write-ahead log, whose index is memory that readers share. ``delete``: a rollback journal alone."""

MOUNTS = Path("/proc/self/mountinfo")
# Of several machines, or of a host and its guest: memory is not shared among all who may open the file.
SHARED_TYPES = frozenset(
    {
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "prl_fs",
        "pvfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
        "wekafs",
    }
)
# A file system in user space may lie anywhere. These do not.
LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.lxcfs"})


class Mount(NamedTuple):
    """Where a file system is mounted, of which type it is, and what it is of.

    ``fs_type`` is the kernel's name for it; None where that is not known.
    """

    point: str
    fs_type: str | None
    source: str

    @property
    def is_shared(self) -> bool:
        """Return whether other machines may have it mounted too, as far as its type tells."""
        kind = self.fs_type or ""
        return kind in SHARED_TYPES or ((kind == "fuse" or kind.startswith("fuse.")) and kind not in LOCAL_FUSE)

    @property
    def journal_mode(self) -> JournalMode:
        """Return the mode in which a journal is safe here."""
        return "delete" if self.is_shared else "wal"


UNKNOWN = Mount("/", None, "")
FindMount = Callable[[Path], Mount]


def mount_of(path: Path) -> Mount:
    """Return what ``path`` lies on; ``UNKNOWN`` where the system does not say."""
    try:
        table = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return UNKNOWN
    return find_mount(table, path.resolve())


def find_mount(table: str, path: Path) -> Mount:
    """Return the mount in a ``mountinfo`` table (see proc(5)) that ``path``, absolute and resolved, lies on.

    It is the one with the longest mount point; of several with the same, the last, which covers the others.
    """
    found = UNKNOWN
    for line in table.splitlines():
        mount = _parsed(line)
        if mount is None or not PurePosixPath(path).is_relative_to(mount.point):
            continue
        if found is UNKNOWN or len(mount.point) >= len(found.point):
            found = mount
    return found


def _parsed(line: str) -> Mount | None:
    """Return the mount that a line tells of; None where the line is none."""
    places, separator, kinds = line.partition(" - ")  # between them stand any number of optional fields
    before, after = places.split(" "), kinds.split(" ")
    if not separator or len(before) < 6 or len(after) < 2:
        return None
    return Mount(_unescaped(before[4]), after[0], _unescaped(after[1]))


def _unescaped(text: str) -> str:
    """Return a field as it is: the kernel writes blanks and backslashes as ``\\040`` and the like."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
