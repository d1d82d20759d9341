"""The idle power of the bare machine: devices without any process of the study."""

from collections.abc import Mapping, Sequence

from llem.domain.edges import Edge, Unmeasured
from llem.domain.idle import idle_power
from llem.domain.model import Value
from llem.domain.sensing import Channel

NOT_BARE = "another process computed on the device"


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


def has_meter(channel: Channel) -> bool:
    """Return whether a channel measures an energy, and does not model it: a model has no idle power."""
    return channel.measures_energy and channel.provenance != "modelled"


def bare_powers(
    channels: Sequence[Channel],
    edges: Mapping[str, Sequence[Edge]],
    failures: Mapping[str, str],
    start_ns: int,
    end_ns: int,
) -> tuple[BaselinePower, ...]:
    """Return the idle power of every channel that measures energy.

    Args:
        channels: What was recorded.
        edges: The readings, by channel id.
        failures: Why a channel's last failed reading failed, by channel id.
        start_ns: Start of the time that counts.
        end_ns: Its end.
    """
    foreign = {
        channel.device
        for channel in channels
        if channel.kind == "foreign_processes"
        and any(edge.value > 0 and start_ns <= edge.after_ns <= end_ns for edge in edges.get(channel.id, ()))
    }
    return tuple(
        unknown_power(channel, NOT_BARE)
        if channel.device in foreign
        else _power(channel, edges.get(channel.id, ()), failures.get(channel.id), start_ns, end_ns)
        for channel in channels
        if has_meter(channel)
    )


def unknown_power(channel: Channel, reason: str) -> BaselinePower:
    """Return a power that is unknown for this reason."""
    return BaselinePower(channel=channel.id, power_w=None, reason=reason)


def _power(channel: Channel, edges: Sequence[Edge], failure: str | None, start_ns: int, end_ns: int) -> BaselinePower:
    found = idle_power(channel, edges, start_ns, end_ns)
    if isinstance(found, Unmeasured):
        why = found.reason if failure is None else f"{found.reason}; a reading failed: {failure}"
        return unknown_power(channel, why)
    return BaselinePower(channel=channel.id, power_w=found[0], u_w=found[1])
