"""Files that are whole or absent, and folders, on disk when the call returns."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``: a reader sees the old content or the new, and power loss keeps what returned.

    Raises:
        OSError: It could not be written; ``path`` is as it was and nothing is left beside it.
    """
    write_parts_durably(path, (data,))


def write_parts_durably(path: Path, parts: Iterable[bytes]) -> None:
    """Write ``parts``, one after the other, as ``write_durably`` does; the whole never lies in memory.

    Raises:
        OSError: It could not be written; ``path`` is as it was and nothing is left beside it.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "wb", opener=_not_through_a_link) as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError:
        discard(part)
        raise


def _not_through_a_link(path: str, flags: int) -> int:
    """Open a file that lies here: a link that somebody put in its place may lead anywhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def discard(path: Path) -> None:
    """Remove a file that belongs to nothing, if it is there and can be removed: the next session looks again."""
    with suppress(OSError):
        path.unlink()


def make_folder(folder: Path) -> None:
    """Create a folder where it is missing, and those above it, so that power loss takes none of their names.

    Raises:
        OSError: It cannot be created.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` survive power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
