"""The port of a sensor: what it measures, and one way to read it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from llem.domain.sensing import Channel, Device, Temperature


class Reading(NamedTuple):
    """One value of one channel, or None with the reason: a failed read is never 0.

    ``before_ns`` and ``after_ns`` are the monotonic times around the call that gave it.
    """

    channel: str
    before_ns: int
    after_ns: int
    value: float | None
    reason: str | None = None


class Sensor(Protocol):
    """An open sensor. Opening it (calling the factory) raises SensorError where it cannot be read."""

    channels: tuple[Channel, ...]
    devices: tuple[Device, ...]
    period_s: float
    """How often to read it, in seconds."""

    def read(self) -> list[Reading]:
        """Return one reading per channel, taken now."""

    def close(self) -> None:
        """Give back what the sensor holds."""


@runtime_checkable
class Thermometer(Protocol):
    """A sensor that can also tell how warm its devices are."""

    def temperatures(self) -> list[Temperature]:
        """Return one temperature per device, taken now; unknown with the reason where it cannot be read."""


SensorFactory = Callable[[], Sensor]
"""Opens a sensor; raises SensorError, saying why and what mends it, where it cannot be read."""
