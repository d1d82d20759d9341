"""The real recorder with one acted sensor: a meter of exactly ten watts, or one with a fault.

LLEM_ACTING_RECORDER says which: ``meter``, ``slow_open``, ``slow_start``, ``slow_stop``, ``hang_on_close``,
``with_child``, or ``die_once:FILE``, which dies at its third reading unless FILE is there, and makes it; or with a
thermometer: ``warm``, which settles within half a second, ``warming``, which never does, and ``dying_thermometer``.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from llem.domain.errors import SensorError
from llem.domain.sensing import Channel, Device, Temperature
from llem.lifeline import die_with_parent
from llem.recorder.recorder import Recorder, open_sensors
from llem.sensors.base import Reading

WATTS = 10.0
FOR_EVER_S = 3600


class Meter:
    """A package's energy counter that rises by ten joules a second."""

    period_s = 0.005
    channels: tuple[Channel, ...] = (
        Channel(
            id="acted/package",
            sensor="rapl",
            device="package-0",
            boundary="cpu_package",
            kind="energy_j",
            provenance="counter",
        ),
    )
    devices: tuple[Device, ...] = (Device(id="package-0", name="acted", facts={}),)

    def __init__(self, fault: str) -> None:
        if fault == "none":
            raise SensorError("There is no meter.", remedy="Buy one.")
        if fault == "slow_open":
            time.sleep(FOR_EVER_S)
        if fault == "with_child":  # as a library may ask another program what processor this is
            subprocess.Popen(["sleep", str(FOR_EVER_S)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._fault = fault
        self._reads = 0

    def read(self) -> list[Reading]:
        self._reads += 1
        if self._fault == "slow_start" and self._reads == 1:
            time.sleep(FOR_EVER_S)
        if self._fault == "slow_stop" and self._reads > 1:
            time.sleep(FOR_EVER_S)
        if self._fault.startswith("die_once:") and self._reads == 3:
            mark = Path(self._fault.partition(":")[2])
            if not mark.exists():
                mark.touch()
                os._exit(1)
        before_ns = time.monotonic_ns()
        return [Reading("acted/package", before_ns, time.monotonic_ns(), before_ns / 1e9 * WATTS)]

    def close(self) -> None:
        if self._fault == "hang_on_close":
            time.sleep(FOR_EVER_S)


class WarmMeter(Meter):
    """The same with a thermometer."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self._opened = time.monotonic()
        self._asked = 0

    def temperatures(self) -> list[Temperature]:
        self._asked += 1
        if self._fault == "dying_thermometer" and self._asked > 1:
            os._exit(1)
        risen_s = time.monotonic() - self._opened
        settled_s = FOR_EVER_S if self._fault == "warming" else 0.5
        return [Temperature(device="package-0", temperature_c=30 + 20 * min(risen_s, settled_s), clock_mhz=1500)]


THERMOMETERS = ("warm", "warming", "dying_thermometer")


def main() -> None:
    die_with_parent(int(sys.argv[1]))
    fault = os.environ["LLEM_ACTING_RECORDER"]
    factories: dict[str, Callable[[], Meter]] = {
        "rapl": lambda: (WarmMeter if fault in THERMOMETERS else Meter)(fault)
    }
    sensors, report = open_sensors(["rapl"], factories)
    commands = os.fdopen(0, "rb", buffering=0, closefd=False)
    Recorder(sensors.values(), report, commands, os.fdopen(os.dup(1), "wb")).run()


if __name__ == "__main__":
    main()
