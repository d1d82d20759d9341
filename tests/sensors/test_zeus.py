"""What the sensor makes of Zeus; that it is a sensor like the others, test_contract.py says."""

import importlib.util
import os

import pytest

from llem.domain.errors import SensorError
from llem.engines.devices import gpu_name
from llem.sensors import EXTRAS, SENSORS, automatic_sensors
from llem.sensors.zeus import Zeus, ZeusSensor

INSTALLED = importlib.util.find_spec("zeus") is not None


@pytest.fixture
def opened(zeus):
    """Return a function that opens the sensor on a machine that has what is said."""
    return lambda **machine: ZeusSensor(zeus(**machine))


def told(sensor):
    return [(c.id, c.boundary, c.kind, c.provenance) for c in sensor.channels]


class TestAmd:
    def test_millijoules_and_milliwatts_become_joules_and_watts(self, opened, gpu):
        sensor = opened(gpus=[gpu(energy_mj=123_456_789, instant_mw=250_000)])
        assert told(sensor) == [
            ("zeus/GPU-668529bc9f563d56/energy", "gpu", "energy_j", "counter"),
            ("zeus/GPU-668529bc9f563d56/power", "gpu", "power_w", "sampled"),
        ]
        assert [reading.value for reading in sensor.read()] == pytest.approx([123_456.789, 250.0])

    def test_a_gpu_has_the_name_that_the_worker_gives_it(self, opened, gpu):
        (device,) = opened(gpus=[gpu()]).devices
        assert device.id == gpu_name("36363835-3239-6263-3966-353633643536", rocm=True)
        assert device.facts == {"driver": "6.12.12", "power_limit_w": 750.0, "bdf": "0000:03:00.0"}

    def test_a_short_serial_is_the_same_number_for_sensor_and_worker(self, opened, gpu):
        (device,) = opened(gpus=[gpu(serial="0xAB")]).devices
        assert device.id == "GPU-00000000000000ab"

    @pytest.mark.parametrize("serial", ["N/A", "", "0x0", "0xffffffffffffffff", None])
    def test_a_chip_without_a_serial_is_named_by_its_place(self, opened, gpu, serial):
        (device,) = opened(gpus=[gpu(serial=serial)]).devices
        assert device.id == "amd:0000:03:00.0"

    def test_partitions_of_one_chip_are_told_apart(self, opened, gpu):
        sensor = opened(gpus=[gpu(bdf="0000:03:00.0"), gpu(bdf="0000:03:00.1"), gpu("0x1")])
        assert [device.id for device in sensor.devices] == [
            "amd:0000:03:00.0",
            "amd:0000:03:00.1",
            "GPU-0000000000000001",
        ]

    def test_a_counter_that_zeus_found_to_be_none_is_no_channel(self, opened, gpu):
        sensor = opened(gpus=[gpu(counter_is_one=False)])
        assert [channel.kind for channel in sensor.channels] == ["power_w"]

    def test_the_average_power_stands_in_where_no_instant_one_is_told(self, opened, gpu):
        sensor = opened(gpus=[gpu(energy_mj=None, instant_mw=None, average_mw=90_000)])
        assert [reading.value for reading in sensor.read()] == [90.0]

    def test_the_first_chiplet_of_an_mi250_is_of_both_and_the_second_has_no_channel(self, opened, gpu):
        first = gpu("0x1", name="AMD Instinct MI250X")
        second = gpu(
            "0x2", name="AMD Instinct MI250X", counter_is_one=False, energy_mj=None, instant_mw=None, average_mw=None
        )
        sensor = opened(gpus=[first, second])
        assert {channel.device for channel in sensor.channels} == {"GPU-0000000000000001"}
        assert all("both chiplets" in channel.note for channel in sensor.channels)

    def test_a_reading_that_fails_is_none_with_the_reason_and_never_zero(self, opened, gpu):
        lost = gpu()
        sensor = opened(gpus=[lost])
        lost.failing = "AMDSMI_STATUS_DRIVER_NOT_LOADED"
        assert [(reading.value, reading.reason) for reading in sensor.read()] == [(None, lost.failing)] * 2
        lost.failing = None
        assert [reading.value for reading in sensor.read()] == [5.0, 120.0]

    def test_devices_that_a_user_hides_are_seen_and_stay_hidden_for_others(self, opened, gpu, monkeypatch):
        monkeypatch.setenv("HIP_VISIBLE_DEVICES", "GPU-668529bc9f563d56")
        assert len(opened(gpus=[gpu("0x1"), gpu("0x2")]).devices) == 2
        assert os.environ["HIP_VISIBLE_DEVICES"] == "GPU-668529bc9f563d56"

    def test_a_library_that_gives_no_access_says_why(self, opened):
        with pytest.raises(SensorError, match="no access to the AMD GPUs: AMDSMI_STATUS_NO_PERM") as refused:
            opened(broken="AMDSMI_STATUS_NO_PERM")
        assert "amd-smi" in refused.value.remedy


class TestSystemsOnAChip:
    def test_the_rails_of_a_jetson_are_powers_and_no_process_is_started(self, opened, rail, tmp_path):
        (tmp_path / "in2_label").write_text("VDD_CPU_GPU_CV\n")
        rails = {
            "cpu_power_mw": rail(2_000.0, tmp_path / "in2_input"),
            "gpu_power_mw": rail(3_500.0),
            "total_power_mw": rail(9_250.0),
        }
        sensor = opened(rails=rails)
        assert told(sensor) == [
            ("zeus/jetson/soc/power", "soc", "power_w", "sampled"),
            ("zeus/jetson/soc_gpu/power", "soc_gpu", "power_w", "sampled"),
            ("zeus/jetson/soc_cpu/power", "soc_cpu", "power_w", "sampled"),
        ]
        assert [channel.note for channel in sensor.channels] == [None, None, "the board's rail VDD_CPU_GPU_CV"]
        assert [reading.value for reading in sensor.read()] == [9.25, 3.5, 2.0]
        rails["gpu_power_mw"].power_mw = None
        assert [(r.value, r.reason) for r in sensor.read()][1] == (None, "No such device")

    def test_the_parts_of_an_apple_chip_are_read_with_one_call_and_lists_of_cores_are_left_out(self, opened):
        chip = {"cpu_total_mj": 1_500, "gpu_mj": 250, "dram_mj": None, "ane_mj": 0, "efficiency_cores_mj": [1, 2]}
        sensor = opened(chip=chip)
        assert told(sensor) == [
            ("zeus/apple/soc_cpu/energy", "soc_cpu", "energy_j", "counter"),
            ("zeus/apple/soc_gpu/energy", "soc_gpu", "energy_j", "counter"),
            ("zeus/apple/soc_ane/energy", "soc_ane", "energy_j", "counter"),
        ]
        readings = sensor.read()
        assert [reading.value for reading in readings] == [1.5, 0.25, 0.0]
        assert len({(reading.before_ns, reading.after_ns) for reading in readings}) == 1
        chip["gpu_mj"] = None
        assert [(r.value, r.reason) for r in sensor.read()][1] == (None, "Zeus gave no value")


class TestAvailability:
    def test_a_machine_with_nothing_for_it_is_told_that_nvidia_needs_none(self, opened):
        with pytest.raises(SensorError, match="finds no AMD GPU, Jetson or Apple chip") as refused:
            opened()
        assert "`nvml` reads them" in refused.value.remedy

    def test_a_gpu_that_tells_nothing_is_refused(self, opened, gpu):
        with pytest.raises(SensorError, match="that it can read here"):
            opened(gpus=[gpu(energy_mj=None, instant_mw=None)])

    @pytest.mark.skipif(INSTALLED, reason="Zeus is installed here")
    def test_a_missing_package_names_the_extra(self):
        with pytest.raises(SensorError, match="cannot be imported: No module named 'zeus'") as refused:
            ZeusSensor()
        assert refused.value.remedy == "`pip install 'llem[zeus]'`"

    @pytest.mark.skipif(not INSTALLED, reason="Zeus is not installed here")
    def test_the_installed_zeus_has_what_the_sensor_uses_of_it(self):
        zeus = Zeus.loaded()
        assert not zeus.apple_silicon_is_available()
        assert callable(zeus.Jetson._discover_available_metrics)

    def test_auto_takes_it_where_it_is_installed_alone(self):
        assert automatic_sensors() == [name for name in SENSORS if name not in EXTRAS or INSTALLED]
