"""What a disk may hold after a power cut: rebuilt from every change that processes made of it and had synced.

``disk_log.c`` writes the changes down; ``read_log`` reads them, and a ``Disk`` replays them one by one. At each point
it can say what would be there if the power went now. What is certain is little: the content that a file had when it
was last synced, and the names that a folder had when it was. Of all that came since, a disk may have taken any part:

- **Content** reaches it in sectors (512 bytes, or 4,096), in any order; each sector is as some one of the writes to
  it left it, old or new. A file is as long as after any of them. Sectors that a file has grown by and that never came
  are zeros, or what lay there before: noise.
- **Names** (created, renamed, removed, folders too) are taken in one order for the whole file system, up to some
  moment, as file systems with a journal do (``ordered``); or each by itself, so that a later one can be there and an
  earlier one not (``strict``): POSIX promises no more.

``Model`` says which of that an image shows; with ``kept`` 0 it is what was synced and not a byte more, with 1 and
``ordered`` it is what a killed process leaves.
"""

import json
import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).parents[1] / "faults" / "disk_log.c"
STRICT = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")
RECORD = struct.Struct("<ciiqIII")
CREATED, EMPTIED = 1, 2


def build(folder: Path) -> Path:
    """Compile the library that is preloaded; return its path."""
    library = folder / "disk_log.so"
    subprocess.run(["cc", *STRICT, "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


class Change(NamedTuple):
    """A change of the disk, a sync of it, or what the world outside was told: see ``disk_log.c``."""

    kind: str
    process: int
    descriptor: int
    number: int
    path: str
    other: str
    data: bytes


def read_log(path: Path) -> list[Change]:
    """Return what was written down, in order."""
    content, changes, at = path.read_bytes(), [], 0
    while at < len(content):
        kind, process, descriptor, number, *lengths = RECORD.unpack_from(content, at)
        at += RECORD.size
        parts = []
        for length in lengths:
            parts.append(content[at : at + length])
            at += length
        names = (parts[0].decode(), parts[1].decode())
        changes.append(Change(kind.decode(), process, descriptor, number, *names, parts[2]))
    return changes


def is_noted(path: Path) -> bool:
    """Return whether a power cut must leave a file whole, so that its changes are noted: see ``disk_log.c``."""
    return "logs" not in path.parent.parts and not path.name.endswith("-shm")


def files_of(root: Path) -> dict[str, bytes]:
    """Return every such file with its content, by its path below ``root``."""
    files = (path for path in root.rglob("*") if path.is_file() and is_noted(path.relative_to(root)))
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@dataclass(eq=False)
class File:
    """A file: every write to it, (where, the bytes) or (how long it is made, None), and how many are synced."""

    writes: list[tuple[int, bytes | None]] = field(default_factory=list)
    synced: int = 0

    def content(self, count: int | None = None) -> bytearray:
        """Return what it holds after so many of its writes; after all where left out."""
        found = bytearray()
        for place, data in self.writes[:count]:
            put(found, place, data)
        return found


def put(content: bytearray, place: int, data: bytes | None) -> None:
    """Do one write."""
    if data is None:
        del content[place:]
        content.extend(bytes(place - len(content)))
    else:
        content.extend(bytes(max(0, place - len(content))))
        content[place : place + len(data)] = data


@dataclass(eq=False)
class Folder:
    """A folder: what it holds now."""

    entries: dict[str, "File | Folder"] = field(default_factory=dict)


@dataclass(eq=False)
class Naming:
    """A change of names: an entry that goes, an entry that comes, or both at once."""

    gone: tuple[Folder, str] | None
    come: tuple[Folder, str, File | Folder] | None
    durable: bool = False

    def of(self, folder: Folder) -> bool:
        return any(part is not None and part[0] is folder for part in (self.gone, self.come))


@dataclass(frozen=True, order=True)
class Model:
    """What an image shows of what was not synced.

    Attributes:
        ordered: Whether names were taken in one order.
        kept: The share of it that is there.
        sector: How many bytes reach the disk together.
        noise: Whether sectors that never came hold noise, not zeros.
    """

    ordered: bool
    kept: float
    sector: int = 512
    noise: bool = False

    @classmethod
    def drawn(cls, draw: random.Random) -> "Model":
        """Return one of them; every fourth has nothing but what was synced."""
        kept = 0.0 if draw.random() < 0.25 else draw.choice((0.1, 0.5, 0.9, draw.random()))
        return cls(draw.random() < 0.5, kept, draw.choice((512, 4096)), draw.random() < 0.25)


class Disk:
    """The folder ``root``, replayed; at first it holds what ``before`` does, all of it synced, or nothing."""

    def __init__(self, root: Path, before: Path | None = None) -> None:
        self._root = str(root)
        self._top = Folder()
        self._namings: list[Naming] = []
        self._open: dict[tuple[int, int], File | Folder] = {}
        self.heard = b""
        for path in () if before is None else sorted(before.rglob("*")):
            if is_noted(path.relative_to(before)):
                found = File([(0, path.read_bytes())], 1) if path.is_file() else Folder()
                self._rename(None, (*self._parts(str(root / path.relative_to(before))), found))
                self._namings[-1].durable = True

    def apply(self, change: Change) -> None:
        """Do the next change."""
        if change.kind == "a":
            self.heard += change.data
        elif change.kind == "o":
            self._open[change.process, change.descriptor] = self._opened(change)
        elif change.kind in "wt":
            file = self._open[change.process, change.descriptor]
            assert isinstance(file, File)
            file.writes.append((change.number, change.data if change.kind == "w" else None))
        elif change.kind == "s":
            self._sync(self._open[change.process, change.descriptor])
        elif change.kind in "durx":
            self._name(change)
        else:
            raise AssertionError(f"a change that cannot be replayed: {change}")

    def files(self) -> dict[str, bytes]:
        """Return every file as processes see it now, by its path below the root."""
        return {path: bytes(file.content()) for path, file in _walk(self._top) if isinstance(file, File)}

    def content(self, path: str) -> bytes | None:
        """Return a file as processes see it now; None for a folder."""
        folder, name = self._parts(path)
        found = folder.entries[name]
        return bytes(found.content()) if isinstance(found, File) else None

    def image(self, place: Path, model: Model, draw: random.Random) -> None:
        """Make ``place`` what the disk may hold if the power goes now."""
        place.mkdir()
        tree = self._names_kept(model, draw)
        for path, found in _walk(tree[self._top], tree):
            if isinstance(found, Folder):
                (place / path).mkdir()
            else:
                (place / path).write_bytes(_content_kept(found, model, draw))

    def _parts(self, path: str) -> tuple[Folder, str]:
        *folders, name = path.removeprefix(self._root).strip("/").split("/")
        folder = self._top
        for each in folders:
            inner = folder.entries[each]
            assert isinstance(inner, Folder)
            folder = inner
        return folder, name

    def _opened(self, change: Change) -> File | Folder:
        folder, name = self._parts(change.path)
        if not name:
            return self._top
        found = folder.entries.get(name)
        if found is None:
            assert change.number & CREATED, change
            found = File()
            self._rename(None, (folder, name, found))
        if change.number & EMPTIED and isinstance(found, File) and found.writes:
            found.writes.append((0, None))
        return found

    def _name(self, change: Change) -> None:
        folder, name = self._parts(change.path)
        if change.kind == "d":
            self._rename(None, (folder, name, Folder()))
        elif change.kind == "u":
            self._rename((folder, name), None)
        else:
            self._rename((folder, name), (*self._parts(change.other), folder.entries[name]))

    def _rename(self, gone: tuple[Folder, str] | None, come: tuple[Folder, str, File | Folder] | None) -> None:
        naming = Naming(gone, come)
        self._namings.append(naming)
        _do(naming, {}, self._top)

    def _sync(self, found: File | Folder) -> None:
        if isinstance(found, File):
            found.synced = len(found.writes)
        else:
            for naming in self._namings:
                naming.durable |= naming.of(found)

    def _names_kept(self, model: Model, draw: random.Random) -> dict[Folder, Folder]:
        """Return for each folder what it holds after the power cut."""
        certain = max((n for n, naming in enumerate(self._namings, 1) if naming.durable), default=0)
        if model.ordered:
            more = len(self._namings) - certain
            end = certain + (more if model.kept == 1 else draw.randint(0, more) if model.kept else 0)
            chosen = self._namings[:end]
        else:
            chosen = [naming for naming in self._namings if naming.durable or draw.random() < model.kept]
        tree: dict[Folder, Folder] = {self._top: Folder()}
        for naming in chosen:
            _do(naming, tree, None)
        return tree


def _do(naming: Naming, tree: dict[Folder, Folder], now: Folder | None) -> None:
    """Change names, in the folders themselves where ``now`` is given, or else in ``tree``'s pictures of them."""

    def of(folder: Folder) -> Folder:
        return folder if now is not None else tree.setdefault(folder, Folder())

    if naming.gone is not None:
        folder, name = naming.gone
        moved = naming.come[2] if naming.come is not None else None
        if moved is None or of(folder).entries.get(name) is moved:
            of(folder).entries.pop(name, None)
    if naming.come is not None:
        folder, name, found = naming.come
        of(folder).entries[name] = found


def _walk(
    top: Folder, tree: dict[Folder, Folder] | None = None, below: str = ""
) -> Iterator[tuple[str, File | Folder]]:
    """Yield every file and folder with its path, a folder before what it holds."""
    for name, found in top.entries.items():
        yield below + name, found
        if isinstance(found, Folder):
            inner = found if tree is None else tree.get(found, Folder())
            yield from _walk(inner, tree, f"{below}{name}/")


def _content_kept(file: File, model: Model, draw: random.Random) -> bytes:
    """Return what a file holds after the power cut."""
    content, since = file.content(file.synced), file.writes[file.synced :]
    if not since:
        return bytes(content)
    longest = [len(content)]
    for place, data in since:
        longest.append(place if data is None else max(longest[-1], place + len(data)))
    taken = len(since) if model.kept == 1 else sum(draw.random() < model.kept for _ in since) if model.kept else 0
    length, grown = longest[taken], max(longest) - len(content)
    content += draw.randbytes(grown) if model.noise else bytes(grown)
    until: dict[int, int] = {}
    for number, (place, data) in enumerate(since):
        if data is None:
            continue  # a shorter file is one of the lengths
        for sector in range(place // model.sector, -(-(place + len(data)) // model.sector)):
            if sector not in until:
                whole = draw.random() < model.kept
                until[sector] = len(since) if whole else draw.randint(0, len(since)) if model.kept else 0
            if number < until[sector]:
                start, end = max(place, sector * model.sector), min(place + len(data), (sector + 1) * model.sector)
                content[start:end] = data[start - place : end - place]
    return bytes(content[:length])


def told_events(heard: bytes) -> list[dict[str, Any]]:
    """Return the events that whole lines of what was heard acknowledge."""
    lines = [json.loads(line) for line in heard.splitlines(keepends=True) if line.endswith(b"\n")]
    return [line for line in lines if "seq" in line]
