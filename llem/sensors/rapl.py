"""Intel and AMD processors through RAPL: cumulative energy counters in the powercap tree."""

import time
from pathlib import Path

from llem.domain.errors import SensorError
from llem.domain.sensing import Channel, Device
from llem.sensors.base import Reading

POWERCAP = Path("/sys/class/powercap")
UPDATES_EVERY_S = 0.001
"""Intel's SDM, volume 3B, "Package RAPL Domain": the energy status is updated about every millisecond."""


class RaplSensor:
    """Packages and, where the machine has them, DRAM zones.

    Cores lie inside their package and ``psys`` contains the packages, so neither is read: no joule is counted
    twice. A package's counter leaves DRAM out. Counters wrap at ``max_energy_range_uj``.

    Args:
        root: The powercap tree.
    """

    period_s = 0.05

    def __init__(self, root: Path = POWERCAP) -> None:
        found = [_zone(path) for path in sorted(root.glob("intel-rapl:*"))]
        zones = [zone for zone in found if zone is not None]
        if not zones:
            raise SensorError(
                f"{root} shows no RAPL package.",
                remedy="On bare metal with an Intel or AMD processor: `sudo modprobe intel_rapl_common "
                "intel_rapl_msr`. Virtual machines usually hide RAPL.",
            )
        self._files = [(channel.id, path / "energy_uj") for channel, path in zones]
        for _, file in self._files:
            _require_readable(file)
        self.channels = tuple(channel for channel, _ in zones)
        self.devices = tuple(
            Device(id=channel.device, name=channel.boundary, facts={"wraps_at_j": channel.wraps_at_j})
            for channel in self.channels
        )

    def read(self) -> list[Reading]:
        """Return one reading per zone, in joules."""
        return [_read(channel, file) for channel, file in self._files]

    def close(self) -> None:
        """Nothing is held open."""


def _zone(path: Path) -> tuple[Channel, Path] | None:
    """Return the channel of a zone that is to be counted; None for cores, uncores and psys.

    A zone that cannot be told is an error: left out, a package's joules would silently be missing.
    """
    try:
        name = (path / "name").read_text().strip()
        if not (name.startswith("package") or name == "dram"):
            return None
        wraps_at_uj = int((path / "max_energy_range_uj").read_text())
    except (OSError, ValueError) as error:
        raise SensorError(f"The RAPL zone {path} cannot be read: {error}.", remedy="Check its permissions.") from None
    boundary = "dram" if name == "dram" else "cpu_package"
    zone = path.name.removeprefix("intel-rapl:")
    channel = Channel(
        id=f"rapl/{zone}/energy",
        sensor="rapl",
        device=f"rapl:{zone}:{name}",
        boundary=boundary,
        kind="energy_j",
        provenance="counter",
        wraps_at_j=wraps_at_uj / 1e6,
        updates_every_s=UPDATES_EVERY_S,
        note="the whole package, whoever uses it" if boundary == "cpu_package" else None,
    )
    return channel, path


def _require_readable(file: Path) -> None:
    try:
        file.read_text()
    except PermissionError:
        raise SensorError(
            f"{file} may not be read: since CVE-2020-8694 only root reads RAPL.",
            remedy=f"`sudo chmod a+r {file}` allows it until the next boot; a udev rule for good.",
        ) from None
    except OSError as error:
        raise SensorError(f"{file} cannot be read: {error.strerror}.", remedy="Check the powercap driver.") from None


def _read(channel: str, file: Path) -> Reading:
    before_ns = time.monotonic_ns()
    try:
        energy_uj = int(file.read_text())
    except (OSError, ValueError) as error:
        return Reading(channel, before_ns, time.monotonic_ns(), None, str(error))
    return Reading(channel, before_ns, time.monotonic_ns(), energy_uj / 1e6)
