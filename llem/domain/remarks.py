"""What a reader must know of a trial, without which its figures still stand."""

import math
from collections.abc import Callable, Iterator
from statistics import fmean

from llem.domain.agreement import agreement
from llem.domain.edges import Unmeasured
from llem.domain.evidence import Evidence
from llem.domain.held import longest_gap_s, median_gap_s
from llem.domain.result import Finding
from llem.domain.spans import span_energy
from llem.domain.totals import poor_devices
from llem.domain.validity import THROTTLED_SHARE, drifted

SHORT_WINDOW_S = 10.0
STALL_S = 0.2
STALL_INTERVALS = 3
"""A sensor that is read seldom by design does not stall."""
CLOCK_JUMP_S = 0.05
CLOCKS_REL = 0.05
REPEATS = 5
SLOPE_REL = 0.01


def remarks_of(evidence: Evidence) -> tuple[Finding, ...]:
    """Return what a reader must know."""
    found = [finding for rule in ALWAYS for finding in rule(evidence)]
    if evidence.total.measured:
        found += [finding for rule in MEASURED for finding in rule(evidence)]
    return tuple(found)


def _short_window(evidence: Evidence) -> Iterator[Finding]:
    if evidence.duration_s < SHORT_WINDOW_S:
        message = f"{evidence.duration_s:.2f} s; {SHORT_WINDOW_S:.0f} s or more is sound"
        yield Finding(code="short_window", message=message)


def _source(evidence: Evidence) -> Iterator[Finding]:
    total, devices = evidence.total, evidence.measured.model.devices
    if total.provenance == "modelled" and total.reason is None:
        yield Finding(code="modelled", message="no meter covers the work: the energy is a model's")
    if len(set(devices)) > 1 and "cpu" in devices:
        message = "part of the model ran on the processor; only GPUs are counted"
        yield Finding(code="cpu_part_left_out", message=message)
    for member in total.members:
        if member.channel.id in evidence.failures and member.energy_j is not None:
            message = f"{member.channel.id}: {evidence.failures[member.channel.id]}"
            yield Finding(code="readings_failed", message=message)
    if total.reason and (evidence.components or any(device != "cpu" for device in devices)):
        yield Finding(code="no_energy", message=total.reason)


def _power_cap(evidence: Evidence) -> Iterator[Finding]:
    for device in evidence.conditions:
        if device.throttle_ns is not None and "power_cap" in device.throttle_ns:
            share, how = device.throttle_ns["power_cap"] / 1e9 / evidence.duration_s, "of the window"
        else:
            share, how = (device.event_reasons or {}).get("power_cap", 0.0), "of the readings"
        if share > THROTTLED_SHARE:
            yield Finding(
                code="power_cap",
                message=f"{device.device} ran at its power limit for {min(share, 1.0):.1%} {how}: legal, and slower",
                rule=f"at most {THROTTLED_SHARE:.1%}",
                reading=f"{share:.1%} {how}",
            )


def _clocks_changed(evidence: Evidence) -> Iterator[Finding]:
    for device in evidence.conditions:
        clock = device.sm_clock_mhz
        if clock is not None and clock.max - clock.min > CLOCKS_REL * clock.max:
            yield Finding(
                code="clocks_changed",
                message=f"{device.device}: its clock ran from {clock.min:.0f} to {clock.max:.0f} MHz in the window",
                rule=f"a range of at most {CLOCKS_REL:.0%}",
                reading=f"{(clock.max - clock.min) / clock.max:.1%} in {clock.readings} readings",
            )


def _mig(evidence: Evidence) -> Iterator[Finding]:
    for device in sorted(evidence.used):
        if evidence.facts(device).get("mig") is True:
            message = f"{device} is split by MIG: the figure covers the whole GPU, and all who use it"
            yield Finding(code="mig", message=message)


def _clock_jump(evidence: Evidence) -> Iterator[Finding]:
    window = evidence.measured.window
    if window.anchor_end_monotonic_ns is None or window.anchor_end_utc is None:
        return
    monotonic_s = (window.anchor_end_monotonic_ns - window.anchor_monotonic_ns) / 1e9
    jump_s = (window.anchor_end_utc - window.anchor_utc).total_seconds() - monotonic_s
    if abs(jump_s) > CLOCK_JUMP_S:
        yield Finding(
            code="clock_jump",
            message="the wall clock was set while it was measured; no figure uses it",
            rule=f"wall clock and monotonic clock advance alike, to {CLOCK_JUMP_S * 1000:.0f} ms",
            reading=f"{jump_s:+.3f} s in {monotonic_s:.3f} s",
        )


def _not_steady(evidence: Evidence) -> Iterator[Finding]:
    warmup, soak = evidence.measured.warmup, evidence.measured.soak
    if warmup is not None and warmup.converged is False:
        yield Finding(
            code="not_converged", message=f"the warm-up did not settle: {warmup.reason or 'no reason told'}"
        )
    elif warmup is not None and warmup.converged and evidence.total.measured:
        yield from _power_still_moves(evidence)
    if soak is not None and soak.steady is False:
        yield Finding(code="not_soaked", message=f"the devices were not steady: {soak.reason or 'no reason told'}")


def _power_still_moves(evidence: Evidence) -> Iterator[Finding]:
    """Yield that mean power rose or fell by 1 % or more over the last five repeats, and more than it may err.

    The change is that of the straight line through the repeats' mean powers, by least squares, from the first to the
    last; each repeat's own 95 % uncertainty is carried through the fit.
    """
    assert evidence.measured.warmup is not None
    repeats = evidence.measured.warmup.repeats[-REPEATS:]
    if len(repeats) < REPEATS:
        return
    powers = []
    for repeat in repeats:
        found = span_energy(evidence.total.members, evidence.edges, repeat)
        if isinstance(found, Unmeasured):
            return
        length_s = (repeat.end_ns - repeat.start_ns) / 1e9
        powers.append((found[0] / length_s, found[1] / length_s))
    middle = (REPEATS - 1) / 2
    weights = [
        (n - middle) * (REPEATS - 1) / math.fsum((k - middle) ** 2 for k in range(REPEATS)) for n in range(REPEATS)
    ]
    change_w = math.fsum(weight * power_w for weight, (power_w, _) in zip(weights, powers, strict=True))
    u_w = math.hypot(*(weight * u for weight, (_, u) in zip(weights, powers, strict=True)))
    mean_w = fmean(power_w for power_w, _ in powers)
    if abs(change_w) >= max(SLOPE_REL * abs(mean_w), u_w) > 0:
        yield Finding(
            code="not_converged",
            message="power still changed at the end of the warm-up",
            rule=f"mean power changes by less than {SLOPE_REL:.0%} over the last {REPEATS} repeats",
            reading=f"{change_w:+.3g} ± {u_w:.2g} W of {mean_w:.4g} W",
        )


def _counter(evidence: Evidence) -> Iterator[Finding]:
    """Yield what the sensor check, or the lack of a source, means for the total."""
    if evidence.total.boundary != "gpu":
        return
    known = {(c.channel.device, c.channel.kind) for c in evidence.components if c.energy_j is not None}
    poor = poor_devices(evidence.check)
    for member in evidence.total.members:
        device, checked = member.channel.device, evidence.checked(member.channel.device)
        if device in poor:
            led = "power readings lead" if member.channel.kind == "power_w" else "nothing else gave an energy"
            why = checked.why if checked else ""
            yield Finding(code="counter_poor", message=f"{device}: the check found its counter poor; {led}. {why}")
        elif member.channel.kind == "power_w":
            message = f"{device} gave no energy by a counter: its power readings are summed up"
            yield Finding(code="no_counter", message=message)
        elif checked is not None and checked.grade == "doubtful":
            message = f"{device}: its counter and its other channels agree to 2 % no more. {checked.why}"
            yield Finding(code="counter_doubtful", message=message)
        if member.channel.kind == "energy_j" and (device, "power_w") not in known:
            yield Finding(code="no_power", message=f"{device} gave no energy by power readings: no second opinion")
        part_time = bool(member.channel.unseen_s) and (checked is None or checked.counter_is_sum is not False)
        if member.channel.kind == "energy_j" and part_time and member.estimator != "stratified_edges":
            message = (
                f"{device}: its counter may see a part of each period only, and the window is not staggered for it"
            )
            yield Finding(code="counter_is_sum", message=message)


def _recorder_stall(evidence: Evidence) -> Iterator[Finding]:
    start_ns, end_ns = evidence.pieces[0].guard_start_ns, evidence.pieces[-1].guard_end_ns
    for member in evidence.total.members:
        edges = evidence.edges_of(member)
        gap_s = longest_gap_s(edges, start_ns, end_ns)
        if gap_s > max(STALL_S, STALL_INTERVALS * median_gap_s(edges)):
            yield Finding(
                code="recorder_stall",
                message=f"{member.channel.id}: no reading for {gap_s:.2f} s",
                rule=f"a reading every {STALL_S:g} s in the window and its guards",
                reading=f"{gap_s:.3f} s",
            )


def _idle_of_processors(evidence: Evidence) -> Iterator[Finding]:
    """Yield what spoils a GPU's trial and does not a processor's, on which other processes come and go."""
    for member in evidence.total.members:
        if member.channel.boundary != "gpu":
            yield from drifted(member)


def _agreement(evidence: Evidence) -> Iterator[Finding]:
    yield from agreement(evidence.total, evidence.components)


Rule = Callable[[Evidence], Iterator[Finding]]
ALWAYS: tuple[Rule, ...] = (
    _short_window,
    _source,
    _power_cap,
    _clocks_changed,
    _mig,
    _clock_jump,
    _not_steady,
)
MEASURED: tuple[Rule, ...] = (_counter, _agreement, _recorder_stall, _idle_of_processors)
