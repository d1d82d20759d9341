"""One row of the journal, and the chain that ties it to the row before."""

import hashlib
import json
from typing import Any, NamedTuple

from pydantic_core import from_json

from llem.domain.errors import JournalError
from llem.domain.events import AnyEvent, parse_event
from llem.domain.events.lift import lifted

COLUMNS = "seq, recorded_at, session, kind, v, trial, attempt, data, prev_hash, hash"
GENESIS = "genesis"
"""What stands in the first row for the hash of the row before."""


class Row(NamedTuple):
    """One event as it is stored: what routes the fold stands in columns, the rest is JSON text in ``data``."""

    seq: int
    recorded_at: str
    session: int
    kind: str
    v: int
    trial: str | None
    attempt: int | None
    data: str
    prev_hash: str
    hash: str

    def stored(self) -> dict[str, Any]:
        """Return the parsed data as it was written, whatever form that has."""
        data: dict[str, Any]
        try:
            data = from_json(self.data)  # twice as fast as the standard library's, which takes half a surrogate too
        except ValueError:
            data = json.loads(self.data)
        return data

    def payload(self) -> dict[str, Any]:
        """Return the parsed data in today's form, unchecked: the fold's fast way. Use ``event`` for a checked one."""
        return lifted(self.kind, self.v, self.stored())[1]

    def event(self) -> AnyEvent:
        """Return the typed event, strictly checked.

        Raises:
            JournalError: The row holds no valid event of a kind that this llem knows.
        """
        columns = {"kind": self.kind, "trial": self.trial, "attempt": self.attempt}
        try:
            v, data = lifted(self.kind, self.v, self.stored())
            fields = {**data, **columns, "v": v}
        except (AttributeError, IndexError, LookupError, TypeError, ValueError) as error:
            raise JournalError(
                f"The data of event {self.seq} is not what it should be: {error!r}.",
                remedy="The journal was damaged; `llem study log --verify` says where.",
            ) from None
        return parse_event(fields, self.seq)

    def expected_hash(self) -> str:
        """Return the hash that this row must have."""
        return chain_hash(*self[:-1])


def chain_hash(
    seq: int,
    recorded_at: str,
    session: int,
    kind: str,
    v: int,
    trial: str | None,
    attempt: int | None,
    data: str,
    prev_hash: str,
) -> str:
    """Return the SHA-256 over every column of a row, the hash of the row before among them."""
    columns = [seq, recorded_at, session, kind, v, trial, attempt, data, prev_hash]
    text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
