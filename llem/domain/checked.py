"""What a sensor check decides: what leads, how a window is laid out for it, and how long its guards must be."""

import math
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

from llem.domain.baseline import has_meter
from llem.domain.idle import UNKNOWN_AVERAGE_S
from llem.domain.measured import MOST_SEGMENTS
from llem.domain.messages import Stagger
from llem.domain.model import Value
from llem.domain.sensing import Channel, Provenance
from llem.domain.sensor_check import ChannelCheck, DeviceCheck, Grade, SensorCheck
from llem.domain.totals import poor_devices, rank

GUARD_PERIODS = 6
AFTER_AVERAGE_S = 0.5
FEWEST_SEGMENTS = 4


class Capability(Value):
    """How one device's energy is measured here.

    Attributes:
        device: Its lasting name.
        boundary: What part of the machine it is.
        leads: The channel whose figure stands for it.
        provenance: Where that figure comes from.
        grade: How well its counter did in the check; None where it has none, or none was made.
        guard_s: How long guards must be, in seconds.
        segments: In how many segments a window is laid; None for one piece.
    """

    device: str
    boundary: str
    leads: str
    provenance: Provenance
    grade: Grade | None
    guard_s: float
    segments: int | None


def capabilities(channels: Sequence[Channel], check: SensorCheck | None) -> list[Capability]:
    """Return how each device's energy is measured; a device of which only a model speaks is left out."""
    return [
        _capability(leading, own, check)
        for own in by_device(channels)
        for leading in (leading_channel(own, check),)
        if leading is not None
    ]


def _capability(leading: Channel, own: Sequence[Channel], check: SensorCheck | None) -> Capability:
    found = [] if check is None else [device for device in check.devices if device.device == leading.device]
    stagger = stagger_for([leading.device], own, check)
    return Capability(
        device=leading.device,
        boundary=leading.boundary,
        leads=leading.id,
        provenance=leading.provenance,
        grade=found[0].grade if found else None,
        guard_s=least_guard_s(own, check),
        segments=stagger.segments if stagger else None,
    )


def checked_channels(channels: Sequence[Channel], check: SensorCheck | None) -> list[Channel]:
    """Return channels as a check found them.

    A counter that is a true integral has no unseen part. One that is a sum of the readings, or of which nothing
    tells, stays what its sensor says of it. The period that was measured stands in where the sensor tells none.

    Args:
        channels: Channels as their sensors describe them.
        check: What was found; None where nothing was checked.
    """
    return list(channels) if check is None else [_checked(channel, check) for channel in channels]


def _checked(channel: Channel, check: SensorCheck) -> Channel:
    if channel.kind != "energy_j" or channel.provenance == "modelled":
        return channel
    device, found = _device_check(channel, check), _channel_check(channel, check)
    told: dict[str, float | None] = {}
    if device is not None and device.counter_is_sum is False:
        told["unseen_s"] = None
    if channel.updates_every_s is None and found is not None and found.period_s is not None:
        told["updates_every_s"] = found.period_s.median
    return channel.model_copy(update=told)


def leading_channel(channels: Sequence[Channel], check: SensorCheck | None) -> Channel | None:
    """Return which of one device's channels leads; None where none measures it.

    Its counter, where the check does not call it poor; else power readings, instantaneous ones first: as the total of
    a trial is made (``llem.domain.totals``).
    """
    poor = poor_devices(check)
    measured = list(filter(has_meter, channels))
    return min(measured, key=lambda channel: rank(channel, poor), default=None)


def stagger_for(devices: Collection[str], channels: Sequence[Channel], check: SensorCheck | None) -> Stagger | None:
    """Return the segments of a window for sensors that see a part of each period only; None where none is needed.

    The sensor sees ``period`` − ``unseen_s`` of each period, so period / seen segments, each begun that much later in
    it, see all phases of a load that keeps step with the sensor: 4 for 25 of 100 ms. Fewer than 4 are never taken. A
    counter that is a true integral needs none. Where the period is not known, no segments can be laid.

    Source: Yang, Adamek, Armour, SC24, arXiv 2312.02741 (repeats with shifted starts).

    Args:
        devices: The devices that a trial may work on, by their lasting names.
        channels: Channels as their sensors describe them.
        check: What was found; None where nothing was checked.
    """
    found = {
        own[0].device: part
        for own in by_device(channels)
        if own[0].device in devices
        for part in (_part_seen(own, check),)
        if part is not None
    }
    if not found:
        return None
    # The slowest and narrowest of several: the others see each of their phases too.
    period_s, segments = max(period for period, _ in found.values()), max(count for _, count in found.values())
    return Stagger(segments=segments, period_s=period_s, devices=tuple(found))


def _part_seen(channels: Sequence[Channel], check: SensorCheck | None) -> tuple[float, int] | None:
    """Return (period, segments) of a device whose leading channel sees a part of each period only."""
    leading = leading_channel(checked_channels(channels, check), check)
    # A counter's unseen part is that of its sensor: readings that lead in the place of a poor counter have it too.
    counters = [channel for channel in channels if channel.kind == "energy_j"]
    sources = [leading, *(counters if leading is not None and leading.kind == "power_w" else [])]
    unseen_s = max((channel.unseen_s or 0.0 for channel in sources if channel is not None), default=0.0)
    period_s = next((period for channel in sources if (period := _period_s(channel, check))), None)
    if not unseen_s or period_s is None or period_s <= unseen_s:
        return None
    # A measured period is off by parts in a thousand: 4.002 segments are 4.
    needed = math.ceil(period_s / (period_s - unseen_s) - 0.05)
    return period_s, min(max(needed, FEWEST_SEGMENTS), MOST_SEGMENTS)


def least_guard_s(channels: Sequence[Channel], check: SensorCheck | None) -> float:
    """Return how long guards must be for what leads on each device, in seconds; 0 where nothing measures.

    Six periods of what leads (METHOD), of its updates or its readings, whichever are rarer; for a mean over some
    time, that time and half a second more, since the first readings of a guard still average over the work before.

    Args:
        channels: Channels as their sensors describe them.
        check: What was found; None where nothing was checked.
    """
    leading = (leading_channel(own, check) for own in by_device(channels))
    return max((_guard_s(channel, check) for channel in leading if channel is not None), default=0.0)


def _guard_s(channel: Channel, check: SensorCheck | None) -> float:
    periods_s = GUARD_PERIODS * max(_period_s(channel, check) or 0.0, _read_every_s(channel, check))
    if channel.kind == "energy_j" or channel.averages_over_s == 0:
        return periods_s
    averages_over_s = UNKNOWN_AVERAGE_S if channel.averages_over_s is None else channel.averages_over_s
    return max(periods_s, averages_over_s + AFTER_AVERAGE_S)


def _period_s(channel: Channel | None, check: SensorCheck | None) -> float | None:
    """Return between which updates a channel's values come, in seconds; None where neither check nor sensor tells."""
    found = None if channel is None or check is None else _channel_check(channel, check)
    if found is not None and found.period_s is not None:
        return found.period_s.median
    return None if channel is None else channel.updates_every_s


def _read_every_s(channel: Channel, check: SensorCheck | None) -> float:
    found = None if check is None else _channel_check(channel, check)
    return check.duration_s / found.readings if check is not None and found is not None and found.readings else 0.0


def _device_check(channel: Channel, check: SensorCheck) -> DeviceCheck | None:
    return next((found for found in check.devices if found.counter == channel.id), None)


def _channel_check(channel: Channel, check: SensorCheck) -> ChannelCheck | None:
    return next((found for found in check.channels if found.channel == channel.id), None)


def by_device(channels: Sequence[Channel]) -> Iterator[list[Channel]]:
    """Yield the channels of each device and boundary."""
    ordered = sorted(channels, key=lambda channel: (channel.device, channel.boundary))
    for _, own in groupby(ordered, key=lambda channel: (channel.device, channel.boundary)):
        yield list(own)
