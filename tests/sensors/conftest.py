import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from llem.sensors.zeus import Zeus

NOBODY = 65534


@pytest.fixture
def readable_by_none():
    """Return a powercap tree whose counter may not be read, even where the tests run as root."""
    with tempfile.TemporaryDirectory() as name:  # tmp_path lies below a folder that is closed to others
        Path(name).chmod(0o755)
        zone = Path(name) / "intel-rapl:0"
        zone.mkdir()
        (zone / "name").write_text("package-0\n")
        (zone / "max_energy_range_uj").write_text("262143328850\n")
        (zone / "energy_uj").write_text("1\n")
        (zone / "energy_uj").chmod(0o000)
        was_root = os.geteuid() == 0
        if was_root:
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            if was_root:
                os.seteuid(0)


class NotSupported(Exception):  # noqa: N818 - as Zeus has it, an error that says what is not supported
    pass


class FakeAmdGpu:
    """One GPU as Zeus shows it, and what AMD's own library says of it; None is what it does not support."""

    def __init__(self, serial="0x668529BC9F563D56", bdf="0000:03:00.0", name="AMD Instinct MI300X", **told):
        self.handle, self.serial, self.bdf, self.name, self.failing = self, serial, bdf, name, None
        self.energy_mj, self.instant_mw, self.average_mw, self.counter_is_one = 5_000, 120_000, None, True
        self.__dict__.update(told)

    def get_name(self):
        return self.name

    def supports_get_total_energy_consumption(self):
        return self.counter_is_one

    def get_total_energy_consumption(self):
        return self.told(self.energy_mj)

    def get_instant_power_usage(self):
        return self.told(self.instant_mw)

    def get_average_power_usage(self):
        return self.told(self.average_mw)

    def get_power_management_limit(self):
        return 750_000

    def told(self, value):
        if self.failing:
            raise NotSupported(self.failing)
        if value is None:
            raise NotSupported("not supported on this AMD GPU")
        return value


class FakeAmdsmi:
    """The calls of AMD's library that Zeus has no word for."""

    def amdsmi_get_gpu_asic_info(self, gpu):
        return {"asic_serial": gpu.serial}

    def amdsmi_get_gpu_device_bdf(self, gpu):
        return gpu.bdf

    def amdsmi_get_gpu_driver_info(self, gpu):
        return {"driver_name": "amdgpu", "driver_version": "6.12.12"}


class FakeRail:
    def __init__(self, power_mw, voltage_path=None):
        self.power_mw, self.voltage_path = power_mw, voltage_path

    def measure_power(self):
        if self.power_mw is None:
            raise OSError("No such device")
        return self.power_mw


def fake_zeus(gpus=(), rails=None, chip=None, broken=None):
    """Return what the sensor uses of Zeus.

    Args:
        gpus: AMD's GPUs.
        rails: The power rails of a Jetson.
        chip: The counters of an Apple chip, in mJ; a later reading is what the mapping holds then.
        broken: Why AMD's library gives no access.
    """

    def managed():
        assert not {"HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"} & set(os.environ)
        if broken:
            raise NotSupported(broken)
        return SimpleNamespace(gpus=list(gpus))

    class Jetson:
        def __init__(self):
            raise AssertionError("that would start a process")

        def _discover_available_metrics(self):
            return rails

    return Zeus(
        amdsmi_is_available=lambda: bool(gpus or broken),
        AMDGPUs=managed,
        amdsmi=FakeAmdsmi(),
        jetson_is_available=lambda: rails is not None,
        Jetson=Jetson,
        apple_silicon_is_available=lambda: chip is not None,
        AppleSilicon=lambda: SimpleNamespace(get_total_energy_consumption=lambda: SimpleNamespace(**chip)),
    )


@pytest.fixture
def gpu():
    """Return what makes one of AMD's GPUs."""
    return FakeAmdGpu


@pytest.fixture
def rail():
    """Return what makes a power rail of a Jetson."""
    return FakeRail


@pytest.fixture
def zeus():
    """Return a function that makes Zeus as the sensor uses it, on a machine that has what a test says."""
    return fake_zeus
