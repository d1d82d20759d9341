"""The energy of the total's channels over any stretch of time, without guards: loading, a repeat of the warm-up."""

import math
from collections.abc import Mapping, Sequence

from llem.domain.edges import Edge, Unmeasured
from llem.domain.energy import simplest
from llem.domain.measured import Interval
from llem.domain.result import EnergyComponent

LOAD_FIGURES = ("energy_load_j", "u_energy_load_j")
LOAD_NOT_TOLD = "nothing tells when the model was loaded"


def span_energy(
    members: Sequence[EnergyComponent], edges: Mapping[str, Sequence[Edge]], stretch: Interval
) -> tuple[float, float] | Unmeasured:
    """Return (joules, 95 % uncertainty) over a stretch of time by the simplest estimators.

    A counter is interpolated between its steps, power readings are held: nothing is known of the time around the
    stretch. Uncertainties add in quadrature over channels.

    Args:
        members: The channels that make the total.
        edges: Readings, by channel id.
        stretch: From when to when.
    """
    found = []
    for member in members:
        outcome = simplest(member.channel, edges.get(member.channel.id, ()), stretch.start_ns, stretch.end_ns)
        if isinstance(outcome, Unmeasured):
            return Unmeasured(f"{member.channel.id}: {outcome.reason}")
        found.append(outcome)
    if not found:
        return Unmeasured("no energy")
    return math.fsum(outcome.energy_j for outcome in found), math.hypot(*(outcome.u_j for outcome in found))


def load_figures(
    members: Sequence[EnergyComponent], edges: Mapping[str, Sequence[Edge]], load: Interval | None
) -> tuple[dict[str, float | None], str]:
    """Return what loading the model took, within the boundary of the total, and why it is unknown where it is."""
    if load is None:
        return {}, LOAD_NOT_TOLD
    if any(member.channel.provenance == "modelled" for member in members):
        return {}, "the energy is modelled"
    found = span_energy(members, edges, load)
    if isinstance(found, Unmeasured):
        return {}, found.reason
    return dict(zip(LOAD_FIGURES, found, strict=True)), ""
