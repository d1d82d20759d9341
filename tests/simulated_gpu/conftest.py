"""The simulated driver inside the test process, where its clock can be set: nobody else here finds it."""

import ctypes
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from simulated_gpu import SimulatedDevice, Simulation, build, load, private_pynvml


class Gpus:
    """Simulated devices, and the real nvidia-ml-py that reads them by a virtual clock.

    Attributes:
        nvml: pynvml, initialised.
    """

    def __init__(self, simulation: Simulation, nvml: ModuleType, script: Path) -> None:
        self._simulation, self.nvml, self._script = simulation, nvml, script

    def use(self, *devices: SimulatedDevice, at_s: float = 1e-3, **settings: Any) -> Any:
        """Simulate these devices, at this moment; return the handle of the first."""
        self._simulation.use(self._script, *devices, **settings)
        self.at(at_s)
        return self.handle(0)

    def at(self, at_s: float) -> None:
        self._simulation.set_time_s(at_s)

    @property
    def time_s(self) -> float:
        return self._simulation.time_s()

    def handle(self, index: int) -> Any:
        return self.nvml.nvmlDeviceGetHandleByIndex(index)

    def counter_j(self, handle: Any, at_s: float) -> float:
        self.at(at_s)
        return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000

    def power_w(self, handle: Any, at_s: float) -> float:
        self.at(at_s)
        return float(self.nvml.nvmlDeviceGetPowerUsage(handle)) / 1000

    def field(self, handle: Any, number: int, scope: int = 0) -> Any:
        """Return one field value: its number, its own code, its stamp."""
        return self.nvml.nvmlDeviceGetFieldValues(handle, [(number, scope)])[0]

    def throttled_ns(self, handle: Any, number: int) -> int:
        value = self.field(handle, number)
        assert value.nvmlReturn == 0
        return int(ctypes.c_ulonglong(value.value.ullVal).value)


@pytest.fixture(scope="session")
def gpus(tmp_path_factory: pytest.TempPathFactory) -> Gpus:
    """Return simulated devices in this process."""
    folder = tmp_path_factory.mktemp("simulated")
    library = build(folder, findable=False)
    simulation, nvml = load(library), private_pynvml(library)
    nvml.nvmlInit()
    return Gpus(simulation, nvml, folder / "script")
