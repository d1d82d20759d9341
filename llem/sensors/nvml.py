"""NVIDIA GPUs through NVML: the energy counter where there is one, and power readings."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from llem.domain.errors import SensorError
from llem.domain.sensing import Channel, Device, Temperature
from llem.sensors.base import Reading

GA100 = (8, 0)
"""Compute capability of the last chip whose power is instantaneous; from GA10x (8.6) on it is a mean over 1 s."""

PART_TIME = frozenset({GA100, (9, 0)})
"""A100 and H100: their power sensor sees 25 ms of each 100 ms (arXiv 2312.02741)."""
UNSEEN_S = 0.075


class NvmlSensor:
    """Every NVIDIA GPU that the driver shows, bound by UUID.

    Channels per GPU: ``energy``, the cumulative counter (millijoules since the driver was loaded; Volta and
    newer, where the device supports it) and ``power``, ``nvmlDeviceGetPowerUsage`` (milliwatts; a 1 s average
    on Ampere except GA100 and newer, instantaneous on older ones). The devices themselves are asked what they
    support, never their architecture.

    Args:
        nvml: The ``pynvml`` module, or one that speaks as it does; imported where left out.
    """

    period_s = 0.05

    def __init__(self, nvml: Any = None) -> None:
        if nvml is None:
            import pynvml

            nvml = pynvml
        self._nvml = nvml
        initialised = False
        try:
            nvml.nvmlInit()
            initialised = True
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            if initialised:
                nvml.nvmlShutdown()
            raise SensorError(
                f"NVML gives no access: {error}.",
                remedy="On a machine with an NVIDIA GPU, install its driver and check `nvidia-smi`.",
            ) from None
        self._readers: list[tuple[str, float, Callable[[], int]]] = []
        channels: list[Channel] = []
        devices: list[Device] = []
        self._thermometers: list[tuple[str, Callable[[], int]]] = []
        for handle in handles:
            device = self._device(handle)
            devices.append(device)
            temperature = partial(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
            self._thermometers.append((device.id, temperature))
            channels += self._channels(handle, device.id)
        if not channels:
            nvml.nvmlShutdown()
            raise SensorError(
                "NVML shows no GPU with an energy counter or power readings.",
                remedy="Check with `nvidia-smi -q -d POWER` what the GPU supports.",
            )
        self.channels = tuple(channels)
        self.devices = tuple(devices)

    def read(self) -> list[Reading]:
        """Return one reading per channel: joules for ``energy``, watts for ``power``."""
        return [self._read(*reader) for reader in self._readers]

    def temperatures(self) -> list[Temperature]:
        """Return the temperature of each GPU's chip, in degrees Celsius."""
        return [self._temperature(*thermometer) for thermometer in self._thermometers]

    def close(self) -> None:
        """Shut NVML down."""
        self._nvml.nvmlShutdown()

    def _read(self, channel: str, unit: float, call: Callable[[], int]) -> Reading:
        before_ns = time.monotonic_ns()
        try:
            raw = call()
        except self._nvml.NVMLError as error:
            return Reading(channel, before_ns, time.monotonic_ns(), None, str(error))
        return Reading(channel, before_ns, time.monotonic_ns(), raw * unit)

    def _temperature(self, device: str, call: Callable[[], int]) -> Temperature:
        try:
            return Temperature(device=device, temperature_c=call())
        except self._nvml.NVMLError as error:
            return Temperature(device=device, temperature_c=None, reason=str(error))

    def _channels(self, handle: Any, uuid: str) -> list[Channel]:
        channels = []
        whole_gpu = "covers the whole GPU, not one MIG instance" if self._mig(handle) else None
        for suffix, kind, provenance, call in (
            ("energy", "energy_j", "counter", self._nvml.nvmlDeviceGetTotalEnergyConsumption),
            ("power", "power_w", "sampled", self._nvml.nvmlDeviceGetPowerUsage),
        ):
            try:
                call(handle)
            except self._nvml.NVMLError:
                continue  # not supported by this device: it then has no such channel
            channel = Channel.model_validate(
                {
                    "id": f"nvml/{uuid}/{suffix}",
                    "sensor": "nvml",
                    "device": uuid,
                    "boundary": "gpu",
                    "kind": kind,
                    "provenance": provenance,
                    "note": whole_gpu,
                    "averages_over_s": self._averages_over_s(handle) if kind == "power_w" else None,
                    "unseen_s": self._unseen_s(handle) if kind == "energy_j" else None,
                }
            )
            channels.append(channel)
            # NVML counts in mJ and mW: a thousandth of the channel's unit.
            self._readers.append((channel.id, 1e-3, partial(call, handle)))
        return channels

    def _averages_over_s(self, handle: Any) -> float | None:
        """Return what time ``nvmlDeviceGetPowerUsage`` averages over, by its documentation; None where unknown."""
        capability = self._capability(handle)
        if capability is None:
            return None
        return 0.0 if capability <= GA100 else 1.0

    def _unseen_s(self, handle: Any) -> float | None:
        """Return what of each period the counter may miss: it may be a sum of the power readings, untested."""
        return UNSEEN_S if self._capability(handle) in PART_TIME else None

    def _capability(self, handle: Any) -> tuple[int, int] | None:
        capability = self._fact(self._nvml.nvmlDeviceGetCudaComputeCapability, handle)
        return None if capability is None else (int(capability[0]), int(capability[1]))

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
        # A driver without the function's version raises a mismatch, which is no NVMLError.
        too_old = getattr(self._nvml, "NVMLLibraryMismatchError", self._nvml.NVMLError)
        try:
            return call(*args)
        except (self._nvml.NVMLError, too_old):
            return None
