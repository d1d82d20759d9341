"""What passes between the parent and the recorder: JSON lines, one reply to each command."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from llem.domain.model import Value
from llem.domain.result import RecorderCost
from llem.domain.sensing import DeviceUse, SensorReport, Temperature


class StartRecording(Value):
    """Record into ``file`` from now on."""

    do: Literal["start"] = "start"
    file: str


class StopRecording(Value):
    """Take a last reading, then finish the file."""

    do: Literal["stop"] = "stop"


class TellTemperatures(Value):
    """Say how warm the devices are, whether or not anything is being recorded."""

    do: Literal["temperatures"] = "temperatures"


class TellUse(Value):
    """Say what is on the devices."""

    do: Literal["use"] = "use"


Command = Annotated[StartRecording | StopRecording | TellTemperatures | TellUse, Field(discriminator="do")]
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


class Temperatures(Value):
    """The temperature of every device that a sensor can tell; empty where none can."""

    did: Literal["temperatures"] = "temperatures"
    devices: tuple[Temperature, ...]


class Use(Value):
    """What is on each device of which a sensor can tell; empty where none can."""

    did: Literal["use"] = "use"
    devices: tuple[DeviceUse, ...]


class RecorderFailed(Value):
    """A command failed, or the file cannot be written any more, which is said unasked; nothing is being recorded now.

    ``errno`` is the system's number of the error where that was about the file.
    """

    did: Literal["failed"] = "failed"
    reason: str
    errno: int | None = None


Reply = Annotated[Ready | Started | Stopped | Temperatures | Use | RecorderFailed, Field(discriminator="did")]
REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)
