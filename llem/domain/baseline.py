"""The idle power of the bare machine: devices without any process of the study."""

from llem.domain.model import Value


class BaselinePower(Value):
    """Idle power of one channel.

    Attributes:
        channel: Its id.
        power_w: Watts; None with ``reason``.
        u_w: 95 % uncertainty in watts.
        reason: Why it is unknown.
    """

    channel: str
    power_w: float | None
    u_w: float | None = None
    reason: str | None = None
