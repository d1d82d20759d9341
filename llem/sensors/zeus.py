"""AMD GPUs, NVIDIA Jetson and Apple silicon through Zeus, which the extra ``llem[zeus]`` installs."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llem.domain.errors import SensorError
from llem.domain.sensing import Channel, ChannelKind, Device, Provenance
from llem.sensors.base import Reading

MILLI = 1e-3
"""Zeus counts in mJ and mW: a thousandth of the channel's unit."""
HIDING = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
"""Zeus obeys these. The recorder sees every device, and binds those that workers use by their names."""
RAILS = {"total_power_mw": "soc", "gpu_power_mw": "soc_gpu", "cpu_power_mw": "soc_cpu"}
"""The power rails that Zeus tells apart on a Jetson, and what they are called here."""
PARTS = {"cpu_total_mj": "soc_cpu", "gpu_mj": "soc_gpu", "dram_mj": "dram", "ane_mj": "soc_ane"}
"""The parts of an Apple chip that Zeus counts, and what they are called here."""
BOTH_CHIPLETS = "both chiplets of the package: work on the other one is in it"


@dataclass(frozen=True)
class Zeus:
    """The parts of Zeus that are used, by the names that they have there."""

    amdsmi_is_available: Callable[[], bool]
    AMDGPUs: Callable[[], Any]
    amdsmi: Any
    jetson_is_available: Callable[[], bool]
    Jetson: Any
    apple_silicon_is_available: Callable[[], bool]
    AppleSilicon: Callable[[], Any]

    @classmethod
    def loaded(cls) -> "Zeus":
        """Import Zeus, and silence it.

        Raises:
            SensorError: It is not installed.
        """
        # Its loggers have no level of their own, so this one is theirs too.
        logging.getLogger("zeus").setLevel(logging.CRITICAL + 1)
        try:
            from zeus.device.gpu.amd import AMDGPUs, amdsmi, amdsmi_is_available
            from zeus.device.soc.apple import AppleSilicon, apple_silicon_is_available
            from zeus.device.soc.jetson import Jetson, jetson_is_available
        except ImportError as error:
            raise SensorError(f"Zeus cannot be imported: {error}.", remedy="`pip install 'llem[zeus]'`") from None
        return cls(
            amdsmi_is_available,
            AMDGPUs,
            amdsmi,
            jetson_is_available,
            Jetson,
            apple_silicon_is_available,
            AppleSilicon,
        )


@dataclass(frozen=True)
class _Source:
    """One call, and the channels that its values are for, in their units."""

    channels: tuple[Channel, ...]
    call: Callable[[], Sequence[float | None]]


class ZeusSensor:
    """Every AMD GPU that the driver shows, by the name that ROCm gives it, and the parts of a Jetson or Apple chip.

    NVIDIA's GPUs are left to ``nvml``: two pollers on one GPU disturb each other. What Zeus itself sums up is not
    taken: a Jetson is read rail by rail, without the process that Zeus starts to integrate at 10 Hz.

    Args:
        zeus: What is used of Zeus, or what speaks as it does; imported where left out.
    """

    period_s = 0.05

    def __init__(self, zeus: Zeus | None = None) -> None:
        zeus = Zeus.loaded() if zeus is None else zeus
        self._held: list[Any] = []
        self._sources: list[_Source] = []
        devices: list[Device] = []
        for found in (self._amd(zeus), self._jetson(zeus), self._apple(zeus)):
            for device, sources in found:
                devices.append(device)
                self._sources += sources
        if not self._sources:
            raise SensorError(
                "Zeus finds no AMD GPU, Jetson or Apple chip that it can read here.",
                remedy="NVIDIA GPUs need none of it: `nvml` reads them. For AMD GPUs, install ROCm 6.2 or newer and "
                "an `amdsmi` that is as new, and check `amd-smi metric --power --energy`.",
            )
        self.channels = tuple(channel for source in self._sources for channel in source.channels)
        self.devices = tuple(devices)

    def read(self) -> list[Reading]:
        """Return one reading per channel: joules for energies, watts for powers."""
        return [reading for source in self._sources for reading in _read(source)]

    def close(self) -> None:
        """Let go of Zeus's objects, which shut AMD's library down when they go."""
        self._sources = []
        self._held = []

    def _amd(self, zeus: Zeus) -> Iterator[tuple[Device, list[_Source]]]:
        if not zeus.amdsmi_is_available():
            return
        try:
            with _every_device_visible():
                manager = zeus.AMDGPUs()
        except Exception as error:  # noqa: BLE001 - a vendor's library may raise anything
            raise SensorError(
                f"Zeus gives no access to the AMD GPUs: {error}.",
                remedy="Check `amd-smi metric --power --energy` as the same user.",
            ) from None
        self._held.append(manager)  # AMD's library is shut down with it
        names = _lasting_names(zeus.amdsmi, [gpu.handle for gpu in manager.gpus])
        for gpu, name in zip(manager.gpus, names, strict=True):
            yield _amd_device(zeus.amdsmi, gpu, name), _amd_sources(gpu, name)

    def _jetson(self, zeus: Zeus) -> Iterator[tuple[Device, list[_Source]]]:
        if not zeus.jetson_is_available():
            return
        # No instance: to make one starts a process that polls and that outlives a recorder which is killed.
        rails = zeus.Jetson._discover_available_metrics(object.__new__(zeus.Jetson))
        sources = [
            _source("jetson", rail, "power_w", "sampled", _milli(rails[key].measure_power), _rail(rails[key]))
            for key, rail in RAILS.items()
            if key in rails
        ]
        yield Device(id="jetson", name="NVIDIA Jetson", facts={"rails": ", ".join(sorted(rails))}), sources

    def _apple(self, zeus: Zeus) -> Iterator[tuple[Device, list[_Source]]]:
        if not zeus.apple_silicon_is_available():
            return
        chip = zeus.AppleSilicon()
        told = chip.get_total_energy_consumption()
        parts = [part for part in PARTS if getattr(told, part, None) is not None]
        note = "the chip's own energy model"
        channels = [_channel("apple", PARTS[part], "energy_j", "counter", note) for part in parts]

        def energies_j() -> list[float | None]:
            now = chip.get_total_energy_consumption()
            values = [getattr(now, part) for part in parts]
            return [None if value is None else value * MILLI for value in values]

        yield Device(id="apple", name="Apple silicon", facts={}), [_Source(tuple(channels), energies_j)]


def _rail(meter: Any) -> str | None:
    """Return what the board calls a rail of a Jetson: Zeus files ``VDD_CPU_GPU_CV``, too, under the processor."""
    path = getattr(meter, "power_path", None) or getattr(meter, "voltage_path", None)
    number = re.search(r"\d+", path.name) if isinstance(path, Path) else None
    if path is None or number is None:
        return None
    labels = [path.with_name(f"in{number[0]}_label"), path.with_name(f"rail_name_{number[0]}")]
    name = next((label.read_text().strip() for label in labels if label.is_file()), None)
    return None if name is None else f"the board's rail {name}"


def _read(source: _Source) -> list[Reading]:
    before_ns = time.monotonic_ns()
    try:
        values = source.call()
        reason = "Zeus gave no value"
    except Exception as error:  # noqa: BLE001 - a vendor's library may raise anything; none of it is a 0
        values, reason = [None] * len(source.channels), str(error) or type(error).__name__
    after_ns = time.monotonic_ns()
    return [
        Reading(channel.id, before_ns, after_ns, value, reason if value is None else None)
        for channel, value in zip(source.channels, values, strict=True)
    ]


def _milli(call: Callable[[], float]) -> Callable[[], list[float | None]]:
    return lambda: [call() * MILLI]


def _channel(device: str, boundary: str, kind: ChannelKind, provenance: Provenance, note: str | None) -> Channel:
    suffix = kind.partition("_")[0]
    part = suffix if boundary == "gpu" else f"{boundary}/{suffix}"
    return Channel(
        id=f"zeus/{device}/{part}",
        sensor="zeus",
        device=device,
        boundary=boundary,
        kind=kind,
        provenance=provenance,
        note=note,
    )


def _source(
    device: str,
    boundary: str,
    kind: ChannelKind,
    provenance: Provenance,
    call: Callable[[], Sequence[float | None]],
    note: str | None,
) -> _Source:
    return _Source((_channel(device, boundary, kind, provenance, note),), call)


def _amd_sources(gpu: Any, name: str) -> list[_Source]:
    """Return what a GPU can tell; the second chiplet of an MI250 tells nothing, since the first one's is of both."""
    note = BOTH_CHIPLETS if "MI250" in str(_fact(gpu.get_name)) else None
    sources = []
    # Zeus has compared the counter with the power, and says that it is none where they differ tenfold.
    if _fact(gpu.supports_get_total_energy_consumption) and _fact(gpu.get_total_energy_consumption) is not None:
        energy = _milli(gpu.get_total_energy_consumption)
        sources.append(_source(name, "gpu", "energy_j", "counter", energy, note))
    for call in (gpu.get_instant_power_usage, gpu.get_average_power_usage):
        if _fact(call) is not None:
            sources.append(_source(name, "gpu", "power_w", "sampled", _milli(call), note))
            break
    return sources


def _amd_device(amdsmi: Any, gpu: Any, name: str) -> Device:
    driver = _fact(amdsmi.amdsmi_get_gpu_driver_info, gpu.handle)
    limit_mw = _fact(gpu.get_power_management_limit)
    return Device(
        id=name,
        name=str(_fact(gpu.get_name)),
        facts={
            "driver": driver.get("driver_version") if isinstance(driver, dict) else None,
            "power_limit_w": None if limit_mw is None else limit_mw * MILLI,
            "bdf": _fact(amdsmi.amdsmi_get_gpu_device_bdf, gpu.handle),
        },
    )


def _lasting_names(amdsmi: Any, handles: Sequence[Any]) -> list[str]:
    """Return ``GPU-`` and the serial of each GPU's chip, as rocminfo and ROCR_VISIBLE_DEVICES have it.

    Where chips share one or have none (partitions, some consumer cards) the PCI address names them.
    """
    serials = [_serial(amdsmi, handle) for handle in handles]
    return [
        f"GPU-{serial}"
        if serial is not None and serials.count(serial) == 1
        else f"amd:{_fact(amdsmi.amdsmi_get_gpu_device_bdf, handle) or place}"
        for place, (handle, serial) in enumerate(zip(handles, serials, strict=True))
    ]


def _serial(amdsmi: Any, handle: Any) -> str | None:
    asic = _fact(amdsmi.amdsmi_get_gpu_asic_info, handle)
    text = str(asic.get("asic_serial")) if isinstance(asic, dict) else ""
    digits = text.lower().removeprefix("0x")
    is_serial = digits.strip("0123456789abcdef") == "" and digits.strip("0f") != ""
    return digits.zfill(16) if is_serial else None


def _fact(call: Callable[..., Any], *args: Any) -> Any:
    """Return what ``call`` says; None where the device or its driver does not tell."""
    try:
        return call(*args)
    except Exception:  # noqa: BLE001 - a vendor's library may raise anything; what it does not tell is unknown
        return None


@contextmanager
def _every_device_visible() -> Iterator[None]:
    hidden = {name: os.environ.pop(name) for name in HIDING if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
