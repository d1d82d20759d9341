"""A damaged write-ahead log, made readable again. Its format: https://www.sqlite.org/fileformat2.html#walformat."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

HEADER = struct.Struct(">8I")
FRAME = struct.Struct(">6I")
MAGIC_LITTLE, MAGIC_BIG = 0x377F0682, 0x377F0683
VERSION = 3007000

Sums = tuple[int, int]


class Frame(NamedTuple):
    """A page in the log.

    ``before`` are the sums that its own are built on, ``sums`` its own; ``ends`` is whether a transaction ends with
    it. One that is not ``sound`` is not as it was written, or of an earlier round of the log.
    """

    head: bytes
    page: bytes
    before: Sums | None
    sums: Sums
    ends: bool
    sound: bool


class WriteAheadLog:
    """What can be read of a log.

    Args:
        content: The log, header and all.
        page_bytes: The size of a page of its database.
    """

    def __init__(self, content: bytes, page_bytes: int) -> None:
        self._content = content
        self._page_bytes = page_bytes
        self._sums: Sums | None = None
        self._frames: list[Frame] = []
        if len(content) < HEADER.size:
            return
        magic, _, _, self._checkpoints, first, second, *sums = HEADER.unpack_from(content)
        self._big, self._salts = magic == MAGIC_BIG, (first, second)
        if magic in (MAGIC_LITTLE, MAGIC_BIG) and _sums(content[:24], (0, 0), big=self._big) == (sums[0], sums[1]):
            self._sums = sums[0], sums[1]
        elif len(content) >= HEADER.size + FRAME.size:  # then the first frame says which round of the log this is
            self._salts = FRAME.unpack_from(content, HEADER.size)[2:4]
        self._frames = list(self._read())

    @property
    def hides(self) -> bool:
        """Return whether transactions lie behind a damage that no power cut leaves: SQLite does not look behind it.

        A transaction begins when the one before it is on disk, so a power cut can spoil only the last one.
        """
        damaged = bool(self._frames) and self._sums is None
        ended = damaged
        for frame in self._frames:
            if not frame.sound:
                damaged, ended = True, frame.ends
            elif damaged and ended:
                return True
            else:
                ended = frame.ends
        return False

    def mended(self) -> bytes:
        """Return the log without its damaged frames, and so that SQLite reads all the others.

        SQLite stops at the first frame that is damaged, for the sums of each frame go into those of the next. A later
        frame mostly holds the same page anew, so most of what was recorded after the damage is there all the same.
        """
        if not any(frame.sound for frame in self._frames):
            return b""
        magic = MAGIC_BIG if self._big else MAGIC_LITTLE
        header = struct.pack(">6I", magic, VERSION, self._page_bytes, self._checkpoints, *self._salts)
        state = _sums(header, (0, 0), big=self._big)
        parts = [header, struct.pack(">2I", *state)]
        for frame in self._frames:
            if frame.sound:
                known = state == frame.before
                state = frame.sums if known else _sums(frame.head[:8] + frame.page, state, big=self._big)
                parts += [frame.head[:16], struct.pack(">2I", *state), frame.page]
        return b"".join(parts)

    def _read(self) -> Iterator[Frame]:
        """Yield the frames; the first one is taken to follow a header that is damaged."""
        step, before = FRAME.size + self._page_bytes, self._sums
        for start in range(HEADER.size, len(self._content) - step + 1, step):
            head = self._content[start : start + FRAME.size]
            page = self._content[start + FRAME.size : start + step]
            number, pages, first, second, *sums = FRAME.unpack(head)
            found = sums[0], sums[1]
            sound = number > 0 and (first, second) == self._salts
            if sound and before is not None:
                sound = _sums(head[:8] + page, before, big=self._big) == found
            yield Frame(head, page, before, found, pages > 0, sound)
            before = found


def _sums(data: bytes, state: Sums, *, big: bool) -> Sums:
    """Return the two running sums of the log's checksum over ``data``, a multiple of 8 bytes."""
    one, two = state
    words = struct.unpack(f"{'>' if big else '<'}{len(data) // 4}I", data)
    for index in range(0, len(words), 2):
        one = (one + words[index] + two) & 0xFFFFFFFF
        two = (two + words[index + 1] + one) & 0xFFFFFFFF
    return one, two
