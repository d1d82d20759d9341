"""What the work took above the idle power of the device with the model loaded."""

import math
from collections.abc import Sequence

from llem.domain.result import EnergyComponent

NET_FIGURES = (
    "power_context_idle_w",
    "u_power_context_idle_w",
    "energy_above_context_idle_j",
    "u_energy_above_context_idle_j",
)


def net_figures(
    members: Sequence[EnergyComponent], energy_j: float | None, duration_s: float
) -> tuple[dict[str, float | None], str]:
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
    if energy_j is None or not members:
        return {}, "no energy"
    power_w = math.fsum(member.power_context_idle_w or 0.0 for member in members)
    u_power_w = math.hypot(*(member.u_power_context_idle_w or 0.0 for member in members))
    u_energy_j = math.hypot(*(member.u_j or 0.0 for member in members))
    values: tuple[float, ...] = (
        power_w,
        u_power_w,
        energy_j - power_w * duration_s,
        math.hypot(u_energy_j, duration_s * u_power_w),
    )
    return dict(zip(NET_FIGURES, values, strict=True)), ""
