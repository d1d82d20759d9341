"""What spoils comparisons on this machine, each with the command that mends it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from llem.domain.model import Value
from llem.domain.sensing import Device
from llem.domain.sensor_check import Agreement, DeviceCheck, SensorCheck
from llem.domain.sensor_checking import DOUBTFUL_REL

BUSY_SHARE = 0.1
"""Of all processors: above this load, others take part in what is measured."""
LOW_DISK_BYTES = 1_000_000_000
GOVERNORS = "devices/system/cpu/cpu*/cpufreq/scaling_governor"


class Spoiler(Value):
    """Something that makes figures differ for no reason of the experiment.

    Attributes:
        code: What it is, as one word that stays the same.
        where: The device or part of the machine.
        found: What was found, and what it does to a figure.
        remedy: The command that mends it, or what to do where no command can.
    """

    code: str
    where: str
    found: str
    remedy: str


def spoilers(
    devices: Sequence[Device],
    *,
    load: float,
    cpus: int,
    free_bytes: int,
    folder: Path,
    check: SensorCheck | None = None,
    sysfs: Path = Path("/sys"),
) -> list[Spoiler]:
    """Return what spoils comparisons here.

    Args:
        devices: The devices that sensors know.
        load: Mean number of runnable processes over the last minute.
        cpus: Processors that may be used.
        free_bytes: Free space in ``folder``.
        folder: Where studies would be written.
        check: What a check of the sensors found; None where there was none.
        sysfs: Where the kernel shows the processors' governors.
    """
    found = [spoiler for device in devices for spoiler in _of_device(device)]
    found += sensor_spoilers(check) if check else []
    governors = sorted({path.read_text().strip() for path in sysfs.glob(GOVERNORS) if os.access(path, os.R_OK)})
    slow = [governor for governor in governors if governor != "performance"]
    if slow:
        found.append(
            Spoiler(
                code="cpu_governor",
                where="cpu",
                found=f"the governor is {', '.join(slow)}: clocks follow the load, and times with them",
                remedy="sudo cpupower frequency-set -g performance",
            )
        )
    if load > BUSY_SHARE * cpus:
        found.append(
            Spoiler(
                code="busy",
                where="cpu",
                found=f"a load of {load:.1f} on {cpus} processors: others run here now",
                remedy="top -b -n 1 | head -n 20   # see who, and wait or ask them",
            )
        )
    if free_bytes < LOW_DISK_BYTES:
        found.append(
            Spoiler(
                code="low_disk",
                where=str(folder),
                found=f"{free_bytes / 1e6:.0f} MB are free: a study stops when it can record nothing more",
                remedy="llem study run STUDY.yaml --output FOLDER   # on another disk",
            )
        )
    return found


def sensor_spoilers(check: SensorCheck) -> list[Spoiler]:
    """Return the devices whose sensors do not agree with each other, or do not work."""
    return [_of_sensor(found) for found in check.devices if found.grade != "good"]


def _of_sensor(found: DeviceCheck) -> Spoiler:
    off = [agreed for agreed in found.agreements if abs(agreed.relative) > DOUBTFUL_REL]
    said = "; ".join(map(_agreement_text, off)) or "its energy counter fell or did not move"
    if found.grade == "doubtful":
        return Spoiler(
            code="doubtful_sensor",
            where=found.device,
            found=f"its sensors differ: {said}",
            remedy="llem doctor   # again, when nothing else runs on it: what stays is the device's own",
        )
    return Spoiler(
        code="poor_sensor",
        where=found.device,
        found=f"its energy counter is poor, and power readings lead where there are any: {said}",
        remedy="llem doctor   # again, when nothing else runs on it; then with another driver",
    )


def _agreement_text(agreed: Agreement) -> str:
    state = "idle" if agreed.state == "idle" else "under load"
    return f"{agreed.channel} {agreed.channel_w:.4g} W {state}, the counter {agreed.counter_w:.4g} W"


def _of_device(device: Device) -> Iterator[Spoiler]:
    """Yield what spoils a GPU's figures. A fact that is unknown spoils nothing that could be named."""
    facts = device.facts
    if facts.get("mig") is True:
        yield Spoiler(
            code="mig",
            where=device.id,
            found="MIG is on: energy is that of the whole GPU, whoever uses its instances",
            remedy=f"sudo nvidia-smi -i {device.id} -mig 0",
        )
    if facts.get("persistence") is False:
        yield Spoiler(
            code="persistence_off",
            where=device.id,
            found="persistence mode is off: the driver unloads between trials, and idle power jumps",
            remedy=f"sudo nvidia-smi -i {device.id} -pm 1",
        )
    processes = facts.get("compute_processes")
    if isinstance(processes, int) and processes > 0:
        yield Spoiler(
            code="foreign_process",
            where=device.id,
            found=f"{processes} other processes compute on it: their energy is in its figures",
            remedy=f"nvidia-smi -i {device.id} --query-compute-apps=pid,name,used_memory --format=csv",
        )
