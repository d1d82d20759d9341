"""Under which conditions a device worked: temperature, clocks, what held it down, and who else was there."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from pydantic import Field, model_validator

from llem.domain.edges import Bounds, Edge
from llem.domain.model import Value
from llem.domain.sensing import Channel, ChannelKind

EVENT_REASONS: Mapping[int, str] = {
    0x1: "idle",
    0x2: "application_clocks",
    0x4: "power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "power_brake",
    0x100: "display_clocks",
}
"""NVML's clocks event reasons (nvml.h, nvmlClocksEventReason…)."""
NOT_READ = "no sensor here reads it"
NO_READING = "it was not read within the window"


class Extent(Value):
    """The least, mean and largest reading in the window, in the quantity's own unit."""

    min: float
    mean: float
    max: float
    readings: int


class DeviceConditions(Value):
    """One device during the window. What is None has its reason in ``unknown``.

    Attributes:
        device: Its lasting name.
        temperature_c: Degrees Celsius.
        sm_clock_mhz: Clock of its processors, in MHz.
        memory_clock_mhz: Clock of its memory, in MHz.
        throttle_ns: Nanoseconds of the window in which clocks were held down, by what held them.
        event_reasons: Share of readings in the window at which clocks were held as they were, by what held them.
        foreign_processes: The most processes that are not of this study and computed on it, guards included.
        unknown: Why a value is None.
    """

    device: str
    temperature_c: Extent | None = None
    sm_clock_mhz: Extent | None = None
    memory_clock_mhz: Extent | None = None
    throttle_ns: dict[str, int] | None = None
    event_reasons: dict[str, float] | None = None
    foreign_processes: int | None = None
    unknown: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _every_null_has_its_reason(self) -> "DeviceConditions":
        nulls = {name for name in type(self).model_fields if getattr(self, name) is None}
        if nulls != set(self.unknown):
            raise ValueError(f"null conditions and reasons differ: {sorted(nulls ^ set(self.unknown))}")
        return self


def device_conditions(
    devices: Sequence[str],
    channels: Sequence[Channel],
    edges: Mapping[str, Sequence[Edge]],
    pieces: Sequence[Bounds],
    failures: Mapping[str, str],
) -> tuple[DeviceConditions, ...]:
    """Return the conditions of each GPU that did the work.

    Args:
        devices: The devices that hold the model.
        channels: All channels.
        edges: Their readings, by channel id.
        pieces: The window, in its pieces.
        failures: Why a channel's last failed reading failed, by channel id.
    """
    return tuple(
        _of_device(device, [channel for channel in channels if channel.device == device], edges, pieces, failures)
        for device in devices
        if device != "cpu"
    )


def _of_device(
    device: str,
    channels: Sequence[Channel],
    edges: Mapping[str, Sequence[Edge]],
    pieces: Sequence[Bounds],
    failures: Mapping[str, str],
) -> DeviceConditions:
    def of(kind: ChannelKind, aspect: str | None = None) -> tuple[Sequence[Edge], str]:
        """Return the readings of one kind, and why there may be none."""
        found = next((c for c in channels if c.kind == kind and (aspect is None or c.aspect == aspect)), None)
        if found is None:
            return (), NOT_READ
        return edges.get(found.id, ()), failures.get(found.id, NO_READING)

    throttled = [channel for channel in channels if channel.kind == "throttle_ns"]
    values: dict[str, tuple[Any, str]] = {}
    for name, (kind, aspect) in {
        "temperature_c": ("temperature_c", None),
        "sm_clock_mhz": ("clock_mhz", "sm"),
        "memory_clock_mhz": ("clock_mhz", "memory"),
    }.items():
        readings, why = of(kind, aspect)  # type: ignore[arg-type]
        values[name] = (_extent(_inside(readings, pieces)), why)
    bits, why = of("event_reasons")
    values["event_reasons"] = (_shares(_inside(bits, pieces)), why)
    foreign, why = of("foreign_processes")
    values["foreign_processes"] = (_most(foreign, pieces), why)
    spent = {channel.aspect or channel.id: _spent_ns(edges.get(channel.id, ()), pieces) for channel in throttled}
    known = {name: spent_ns for name, spent_ns in spent.items() if spent_ns is not None}
    values["throttle_ns"] = (known or None, NO_READING if throttled else NOT_READ)
    return DeviceConditions(
        device=device,
        **{name: value for name, (value, _) in values.items()},
        unknown={name: why for name, (value, why) in values.items() if value is None},
    )


def _inside(edges: Sequence[Edge], pieces: Sequence[Bounds]) -> list[float]:
    return [edge.value for edge in edges if any(piece.t0_ns <= edge.middle_ns <= piece.t1_ns for piece in pieces)]


def _extent(values: Sequence[float]) -> Extent | None:
    if not values:
        return None
    return Extent(min=min(values), mean=math.fsum(values) / len(values), max=max(values), readings=len(values))


def _shares(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    counted = {name: sum(1 for value in values if int(value) & bit) for bit, name in EVENT_REASONS.items()}
    return {name: count / len(values) for name, count in counted.items() if count}


def _most(edges: Sequence[Edge], pieces: Sequence[Bounds]) -> int | None:
    """Return the most from the last reading before the guards to the last in them: a state holds until it is read."""
    start_ns, end_ns = pieces[0].guard_start_ns, pieces[-1].guard_end_ns
    before = [edge.value for edge in edges if edge.middle_ns < start_ns][-1:]
    within = [edge.value for edge in edges if start_ns <= edge.middle_ns <= end_ns]
    return round(max(before + within)) if within else None


def _spent_ns(edges: Sequence[Edge], pieces: Sequence[Bounds]) -> int | None:
    """Return by how much a counter of nanoseconds rose over the pieces, None where it does not tell.

    From the last reading at or before each begin to the first at or after each end: what was spent between a
    reading and the work next to it is counted too, and nothing twice.
    """
    if any(right.value < left.value for left, right in pairwise(edges)):
        return None
    spent, counted_to = 0.0, 0
    for piece in pieces:
        start = next((n for n in range(len(edges) - 1, -1, -1) if edges[n].middle_ns <= piece.t0_ns), None)
        end = next((n for n, edge in enumerate(edges) if edge.middle_ns >= piece.t1_ns), None)
        if start is None or end is None:
            return None
        spent += max(edges[end].value - edges[max(start, counted_to)].value, 0.0)
        counted_to = end
    return round(spent)
