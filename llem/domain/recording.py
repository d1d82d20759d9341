"""What passes between the parent and the recorder: JSON lines, one reply to each command."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from llem.domain.model import Value
from llem.domain.result import RecorderCost
from llem.domain.sensing import SensorReport


class StartRecording(Value):
    """Record into ``file`` from now on."""

    do: Literal["start"] = "start"
    file: str


class StopRecording(Value):
    """Take a last reading, then finish the file."""

    do: Literal["stop"] = "stop"


Command = Annotated[StartRecording | StopRecording, Field(discriminator="do")]
COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class Ready(Value):
    """The recorder's first word: what it can read."""

    did: Literal["ready"] = "ready"
    report: SensorReport


class Started(Value):
    """The first edges are taken."""

    did: Literal["start"] = "start"


class Stopped(Value):
    """The file is complete and on disk."""

    did: Literal["stop"] = "stop"
    sha256: str
    cost: RecorderCost


class RecorderFailed(Value):
    """A command failed; nothing is being recorded now."""

    did: Literal["failed"] = "failed"
    reason: str


Reply = Annotated[Ready | Started | Stopped | RecorderFailed, Field(discriminator="did")]
REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)
