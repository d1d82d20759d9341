"""The event with which a journal goes on after it was damaged."""

from typing import Annotated, Literal

from pydantic import Field

from llem.domain.events.base import Event, FileName, Sha256, TrialId
from llem.domain.model import Value

KeptIn = Annotated[str, Field(pattern=r"^[0-9][0-9TZ.-]*$")]
"""A folder below ``damaged/``, named after the time."""


class KeptFile(Value):
    """A file of the damaged journal, kept as it was found.

    Attributes:
        name: Its name.
        sha256: Its content hash.
    """

    name: FileName
    sha256: Sha256


class JournalRecovered(Event):
    """The journal was damaged: the events before this one are what was sound of it, and it goes on from here.

    Attributes:
        llem_version: The llem that recovered it.
        reason: What was wrong, as far as it was found first.
        unreadable: Events after the sound ones that could not be read.
        invalid: Events after them that could be read, and were altered or had nothing sound to follow.
        remembered_seq: The last event that a file outside of the journal remembers; None where that is not lost.
        lost_trials: Trials that events are known to be lost of.
        kept_in: The folder below ``damaged/`` that holds the old journal and what was set aside.
        files: The old journal's files.
        set_aside: Files of the study that only lost events named, or that remember one; now in ``kept_in``.
    """

    kind: Literal["journal_recovered"] = "journal_recovered"
    v: Literal[1] = 1
    llem_version: str
    reason: str
    unreadable: int
    invalid: int
    remembered_seq: int | None = None
    lost_trials: tuple[TrialId, ...] = ()
    kept_in: KeptIn
    files: tuple[KeptFile, ...]
    set_aside: tuple[str, ...] = ()
