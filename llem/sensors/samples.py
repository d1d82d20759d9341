"""The file of raw edges: everything that the sensors said during one attempt, in columns, as gzipped lines of JSON.

The first line names the channels. Each further one is a block of a table: what was read by one call each time
(``llem.sensors.columns``). Blocks are written while recording, so that memory does not grow with the trial.
"""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

from llem.domain.edges import Edge
from llem.domain.errors import SensorError
from llem.domain.sensing import Channel
from llem.sensors.base import Call, Reading, calls
from llem.sensors.columns import Table, rows

FORMAT = "llem-samples-2"
BY_READING = "llem-samples-1"
"""What earlier versions wrote: a line is [channel number, before_ns, after_ns, value], the reason behind a null."""
PART = ".part"
ROWS_IN_A_BLOCK = 512


class SampleWriter:
    """Writes readings to ``path``, which appears under its name only when it is complete and on disk.

    Args:
        path: The file to make.
        channels: The channels that readings will name.
    """

    def __init__(self, path: Path, channels: Sequence[Channel]) -> None:
        self._path = path
        self._part = path.with_name(path.name + PART)
        self._numbers = {channel.id: number for number, channel in enumerate(channels)}
        self._tables: dict[tuple[str, ...], Table] = {}
        self._raw = open(self._part, "wb", opener=_not_through_a_link)  # noqa: SIM115 - closed by finish
        # No time and no name inside, so that equal readings make equal files.
        self._gzip = gzip.GzipFile(filename="", fileobj=self._raw, mode="wb", compresslevel=6, mtime=0)
        self.edges = 0
        self._write(
            {
                "format": FORMAT,
                "clock": "CLOCK_MONOTONIC",
                "channels": [c.model_dump(mode="json") for c in channels],
            }
        )

    def write(self, readings: Iterable[Reading]) -> None:
        """Append readings in the order in which they were taken; neighbours with equal times are of one call."""
        self.add(calls(readings))

    def add(self, found: Iterable[Call]) -> None:
        """Append what calls gave, in the order in which they were made."""
        for names, before_ns, after_ns, values, reasons in found:
            table = self._tables.get(names)
            if table is None:
                table = self._tables[names] = Table([self._numbers[name] for name in names])
            self.edges += len(names)
            if table.add(before_ns, after_ns, values, reasons) >= ROWS_IN_A_BLOCK:
                self._write(table.take())

    def finish(self) -> str:
        """Complete the file, sync it, give it its name, and return its SHA-256."""
        for table in self._tables.values():
            if len(table):
                self._write(table.take())
        self._gzip.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        self._part.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # the name too: an event is about to say that the file is there
        finally:
            os.close(folder)
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    def abandon(self) -> None:
        """Drop the file, whatever state it is in."""
        for drop in (self._gzip.close, self._raw.close, self._part.unlink):
            with suppress(OSError):  # a full disk: what could not be written is dropped anyway
                drop()

    def _write(self, line: object) -> None:
        self._gzip.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


@dataclass(frozen=True)
class Samples:
    """What a file of raw edges holds.

    Attributes:
        channels: The channels.
        edges: Per channel id, its edges in time order.
        failures: Per channel id, the reason of its last failed reading.
        failed_ns: Per channel id, when its failed readings began, in time order; channels without any left out.
    """

    channels: tuple[Channel, ...]
    edges: dict[str, list[Edge]]
    failures: dict[str, str]
    failed_ns: dict[str, list[int]] = field(default_factory=dict)


def _not_through_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def read_samples(path: Path) -> Samples:
    """Return the raw edges in ``path``, which this version or an earlier one wrote.

    Raises:
        SensorError: The file is missing or is not what ``SampleWriter`` wrote.
    """
    try:
        if path.is_symlink() or (path.exists() and not (path.is_file() or path.is_dir())):
            raise OSError("it is no regular file")  # a link may lead anywhere, a pipe would be read for ever
        with gzip.open(path, "rt", encoding="utf-8") as text:
            lines = (json.loads(line, parse_constant=_refuse) for line in text)
            head = next(lines)
            channels = tuple(Channel.model_validate(channel) for channel in head["channels"])
            edges: dict[str, list[Edge]] = {channel.id: [] for channel in channels}
            lost: dict[str, list[tuple[int, str]]] = {}
            for name, found, failed in _TOLD_BY[head["format"]](lines, channels):
                edges[name] += found
                if failed:
                    lost.setdefault(name, []).extend(failed)
        # A channel that several calls read lies in several tables.
        for found in edges.values():
            found.sort(key=itemgetter(0))
        for failed in lost.values():
            failed.sort(key=itemgetter(0))
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, StopIteration) as error:
        raise SensorError(
            f"The raw edges {path} cannot be read: {error}.",
            remedy="Run the trial again to record them anew.",
        ) from error
    return Samples(
        channels=channels,
        edges=edges,
        failures={name: failed[-1][1] for name, failed in lost.items()},
        failed_ns={name: [before_ns for before_ns, _ in failed] for name, failed in lost.items()},
    )


Told = Iterator[tuple[str, list[Edge], list[tuple[int, str]]]]


def _by_column(blocks: Iterable[Any], channels: Sequence[Channel]) -> Told:
    for block in blocks:
        for number, before_ns, after_ns, values, failed in rows(block, len(channels)):
            yield channels[number].id, list(map(Edge, before_ns, after_ns, values)), failed


def _by_reading(lines: Iterable[Any], channels: Sequence[Channel]) -> Told:
    for number, before_ns, after_ns, value, *reason in lines:
        name = channels[number].id
        if value is None:
            yield name, [], [(before_ns, str(reason[0]))]
        else:
            yield name, [Edge(before_ns, after_ns, value)], []


_TOLD_BY = {FORMAT: _by_column, BY_READING: _by_reading}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no reading")
