"""Whether what was measured in more than one way agrees."""

import math
from collections.abc import Iterator, Sequence

from llem.domain.energy import GUARDED
from llem.domain.result import EnergyComponent, Finding
from llem.domain.totals import Total, rank

DISAGREES_REL = 0.02
DISAGREES_U = 3.0


def disagrees(energy_j: float, u_j: float, other_j: float, u_other_j: float) -> bool:
    """Return whether two energies differ by more than max(2 %, 3·√(u² + u'²))."""
    return abs(other_j - energy_j) > max(DISAGREES_REL * abs(energy_j), DISAGREES_U * math.hypot(u_j, u_other_j))


def second_opinion(
    members: Sequence[EnergyComponent], components: Sequence[EnergyComponent]
) -> tuple[float, float] | None:
    """Return (joules, 95 % uncertainty) of the same devices by a second measured channel each; None without one.

    Of several the first by rank is taken: a counter, then instantaneous power, then a mean.
    """
    chosen = {member.channel.id for member in members}
    second: list[EnergyComponent] = []
    for member in members:
        others = [
            component
            for component in components
            if component.channel.device == member.channel.device
            and component.channel.id not in chosen
            and component.channel.provenance != "modelled"
            and component.energy_j is not None
        ]
        if not others:
            return None
        second.append(min(others, key=lambda component: rank(component.channel)))
    return math.fsum(other.energy_j or 0.0 for other in second), math.hypot(*(other.u_j or 0.0 for other in second))


def apart_rel(relative: float) -> float:
    """Return how far two figures are apart, of the smaller, if one is the other × (1 + ``relative``); 1 at most."""
    return min(max(abs(relative), abs(relative) / (1 + relative)), 1.0) if relative > -1 else 1.0


def between_sources_rel(total: Total, components: Sequence[EnergyComponent]) -> Iterator[float]:
    """Yield how far a second channel of the same devices may be from a known, measured total, where they disagree."""
    second, energy_j = second_opinion(total.members, components), total.energy_j
    if second is not None and energy_j and disagrees(energy_j, total.u_j, *second):
        yield min((abs(second[0] - energy_j) + second[1]) / abs(energy_j), 1.0)


def agreement(total: Total, components: Sequence[EnergyComponent]) -> Iterator[Finding]:
    """Yield where estimators or channels of a known, measured total differ.

    Args:
        total: The total.
        components: All channels.
    """
    for member in total.members:
        yield from _of_member(member)
    second = second_opinion(total.members, components)
    energy_j = total.energy_j or 0.0
    if second is not None and disagrees(energy_j, total.u_j, *second):
        yield Finding(
            code="sources_disagree",
            message=f"a second channel of the same devices gives {second[0]:.6g} J; the total is {energy_j:.6g} J",
            rule="they differ by at most max(2 %, 3·√(u² + u′²))",
            reading=f"{second[0] - energy_j:+.4g} J; u {total.u_j:.2g} J and {second[1]:.2g} J",
        )


def _of_member(member: EnergyComponent) -> Iterator[Finding]:
    name, energy_j, u_j = member.channel.id, member.energy_j or 0.0, member.u_j or 0.0
    if member.estimator not in GUARDED:
        why = next((member.estimators_refused[key] for key in GUARDED if key in member.estimators_refused), "unknown")
        yield Finding(code="unguarded", message=f"{name}: {member.estimator}, without the guards: {why}")
    for other, other_j in member.estimators.items():
        u_other_j = member.u_estimators_j[other]
        if other != member.estimator and disagrees(energy_j, u_j, other_j, u_other_j):
            yield Finding(
                code="estimators_disagree",
                message=f"{name}: {other} gives {other_j:.6g} J; {member.estimator} {energy_j:.6g} J",
                rule="they differ by at most max(2 %, 3·√(u² + u′²))",
                reading=f"{other_j - energy_j:+.4g} J; u {u_j:.2g} J and {u_other_j:.2g} J",
            )
