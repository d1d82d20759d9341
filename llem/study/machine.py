"""The machine that a study is planned for: its GPUs, asked of a recorder so that this process never loads NVML."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from llem.domain.errors import SensorError
from llem.domain.host import Gpu
from llem.domain.sensing import Device, SensorReport
from llem.sensors import automatic_sensors
from llem.sensors.visible import identifiers, index_of
from llem.study.recording import COMMAND, RecorderClient

GPU_NODES = tuple(map(Path, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/nvmap")))
"""Device files of GPUs that NVML may not know: a driver without NVML, AMD's, Windows' under WSL, and Tegra's."""

GPU_SENSORS = ("nvml", "zeus")


class UnknownMachine:
    """A machine that nobody asked: no rule about it may refuse anything."""

    def gpus(self) -> None:
        """Return None."""


class ProbedMachine:
    """This machine, asked once, when somebody first wants to know.

    Args:
        command: The recorder's command, as ``RecorderClient`` takes it.
        gpu_nodes: Device files, any of which may mean a GPU that NVML does not show.
    """

    def __init__(self, command: Sequence[str] = COMMAND, gpu_nodes: Sequence[Path] = GPU_NODES) -> None:
        self._command = command
        self._gpu_nodes = gpu_nodes

    def gpus(self) -> Sequence[Gpu] | None:
        """Return the GPUs that CUDA shows a new process, in CUDA's order; empty for none, None for unknown.

        The first call starts a recorder, which opens NVML and ends; it takes some tenths of a second.
        """
        return self._gpus

    @cached_property
    def _gpus(self) -> Sequence[Gpu] | None:
        asked_for = os.environ.get("CUDA_VISIBLE_DEVICES")
        if asked_for is not None and asked_for.startswith("MIG-"):
            return None  # a part of a GPU, of which NVML's list of GPUs says nothing
        if asked_for is not None and not identifiers(asked_for):
            return ()
        devices = self._devices()
        by_speed = os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID"
        return None if devices is None else visible_gpus(devices, asked_for, by_speed=by_speed)

    def _devices(self) -> Sequence[Device] | None:
        """Return NVML's devices; empty where there can be no GPU, None where that cannot be known."""
        report = _asked(["nvml"], self._command)
        if report is None:
            return None
        if report.devices:
            return report.devices
        return None if any(node.exists() for node in self._gpu_nodes) else ()


def usable_gpus(command: Sequence[str] = COMMAND, gpu_nodes: Sequence[Path] = GPU_NODES) -> tuple[str, ...]:
    """Return the GPUs that a study started here can use, by UUID; empty where there are none, or nothing tells.

    The whole GPU where CUDA shows a part of it: its energy is that of the whole. Nobody is asked where no device file
    says that there is a GPU.
    """
    if not any(node.exists() for node in gpu_nodes):
        return ()
    report = _asked([name for name in automatic_sensors() if name in GPU_SENSORS], command)
    channels = report.channels if report else ()
    return tuple(dict.fromkeys(channel.device for channel in channels if channel.boundary == "gpu"))


def _asked(sensors: Sequence[str], command: Sequence[str]) -> SensorReport | None:
    """Return what a recorder says of these sensors, which then ends; None where it does not answer."""
    try:
        recorder = RecorderClient(sensors, Path(os.devnull), None, command)
    except SensorError:
        return None
    recorder.close()
    return recorder.report


def visible_gpus(devices: Sequence[Device], asked_for: str | None, *, by_speed: bool) -> Sequence[Gpu] | None:
    """Return what CUDA shows of NVML's devices; None where a GPU is partitioned (MIG), so that CUDA shows parts.

    CUDA numbers GPUs by speed unless CUDA_DEVICE_ORDER is PCI_BUS_ID, which is NVML's order, and does not say how it
    ranks them. So among GPUs that differ, a number names one of them, and only what all share is known of it.

    Args:
        devices: NVML's devices, with the facts ``compute_capability``, ``memory_bytes`` and ``mig``.
        asked_for: The value of CUDA_VISIBLE_DEVICES, None where it is not set. It is read as
            ``torch.cuda._parse_visible_devices`` reads it: the first identifier that names no GPU ends the list, and
            one that is named twice empties it.
        by_speed: Whether CUDA's order is its own.
    """
    if any(device.facts.get("mig") for device in devices):
        return None
    gpus = [_gpu(device) for device in devices]
    numbered = [_any_of(gpus)] * len(gpus) if by_speed and gpus else gpus
    if asked_for is None:
        return tuple(numbered)
    shown: dict[int, Gpu] = {}
    for identifier in identifiers(asked_for):
        index = identifier if isinstance(identifier, int) else index_of(identifier, [device.id for device in devices])
        if index is None or index >= len(gpus):
            break
        if index in shown:
            return ()
        shown[index] = numbered[index] if isinstance(identifier, int) else gpus[index]
    return tuple(shown.values())


def _gpu(device: Device) -> Gpu:
    capability, memory_bytes = device.facts.get("compute_capability"), device.facts.get("memory_bytes")
    major, _, minor = capability.partition(".") if isinstance(capability, str) else ("", "", "")
    return Gpu(
        name=device.name,
        compute_capability=(int(major), int(minor)) if major and minor else None,
        memory_bytes=memory_bytes if isinstance(memory_bytes, int) else None,
    )


def _any_of(gpus: Sequence[Gpu]) -> Gpu:
    """Return what is known of one of these GPUs, whichever it is."""
    first = gpus[0]
    return Gpu(
        name=" or ".join(dict.fromkeys(gpu.name for gpu in gpus)),
        compute_capability=first.compute_capability if len({gpu.compute_capability for gpu in gpus}) == 1 else None,
        memory_bytes=first.memory_bytes if len({gpu.memory_bytes for gpu in gpus}) == 1 else None,
    )
