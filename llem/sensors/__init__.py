"""The sensors that llem can read. A new one is one file and one line here."""

from llem.sensors.base import Sensor, SensorFactory, Thermometer
from llem.sensors.codecarbon import CodeCarbonSensor
from llem.sensors.nvml import NvmlSensor
from llem.sensors.rapl import RaplSensor

SENSORS: dict[str, SensorFactory] = {
    "nvml": NvmlSensor,
    "rapl": RaplSensor,
    "codecarbon": CodeCarbonSensor,
}
"""Sensors by name, in the order in which they are opened."""

__all__ = ["SENSORS", "Sensor", "SensorFactory", "Thermometer"]
