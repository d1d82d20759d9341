"""What every sensor in the registry must do, read from a machine that is made up where it has to be."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from llem.domain.errors import SensorError
from llem.domain.sensing import Channel, Device, DeviceUse, Temperature
from llem.sensors import SENSORS, Paced, Thermometer
from llem.sensors.nvml_gpu import RecordedGpu, Who

S = 1_000_000_000


class NVMLError(Exception):
    pass


class FakeGpu:
    """One GPU as NVML shows it; None is what it does not support."""

    def __init__(
        self, uuid="GPU-1", energy_mj=5_000, power_mw=120_000, mig=(0, 0), temperature_c=55, fields=None, name="Fake"
    ):
        self.uuid, self.energy_mj, self.power_mw, self.mig = uuid, energy_mj, power_mw, mig
        self.temperature_c, self.fields, self.name = temperature_c, fields, name
        self.failing, self.pids, self.parts = None, (os.getpid(), 1), ()
        self.memory_used_bytes = 5 << 30


class FakeNvml:
    """Speaks as the module pynvml does."""

    NVMLError = NVMLError
    NVML_DEVICE_MIG_ENABLE = 1
    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM, NVML_CLOCK_MEM = 0, 1, 2

    def __init__(self, *gpus, broken=None, driver="580.1"):
        self.gpus, self.broken, self.calls, self.driver = gpus, broken, [], driver

    def nvmlInit(self):  # noqa: N802
        self.calls.append("init")
        if self.broken:
            raise NVMLError(self.broken)

    def nvmlShutdown(self):  # noqa: N802
        self.calls.append("shutdown")

    def nvmlDeviceGetFieldValues(self, gpu, numbers):  # noqa: N802
        self.told(gpu, gpu.fields)
        self.calls.append(tuple(numbers))
        return [self.field(gpu.fields.get(number)) for number in numbers]

    def field(self, value):
        found = SimpleNamespace(nvmlReturn=0 if value is not None else 3, valueType=3)
        found.value = SimpleNamespace(ullVal=value)
        return found

    def nvmlDeviceGetClockInfo(self, gpu, clock):  # noqa: N802
        return self.told(gpu, {1: 1980, 2: 2619}[clock])

    def nvmlDeviceGetCurrentClocksEventReasons(self, gpu):  # noqa: N802
        return self.told(gpu, 4)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu):  # noqa: N802
        raise NVMLError("Function Not Found")

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu):  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu, index):  # noqa: N802
        return self.told(gpu, gpu.parts[index] if index < len(gpu.parts) else None)

    def nvmlDeviceGetCount(self):  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, gpu):  # noqa: N802
        return gpu.uuid

    def nvmlDeviceGetName(self, gpu):  # noqa: N802
        return f"NVIDIA {gpu.name}"

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu):  # noqa: N802
        return self.told(gpu, gpu.energy_mj)

    def nvmlDeviceGetPowerUsage(self, gpu):  # noqa: N802
        return self.told(gpu, gpu.power_mw)

    def nvmlDeviceGetTemperature(self, gpu, sensor):  # noqa: N802
        assert sensor == self.NVML_TEMPERATURE_GPU
        return self.told(gpu, gpu.temperature_c)

    def nvmlDeviceGetMigMode(self, gpu):  # noqa: N802
        return self.told(gpu, gpu.mig)

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu):  # noqa: N802
        return 300_000

    def nvmlDeviceGetPersistenceMode(self, gpu):  # noqa: N802
        return 1

    def nvmlDeviceGetMemoryInfo(self, gpu):  # noqa: N802
        return SimpleNamespace(total=80 << 30, used=self.told(gpu, gpu.memory_used_bytes))

    def nvmlDeviceGetComputeRunningProcesses(self, gpu):  # noqa: N802
        return self.told(gpu, [SimpleNamespace(pid=pid) for pid in gpu.pids])

    def nvmlDeviceGetCudaComputeCapability(self, gpu):  # noqa: N802
        return (9, 0)

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return self.driver

    def told(self, gpu, value):
        if gpu.failing:
            raise NVMLError(gpu.failing)
        if value is None:
            raise NVMLError("Not Supported")
        return value


@pytest.fixture
def powercap(tmp_path):
    """Return a powercap tree as a machine with two packages, cores, DRAM and psys has it."""
    zones = {
        "intel-rapl:0": ("package-0", 1_500_000),
        "intel-rapl:0:0": ("core", 900_000),
        "intel-rapl:0:1": ("dram", 250_000),
        "intel-rapl:1": ("package-1", 2_000_000),
        "intel-rapl:1:0": ("dram", 300_000),
        "intel-rapl:2": ("psys", 9_000_000),
        "intel-rapl-mmio:0": ("package-0", 1_500_000),
    }
    for name, (zone, energy_uj) in zones.items():
        folder = tmp_path / "powercap" / name
        folder.mkdir(parents=True)
        (folder / "name").write_text(zone + "\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
        (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (tmp_path / "powercap" / "intel-rapl").mkdir()
    return tmp_path / "powercap"


@pytest.fixture
def opened(powercap, zeus, gpu):
    """Return a function that opens a sensor by name on a machine that has what it reads."""
    machine = {
        "nvml": lambda: SENSORS["nvml"](FakeNvml(FakeGpu("GPU-1"), FakeGpu("GPU-2", energy_mj=None))),
        "rapl": lambda: SENSORS["rapl"](powercap),
        "zeus": lambda: SENSORS["zeus"](zeus(gpus=[gpu("0x1"), gpu("0x2", energy_mj=None)])),
        "codecarbon": SENSORS["codecarbon"],
    }
    sensors = []

    def open_sensor(name):
        sensors.append(machine[name]())
        return sensors[-1]

    yield open_sensor
    for sensor in sensors:
        sensor.close()


@pytest.fixture(params=list(SENSORS))
def sensor(request, opened):
    """Each sensor of the registry, open."""
    return opened(request.param)


def test_a_sensor_says_what_it_measures_under_unique_names(request, sensor):
    assert sensor.channels
    assert all(isinstance(channel, Channel) for channel in sensor.channels)
    assert all(isinstance(device, Device) for device in sensor.devices)
    assert len({channel.id for channel in sensor.channels}) == len(sensor.channels)
    assert {channel.device for channel in sensor.channels} <= {device.id for device in sensor.devices}
    assert {channel.sensor for channel in sensor.channels} == {request.node.callspec.params["sensor"]}
    assert all(channel.provenance != "none" for channel in sensor.channels)
    assert sensor.period_s > 0


def test_a_reading_has_one_value_per_channel_with_the_times_around_it(sensor):
    before_ns = time.monotonic_ns()
    readings = sensor.read()
    after_ns = time.monotonic_ns()
    assert [reading.channel for reading in readings] == [channel.id for channel in sensor.channels]
    for reading in readings:
        assert before_ns <= reading.before_ns <= reading.after_ns <= after_ns
        assert reading.value is not None
        assert reading.value >= 0
        assert reading.reason is None


def test_a_counter_never_falls(sensor):
    first, second = sensor.read(), sensor.read()
    for channel, one, other in zip(sensor.channels, first, second, strict=True):
        assert channel.provenance == "sampled" or other.value >= one.value


def test_a_sensor_with_temperatures_tells_one_of_each_of_its_devices(sensor):
    if not isinstance(sensor, Thermometer):
        return  # it tells none, and the recorder never asks it
    told = sensor.temperatures()
    assert [temperature.device for temperature in told] == [device.id for device in sensor.devices]
    assert all((temperature.temperature_c is None) == (temperature.reason is not None) for temperature in told)


def test_gpus_have_temperatures_and_the_others_none(opened):
    assert {name for name in SENSORS if isinstance(opened(name), Thermometer)} == {"nvml"}


FIELDS = {83: 123_456_789, 186: 250_500, 185: 249_000, 74: 7_000, 75: 11, 269: 5, 270: 0, 271: 2, 77: 3, 79: 4}
CONDITIONS = ["temperature", "clock_sm", "clock_memory", "event_reasons", "foreign_processes"]
BY_POLICY = ["throttle_power_cap", "throttle_sw_thermal", "throttle_board_limit", "throttle_reliability"]


def names(channels):
    return [channel.id.removeprefix("nvml/GPU-1/") for channel in channels]


class TestNvml:
    def test_one_call_of_field_values_gives_energy_power_and_what_holds_clocks_down(self):
        gpu = FakeGpu(fields=FIELDS)
        nvml = FakeNvml(gpu)
        sensor = SENSORS["nvml"](nvml)
        nvml.calls.clear()
        readings = sensor.read()
        assert nvml.calls == [(83, 186, 185, 74, 269, 270, 271, 77, 79)]
        assert len({(reading.before_ns, reading.after_ns) for reading in readings[:9]}) == 1
        told = {name: reading.value for name, reading in zip(names(sensor.channels), readings, strict=True)}
        assert told == {
            "energy": pytest.approx(123_456.789),
            "power_instant": 250.5,
            "power_average": 249.0,
            "throttle_power_cap": 7_000,
            "throttle_sw_thermal": 5,
            "throttle_hw_thermal": 0,
            "throttle_power_brake": 2,
            "throttle_board_limit": 3,
            "throttle_reliability": 4,
            "temperature": 55,
            "clock_sm": 1980,
            "clock_memory": 2619,
            "event_reasons": 4,
            "foreign_processes": 1,
        }

    def test_channels_say_what_kind_of_figure_they_are(self):
        channels = SENSORS["nvml"](FakeNvml(FakeGpu(fields=FIELDS))).channels
        kinds = {name: (c.kind, c.aspect, c.provenance) for name, c in zip(names(channels), channels, strict=True)}
        assert kinds["energy"] == ("energy_j", None, "counter")
        assert kinds["power_instant"] == ("power_w", "instant", "sampled")
        assert kinds["power_average"] == ("power_w", "average", "sampled")
        assert kinds["throttle_hw_thermal"] == ("throttle_ns", "hw_thermal", "counter")
        assert kinds["clock_sm"] == ("clock_mhz", "sm", "sampled")
        assert kinds["event_reasons"] == ("event_reasons", None, "sampled")
        assert [c.averages_over_s for c in channels if c.kind == "power_w"] == [0.0, 1.0]
        assert [c.unseen_s for c in channels if c.measures_energy] == [0.075, 0.075, None]

    def test_a_driver_before_the_numbers_of_fields_changed_is_not_asked_for_the_new_ones(self):
        nvml = FakeNvml(FakeGpu(fields=FIELDS), driver="570.86.15")
        sensor = SENSORS["nvml"](nvml)
        assert [name for name in names(sensor.channels) if name.startswith("throttle")] == BY_POLICY
        assert sensor.read()[4].value == 11
        assert not any(number in call for call in nvml.calls if call != "init" for number in (269, 270, 271))

    def test_a_field_that_a_gpu_does_not_support_is_no_channel_and_has_a_plain_call_where_there_is_one(self):
        sensor = SENSORS["nvml"](FakeNvml(FakeGpu(fields={186: 250_500, 74: 1})))
        assert names(sensor.channels) == ["power_instant", "throttle_power_cap", "energy", *CONDITIONS]
        assert [reading.value for reading in sensor.read()[:3]] == [250.5, 1.0, 5.0]

    def test_a_field_that_fails_later_is_none_with_its_reason_and_the_others_are_told(self):
        gpu = FakeGpu(fields=dict(FIELDS))
        sensor = SENSORS["nvml"](FakeNvml(gpu))
        del gpu.fields[186]
        energy, instant, average, *_ = sensor.read()
        assert (instant.value, instant.reason) == (None, "3")
        assert (energy.value, average.value) == (pytest.approx(123_456.789), 249.0)

    def test_energy_and_power_are_read_each_time_and_the_rest_when_it_is_due(self):
        gpu = RecordedGpu(
            FakeNvml(FakeGpu(fields=FIELDS)),
            FakeGpu(fields=FIELDS),
            "GPU-1",
            driver=None,
            capability=None,
            note=None,
            who=Who(os.getpid(), Path("/proc")),
            errors=(NVMLError,),
        )
        gpu.read()
        now_ns = time.monotonic_ns()

        def read(n):
            return sum(len(call.values) for call in gpu.read_due(now_ns + n * S // 100))

        assert [read(n) for n in (0, 11, 12, 21, 31)] == [3, 9, 3, 9, 9]
        assert [read(n) for n in (101, 102, 112, 201, 202)] == [14, 3, 9, 14, 3]

    def test_it_says_when_it_wants_to_be_read_and_reads_nothing_long_before(self):
        sensor = SENSORS["nvml"](FakeNvml(FakeGpu(fields=FIELDS), FakeGpu("GPU-2", fields=FIELDS)))
        assert isinstance(sensor, Paced)
        assert sensor.due_ns() <= time.monotonic_ns()
        assert {channel for call in sensor.read_due() for channel in call.channels} == {
            channel.id for channel in sensor.channels
        }
        assert sensor.due_ns() > 0

    def test_without_field_values_there_are_the_plain_calls(self):
        gpu = FakeGpu(energy_mj=123_456_789, power_mw=250_500)
        sensor = SENSORS["nvml"](FakeNvml(gpu))
        measuring = [c for c in sensor.channels if c.measures_energy]
        assert [(c.id, c.kind, c.provenance, c.boundary, c.aspect) for c in measuring] == [
            ("nvml/GPU-1/energy", "energy_j", "counter", "gpu", None),
            ("nvml/GPU-1/power", "power_w", "sampled", "gpu", "usage"),
        ]
        assert [reading.value for reading in sensor.read()[:2]] == pytest.approx([123_456.789, 250.5])

    @pytest.mark.parametrize(
        ("capability", "averages_over_s", "unseen_s"),
        [
            ((7, 5), 0.0, None),
            ((8, 0), 0.0, 0.075),
            ((8, 6), 1.0, None),
            ((9, 0), 1.0, 0.075),
            ((12, 0), 1.0, None),
            (None, None, None),
        ],
    )
    def test_a_gpu_says_what_its_readings_average_over_and_miss(self, capability, averages_over_s, unseen_s):
        nvml = FakeNvml(FakeGpu())
        nvml.nvmlDeviceGetCudaComputeCapability = lambda gpu: nvml.told(gpu, capability)
        energy, power = [c for c in SENSORS["nvml"](nvml).channels if c.measures_energy]
        assert (power.averages_over_s, power.unseen_s) == (averages_over_s, None)
        assert (energy.averages_over_s, energy.unseen_s) == (None, unseen_s)

    def test_a_gpu_without_a_counter_has_no_energy_channel_rather_than_zeros(self):
        sensor = SENSORS["nvml"](FakeNvml(FakeGpu(energy_mj=None)))
        assert names(sensor.channels) == ["power", *CONDITIONS]
        assert sensor.read()[0].value == 120.0

    def test_a_reading_that_fails_is_none_with_the_reason_and_never_zero(self):
        gpu = FakeGpu()
        sensor = SENSORS["nvml"](FakeNvml(gpu))
        gpu.failing = "GPU is lost"
        assert {(reading.value, reading.reason) for reading in sensor.read()} == {(None, "GPU is lost")}
        gpu.failing = None
        assert [reading.value for reading in sensor.read()[:2]] == [5.0, 120.0]

    def test_a_call_of_field_values_that_fails_as_a_whole_fails_for_each_channel(self):
        gpu = FakeGpu(fields=FIELDS)
        sensor = SENSORS["nvml"](FakeNvml(gpu))
        gpu.failing = "GPU is lost"
        readings = sensor.read()
        assert [reading.channel for reading in readings] == [channel.id for channel in sensor.channels]
        assert {(reading.value, reading.reason) for reading in readings} == {(None, "GPU is lost")}

    @pytest.mark.parametrize(
        ("environment", "read"),
        [
            ({}, ["GPU-a", "GPU-b", "GPU-c"]),
            ({"CUDA_VISIBLE_DEVICES": "1"}, ["GPU-b"]),
            ({"CUDA_VISIBLE_DEVICES": "GPU-c,GPU-a"}, ["GPU-a", "GPU-c"]),
            ({"CUDA_VISIBLE_DEVICES": "MIG-GPU-b/1/0"}, ["GPU-b"]),
            ({"CUDA_VISIBLE_DEVICES": "MIG-7777"}, ["GPU-c"]),
            ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ],
    )
    def test_gpus_that_this_study_cannot_use_are_listed_and_not_read(self, environment, read):
        gpus = [FakeGpu(f"GPU-{name}") for name in "abc"]
        gpus[2].parts = (FakeGpu("MIG-7777"),)
        sensor = SENSORS["nvml"](FakeNvml(*gpus), environment)
        assert [device.id for device in sensor.devices] == ["GPU-a", "GPU-b", "GPU-c"]
        assert list(dict.fromkeys(channel.device for channel in sensor.channels)) == read
        assert [reading.channel for reading in sensor.read()] == [channel.id for channel in sensor.channels]

    @pytest.mark.parametrize(("order", "read"), [("PCI_BUS_ID", ["GPU-b"]), ("FASTEST_FIRST", ["GPU-a", "GPU-b"])])
    def test_among_gpus_that_differ_a_number_in_cudas_own_order_may_be_any_of_them(self, order, read):
        nvml = FakeNvml(FakeGpu("GPU-a", name="H100"), FakeGpu("GPU-b", name="T4"))
        sensor = SENSORS["nvml"](nvml, {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": order})
        assert list(dict.fromkeys(channel.device for channel in sensor.channels)) == read

    def test_a_machine_without_a_driver_says_what_mends_it(self):
        with pytest.raises(SensorError, match="NVML gives no access: Driver Not Loaded") as refused:
            SENSORS["nvml"](FakeNvml(broken="Driver Not Loaded"))
        assert "nvidia-smi" in refused.value.remedy

    @pytest.mark.parametrize("gpus", [[], [FakeGpu(energy_mj=None, power_mw=None)]], ids=["none", "mute"])
    def test_a_machine_whose_gpus_tell_nothing_is_refused_and_nvml_shut_down(self, gpus):
        nvml = FakeNvml(*gpus)
        with pytest.raises(SensorError, match="no GPU with an energy counter or power readings"):
            SENSORS["nvml"](nvml)
        assert nvml.calls == ["init", "shutdown"]

    def test_a_gpu_is_bound_by_its_uuid_and_not_by_its_index(self):
        one, other = FakeGpu("GPU-a", energy_mj=1_000), FakeGpu("GPU-b", energy_mj=2_000)
        for nvml in (FakeNvml(one, other), FakeNvml(other, one)):
            readings = {reading.channel: reading.value for reading in SENSORS["nvml"](nvml).read()}
            assert (readings["nvml/GPU-a/energy"], readings["nvml/GPU-b/energy"]) == (1.0, 2.0)

    def test_a_partitioned_gpu_says_that_it_is_read_as_a_whole(self):
        sensor = SENSORS["nvml"](FakeNvml(FakeGpu(mig=(1, 1))))
        assert all("not one MIG instance" in channel.note for channel in sensor.channels)
        assert sensor.devices[0].facts["mig"] is True

    def test_facts_that_a_gpu_does_not_tell_are_unknown_and_do_not_stop_it(self):
        sensor = SENSORS["nvml"](FakeNvml(FakeGpu(mig=None)))
        facts = sensor.devices[0].facts
        assert facts == {
            "driver": "580.1",
            "power_limit_w": 300.0,
            "persistence": True,
            "mig": None,
            "memory_bytes": 80 << 30,
            "compute_capability": "9.0",
            "compute_processes": 2,
        }

    def test_a_temperature_that_cannot_be_read_has_a_reason_and_the_others_are_told(self):
        gpus = FakeGpu("GPU-1", temperature_c=61), FakeGpu("GPU-2", temperature_c=None), FakeGpu("GPU-3")
        sensor = SENSORS["nvml"](FakeNvml(*gpus))
        gpus[2].failing = "GPU is lost"
        assert sensor.temperatures() == [
            Temperature(device="GPU-1", temperature_c=61, clock_mhz=1980),
            Temperature(device="GPU-2", temperature_c=None, reason="Not Supported", clock_mhz=1980),
            Temperature(device="GPU-3", temperature_c=None, reason="GPU is lost"),
        ]

    def test_what_is_on_the_gpus_that_the_study_can_use_is_told_as_far_as_they_tell(self):
        gpus = FakeGpu("GPU-1"), FakeGpu("GPU-2"), FakeGpu("GPU-3"), FakeGpu("GPU-4")
        shown = {"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2,GPU-3"}
        sensor = SENSORS["nvml"](FakeNvml(*gpus), shown, study_pid=os.getpid())
        gpus[1].memory_used_bytes = None
        gpus[2].failing = "GPU is lost"
        assert sensor.use() == [
            DeviceUse(device="GPU-1", memory_bytes=5 << 30, processes=(os.getpid(),)),  # the other one is init
            DeviceUse(device="GPU-2", memory_bytes=None, processes=(os.getpid(),)),
            DeviceUse(device="GPU-3", memory_bytes=None),
        ]

    def test_closing_shuts_nvml_down(self):
        nvml = FakeNvml(FakeGpu())
        SENSORS["nvml"](nvml).close()
        assert nvml.calls == ["init", "shutdown"]


class TestRapl:
    def test_packages_and_memory_are_read_and_no_joule_twice(self, powercap):
        sensor = SENSORS["rapl"](powercap)
        assert [(c.id, c.boundary, c.provenance) for c in sensor.channels] == [
            ("rapl/0/energy", "cpu_package", "counter"),
            ("rapl/0:1/energy", "dram", "counter"),
            ("rapl/1/energy", "cpu_package", "counter"),
            ("rapl/1:0/energy", "dram", "counter"),
        ]
        assert [reading.value for reading in sensor.read()] == pytest.approx([1.5, 0.25, 2.0, 0.3])

    def test_a_counter_says_where_it_wraps(self, powercap):
        assert {c.wraps_at_j for c in SENSORS["rapl"](powercap).channels} == {262143.32885}

    def test_the_dram_of_two_packages_are_two_devices(self, powercap):
        devices = [device.id for device in SENSORS["rapl"](powercap).devices]
        assert len(set(devices)) == len(devices) == 4

    @pytest.mark.parametrize("state", ["missing", "empty", "only psys"])
    def test_a_machine_without_packages_says_what_mends_it(self, tmp_path, powercap, state):
        root = {"missing": tmp_path / "nowhere", "empty": tmp_path, "only psys": powercap}[state]
        for zone in powercap.glob("intel-rapl:*"):
            (zone / "name").write_text("psys")
        with pytest.raises(SensorError, match="shows no RAPL package") as refused:
            SENSORS["rapl"](root)
        assert "modprobe" in refused.value.remedy

    def test_a_counter_that_may_not_be_read_names_the_command_that_allows_it(self, readable_by_none):
        with pytest.raises(SensorError, match="CVE-2020-8694") as refused:
            SENSORS["rapl"](readable_by_none)
        assert f"sudo chmod a+r {readable_by_none}/intel-rapl:0/energy_uj" in refused.value.remedy

    @pytest.mark.parametrize("state", ["a folder", "missing"])
    def test_a_counter_that_is_no_file_is_refused_when_the_sensor_opens(self, powercap, state):
        file = powercap / "intel-rapl:1" / "energy_uj"
        file.unlink()
        if state == "a folder":
            file.mkdir()
        with pytest.raises(SensorError, match=f"{file} cannot be read"):
            SENSORS["rapl"](powercap)

    @pytest.mark.parametrize("content", ["", "garbage", None])
    def test_a_reading_that_fails_is_none_with_the_reason_and_never_zero(self, powercap, content):
        sensor = SENSORS["rapl"](powercap)
        file = powercap / "intel-rapl:0" / "energy_uj"
        file.unlink() if content is None else file.write_text(content)
        first, *others = sensor.read()
        assert first.value is None
        assert first.reason
        assert all(reading.value is not None for reading in others)

    @pytest.mark.parametrize("file", ["name", "max_energy_range_uj"])
    def test_a_package_that_cannot_be_told_is_refused_and_not_left_out_of_the_sum(self, powercap, file):
        (powercap / "intel-rapl:1" / file).unlink()
        with pytest.raises(SensorError, match="intel-rapl:1"):
            SENSORS["rapl"](powercap)


class TestCodeCarbon:
    def test_all_that_it_says_is_marked_as_a_model(self, opened):
        sensor = opened("codecarbon")
        assert [(c.boundary, c.provenance, c.kind) for c in sensor.channels] == [
            ("cpu", "modelled", "energy_j"),
            ("ram", "modelled", "energy_j"),
        ]
        assert all("CodeCarbon" in channel.note for channel in sensor.channels)

    def test_its_energies_grow_while_time_passes(self, opened):
        sensor = opened("codecarbon")
        first = sensor.read()
        time.sleep(0.05)
        assert all(later.value > one.value for one, later in zip(first, sensor.read(), strict=True))
