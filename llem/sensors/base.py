"""The port of a sensor: what it measures, and one way to read it."""

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, Protocol, runtime_checkable

from llem.domain.sensing import Channel, Device, DeviceUse, Temperature


class Reading(NamedTuple):
    """One value of one channel, or None with the reason: a failed read is never 0.

    ``before_ns`` and ``after_ns`` are the monotonic times around the call that gave it.
    """

    channel: str
    before_ns: int
    after_ns: int
    value: float | None
    reason: str | None = None


class Call(NamedTuple):
    """What one call gave: the readings of its channels, without an object for each.

    ``reasons`` says of each value that is None why; it is None where every value is there.
    """

    channels: tuple[str, ...]
    before_ns: int
    after_ns: int
    values: Sequence[float | None]
    reasons: Sequence[str | None] | None = None

    def readings(self) -> list[Reading]:
        """Return one reading per channel."""
        reasons = self.reasons or (None,) * len(self.channels)
        return [
            Reading(channel, self.before_ns, self.after_ns, value, reason)
            for channel, value, reason in zip(self.channels, self.values, reasons, strict=True)
        ]


_TIMES = itemgetter(1, 2)


def calls(readings: Iterable[Reading]) -> list[Call]:
    """Return the calls that gave these readings: neighbours with equal times are of one."""
    found = []
    for (before_ns, after_ns), call in groupby(readings, _TIMES):
        names, _, _, values, reasons = zip(*call, strict=True)
        found.append(Call(names, before_ns, after_ns, values, reasons))
    return found


class Sensor(Protocol):
    """An open sensor. Opening it (calling the factory) raises SensorError where it cannot be read."""

    channels: tuple[Channel, ...]
    devices: tuple[Device, ...]
    period_s: float
    """How often to read it, in seconds, where it is not ``Paced``."""

    def read(self) -> list[Reading]:
        """Return one reading per channel, taken now."""

    def close(self) -> None:
        """Give back what the sensor holds."""


@runtime_checkable
class Paced(Sensor, Protocol):
    """A sensor that says itself when it wants to be read, and reads only what is due then."""

    def due_ns(self) -> int:
        """Return when it is to be read next, in monotonic nanoseconds."""

    def read_due(self) -> list[Call]:
        """Call for each channel that is due now; for none where it was asked early."""


class Steady:
    """A sensor that is read at its own constant pace."""

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor
        self._period_ns = round(sensor.period_s * 1e9)
        self._due_ns = 0

    def due_ns(self) -> int:
        """Return when it is to be read next: a period after it was read."""
        return self._due_ns

    def read(self) -> list[Reading]:
        """Return one reading per channel."""
        readings = self._sensor.read()
        self._due_ns = time.monotonic_ns() + self._period_ns
        return readings

    def read_due(self) -> list[Call]:
        """Call for each channel."""
        return calls(self.read())


@runtime_checkable
class Thermometer(Protocol):
    """A sensor that can also tell how warm its devices are."""

    def temperatures(self) -> list[Temperature]:
        """Return one temperature per device, taken now; unknown with the reason where it cannot be read."""


@runtime_checkable
class Watchman(Protocol):
    """A sensor that can also tell what is on its devices."""

    def use(self) -> list[DeviceUse]:
        """Return what is on each device that the study can use, now."""


SensorFactory = Callable[[], Sensor]
"""Opens a sensor; raises SensorError, saying why and what mends it, where it cannot be read."""
