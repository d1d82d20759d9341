"""What passes between the parent and a zygote: one request, one reply; descriptors go beside them."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from llem.domain.model import Value
from llem.domain.spec import ExperimentConfig

MOST_BYTES = 1 << 17
"""A request or a reply is one packet of a socket, and none of ours is larger."""


class Prepare(Value):
    """Import what an attempt at this experiment will need, and say whether it can be forked."""

    do: Literal["prepare"] = "prepare"
    config: ExperimentConfig
    base_dir: str


class Fork(Value):
    """Fork a worker. Beside it go four descriptors: specification, log, the pipe to us and the one from us.

    Attributes:
        environment: Variables that the worker gets beside the zygote's own.
    """

    do: Literal["fork"] = "fork"
    environment: dict[str, str]


class Bury(Value):
    """Reap the worker, which has exited, and end all that it left behind."""

    do: Literal["bury"] = "bury"


Request = Annotated[Prepare | Fork | Bury, Field(discriminator="do")]
REQUEST: TypeAdapter[Request] = TypeAdapter(Request)


class Prepared(Value):
    """A worker can be forked."""

    did: Literal["prepare"] = "prepare"


class Forked(Value):
    """The worker runs, in a process group of its own; its pidfd goes beside this."""

    did: Literal["fork"] = "fork"
    pid: int


class Buried(Value):
    """Nothing of the worker is left.

    Attributes:
        exit_code: Its exit code; negative is the signal that ended it.
    """

    did: Literal["bury"] = "bury"
    exit_code: int


class Refused(Value):
    """No worker can be forked from this zygote, or the request cannot be met."""

    did: Literal["refused"] = "refused"
    reason: str


Reply = Annotated[Prepared | Forked | Buried | Refused, Field(discriminator="did")]
REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)
