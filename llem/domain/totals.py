"""Which channels make the total of a trial: one named boundary, each device by its best source."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from llem.domain.result import EnergyComponent
from llem.domain.sensing import Channel, Provenance
from llem.domain.sensor_check import SensorCheck

POWER_RANKS = ("instant", "usage", "average")
"""Power channels of one device, the best first: a mean over a second tells late, and needs longer guards."""


@dataclass(frozen=True)
class Total:
    """The energy of one named boundary, or why it is unknown."""

    boundary: str | None = None
    provenance: Provenance = "none"
    members: tuple[EnergyComponent, ...] = ()
    reason: str | None = None

    @property
    def measured(self) -> bool:
        """Whether a meter gave an energy."""
        return self.reason is None and self.provenance != "modelled"

    @property
    def energy_j(self) -> float | None:
        """The sum over the channels, in joules."""
        known = [member.energy_j for member in self.members if member.energy_j is not None]
        return math.fsum(known) if self.reason is None else None

    @property
    def u_j(self) -> float:
        """Channels are read apart from each other, so their uncertainties add in quadrature."""
        return math.sqrt(math.fsum((member.u_j or 0.0) ** 2 for member in self.members))


def choose_total(
    devices: Sequence[str],
    components: Sequence[EnergyComponent],
    unrecorded: str | None,
    check: SensorCheck | None = None,
) -> Total:
    """Return the total: the devices that did the work, by their best source.

    A counter leads, unless the sensor check found it poor: then power readings do, instantaneous ones first. A
    modelled figure stands only where no meter covers the work at all, and is never added to a measured one.

    Args:
        devices: The devices that hold the model: ``cpu``, or the UUIDs of GPUs.
        components: The energy of every channel.
        unrecorded: Why nothing was recorded, if nothing was.
        check: What the sensor check found; None where there was none.
    """
    gpus = [device for device in devices if device != "cpu"]
    soc = _of(components, "soc")
    if soc and not any(component.channel.device in gpus for component in components):
        return _sum("soc", soc[0].channel.provenance, soc)  # one supply feeds processor, GPU and memory
    if gpus:
        return _gpu_total(gpus, components, unrecorded, poor_devices(check))
    packages = _of(components, "cpu_package")
    if packages:
        memory = _of(components, "dram")
        boundary = "cpu_package+dram" if memory else "cpu_package"
        return _sum(boundary, "counter", [*packages, *memory])
    modelled = [component for component in components if component.channel.provenance == "modelled"]
    if modelled:
        return _sum("+".join(component.channel.boundary for component in modelled), "modelled", modelled)
    return Total(reason=unrecorded or "no sensor here measures the processor")


def poor_devices(check: SensorCheck | None) -> frozenset[str]:
    """Return the devices whose counter is not to be trusted."""
    return frozenset(found.device for found in check.devices if found.grade == "poor") if check else frozenset()


def rank(channel: Channel, poor: frozenset[str] = frozenset()) -> int:
    """Return where a channel stands among those of its device: 0 leads."""
    if channel.kind == "energy_j":
        return len(POWER_RANKS) + 1 if channel.device in poor else 0
    aspect = channel.aspect or ("instant" if channel.averages_over_s == 0 else "usage")
    return 1 + (POWER_RANKS.index(aspect) if aspect in POWER_RANKS else len(POWER_RANKS) - 1)


def _gpu_total(
    gpus: Sequence[str], components: Sequence[EnergyComponent], unrecorded: str | None, poor: frozenset[str]
) -> Total:
    members: list[EnergyComponent] = []
    for gpu in gpus:
        of_gpu = [component for component in components if component.channel.device == gpu]
        # What gave nothing stands behind what gave an energy.
        of_gpu.sort(key=lambda component: (component.energy_j is None, rank(component.channel, poor)))
        if not of_gpu:
            return Total(boundary="gpu", reason=unrecorded or f"no sensor here measures {gpu}")
        members.append(of_gpu[0])
    provenances = {member.channel.provenance for member in members}
    return _sum("gpu", "counter" if provenances == {"counter"} else "sampled", members)


def _sum(boundary: str, provenance: Provenance, members: Sequence[EnergyComponent]) -> Total:
    missing = next((member for member in members if member.energy_j is None), None)
    reason = None if missing is None else f"{missing.channel.id}: {missing.reason}"
    return Total(boundary, provenance, tuple(members), reason)


def _of(components: Sequence[EnergyComponent], boundary: str) -> list[EnergyComponent]:
    return [component for component in components if component.channel.boundary == boundary]
