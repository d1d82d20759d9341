"""What makes a trial unfit for averages, with the rule that fired and the reading that fired it."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from llem.domain.device_state import DeviceConditions
from llem.domain.edges import Bounds, Edge
from llem.domain.evidence import Evidence
from llem.domain.held import intervals
from llem.domain.plausibility import ABOVE_LIMIT, NO_DEVICE_W, implausible, limits_of
from llem.domain.result import EnergyComponent, Finding
from llem.domain.totals import poor_devices, rank

RERUN_CODES = frozenset(
    {
        "thermal_throttle",
        "counter_fell",
        "gpu_lost",
        "foreign_process",
        "wide_bracket",
        "idle_drift",
        "implausible",
    }
)
"""Codes of what may be gone next time: a trial with one of them is worth another attempt. Token counts stay."""
THERMAL = ("sw_thermal", "hw_thermal", "power_brake")
THROTTLED_SHARE = 0.001
IDLE_DRIFT_REL = 0.05
LOST = ("gpu is lost", "fallen off the bus", "gpu_is_lost")
PERIOD_S = 0.1
"""The longest update period of NVML that is reported (arXiv 2312.02741)."""
READ_EVERY_S = 0.02
"""Between two ticks that it waits for the recorder reads this often: what is late by less is no stall."""


def spoilers_of(evidence: Evidence) -> tuple[Finding, ...]:
    """Return what makes the trial unfit for averages; nothing where it is valid."""
    return tuple(finding for rule in RULES for finding in rule(evidence))


def _token_count(evidence: Evidence) -> Iterator[Finding]:
    work = evidence.measured.work
    asked, got = work.asked_output_tokens, work.output_tokens
    forced = evidence.config.generation.stop == "forced"
    if got == asked if forced else got <= asked:
        return
    yield Finding(
        code="token_count",
        message=f"{got} output tokens; the study asks for {asked}",
        rule="output tokens are as many as asked for" if forced else "output tokens are at most as many as asked for",
        reading=f"{got} of {asked}",
    )


def _thermal_throttle(evidence: Evidence) -> Iterator[Finding]:
    for device in evidence.conditions:
        held = _thermally_held(device, evidence.duration_s)
        if held:
            yield Finding(
                code="thermal_throttle",
                message=f"{device.device} was held down by heat or by its power brake",
                rule=f"{', '.join(THERMAL)}: each at most {THROTTLED_SHARE:.1%} of the window",
                reading="; ".join(held),
            )


def _thermally_held(device: DeviceConditions, duration_s: float) -> list[str]:
    """Return what held it down: by nanosecond counters; what has none, by the event reasons once a second."""
    counted = device.throttle_ns or {}
    held = [
        f"{name} {counted[name] / 1e9:.3f} s of {duration_s:.3f} s"
        for name in THERMAL
        if counted.get(name, 0) / 1e9 > THROTTLED_SHARE * duration_s
    ]
    seen = device.event_reasons or {}
    uncounted = [name for name in (*THERMAL, "hw_slowdown") if name not in counted and name in seen]
    if "hw_slowdown" in uncounted and {"hw_thermal", "power_brake"} <= counted.keys():
        uncounted.remove("hw_slowdown")  # it is one of these two
    return held + [f"{name} at {seen[name]:.1%} of the readings" for name in uncounted]


def _counter_fell(evidence: Evidence) -> Iterator[Finding]:
    for component in evidence.of_used():
        channel = component.channel
        if channel.kind != "energy_j" or channel.wraps_at_j is not None:
            continue
        edges = evidence.edges_of(component)
        fall = next(((a, b) for a, b, _ in intervals(edges) if b.value < a.value), None)
        if fall is not None:
            yield Finding(
                code="counter_fell",
                message=f"{channel.id}: the counter fell: the driver was reloaded or the reading was wrong",
                rule="a cumulative counter never falls",
                reading=f"{fall[0].value:.3f} J, then {fall[1].value:.3f} J",
            )


def _gpu_lost(evidence: Evidence) -> Iterator[Finding]:
    for component in evidence.of_used():
        reason = evidence.failures.get(component.channel.id, "")
        if any(lost in reason.lower() for lost in LOST):
            yield Finding(
                code="gpu_lost",
                message=f"{component.channel.device} was lost while it was read",
                rule="no reading says that the GPU is lost",
                reading=f"{component.channel.id}: {reason}",
            )
            return


def _foreign_process(evidence: Evidence) -> Iterator[Finding]:
    for device in evidence.conditions:
        if device.foreign_processes:
            yield Finding(
                code="foreign_process",
                message=f"other processes computed on {device.device} in the window or its guards",
                rule="no process that is not of this study computes on a used device",
                reading=f"{device.foreign_processes} at once",
            )


def _wide_bracket(evidence: Evidence) -> Iterator[Finding]:
    """Yield a stall at an end of the work, the moments at which every estimator takes the channel's value.

    What the recorder misses elsewhere costs ticks of a fit, which says so in its uncertainty; at an end it hides when
    the power changed.
    """
    if not evidence.total.measured:
        return
    for member in evidence.total.members:
        edges = evidence.edges_of(member)
        limit_s = widest_s(member, edges, evidence.pieces)
        for piece in evidence.pieces:
            for name, at_ns in (("begin", piece.t0_ns), ("end", piece.t1_ns)):
                gap_s = gap_around_s(edges, at_ns)
                if gap_s > limit_s:
                    yield Finding(
                        code="wide_bracket",
                        message=f"{member.channel.id}: no reading for {gap_s:.3f} s around the {name} of the work",
                        rule="a quarter of the sensor's period, and two intervals of reading, around each end",
                        reading=f"{gap_s:.3f} s; at most {limit_s:.3f} s",
                    )
                    return


def widest_s(member: EnergyComponent, edges: Sequence[Edge], pieces: Sequence[Bounds]) -> float:
    """Return how long an end of the work may lie between two readings."""
    start_ns, end_ns = pieces[0].guard_start_ns, pieces[-1].guard_end_ns
    read_every_s = median(
        [seconds for _, right, seconds in intervals(edges) if start_ns <= right.middle_ns <= end_ns] or [0.0]
    )
    period_s = member.channel.updates_every_s or PERIOD_S
    return period_s / 4 + 2 * max(read_every_s, READ_EVERY_S)


def gap_around_s(edges: Sequence[Edge], at_ns: int) -> float:
    """Return the seconds between the last reading before and the first after; 0 where there is none on one side."""
    return next((s for left, right, s in intervals(edges) if left.middle_ns <= at_ns < right.middle_ns), 0.0)


def _idle_drift(evidence: Evidence) -> Iterator[Finding]:
    for member in evidence.total.members:
        if evidence.total.measured and member.channel.boundary == "gpu":
            yield from drifted(member)


def drifted(member: EnergyComponent) -> Iterator[Finding]:
    """Yield that the first and the last guard's idle power differ by more than 5 %, and more than they may err."""
    before_w, after_w = member.power_idle_before_w, member.power_idle_after_w
    if before_w is None or after_w is None:
        return
    apart_w = abs(after_w - before_w)
    if apart_w > IDLE_DRIFT_REL * abs(before_w + after_w) / 2 and apart_w > (member.u_idle_drift_w or 0.0):
        yield Finding(
            code="idle_drift",
            message=f"{member.channel.id}: {before_w:.4g} W before the work, {after_w:.4g} W after it",
            rule=f"idle power before and after the work differs by at most {IDLE_DRIFT_REL:.0%}, or its uncertainty",
            reading=f"{apart_w:.3g} W apart, ± {member.u_idle_drift_w or 0.0:.2g} W",
        )


def _implausible(evidence: Evidence) -> Iterator[Finding]:
    """Yield a channel that leads, or would lead had it not told of what cannot be."""
    poor, limits_w = poor_devices(evidence.check), limits_of(evidence.devices)
    leads = {member.channel.device: rank(member.channel, poor) for member in evidence.total.members}
    for component in evidence.of_used():
        channel = component.channel
        if rank(channel, poor) > leads.get(channel.device, -1):
            continue
        limit_w = limits_w.get(channel.device, NO_DEVICE_W)
        energy_j = next(iter(component.estimators.values()), None)
        reading = implausible(channel, evidence.edges_of(component), evidence.pieces, energy_j, limit_w)
        if reading is not None:
            yield Finding(
                code="implausible",
                message=f"{channel.id} tells of more than the device can take, or of less than nothing",
                rule=f"power from 0 to {ABOVE_LIMIT:g} × {limit_w:.0f} W",
                reading=reading,
            )


RULES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    _token_count,
    _thermal_throttle,
    _counter_fell,
    _gpu_lost,
    _foreign_process,
    _wide_bracket,
    _idle_drift,
    _implausible,
)
