"""The sensors that llem can read. A new one is one file and one line here."""

from importlib.util import find_spec

from llem.sensors.base import Paced, Sensor, SensorFactory, Thermometer
from llem.sensors.codecarbon import CodeCarbonSensor
from llem.sensors.nvml import NvmlSensor
from llem.sensors.rapl import RaplSensor
from llem.sensors.zeus import ZeusSensor

SENSORS: dict[str, SensorFactory] = {
    "nvml": NvmlSensor,
    "rapl": RaplSensor,
    "zeus": ZeusSensor,
    "codecarbon": CodeCarbonSensor,
}
"""Sensors by name, in the order in which they are opened."""

EXTRAS = {"zeus": "zeus"}
"""Sensors whose package only an extra installs: name → package."""


def automatic_sensors() -> list[str]:
    """Return what ``sensors: auto`` and ``llem doctor`` read: every sensor but those of extras not installed.

    Who names such a sensor is told that it is missing; who does not, misses nothing.
    """
    return [name for name in SENSORS if name not in EXTRAS or find_spec(EXTRAS[name]) is not None]


__all__ = ["SENSORS", "Paced", "Sensor", "SensorFactory", "Thermometer", "automatic_sensors"]
