"""What the work took above idle power: of the device with the model loaded, and of the bare machine."""

import math
from collections.abc import Sequence

from llem.domain.baseline import BaselinePower
from llem.domain.result import EnergyComponent

NET_FIGURES = (
    "power_context_idle_w",
    "u_power_context_idle_w",
    "energy_above_context_idle_j",
    "u_energy_above_context_idle_j",
)
BARE_FIGURES = (
    "power_bare_idle_w",
    "u_power_bare_idle_w",
    "energy_above_bare_idle_j",
    "u_energy_above_bare_idle_j",
)
Found = tuple[dict[str, float | None], str]
"""The figures, and why there are none where there are none."""


def net_figures(members: Sequence[EnergyComponent], energy_j: float | None, duration_s: float) -> Found:
    """Return the figures above context idle, and why there are none where there are none.

    P = Σ P_idle over the channels of the total; E_net = E − P·T. It may be negative: idle power wanders, and a figure
    that is clipped at 0 is biased. u(P) adds in quadrature over channels, u(E_net) = √(u(E)² + (T·u(P))²).

    Args:
        members: The channels that make the total.
        energy_j: The total; None where it is unknown.
        duration_s: Length of the window.
    """
    missing = next((member for member in members if member.power_context_idle_w is None), None)
    if missing is not None:
        return {}, f"{missing.channel.id}: {missing.idle_reason}"
    powers = [(member.power_context_idle_w or 0.0, member.u_power_context_idle_w or 0.0) for member in members]
    return _above(NET_FIGURES, powers, members, energy_j, duration_s)


def bare_figures(
    members: Sequence[EnergyComponent], bare: Sequence[BaselinePower], energy_j: float | None, duration_s: float
) -> Found:
    """Return the figures above the idle of the bare machine, as ``net_figures`` does.

    Args:
        members: The channels that make the total.
        bare: The bare machine's idle power, by channel; the last one of a channel counts.
        energy_j: The total; None where it is unknown.
        duration_s: Length of the window.
    """
    known = {baseline.channel: baseline for baseline in bare}
    powers = []
    for member in members:
        baseline = known.get(member.channel.id)
        if baseline is None or baseline.power_w is None or baseline.u_w is None:
            why = baseline.reason if baseline else None
            return {}, f"{member.channel.id}: {why or 'its bare idle power was not measured'}"
        powers.append((baseline.power_w, baseline.u_w))
    return _above(BARE_FIGURES, powers, members, energy_j, duration_s)


def _above(
    names: Sequence[str],
    powers: Sequence[tuple[float, float]],
    members: Sequence[EnergyComponent],
    energy_j: float | None,
    duration_s: float,
) -> Found:
    if energy_j is None or not members:
        return {}, "no energy"
    power_w = math.fsum(power_w for power_w, _ in powers)
    u_power_w = math.hypot(*(u_w for _, u_w in powers))
    u_energy_j = math.hypot(*(member.u_j or 0.0 for member in members))
    values: tuple[float, ...] = (
        power_w,
        u_power_w,
        energy_j - power_w * duration_s,
        math.hypot(u_energy_j, duration_s * u_power_w),
    )
    return dict(zip(names, values, strict=True)), ""
