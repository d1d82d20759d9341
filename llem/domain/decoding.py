"""Rows decoded for those who read many: as today's payload, or as the typed event, strictly checked."""

import json
from typing import Any

from pydantic_core import from_json

from llem.domain.errors import JournalError
from llem.domain.events import AnyEvent, parse_event
from llem.domain.lift import lifted
from llem.domain.row import Row


def payload(row: Row) -> dict[str, Any]:
    """Return what ``row.payload()`` does, in half the time: the folds' way. Use ``typed_event`` for a checked one."""
    return lifted(row.kind, row.v, _parsed(row.data))[1]


def typed_event(row: Row) -> AnyEvent:
    """Return the event that a row holds, strictly checked.

    Raises:
        JournalError: The row holds no valid event of a kind that this llem knows.
    """
    try:
        v, data = lifted(row.kind, row.v, _parsed(row.data))
        fields = {**data, "kind": row.kind, "trial": row.trial, "attempt": row.attempt, "v": v}
    except (AttributeError, IndexError, LookupError, TypeError, ValueError) as error:
        raise JournalError(
            f"The data of event {row.seq} is not what it should be: {error!r}.",
            remedy="The journal was damaged; `llem study log --verify` says where.",
        ) from None
    return parse_event(fields, row.seq)


def _parsed(text: str) -> dict[str, Any]:
    data: dict[str, Any]
    try:
        data = from_json(text)  # twice as fast as the standard library's, which takes half a surrogate too
    except ValueError:
        data = json.loads(text)
    return data
