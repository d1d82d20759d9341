"""Do the sensors do what their figures need? The arithmetic of the sensor check, from raw edges."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llem.domain.counter_sum import SumTest, joined, sum_test
from llem.domain.edges import CONTINUOUS_SHARE, FEWEST_TICKS, Edge, Ticks, Unmeasured, steps, ticks
from llem.domain.idle import SLOWEST_UPDATE_S, UNKNOWN_AVERAGE_S
from llem.domain.sensing import Channel
from llem.domain.sensor_check import Agreement, ChannelCheck, DeviceCheck, Grade, SensorCheck, Spread, State
from llem.domain.statistics import percentiles

DOUBTFUL_REL = 0.02
POOR_REL = 0.05
LEAST_COMPARED_S = 2.0
"""A load that a power limit holds swings about once a second, an H100's between 520 and 880 W: a mean over less than
two such swings says which part of them was seen."""
SETTLED_S = 3 * SLOWEST_UPDATE_S
"""A reading tells of the period before its update, was published up to one later, and late: so old it may be."""

Edges = Mapping[str, Sequence[Edge]]


@dataclass(frozen=True)
class _Stretch:
    """A time in which the devices were in one state, in nanoseconds of the monotonic clock."""

    state: State
    start_ns: int
    end_ns: int

    def of(self, edges: Sequence[Edge]) -> list[Edge]:
        return [edge for edge in edges if self.start_ns <= edge.before_ns and edge.after_ns <= self.end_ns]


def check_sensors(
    channels: Sequence[Channel],
    edges: Edges,
    idle: tuple[int, int],
    load: tuple[int, int] | None,
    *,
    loaded: Collection[str] | None = None,
    load_name: str | None,
    no_load_reason: str | None,
) -> SensorCheck:
    """Return what the readings of some seconds say of the sensors that gave them.

    Four questions, of every channel that measures energy and is no model: how often it is updated (S1); whether it is
    monotonic, how fine and how fast it is (S2); whether a counter is a sum of the power readings (S3, ``sum_test``);
    and whether counter, instantaneous readings and averages agree, idle and under load (S4).

    Args:
        channels: What was read.
        edges: Their readings in time order, by channel id.
        idle: Start and end of the time in which the devices idled, in nanoseconds of the monotonic clock.
        load: Start and end of the time in which they worked; None where they did not.
        loaded: The devices that worked then; None is all.
        load_name: How they were put under load …
        no_load_reason: … or why they were not.
    """
    read = [channel for channel in channels if channel.measures_energy and channel.provenance != "modelled"]
    checks = {channel.id: check_channel(channel, edges.get(channel.id, ())) for channel in read}
    devices = []
    for counter in (channel for channel in read if channel.kind == "energy_j"):
        others = [c for c in read if c.kind == "power_w" and _same_place(c, counter)]
        works = load is not None and (loaded is None or counter.device in loaded)
        stretches = [_Stretch("idle", *idle), *([_Stretch("load", *load)] if load and works else [])]
        devices.append(_device(counter, others, edges, stretches, checks))
    moments = [m for c in read for e in (*edges.get(c.id, ())[:1], *edges.get(c.id, ())[-1:]) for m in e[:2]]
    return SensorCheck(
        duration_s=(max(moments) - min(moments)) / 1e9 if moments else 0.0,
        channels=tuple(checks.values()),
        devices=tuple(devices),
        load=load_name,
        no_load_reason=no_load_reason,
    )


def check_channel(channel: Channel, edges: Sequence[Edge]) -> ChannelCheck:
    """Return how often a channel is updated, how fine it is, and how long a call takes (S1, S2).

    The period is the spread of the times between two changes of the value. Where these are regular, its median is
    that of the grid that all of them allow (``ticks``), which is far finer than the interval of the readings. A
    channel that changes at nine of ten readings is updated faster than it is read, and its period is not known.
    """
    changed = [right for left, right in pairwise(edges) if right.value != left.value]
    period = _period(edges, changed)
    counts = channel.kind == "energy_j"
    fell = counts and isinstance(steps(edges, channel.wraps_at_j), Unmeasured)
    return ChannelCheck(
        channel=channel.id,
        readings=len(edges),
        updates=len(changed),
        period_s=period if isinstance(period, Spread) else None,
        resolution=_resolution(edges, counts=counts),
        call_s=_spread([(edge.after_ns - edge.before_ns) / 1e9 for edge in edges]),
        monotonic=not fell if counts else None,
        reason=period.reason if isinstance(period, Unmeasured) else None,
    )


def _period(edges: Sequence[Edge], changed: Sequence[Edge]) -> Spread | Unmeasured:
    if len(changed) < FEWEST_TICKS:
        return Unmeasured(f"its value changed {len(changed)} times in {len(edges)} readings")
    if len(changed) >= CONTINUOUS_SHARE * (len(edges) - 1):
        every_s = (edges[-1].middle_ns - edges[0].middle_ns) / 1e9 / (len(edges) - 1)
        return Unmeasured(f"it changes at every reading, about every {every_s:.2g} s: faster than it is read")
    seen = _spread([(right.middle_ns - left.middle_ns) / 1e9 for left, right in pairwise(changed)])
    assert seen is not None
    number, counted = 0, [edges[0]._replace(value=0.0)]
    for left, right in pairwise(edges):
        number += right.value != left.value
        counted.append(right._replace(value=float(number)))
    grid = ticks(counted)
    if isinstance(grid, Unmeasured):
        return seen
    return Spread(median=grid.period_s, p5=min(seen.p5, grid.period_s), p95=max(seen.p95, grid.period_s))


def _resolution(edges: Sequence[Edge], *, counts: bool) -> float | None:
    """Return the smallest difference between two readings; for a counter, of a step or between two steps."""
    values = [edge.value for edge in edges]
    if not values:
        return None
    # Differences of doubles that large hold no more than this.
    least = 8 * math.ulp(max(abs(value) for value in values))
    if counts:
        values = [0.0, *(right - left for left, right in pairwise(values) if right > left)]
    gaps = [right - left for left, right in pairwise(sorted(set(values))) if right - left > least]
    return min(gaps, default=None)


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    ranked = sorted(values)
    found = percentiles(ranked)
    assert found is not None
    # The same rule from the other end: the 5th percentile is minus the 95th of the negated values.
    mirrored = percentiles([-value for value in ranked])
    assert mirrored is not None
    return Spread(median=found.p50, p5=-mirrored.p95, p95=found.p95)


def _same_place(channel: Channel, counter: Channel) -> bool:
    return (channel.device, channel.boundary) == (counter.device, counter.boundary)


def _device(
    counter: Channel,
    others: Sequence[Channel],
    edges: Edges,
    stretches: Sequence[_Stretch],
    checks: Mapping[str, ChannelCheck],
) -> DeviceCheck:
    """Return what was found of one device with a counter (S3, S4), and how good that is."""
    summed = _summed(counter, others, edges, stretches, checks)
    found = [
        _agreement(_published(counter, edges.get(counter.id, ()), stretch), other, edges.get(other.id, ()), stretch)
        for stretch in stretches
        for other in others
    ]
    agreements = tuple(agreed for agreed in found if agreed is not None)
    moves = all(_moves(counter, stretch.of(edges.get(counter.id, ()))) for stretch in stretches)
    return DeviceCheck(
        device=counter.device,
        counter=counter.id,
        counter_is_sum=summed.is_sum,
        why=summed.why,
        residual_w=summed.residual_w,
        noise_w=summed.noise_w,
        agreements=agreements,
        grade=_grade(agreements, sound=moves and bool(checks[counter.id].monotonic)),
    )


def _grade(agreements: Sequence[Agreement], *, sound: bool) -> Grade:
    """Return ``poor`` for an agreement off by over 5 % or a counter that fell or stood, ``doubtful`` over 2 %.

    Source: llem's own limits. The gain of a board, 5 % or so (Yang, Adamek, Armour, SC24, arXiv 2312.02741), is one
    for all that its sensor gives; what differs more between two readings of one board is no gain.
    """
    worst = max((abs(agreed.relative) for agreed in agreements), default=0.0)
    if not sound or worst > POOR_REL:
        return "poor"
    return "doubtful" if worst > DOUBTFUL_REL else "good"


def _moves(counter: Channel, edges: Sequence[Edge]) -> bool:
    moved = steps(edges, counter.wraps_at_j)
    return not isinstance(moved, Unmeasured) and bool(moved)


def _summed(
    counter: Channel,
    others: Sequence[Channel],
    edges: Edges,
    stretches: Sequence[_Stretch],
    checks: Mapping[str, ChannelCheck],
) -> SumTest:
    """Return what S3 says: with the instantaneous readings, in every state."""
    if not checks[counter.id].monotonic:
        return SumTest(None, "the counter fell")
    if not others:
        return SumTest(None, "no power readings beside it")
    direct = [channel for channel in others if not channel.averages_over_s]
    if not direct:
        return SumTest(None, f"its power readings are means over {others[0].averages_over_s:g} s")
    direct.sort(key=lambda channel: (channel.aspect != "instant", channel.averages_over_s is None))
    power = direct[0]
    return joined(
        [
            sum_test(
                stretch.of(edges.get(counter.id, ())),
                stretch.of(edges.get(power.id, ())),
                wraps_at_j=counter.wraps_at_j,
                resolution_w=checks[power.id].resolution,
            )
            for stretch in stretches
        ]
    )


def _agreement(
    published: Ticks | Unmeasured, other: Channel, edges: Sequence[Edge], stretch: _Stretch
) -> Agreement | None:
    """Return how far the mean power of two channels differs while the load is constant (S4).

    None where that is unknown, or where too little time is left to tell.

    The counter's mean is that between its first and last tick; a channel's readings are each held over the interval
    before. Readings that still tell of the time before the stretch are left out, and the counter's time lies
    half an average earlier than theirs, so that a slow drift of the power is in both.
    """
    late_s = UNKNOWN_AVERAGE_S if other.averages_over_s is None else other.averages_over_s
    first_ns = stretch.start_ns + round((late_s + SETTLED_S) * 1e9)
    readings = [edge for edge in edges if first_ns <= edge.middle_ns <= stretch.end_ns]
    if isinstance(published, Unmeasured) or len(readings) < FEWEST_TICKS:
        return None
    earlier_ns = round(late_s / 2 * 1e9)
    counted = _counter_w(published, readings[0].middle_ns - earlier_ns, readings[-1].middle_ns - earlier_ns)
    if counted is None:
        return None
    counter_w, duration_s = counted
    if duration_s < LEAST_COMPARED_S - SLOWEST_UPDATE_S:
        return None
    channel_w = _mean_w(readings)
    return Agreement(
        state=stretch.state,
        channel=other.id,
        counter_w=counter_w,
        channel_w=channel_w,
        relative=channel_w / counter_w - 1,
        duration_s=duration_s,
    )


def _published(counter: Channel, edges: Sequence[Edge], stretch: _Stretch) -> Ticks | Unmeasured:
    """Return the ticks: of all readings, which tell the period best; of the stretch alone where they have a gap."""
    known = {"wraps_at_j": counter.wraps_at_j, "updates_every_s": counter.updates_every_s}
    found = ticks(edges, **known)
    return found if isinstance(found, Ticks) else ticks(stretch.of(edges), **known)


def _counter_w(published: Ticks, start_ns: int, end_ns: int) -> tuple[float, float] | None:
    """Return watts between the first and last tick in [start, end], and the seconds between the two."""
    chosen = published.between(start_ns, end_ns)
    times_s, totals_j = published.times_s[chosen], published.totals_j[chosen]
    if len(times_s) < FEWEST_TICKS:
        return None
    duration_s = times_s[-1] - times_s[0]
    return (totals_j[-1] - totals_j[0]) / duration_s, duration_s


def _mean_w(readings: Sequence[Edge]) -> float:
    held = math.fsum(right.value * (right.middle_ns - left.middle_ns) for left, right in pairwise(readings))
    return held / (readings[-1].middle_ns - readings[0].middle_ns)
