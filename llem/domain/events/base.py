"""What every event is: one past fact, frozen, with nothing derived in it."""

from typing import Annotated, Any

from pydantic import Field, JsonValue

from llem.domain.model import Value

Attempt = Annotated[int, Field(ge=1)]
FileName = Annotated[str, Field(pattern=r"^[^/\x00.][^/\x00]*$", max_length=255)]
"""A file in the folder of its kind: a journal that came from somebody else names nothing elsewhere here."""
TrialId = Annotated[str, Field(pattern=r"^[^/\x00.][^/\x00]*$", max_length=100)]
"""Files are named after it."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

ROUTING = frozenset({"kind", "v", "trial", "attempt"})


class Event(Value):
    """One past fact.

    Every event class adds ``kind`` (a literal, never a class path, so that a rename cannot break old
    journals) and ``v``, the version of its form. What routes the fold (``kind``, ``v``, ``trial``,
    ``attempt``) is a column of the journal; the rest is the event's data.
    """

    kind: str
    v: int
    trial: TrialId | None = None
    attempt: Attempt | None = None

    def data(self) -> dict[str, JsonValue]:
        """Return what is stored in the ``data`` column."""
        stored: dict[str, Any] = self.model_dump(mode="json", exclude=set(ROUTING))
        return stored


class TrialEvent(Event):
    """An event about one attempt at one trial."""

    trial: TrialId
    attempt: Attempt
