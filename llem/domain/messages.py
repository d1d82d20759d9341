"""What passes between the parent and a worker: the specification in, JSON lines out.

Only the parent turns messages into events. A line that is no valid message is a fault of the worker.
"""

import json
from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from llem.domain.events.trial import Phase
from llem.domain.measured import MOST_SEGMENTS, Measured
from llem.domain.model import Value
from llem.domain.redaction import redacted
from llem.domain.spec import ExperimentConfig

MAX_MESSAGE_BYTES = 1_000_000
LOOKED_AT = 4_000
"""Bytes that are searched for secrets before their start is shown: half a token has no shape."""


Told = Annotated[int, Field(strict=True, ge=0, lt=1 << 63)]
"""A whole number from a worker: one that any column and any arithmetic of ours can hold."""


class Stagger(Value):
    """A window in segments, for a sensor that sees a part of each of its periods only.

    Segment j of n begins j/n of a period later, counted from the first one's begin in whole periods, so that the
    sensor sees each phase of a load that keeps step with it.

    Attributes:
        segments: How many.
        period_s: The sensor's period.
        devices: The devices whose sensors are such; None is every device.
    """

    segments: int = Field(ge=2, le=MOST_SEGMENTS)
    period_s: float = Field(gt=0)
    devices: tuple[str, ...] | None = None

    def serves(self, devices: Collection[str]) -> bool:
        """Return whether work on ``devices`` needs the segments."""
        return self.devices is None or not set(self.devices).isdisjoint(devices)


class GoOn(Value):
    """Sent to a worker that soaks: the devices are steady, or it has soaked long enough.

    Attributes:
        steady: Whether temperatures and clocks no longer change; None where none can be read.
        reason: Why that is unknown, or what still changes.
    """

    do: Literal["go_on"] = "go_on"
    steady: bool | None
    reason: str | None = None


class WorkerSpec(Value):
    """What a worker is told, on its stdin.

    Attributes:
        protocol: Version of this exchange.
        trial: The trial.
        attempt: The attempt.
        config: What to measure.
        base_dir: Folder that relative paths start from.
        guard_s: Length of the guards: the configuration's, or what a sensor needs.
        stagger: Segments of the window; None for a window in one piece.
        soak: Whether the parent tells when to end the soak; where it does not, there is none.
        metered: Whether a meter reads the trial. Where none does, what serves figures of energy alone is left out:
            the loaded idle and the window of prefill.
    """

    protocol: Literal[1] = 1
    trial: str
    attempt: int
    config: ExperimentConfig
    base_dir: str
    guard_s: float = 0.0
    stagger: Stagger | None = None
    soak: bool = False
    metered: bool = True


class PhaseMessage(Value):
    """The worker entered a phase.

    Attributes:
        phase: The phase.
        t_ns: When, on the monotonic clock.
        devices: The devices that must become steady, by their lasting names; told with ``soak`` alone.
    """

    type: Literal["phase"] = "phase"
    phase: Phase
    t_ns: Told
    devices: tuple[str, ...] = ()


class ProgressMessage(Value):
    """The worker is alive, and this far within its phase.

    Attributes:
        done: Passes done in this phase.
        fraction: Share of the phase that is done, as far as the worker can tell.
    """

    type: Literal["progress"] = "progress"
    done: Told
    fraction: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None


class ResultMessage(Value):
    """The measurement. The last message of a worker that succeeded."""

    type: Literal["result"] = "result"
    measured: Measured


class ErrorMessage(Value):
    """The worker failed, and knows why. Its last message.

    Attributes:
        error_type: Class of the exception, or one of llem's own types.
        error_message: In words, with the remedy where there is one.
        traceback: The worker's trace; None where the message says it all.
    """

    type: Literal["error"] = "error"
    error_type: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$", max_length=200)
    error_message: str = Field(max_length=20_000)
    traceback: str | None = Field(default=None, max_length=200_000)


Message = Annotated[PhaseMessage | ProgressMessage | ResultMessage | ErrorMessage, Field(discriminator="type")]
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Message)


class InvalidMessageError(ValueError):
    """A line is no message. The text says what was found."""


def parse_message(line: bytes) -> Message:
    """Return the message on one line of a worker's pipe.

    Raises:
        InvalidMessageError: The line is no JSON, or no message of this protocol.
    """
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        where = f" at {place}" if place else ""
        raise InvalidMessageError(f"{first['msg']}{where}: {shown(line)}") from None


def shown(raw: bytes, limit: int = 80) -> str:
    """Return the start of ``raw`` as printable text: no control characters and no secrets reach screen or journal."""
    text = redacted(raw[:LOOKED_AT].decode("utf-8", "replace"))
    return json.dumps(text[:limit]) + ("…" if len(text) > limit else "")
