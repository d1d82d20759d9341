"""What a sensor says of itself, whatever reads it."""

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import JsonValue, SerializerFunctionWrapHandler, model_serializer

from llem.domain.model import Value

Provenance = Literal["counter", "sampled", "external", "modelled", "none"]
ChannelKind = Literal[
    "energy_j", "power_w", "temperature_c", "clock_mhz", "throttle_ns", "event_reasons", "foreign_processes"
]


class Channel(Value):
    """One figure that a sensor reads again and again.

    Attributes:
        id: Unique among the channels of a session, such as ``nvml/GPU-…/energy``.
        sensor: The sensor's name.
        device: What is measured, by a lasting name: a GPU's UUID, a RAPL zone.
        boundary: What part of the machine it covers (``gpu``, ``cpu_package``, ``dram``, ``soc``, ``cpu``, ``ram``).
        kind: ``energy_j``, a cumulative counter in joules, or ``power_w``, a power in watts; or what tells under
            which conditions a device worked: ``temperature_c``, ``clock_mhz``, ``throttle_ns`` (nanoseconds since the
            driver was loaded in which clocks were held down), ``event_reasons`` (NVML's bits, as they are now) and
            ``foreign_processes`` (how many processes that are not of this study compute on it).
        provenance: Where the figure comes from. A modelled one never enters a measured total.
        wraps_at_j: The counter starts again from 0 after this many joules; None if it does not.
        note: What a reader must know of it.
        averages_over_s: A reading of power is the mean over this many seconds; 0 is instantaneous, None is unknown.
        updates_every_s: How often a counter is known to be updated, in seconds; None is unknown.
        unseen_s: So much of each period of a counter its sensor may not see, in seconds; None where nothing says so.
        aspect: Which of several of one kind: the clock (``sm``, ``memory``), what holds clocks down (``power_cap``,
            ``sw_thermal``, …), or what a power reading is (``usage``, ``instant``, ``average``).

    What was written before the last four is written the same again: where they are None they are left out.
    """

    id: str
    sensor: str
    device: str
    boundary: str
    kind: ChannelKind
    provenance: Provenance
    wraps_at_j: float | None = None
    note: str | None = None
    averages_over_s: float | None = None
    updates_every_s: float | None = None
    unseen_s: float | None = None
    aspect: str | None = None

    @property
    def measures_energy(self) -> bool:
        """Return whether an energy can be made of it."""
        return self.kind in ("energy_j", "power_w")

    @model_serializer(mode="wrap")
    def _without_absent_additions(self, dump: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        written: dict[str, JsonValue] = dump(self)
        return {name: value for name, value in written.items() if value is not None or name not in _ADDITIONS}


_ADDITIONS = frozenset({"averages_over_s", "updates_every_s", "unseen_s", "aspect"})


def read_by(sensors: Literal["auto"] | Sequence[str], channels: Iterable[Channel]) -> list[Channel]:
    """Return the channels that a configuration asks for: a session reads what any of its experiments asks for."""
    return [channel for channel in channels if sensors == "auto" or channel.sensor in sensors]


class UnavailableSensor(Value):
    """A sensor that cannot be read here, why, and what would mend it."""

    sensor: str
    reason: str
    remedy: str


class Device(Value):
    """A device that a sensor knows, and the facts that spoil or settle comparisons.

    Attributes:
        id: Its lasting name.
        name: Its model.
        facts: What the sensor says of it (driver, power limit, persistence, MIG, …); null is unknown.
    """

    id: str
    name: str
    facts: dict[str, str | int | float | bool | None]


class Temperature(Value):
    """How warm a device is now, and how fast it runs.

    Attributes:
        device: Its lasting name.
        temperature_c: Degrees Celsius; None is unknown.
        reason: Why it is unknown.
        clock_mhz: The clock of its processors, in MHz; None is unknown.
    """

    device: str
    temperature_c: float | None
    reason: str | None = None
    clock_mhz: float | None = None


class DeviceUse(Value):
    """What is on a device now.

    Attributes:
        device: Its lasting name.
        memory_bytes: How much of its memory is used, by whomever; None is unknown.
        processes: The processes of this study that compute on it, as far as they can be told.
    """

    device: str
    memory_bytes: int | None
    processes: tuple[int, ...] = ()


class SensorReport(Value):
    """What can be measured on this machine, and why the rest cannot."""

    channels: tuple[Channel, ...] = ()
    devices: tuple[Device, ...] = ()
    unavailable: tuple[UnavailableSensor, ...] = ()
