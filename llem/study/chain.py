"""The sound part of a journal: its events from the first on, as long as each is as written and follows the last."""

from collections.abc import Callable, Iterable, Iterator

from llem.domain.decoding import typed_event
from llem.domain.errors import JournalError
from llem.domain.events import CURRENT_VERSION
from llem.domain.row import GENESIS, Row
from llem.projections.manifest import ManifestFold

Saw = Callable[[Row, ManifestFold], object]


def sound(rows: Iterable[Row], seq: int = 0, last_hash: str = GENESIS) -> Iterator[Row]:
    """Yield ``rows`` as long as number and chain hold and every event is valid.

    Args:
        rows: The rows after event number ``seq``.
        seq: The event that they follow.
        last_hash: Its hash.

    Raises:
        JournalError: A row is missing, out of place, altered, or no valid event.
    """
    for row in checked(rows, seq=seq, last_hash=last_hash):
        typed_event(row)
        yield row


def checked(
    rows: Iterable[Row], hashes: list[str] | None = None, *, seq: int = 0, last_hash: str = GENESIS
) -> Iterator[Row]:
    """Yield ``rows`` as long as number and chain hold.

    Args:
        rows: The rows after event number ``seq``.
        hashes: Where the hash of each row is added before the row is yielded.
        seq: The event that they follow.
        last_hash: Its hash.

    Raises:
        JournalError: A row is missing, out of place or altered.
    """
    for row in rows:
        if row.seq != seq + 1:
            raise _damaged(f"event {seq + 1} is missing: {row.seq} follows {seq}")
        if row.prev_hash != last_hash:
            raise _damaged(not_following(row.seq))
        if not is_as_written(row):
            raise _damaged(altered(row.seq))
        seq, last_hash = row.seq, row.hash
        if hashes is not None:
            hashes.append(last_hash)
        yield row


def is_as_written(row: Row) -> bool:
    """Return whether a row's hash is that of its content."""
    try:
        return row.hash == row.expected_hash()
    except (TypeError, ValueError):
        return False  # a damaged record can hold what no column may: bytes


def not_following(seq: int) -> str:
    """Return the words for an event that is not the next one of the chain."""
    return f"event {seq} does not follow event {seq - 1}: the chain is broken"


def altered(seq: int) -> str:
    """Return the words for an event that is not as it was written."""
    return f"event {seq} was altered: its hash is not that of its content"


class SoundPart:
    """The sound part of a journal, as far as it has been found: chained, of a known form, each fitting those before.

    Args:
        saw: Called with each event, and the fold that has it.

    Attributes:
        fold: What it comes to.
        hashes: The events' hashes, from the first on.
        last_of: The last event of each trial.
        broken: Why the event after it does not belong to it; None where there is none, or it was not looked at.
        newer: Whether an event was met that a newer llem wrote.
    """

    def __init__(self, saw: Saw | None = None) -> None:
        self._saw = saw
        self.fold = ManifestFold()
        self.hashes: list[str] = []
        self.last_of: dict[str, int] = {}
        self.broken: str | None = None
        self.newer = False

    @property
    def head(self) -> tuple[int, str]:
        """Return number and hash of its last event."""
        return len(self.hashes), self.hashes[-1] if self.hashes else GENESIS

    def extend(self, rows: Iterable[Row]) -> None:
        """Take in the rows after its last one, as long as they are sound."""
        self.broken, row = None, None
        try:
            for row in checked(rows, seq=len(self.hashes), last_hash=self.head[1]):
                typed_event(row)
                self.fold.apply(row)
                self.hashes.append(row.hash)
                if row.trial:
                    self.last_of[row.trial] = row.seq
                if self._saw is not None:
                    self._saw(row, self.fold)
        except JournalError as error:
            self.broken = error.message
            self.newer |= row is not None and row.v > CURRENT_VERSION.get(row.kind, 0)


def _damaged(message: str) -> JournalError:
    return JournalError(
        message,
        remedy="Restore the study folder from a backup, or have `llem study recover` keep what is sound.",
    )
