"""All events, joined in one union by their kind."""

from typing import Annotated, Any, get_args

from pydantic import Field, ValidationError

from llem.domain.errors import JournalError
from llem.domain.events.base import Event, TrialEvent
from llem.domain.events.plan import ExperimentPlanned, StudyExtended, StudyPlanned
from llem.domain.events.recovery import JournalRecovered
from llem.domain.events.session import (
    BaselineMeasured,
    GapWaited,
    SensorsChecked,
    SessionEnded,
    SessionStarted,
    StudyCompleted,
)
from llem.domain.events.trial import (
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentInterrupted,
    ExperimentRunning,
    ExperimentSkipped,
    Phase,
    PhaseEntered,
    ResultRejected,
)

AnyEvent = Annotated[
    StudyPlanned
    | StudyExtended
    | ExperimentPlanned
    | SessionStarted
    | SensorsChecked
    | BaselineMeasured
    | GapWaited
    | ExperimentRunning
    | PhaseEntered
    | ExperimentCompleted
    | ExperimentFailed
    | ExperimentInterrupted
    | ExperimentSkipped
    | ResultRejected
    | JournalRecovered
    | SessionEnded
    | StudyCompleted,
    Field(discriminator="kind"),
]

_CLASSES: dict[str, type[Event]] = {cls.model_fields["kind"].default: cls for cls in get_args(get_args(AnyEvent)[0])}

CURRENT_VERSION: dict[str, int] = {kind: cls.model_fields["v"].default for kind, cls in _CLASSES.items()}
"""Each kind that this llem speaks, and the version of its form that it writes."""


def require_known(kind: str, v: int, seq: int) -> None:
    """Refuse an event that this llem does not know.

    Raises:
        JournalError: The kind is unknown, or its version is newer than this llem writes.
    """
    if kind not in CURRENT_VERSION or v > CURRENT_VERSION[kind]:
        raise JournalError(
            f"Event {seq} is a {kind!r} of version {v}, which this llem does not know.",
            remedy="A newer llem wrote this journal: upgrade llem to read it.",
        )


def parse_event(fields: dict[str, Any], seq: int) -> AnyEvent:
    """Return the typed event for the columns and data of one journal row.

    Args:
        fields: ``kind``, ``v``, ``trial``, ``attempt`` and the event's data, in one mapping.
        seq: The row's number, for messages.

    Raises:
        JournalError: The event is unknown, too new, or not of its kind's form.
    """
    kind, v = str(fields.get("kind")), fields.get("v")
    if v != CURRENT_VERSION.get(kind):
        require_known(kind, int(str(v)), seq)
    try:
        # The model's own validator: by way of the union or of `model_validate` it takes a quarter longer.
        event: AnyEvent = _CLASSES[kind].__pydantic_validator__.validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in (kind, *first["loc"]))
        raise JournalError(
            f"Event {seq} is no valid {kind!r}: {place}: {first['msg']}.",
            remedy="The journal was damaged or written by something else; `llem study log --verify` says where.",
        ) from None
    return event


__all__ = [
    "CURRENT_VERSION",
    "AnyEvent",
    "BaselineMeasured",
    "Event",
    "ExperimentCompleted",
    "ExperimentFailed",
    "ExperimentInterrupted",
    "ExperimentPlanned",
    "ExperimentRunning",
    "ExperimentSkipped",
    "GapWaited",
    "JournalRecovered",
    "Phase",
    "PhaseEntered",
    "ResultRejected",
    "SensorsChecked",
    "SessionEnded",
    "SessionStarted",
    "StudyCompleted",
    "StudyExtended",
    "StudyPlanned",
    "TrialEvent",
    "parse_event",
    "require_known",
]
