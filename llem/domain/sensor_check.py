"""What a sensor check found: how often each channel is updated, and whether a counter can be trusted."""

from typing import Literal

from llem.domain.model import Value

State = Literal["idle", "load"]
Grade = Literal["good", "doubtful", "poor"]


class Spread(Value):
    """Median, 5th and 95th percentile of one quantity, in its own unit."""

    median: float
    p5: float
    p95: float


class ChannelCheck(Value):
    """One channel, read for some seconds.

    Attributes:
        channel: Its id.
        readings: How often it was read.
        updates: How often its value changed.
        period_s: Seconds between two updates; None with ``reason`` where too few were seen.
        resolution: The smallest difference between two values, for a counter of a step or between two steps, in the
            channel's unit: its quantum or more; None where it never moved.
        call_s: Seconds that a call took.
        monotonic: Whether a counter never fell; None for what is no counter.
        reason: Why ``period_s`` is None.
    """

    channel: str
    readings: int
    updates: int
    period_s: Spread | None
    resolution: float | None
    call_s: Spread | None
    monotonic: bool | None
    reason: str | None = None


class Agreement(Value):
    """How far another channel's mean power lies from the counter's, over the same time.

    Attributes:
        state: Whether the device idled or worked.
        channel: The other channel.
        counter_w: Mean power by the counter, in watts.
        channel_w: Mean power by the other channel, in watts.
        relative: ``channel_w`` / ``counter_w`` − 1.
        duration_s: Over how long.
    """

    state: State
    channel: str
    counter_w: float
    channel_w: float
    relative: float
    duration_s: float


class DeviceCheck(Value):
    """What was found of one device with an energy counter.

    Attributes:
        device: Its lasting name.
        counter: The channel of its counter.
        counter_is_sum: Whether the counter is a sum of the power readings and no true integral; None is unknown.
        why: The readings that say so, in words.
        residual_w: Robust standard deviation of (counter step / period − reading of the same tick), in watts.
        noise_w: Robust standard deviation of the readings from one tick to the next, in watts.
        agreements: Its other channels beside the counter, idle and under load.
        grade: ``good``; ``doubtful`` where an agreement is off by over 2 %; ``poor`` above 5 %, or where the counter
            fell or did not move.
    """

    device: str
    counter: str
    counter_is_sum: bool | None
    why: str
    residual_w: float | None = None
    noise_w: float | None = None
    agreements: tuple[Agreement, ...] = ()
    grade: Grade


class SensorCheck(Value):
    """What was found of all sensors at one time.

    Attributes:
        duration_s: How long they were read.
        channels: Every channel that measures energy, modelled ones left out.
        devices: Every device with an energy counter.
        load: How the devices were put under load; None where they were not.
        no_load_reason: Why they were not put under load.
    """

    duration_s: float
    channels: tuple[ChannelCheck, ...]
    devices: tuple[DeviceCheck, ...]
    load: str | None = None
    no_load_reason: str | None = None
