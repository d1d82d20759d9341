"""Everything that is known of one trial when its figures are judged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llem.domain.device_state import DeviceConditions
from llem.domain.edges import Bounds, Edge
from llem.domain.measured import Measured
from llem.domain.result import EnergyComponent
from llem.domain.sensing import Device
from llem.domain.sensor_check import DeviceCheck, SensorCheck
from llem.domain.spec import ExperimentConfig
from llem.domain.totals import Total


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of one trial.

    Attributes:
        config: What was asked for.
        measured: What the worker measured.
        pieces: The window, in its pieces.
        total: The energy of the boundary.
        components: The energy of every channel.
        edges: Readings, by channel id.
        failures: Why a channel's last failed reading failed, by channel id.
        conditions: Of each GPU that was used.
        devices: What the sensors say of the devices.
        check: What the sensor check found; None where there was none.
    """

    config: ExperimentConfig
    measured: Measured
    pieces: tuple[Bounds, ...]
    total: Total
    components: tuple[EnergyComponent, ...]
    edges: Mapping[str, Sequence[Edge]]
    failures: Mapping[str, str]
    conditions: tuple[DeviceConditions, ...]
    devices: Sequence[Device] = ()
    check: SensorCheck | None = None

    @property
    def duration_s(self) -> float:
        """Return how long the work took, in seconds."""
        return self.measured.window.duration_s

    @property
    def used(self) -> frozenset[str]:
        """Return the devices that the work ran on or that the total counts."""
        return frozenset(self.measured.model.devices) | {member.channel.device for member in self.total.members}

    def of_used(self) -> Iterator[EnergyComponent]:
        """Yield the measured channels of the used devices."""
        used = self.used
        for component in self.components:
            if component.channel.device in used and component.channel.provenance != "modelled":
                yield component

    def edges_of(self, component: EnergyComponent) -> Sequence[Edge]:
        """Return a channel's readings."""
        return self.edges.get(component.channel.id, ())

    def facts(self, device: str) -> Mapping[str, str | int | float | bool | None]:
        """Return what its sensor says of a device; nothing where none does."""
        return next((known.facts for known in self.devices if known.id == device), {})

    def checked(self, device: str) -> DeviceCheck | None:
        """Return what the sensor check found of a device."""
        found = self.check.devices if self.check else ()
        return next((known for known in found if known.device == device), None)
