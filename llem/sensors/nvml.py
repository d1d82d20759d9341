"""NVIDIA GPUs through NVML: energy, power, and under which conditions they worked."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llem.domain.errors import SensorError
from llem.domain.sensing import Channel, Device, DeviceUse, Temperature
from llem.sensors.base import Call, Reading
from llem.sensors.nvml_gpu import RecordedGpu, Who
from llem.sensors.pace import BASE_NS
from llem.sensors.processes import PROC
from llem.sensors.visible import MIG, visible

TOGETHER_NS = 500_000
"""GPUs that are due within this time are read by one waking."""


class NvmlSensor:
    """The NVIDIA GPUs that this study can use, bound by UUID.

    Every GPU that the driver shows is a device; those that CUDA_VISIBLE_DEVICES hides have no channel and are not
    read (``llem.sensors.visible``). The channels of the others are those of ``RecordedGpu``: what each supports is
    asked of the device itself, never of its architecture.

    Args:
        nvml: The ``pynvml`` module, or one that speaks as it does; imported where left out.
        environment: The environment in which the study's processes run.
        study_pid: The process of the session; the parent of this one where left out.
        proc: Where the kernel shows processes.
    """

    period_s = BASE_NS / 1e9

    def __init__(
        self,
        nvml: Any = None,
        environment: Mapping[str, str] = os.environ,
        study_pid: int | None = None,
        proc: Path = PROC,
    ) -> None:
        if nvml is None:
            import pynvml

            nvml = pynvml
        self._nvml = nvml
        # A driver without a function's version raises a mismatch, which is no NVMLError.
        self._errors = (nvml.NVMLError, getattr(nvml, "NVMLLibraryMismatchError", nvml.NVMLError))
        self._handles = self._opened()
        self.devices: tuple[Device, ...] = tuple(self._device(handle) for handle in self._handles)
        shown = self._visible(environment)
        who = Who(os.getppid() if study_pid is None else study_pid, proc)
        self._gpus = [
            self._recorded(handle, device, who)
            for handle, device in zip(self._handles, self.devices, strict=True)
            if device.id in shown
        ]
        self.channels: tuple[Channel, ...] = tuple(channel for gpu in self._gpus for channel in gpu.channels)
        if not self.devices or (shown and not any(channel.measures_energy for channel in self.channels)):
            nvml.nvmlShutdown()
            raise SensorError(
                "NVML shows no GPU with an energy counter or power readings.",
                remedy="Check with `nvidia-smi -q -d POWER` what the GPU supports.",
            )

    def read(self) -> list[Reading]:
        """Return one reading per channel."""
        return [reading for gpu in self._gpus for reading in gpu.read()]

    def due_ns(self) -> int:
        """Return when the first GPU is to be read next, in monotonic nanoseconds."""
        if not self._gpus:
            return time.monotonic_ns() + BASE_NS
        return min([gpu.pace.due_ns for gpu in self._gpus])

    def read_due(self) -> list[Call]:
        """Read the GPUs that are due: all of them at the slow pace, one alone around its ticks."""
        found: list[Call] = []
        for gpu in self._gpus:
            now_ns = time.monotonic_ns()
            if gpu.pace.due_ns <= now_ns + TOGETHER_NS:
                found += gpu.read_due(now_ns)
        return found

    def temperatures(self) -> list[Temperature]:
        """Return the temperature of each GPU's chip, in degrees Celsius, and the clock of its multiprocessors."""
        return [
            self._temperature(handle, device.id) for handle, device in zip(self._handles, self.devices, strict=True)
        ]

    def use(self) -> list[DeviceUse]:
        """Return what is on each GPU that is read."""
        return [gpu.use() for gpu in self._gpus]

    def close(self) -> None:
        """Shut NVML down."""
        self._nvml.nvmlShutdown()

    def _opened(self) -> list[Any]:
        nvml, initialised = self._nvml, False
        try:
            nvml.nvmlInit()
            initialised = True
            return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            if initialised:
                nvml.nvmlShutdown()
            raise SensorError(
                f"NVML gives no access: {error}.",
                remedy="On a machine with an NVIDIA GPU, install its driver and check `nvidia-smi`.",
            ) from None

    def _visible(self, environment: Mapping[str, str]) -> tuple[str, ...]:
        asked_for = environment.get("CUDA_VISIBLE_DEVICES")
        in_order = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({d.name for d in self.devices}) == 1
        whole = not any(device.facts["mig"] for device in self.devices)
        parts = self._parts() if asked_for is not None and asked_for.startswith(MIG) else {}
        uuids = [device.id for device in self.devices]
        return visible(uuids, asked_for, numbered=in_order and whole, parts=parts)

    def _parts(self) -> dict[str, str]:
        """Return the GPU of each MIG instance, by the instance's UUID."""
        nvml, found = self._nvml, {}
        for handle, device in zip(self._handles, self.devices, strict=True):
            for index in range(self._fact(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
                part = self._fact(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
                if part is not None:
                    found[str(nvml.nvmlDeviceGetUUID(part))] = device.id
        return found

    def _recorded(self, handle: Any, device: Device, who: Who) -> RecordedGpu:
        capability = self._fact(self._nvml.nvmlDeviceGetCudaComputeCapability, handle)
        return RecordedGpu(
            self._nvml,
            handle,
            device.id,
            driver=self._fact(self._nvml.nvmlSystemGetDriverVersion),
            capability=None if capability is None else (int(capability[0]), int(capability[1])),
            note="covers the whole GPU, not one MIG instance" if device.facts["mig"] else None,
            who=who,
            errors=self._errors,
        )

    def _temperature(self, handle: Any, device: str) -> Temperature:
        nvml = self._nvml
        clock_mhz = self._fact(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM)
        try:
            degrees_c = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        except self._errors as error:
            return Temperature(device=device, temperature_c=None, reason=str(error), clock_mhz=clock_mhz)
        return Temperature(device=device, temperature_c=degrees_c, clock_mhz=clock_mhz)

    def _mig(self, handle: Any) -> bool | None:
        modes = self._fact(self._nvml.nvmlDeviceGetMigMode, handle)
        return None if modes is None else modes[0] == self._nvml.NVML_DEVICE_MIG_ENABLE

    def _device(self, handle: Any) -> Device:
        nvml = self._nvml
        limit_mw = self._fact(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        persistence = self._fact(nvml.nvmlDeviceGetPersistenceMode, handle)
        memory = self._fact(nvml.nvmlDeviceGetMemoryInfo, handle)
        processes = self._fact(nvml.nvmlDeviceGetComputeRunningProcesses, handle)
        capability = self._fact(nvml.nvmlDeviceGetCudaComputeCapability, handle)
        return Device(
            id=str(nvml.nvmlDeviceGetUUID(handle)),
            name=str(nvml.nvmlDeviceGetName(handle)),
            facts={
                "driver": self._fact(nvml.nvmlSystemGetDriverVersion),
                "power_limit_w": None if limit_mw is None else limit_mw / 1000,
                "persistence": None if persistence is None else bool(persistence),
                "mig": self._mig(handle),
                "memory_bytes": None if memory is None else int(memory.total),
                "compute_capability": None if capability is None else ".".join(map(str, capability)),
                "compute_processes": None if processes is None else len(processes),
            },
        )

    def _fact(self, call: Callable[..., Any], *args: Any) -> Any:
        """Return what ``call`` says; None where the device or an older driver does not tell."""
        try:
            return call(*args)
        except self._errors:
            return None
