"""The file of raw edges: everything that the sensors said during one attempt, one JSON array a line, gzipped.

The first line names the channels; each further one is ``[channel number, before_ns, after_ns, value]``, with
the reason behind a value of null.
"""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llem.domain.edges import Edge
from llem.domain.errors import SensorError
from llem.domain.sensing import Channel
from llem.sensors.base import Reading

FORMAT = "llem-samples-1"
PART = ".part"


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
        self._raw = self._part.open("wb")
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
        """Append readings in the order in which they were taken."""
        for reading in readings:
            line: list[object] = [
                self._numbers[reading.channel],
                reading.before_ns,
                reading.after_ns,
                reading.value,
            ]
            if reading.value is None:
                line.append(reading.reason)
            self._write(line)
            self.edges += 1

    def finish(self) -> str:
        """Complete the file, sync it, give it its name, and return its SHA-256."""
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
        for file in (self._gzip, self._raw):
            try:
                file.close()
            except OSError:
                pass  # a full disk: what could not be written is dropped anyway
        self._part.unlink(missing_ok=True)

    def _write(self, line: object) -> None:
        self._gzip.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


@dataclass(frozen=True)
class Samples:
    """What a file of raw edges holds.

    Attributes:
        channels: The channels.
        edges: Per channel id, its edges in time order.
        failures: Per channel id, the reason of its last failed reading.
    """

    channels: tuple[Channel, ...]
    edges: dict[str, list[Edge]]
    failures: dict[str, str]


def read_samples(path: Path) -> Samples:
    """Return the raw edges in ``path``.

    Raises:
        SensorError: The file is missing or is not what ``SampleWriter`` wrote.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            head = json.loads(next(lines))
            if head["format"] != FORMAT:
                raise ValueError(f"its format is {head['format']!r}")
            channels = tuple(Channel.model_validate(channel) for channel in head["channels"])
            edges: dict[str, list[Edge]] = {channel.id: [] for channel in channels}
            failures: dict[str, str] = {}
            for line in lines:
                number, before_ns, after_ns, value, *reason = json.loads(line)
                name = channels[number].id
                if value is None:
                    failures[name] = str(reason[0])
                else:
                    edges[name].append(Edge(before_ns, after_ns, value))
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, StopIteration) as error:
        raise SensorError(
            f"The raw edges {path} cannot be read: {error}.",
            remedy="Run the trial again to record them anew.",
        ) from error
    return Samples(channels, edges, failures)
