"""One NVIDIA GPU while it is recorded: which channels it has, and what is read of it when."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from llem.domain.sensing import Channel, ChannelKind, DeviceUse
from llem.sensors.base import Call, Reading
from llem.sensors.nvml_fields import ENERGY, MILLI, FieldValues, supported
from llem.sensors.pace import TickPredictor
from llem.sensors.processes import foreign_processes, own_processes

GA100 = (8, 0)
"""Compute capability of the last chip whose power is instantaneous; from GA10x (8.6) on it is a mean over 1 s."""
PART_TIME = frozenset({GA100, (9, 0)})
"""A100 and H100: their power sensor sees 25 ms of each 100 ms (arXiv 2312.02741)."""
UNSEEN_S = 0.075
THROTTLE_EVERY_NS = 100_000_000
CONDITIONS_EVERY_NS = 1_000_000_000


class Single(NamedTuple):
    """The one channel that a call of its own gives. ``unit`` is what one is in the channel's unit."""

    channels: tuple[str]
    unit: float
    call: Callable[[], int]


class Who(NamedTuple):
    """Whom the processes on a GPU may belong to, and where the kernel shows them."""

    study_pid: int
    proc: Path


class RecordedGpu:
    """The channels of one GPU, and their readings.

    Energy and power are read at each call, by one call where the driver gives field values; the throttle counters
    join that call ten times a second; temperature, clocks, event reasons and foreign processes are asked once a
    second, not while a tick of the counter is due.

    Args:
        nvml: The ``pynvml`` module.
        handle: The GPU.
        uuid: Its UUID.
        driver: The driver's version.
        capability: Its compute capability.
        note: What a reader of its channels must know.
        who: What tells the study's processes.
        errors: What NVML's calls raise.
    """

    def __init__(
        self,
        nvml: Any,
        handle: Any,
        uuid: str,
        *,
        driver: str | None,
        capability: tuple[int, int] | None,
        note: str | None,
        who: Who,
        errors: tuple[type[Exception], ...],
    ) -> None:
        self._nvml = nvml
        self._handle = handle
        self._uuid = uuid
        self._capability = capability
        self._note = note
        self._errors = errors
        self._who = who
        self._channels: dict[str, Channel] = {}
        fast, throttle = supported(nvml, handle, driver, errors)
        for field in (*fast, *throttle):
            self._add(field.name, field.kind, field.aspect, field.averages_over_s)
        self._fast = FieldValues(nvml, handle, fast, uuid, errors) if fast else None
        self._all = FieldValues(nvml, handle, (*fast, *throttle), uuid, errors) if fast or throttle else None
        self._singles = self._without_fields({field.name for field in fast})
        self._conditions = self._conditions_of()
        self._energy = f"nvml/{uuid}/{ENERGY.name}"
        self.pace = TickPredictor()
        """Says when it is to be read next."""
        self._throttle_due_ns = 0
        self._conditions_due_ns = 0

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels, in the order of their readings."""
        return tuple(self._channels.values())

    def read(self) -> list[Reading]:
        """Return one reading per channel."""
        now_ns = time.monotonic_ns()
        self._throttle_due_ns = now_ns + THROTTLE_EVERY_NS
        found = [*self._read_power(self._all), *self._read_conditions(now_ns)]
        return [reading for call in found for reading in call.readings()]

    def read_due(self, now_ns: int) -> list[Call]:
        """Call for energy and power, and for what else is due."""
        if now_ns >= self._throttle_due_ns:
            self._throttle_due_ns = now_ns + THROTTLE_EVERY_NS
            found = self._read_power(self._all)
        else:
            found = self._read_power(self._fast)
        if now_ns >= self._conditions_due_ns and not self.pace.bursting:
            found += self._read_conditions(now_ns)
        return found

    def use(self) -> DeviceUse:
        """Return what is on it now; what the device does not tell is unknown."""
        memory_bytes, computing = None, []
        try:
            memory_bytes = int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)
        except self._errors:
            pass
        try:
            computing = self._computing(self._handle)
        except self._errors:
            pass
        own = own_processes(computing, *self._who)
        return DeviceUse(device=self._uuid, memory_bytes=memory_bytes, processes=tuple(own))

    def _read_power(self, fields: FieldValues | None) -> list[Call]:
        found = [] if fields is None else [fields.read()]
        if self._singles:
            found += map(self._single, self._singles)
        for channels, before_ns, after_ns, values, _ in found:
            if channels[0] == self._energy:  # of each call, it is the first
                self.pace.read(before_ns, after_ns, values[0])
                return found
        now_ns = time.monotonic_ns()
        self.pace.read(now_ns, now_ns, None)
        return found

    def _read_conditions(self, now_ns: int) -> list[Call]:
        self._conditions_due_ns = now_ns + CONDITIONS_EVERY_NS
        return [self._single(single) for single in self._conditions]

    def _single(self, single: Single) -> Call:
        before_ns = time.monotonic_ns()
        try:
            raw = single.call()
        except self._errors as error:
            return Call(single.channels, before_ns, time.monotonic_ns(), [None], [str(error)])
        return Call(single.channels, before_ns, time.monotonic_ns(), [raw * single.unit])

    def _without_fields(self, told: set[str]) -> list[Single]:
        """Return the calls for energy and power where field values do not tell them."""
        found = []
        nvml = self._nvml
        if "energy" not in told and self._works(nvml.nvmlDeviceGetTotalEnergyConsumption):
            self._add("energy", "energy_j", None)
            found.append(self._of("energy", MILLI, nvml.nvmlDeviceGetTotalEnergyConsumption))
        if not {"power_instant", "power_average"} & told and self._works(nvml.nvmlDeviceGetPowerUsage):
            averages_over_s = None if self._capability is None else 0.0 if self._capability <= GA100 else 1.0
            self._add("power", "power_w", "usage", averages_over_s)
            found.append(self._of("power", MILLI, nvml.nvmlDeviceGetPowerUsage))
        return found

    def _conditions_of(self) -> list[Single]:
        nvml = self._nvml
        reasons = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        if reasons is None or not self._works(reasons):
            reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons
        wanted: tuple[tuple[str, ChannelKind, str | None, Callable[..., int], tuple[Any, ...]], ...] = (
            ("temperature", "temperature_c", None, nvml.nvmlDeviceGetTemperature, (nvml.NVML_TEMPERATURE_GPU,)),
            ("clock_sm", "clock_mhz", "sm", nvml.nvmlDeviceGetClockInfo, (nvml.NVML_CLOCK_SM,)),
            ("clock_memory", "clock_mhz", "memory", nvml.nvmlDeviceGetClockInfo, (nvml.NVML_CLOCK_MEM,)),
            ("event_reasons", "event_reasons", None, reasons, ()),
            ("foreign_processes", "foreign_processes", None, self._foreign, ()),
        )
        found = []
        for name, kind, aspect, call, arguments in wanted:
            if self._works(call, *arguments):
                self._add(name, kind, aspect)
                found.append(self._of(name, 1.0, call, *arguments))
        return found

    def _foreign(self, handle: Any) -> int:
        return foreign_processes(self._computing(handle), *self._who)

    def _computing(self, handle: Any) -> list[int]:
        return [process.pid for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)]

    def _of(self, name: str, unit: float, call: Callable[..., int], *arguments: Any) -> Single:
        return Single((f"nvml/{self._uuid}/{name}",), unit, partial(call, self._handle, *arguments))

    def _works(self, call: Callable[..., Any], *arguments: Any) -> bool:
        """Whether the device and its driver support a call: what they do not, is no channel."""
        try:
            call(self._handle, *arguments)
        except self._errors:
            return False
        return True

    def _add(self, name: str, kind: ChannelKind, aspect: str | None, averages_over_s: float | None = None) -> None:
        part_time = self._capability in PART_TIME and name in ("energy", "power_instant")
        channel = f"nvml/{self._uuid}/{name}"
        self._channels[channel] = Channel(
            id=channel,
            sensor="nvml",
            device=self._uuid,
            boundary="gpu",
            kind=kind,
            provenance="counter" if kind in ("energy_j", "throttle_ns") else "sampled",
            note=self._note,
            averages_over_s=averages_over_s,
            unseen_s=UNSEEN_S if part_time else None,
            aspect=aspect,
        )
