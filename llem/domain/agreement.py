"""Whether what was measured in more than one way agrees, and what a reader must know of how it was measured."""

import math
from collections.abc import Iterator, Mapping, Sequence

from llem.domain.edges import Bounds, Edge
from llem.domain.energy import GUARDED
from llem.domain.held import longest_gap_s
from llem.domain.result import EnergyComponent, Finding

DISAGREES_REL = 0.02
DISAGREES_U = 3.0
LONG_GAP_S = 0.2
IDLE_DRIFT_REL = 0.05


def disagrees(energy_j: float, u_j: float, other_j: float, u_other_j: float) -> bool:
    """Return whether two energies differ by more than max(2 %, 3·√(u² + u'²))."""
    return abs(other_j - energy_j) > max(DISAGREES_REL * abs(energy_j), DISAGREES_U * math.hypot(u_j, u_other_j))


def second_opinion(
    members: Sequence[EnergyComponent], components: Sequence[EnergyComponent]
) -> tuple[float, float] | None:
    """Return (joules, 95 % uncertainty) of the same devices by a second measured channel each; None without one."""
    chosen = {member.channel.id for member in members}
    second: list[EnergyComponent] = []
    for member in members:
        others = (
            component
            for component in components
            if component.channel.device == member.channel.device
            and component.channel.id not in chosen
            and component.channel.provenance != "modelled"
            and component.energy_j is not None
        )
        other = next(others, None)
        if other is None:
            return None
        second.append(other)
    return math.fsum(other.energy_j or 0.0 for other in second), math.hypot(*(other.u_j or 0.0 for other in second))


def findings(
    members: Sequence[EnergyComponent],
    components: Sequence[EnergyComponent],
    edges: Mapping[str, Sequence[Edge]],
    bounds: Bounds,
) -> Iterator[Finding]:
    """Yield what a reader must know of the measured channels that make a known total.

    Args:
        members: The channels in the total.
        components: All channels.
        edges: Their readings, by channel id.
        bounds: The window and its guards.
    """
    for member in members:
        yield from _of_member(member, edges.get(member.channel.id, ()), bounds)
    second = second_opinion(members, components)
    energy_j = math.fsum(member.energy_j or 0.0 for member in members)
    u_j = math.hypot(*(member.u_j or 0.0 for member in members))
    if second is not None and disagrees(energy_j, u_j, *second):
        message = f"a second channel of the same devices gives {second[0]:.6g} J; the total is {energy_j:.6g} J"
        yield Finding(code="sources_disagree", message=message)


def _of_member(member: EnergyComponent, edges: Sequence[Edge], bounds: Bounds) -> Iterator[Finding]:
    name, energy_j, u_j = member.channel.id, member.energy_j or 0.0, member.u_j or 0.0
    if member.estimator not in GUARDED:
        why = next((member.estimators_refused[key] for key in GUARDED if key in member.estimators_refused), "unknown")
        yield Finding(code="unguarded", message=f"{name}: {member.estimator}, without the guards: {why}")
    for other, other_j in member.estimators.items():
        if other != member.estimator and disagrees(energy_j, u_j, other_j, member.u_estimators_j[other]):
            message = f"{name}: {other} gives {other_j:.6g} J; {member.estimator} {energy_j:.6g} J"
            yield Finding(code="estimators_disagree", message=message)
    gap_s = longest_gap_s(edges, bounds.guard_start_ns, bounds.guard_end_ns)
    # A counter counts on while nobody reads it; a power that nobody reads is not known.
    if member.channel.kind == "power_w" and gap_s > LONG_GAP_S:
        yield Finding(code="gap_in_readings", message=f"{name}: no reading for {gap_s:.2f} s")
    before_w, after_w = member.power_idle_before_w, member.power_idle_after_w
    if before_w is None or after_w is None:
        return
    if abs(after_w - before_w) > IDLE_DRIFT_REL * abs(before_w + after_w) / 2:
        message = f"{name}: {before_w:.4g} W before the work, {after_w:.4g} W after it"
        yield Finding(code="idle_drift", message=message)
