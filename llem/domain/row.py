"""One row of the journal, and the chain that ties it to the row before.

On the standard library alone: whoever only shows rows loads nothing else. ``llem.domain.decoding`` makes the typed
events of them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import partial
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from llem.domain.lift import lifted

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
        data: dict[str, Any] = json.loads(self.data)
        return data

    def payload(self) -> dict[str, Any]:
        """Return the parsed data in today's form, unchecked."""
        return lifted(self.kind, self.v, self.stored())[1]

    def expected_hash(self) -> str:
        """Return the hash that this row must have."""
        return chain_hash(*self[:-1])


row_of: Callable[[Iterable[Any]], Row] = partial(tuple.__new__, Row)
"""Return the row of what a SELECT of COLUMNS gave; ``Row._make`` does it in Python and takes twice as long."""


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
    """Return the SHA-256 over every column of a row, the hash of the row before among them.

    What is hashed is the columns as a JSON array without spaces and with nothing escaped that need not be.
    """
    quoted = encode_basestring
    try:
        # Written out: an audit comes here once per event, and `json.dumps` takes twice as long for the same text.
        text = (
            f"[{seq!r},{quoted(recorded_at)},{session!r},{quoted(kind)},{v!r},"
            f"{'null' if trial is None else quoted(trial)},{'null' if attempt is None else repr(attempt)},"
            f"{quoted(data)},{quoted(prev_hash)}]"
        )
    except TypeError:  # damage can make anything of a text, bytes too
        columns = [seq, recorded_at, session, kind, v, trial, attempt, data, prev_hash]
        text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
