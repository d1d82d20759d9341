"""The simulated GPU does what its script says: its truth against another computation, its flaws one by one."""

import math
import statistics
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_gpu import FUNCTION_NOT_FOUND, NOT_SUPPORTED, SOURCE, SimulatedDevice, report_load

STEP = SimulatedDevice(levels=((0.0, 80.0, 0.0), (2.0, 300.0, 0.0), (4.0, 80.0, 0.0)))
TICKS = range(1, 60)
THROTTLES = {
    "sw_power_cap": (74, 0x4),
    "sync_boost": (76, 0x10),
    "board_limit": (77, 0x200),
    "low_utilization": (78, 0x1),
    "reliability": (79, 0x400),
    "sw_thermal": (269, 0x20),
    "hw_thermal": (270, 0x48),
    "hw_power_brake": (271, 0x88),
}


def amount(least: float, most: float) -> st.SearchStrategy[float]:
    """Return thousandths: what a person would write, and what a script holds exactly."""
    return st.integers(round(least * 1000), round(most * 1000)).map(lambda n: n / 1000)


@st.composite
def devices(draw: st.DrawFn) -> SimulatedDevice:
    """Return a device with any true power and a sensor without noise."""
    starts = sorted(draw(st.sets(amount(0, 8), min_size=1, max_size=6)))
    levels = tuple((start, draw(amount(0, 700)), draw(st.one_of(st.just(0.0), amount(0.005, 3)))) for start in starts)
    waves = draw(
        st.lists(st.tuples(amount(0.01, 2), amount(0, 1), amount(0, 300), amount(0, 3)), max_size=2).map(tuple)
    )
    if waves and draw(st.booleans()):
        from_s = draw(amount(0, 5))
        waves = ((*waves[0], from_s, from_s + draw(amount(0, 4))), *waves[1:])
    return SimulatedDevice(
        levels=levels,
        waves=waves,
        period_s=draw(amount(0.01, 0.5)),
        phase_s=draw(amount(0, 0.5)),
        latency_s=draw(amount(0, 0.1)),
    )


def last_tick_s(device: SimulatedDevice, at_s: float) -> float:
    """Return the moment of the last tick that is published, counted by hand in whole nanoseconds."""
    period_ns, phase_ns, latency_ns = (
        round(value * 1e9) for value in (device.period_s, device.phase_s, device.latency_s)
    )
    return (phase_ns + (round(at_s * 1e9) - latency_ns - phase_ns) // period_ns * period_ns) / 1e9


class TestTruth:
    @given(devices(), amount(0.001, 12))
    def test_the_counter_is_the_integral_of_the_true_power_up_to_its_last_tick(self, gpus, device, at_s):
        handle = gpus.use(device)
        truth_j = device.energy_j(0.0, max(last_tick_s(device, at_s), 0.0))
        assert gpus.counter_j(handle, at_s) == pytest.approx(truth_j, abs=0.0011, rel=1e-9)

    @given(devices(), amount(1, 12), amount(0.005, 0.5))
    def test_a_reading_is_the_mean_of_the_true_power_over_what_the_sensor_sees(self, gpus, device, at_s, seen_s):
        handle = gpus.use(replace(device, seen_s=seen_s))
        tick_s = last_tick_s(device, at_s)
        truth_w = device.energy_j(tick_s - seen_s, tick_s) / seen_s
        assert gpus.power_w(handle, at_s) == pytest.approx(truth_w, abs=0.0011)

    @given(devices(), amount(1.5, 12))
    def test_the_average_is_the_mean_of_the_true_power_over_a_second(self, gpus, device, at_s):
        handle = gpus.use(replace(device, power_average_s=1.0))
        tick_s = last_tick_s(device, at_s)
        truth_w = device.energy_j(tick_s - 1, tick_s)
        assert gpus.power_w(handle, at_s) == pytest.approx(truth_w, abs=0.0011)
        assert gpus.field(handle, 185).value.uiVal / 1000 == gpus.power_w(handle, at_s)

    @given(devices(), amount(0, 6), amount(0, 6))
    def test_the_independent_truth_adds_up_over_windows(self, device, first_s, length_s):
        middle_s, end_s = first_s + length_s / 3, first_s + length_s
        parts = device.energy_j(first_s, middle_s) + device.energy_j(middle_s, end_s)
        assert device.energy_j(first_s, end_s) == pytest.approx(parts, rel=1e-9, abs=1e-9)

    def test_a_step_and_a_decay_have_the_energy_that_one_works_out_by_hand(self):
        assert STEP.energy_j(1.0, 5.0) == pytest.approx(80 + 2 * 300 + 80)
        late = SimulatedDevice(levels=((0.0, 80.0, 0.0), (2.0, 300.0, 0.5)))
        assert late.energy_j(2.0, 3.0) == pytest.approx(300 - 220 * 0.5 * (1 - math.exp(-2)))
        wave = SimulatedDevice(levels=((0.0, 80.0, 0.0),), waves=((0.1, 0.25, 100.0, 0.0),))
        assert wave.energy_j(1.0, 2.0) == pytest.approx(80 + 25)

    def test_a_file_that_another_process_appends_to_drives_the_power(self, gpus, tmp_path):
        path = tmp_path / "load"
        device = replace(STEP, load_file=path)
        handle = gpus.use(device)
        assert gpus.counter_j(handle, 1.05) == pytest.approx(80)
        script = (
            "import sys; from pathlib import Path; from simulated_gpu import report_load\n"
            "for at_ns, power_w in ((1_100_000_000, 200.0), (1_300_000_000, 50.0)):\n"
            "    report_load(Path(sys.argv[1]), power_w, at_ns)"
        )
        subprocess.run([sys.executable, "-c", script, str(path)], cwd=SOURCE.parents[2] / "benchmarks", check=True)
        assert gpus.counter_j(handle, 1.55) == pytest.approx(1.1 * 80 + 0.2 * 200 + 0.2 * 50, abs=0.0011)
        assert device.energy_j(0, 1.5) == pytest.approx(1.1 * 80 + 0.2 * 200 + 0.2 * 50)
        # The scripted step at 2 s is no longer asked for. A line that is still being written does not count.
        with path.open("a") as file:
            file.write("2000000000 4")
        assert gpus.power_w(handle, 3.05) == pytest.approx(50)

    @pytest.mark.parametrize("summed", [False, True])
    def test_a_tick_is_published_once_and_the_next_takes_up_lines_of_a_load_file_that_came_late(
        self, gpus, tmp_path, summed
    ):
        path = tmp_path / "load"
        handle = gpus.use(replace(STEP, load_file=path, summed=summed))
        assert gpus.counter_j(handle, 1.55) == pytest.approx(120)
        report_load(path, 180.0, 1_000_000_000)
        assert gpus.counter_j(handle, 1.58) == pytest.approx(120)
        assert gpus.counter_j(handle, 1.65) == pytest.approx(80 + 108)


class TestSensor:
    @given(devices(), amount(0.001, 0.1), st.integers(0, 5), st.sampled_from([0.0, 0.5, 5.0]))
    def test_a_summed_counter_is_the_sum_of_the_reported_readings(self, gpus, device, seen_s, seed, noise_w):
        device = replace(device, summed=True, seen_s=seen_s, seed=seed, noise_w=noise_w)
        handle = gpus.use(device)
        first = math.floor((device.since_s - device.phase_s) / device.period_s + 1e-9) + 1
        ticks = range(first, first + 20)
        read = [device.phase_s + tick * device.period_s + device.latency_s + 0.001 for tick in ticks]
        summed_j = math.fsum(gpus.power_w(handle, at_s) * device.period_s for at_s in read)
        assert gpus.counter_j(handle, read[-1]) == pytest.approx(summed_j, abs=0.0011)
        # Where it is asked again for an earlier moment, it says what it said then.
        half_j = math.fsum(gpus.power_w(handle, at_s) * device.period_s for at_s in read[:10])
        assert gpus.counter_j(handle, read[9]) == pytest.approx(half_j, abs=0.0011)

    def test_a_part_time_sensor_is_misled_by_load_in_step_with_it(self, gpus):
        wave = (0.1, 0.25, 400.0, 0.075, 1.0, 3.0)  # on for just what the sensor sees
        device = SimulatedDevice(levels=((0.0, 100.0, 0.0),), waves=(wave,), seen_s=0.025, summed=True)
        handle = gpus.use(device)
        told_j = gpus.counter_j(handle, 3.05) - gpus.counter_j(handle, 1.05)
        assert device.energy_j(1.0, 3.0) == pytest.approx(400)
        assert told_j == pytest.approx(1000)

    def test_noise_has_the_stated_spread_and_is_the_same_for_the_same_seed(self, gpus):
        def readings(seed: int) -> list[float]:
            handle = gpus.use(SimulatedDevice(noise_w=2.0, seed=seed))
            return [gpus.power_w(handle, 0.05 + n / 10) for n in range(2, 2002)]

        first = readings(1)
        assert first == readings(1) != readings(2)
        assert statistics.mean(first) == pytest.approx(100, abs=0.2)
        assert statistics.stdev(first) == pytest.approx(2, rel=0.06)

    def test_gains_are_the_counters_own_and_the_power_readings_own(self, gpus):
        for summed in (False, True):
            handle = gpus.use(SimulatedDevice(counter_gain=0.95, power_gain=1.02, summed=summed))
            assert gpus.counter_j(handle, 10.05) == pytest.approx(950, abs=0.01)
            assert gpus.power_w(handle, 10.05) == pytest.approx(102)

    def test_latency_delays_the_publication_and_changes_no_value(self, gpus):
        late = replace(STEP, latency_s=0.03)
        handle = gpus.use(STEP)
        plain_j = gpus.counter_j(handle, 2.505)
        handle = gpus.use(late)
        assert gpus.counter_j(handle, 2.529) == pytest.approx(plain_j - 30)
        assert gpus.counter_j(handle, 2.531) == pytest.approx(plain_j)

    def test_values_are_whole_quanta(self, gpus):
        handle = gpus.use(SimulatedDevice(levels=((0.0, 123.456, 0.0),), quantum_mj=1000, power_quantum_mw=500))
        assert gpus.counter_j(handle, 1.05) == 123
        assert gpus.power_w(handle, 1.05) == 123

    def test_a_reset_lets_the_counter_fall_to_nothing(self, gpus):
        for summed in (False, True):
            device = SimulatedDevice(resets=(2.0,), offset_j=5000, summed=summed)
            handle = gpus.use(device)
            assert gpus.counter_j(handle, 1.95) == pytest.approx(5190)
            assert gpus.counter_j(handle, 2.05) == 0
            assert gpus.counter_j(handle, 3.05) == pytest.approx(100)

    def test_a_glitch_is_one_tick_long(self, gpus):
        handle = gpus.use(SimulatedDevice(glitches=(("counter", 1.02, 1e15), ("power", 1.12, 5e9))))
        told = [gpus.counter_j(handle, at_s) for at_s in (0.99, 1.01, 1.09, 1.11)]
        assert told == pytest.approx([90, 1e12, 1e12, 110])
        assert gpus.power_w(handle, 1.11) == pytest.approx((2**32 - 1) / 1000)
        assert gpus.power_w(handle, 1.21) == pytest.approx(100)

    def test_times_count_from_the_origin(self, gpus):
        handle = gpus.use(STEP, origin_ns=1_000_000_000_000)
        assert gpus.counter_j(handle, 1003.05) == pytest.approx(160 + 300)


class TestFailures:
    def test_what_a_device_lacks_is_not_supported_one_by_one(self, gpus):
        handle = gpus.use(SimulatedDevice(unsupported=("total_energy", "field_83", "field_271")))
        nvml = gpus.nvml
        with pytest.raises(nvml.NVMLError_NotSupported):
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        fields = nvml.nvmlDeviceGetFieldValues(handle, [83, 186, 271, 270, 555])
        assert [field.nvmlReturn for field in fields] == [NOT_SUPPORTED, 0, NOT_SUPPORTED, 0, NOT_SUPPORTED]
        assert nvml.nvmlDeviceGetPowerUsage(handle) == 100_000

    @pytest.mark.parametrize(
        ("name", "call"),
        [
            ("total_energy", "nvmlDeviceGetTotalEnergyConsumption"),
            ("power_usage", "nvmlDeviceGetPowerUsage"),
            ("name", "nvmlDeviceGetName"),
            ("uuid", "nvmlDeviceGetUUID"),
            ("capability", "nvmlDeviceGetCudaComputeCapability"),
            ("event_reasons", "nvmlDeviceGetCurrentClocksEventReasons"),
            ("processes", "nvmlDeviceGetComputeRunningProcesses"),
        ],
    )
    def test_each_call_can_fail_for_a_while(self, gpus, name, call):
        handle = gpus.use(SimulatedDevice(fails=((name, 4, 1.0, 2.0),)))
        ask = getattr(gpus.nvml, call)
        ask(handle)
        gpus.at(1.5)
        with pytest.raises(gpus.nvml.NVMLError_NoPermission, match="Insufficient Permissions"):
            ask(handle)
        gpus.at(2.0)
        ask(handle)

    def test_an_old_driver_knows_no_field_values(self, gpus):
        handle = gpus.use(SimulatedDevice(fails=(("field_values", FUNCTION_NOT_FOUND),)))
        with pytest.raises(gpus.nvml.NVMLError_FunctionNotFound):
            gpus.nvml.nvmlDeviceGetFieldValues(handle, [83])

    def test_a_lost_gpu_says_so_in_every_call_and_the_one_beside_it_goes_on(self, gpus):
        handle = gpus.use(SimulatedDevice(lost_s=2.0), SimulatedDevice(uuid="GPU-other"))
        nvml = gpus.nvml
        gpus.at(2.5)
        calls = (
            nvml.nvmlDeviceGetTotalEnergyConsumption,
            nvml.nvmlDeviceGetPowerUsage,
            nvml.nvmlDeviceGetName,
            nvml.nvmlDeviceGetComputeRunningProcesses,
            nvml.nvmlDeviceGetCurrentClocksEventReasons,
            lambda device: nvml.nvmlDeviceGetFieldValues(device, [83]),
            lambda device: nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU),
            lambda _: gpus.handle(0),
        )
        for call in calls:
            with pytest.raises(nvml.NVMLError_GpuIsLost):
                call(handle)
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(gpus.handle(1)) == 250_000

    def test_facts_that_a_script_leaves_out_are_not_supported(self, gpus):
        handle = gpus.use(SimulatedDevice())
        nvml = gpus.nvml
        for call in (
            nvml.nvmlDeviceGetEnforcedPowerLimit,
            nvml.nvmlDeviceGetPersistenceMode,
            nvml.nvmlDeviceGetMigMode,
            nvml.nvmlDeviceGetMemoryInfo,
            lambda device: nvml.nvmlDeviceGetTemperature(device, 0),
            lambda device: nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM),
            lambda _: nvml.nvmlSystemGetDriverVersion(),
        ):
            with pytest.raises(nvml.NVMLError_NotSupported):
                call(handle)

    def test_a_script_with_a_mistake_is_refused_by_its_line(self, gpus, capfd):
        with pytest.raises(ValueError, match="script:2: the simulated GPU does not understand its script"):
            gpus.use(SimulatedDevice(), driver_version="1.0", typo=1)
        assert "script:2: not understood" in capfd.readouterr().err
        gpus.use(SimulatedDevice())

    def test_a_driver_that_does_not_start_says_so(self, nvml_of):
        script = "import pynvml\ntry: pynvml.nvmlInit()\nexcept pynvml.NVMLError as error: print(error.value, error)"
        environment = nvml_of(SimulatedDevice(), init_error=9)
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
        assert done.stdout == b"9 Driver Not Loaded\n"

    def test_a_call_before_init_is_refused(self, nvml):
        script = (
            "import pynvml\npynvml.nvmlInit(); pynvml.nvmlShutdown()\n"
            "try: pynvml.nvmlDeviceGetCount()\nexcept pynvml.NVMLError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", script], env=nvml, capture_output=True, check=True)
        assert done.stdout == b"Uninitialized\n"

    def test_faults_can_wait_for_the_work(self, gpus, tmp_path):
        path = tmp_path / "load"
        device = SimulatedDevice(
            load_file=path,
            since_load=True,
            resets=(1.0,),
            glitches=(("power", 0.55, 9e6),),
            throttles=(("hw_thermal", 0.5, 0.75),),
            lost_s=2.0,
            stalls=((1.5, 1.8),),
        )
        handle = gpus.use(device)
        assert gpus.counter_j(handle, 9.95) == pytest.approx(990)
        assert gpus.throttled_ns(handle, 270) == 0
        report_load(path, 200.0, 10_000_000_000)
        assert gpus.counter_j(handle, 10.95) == pytest.approx(1000 + 180)
        assert gpus.throttled_ns(handle, 270) == 250_000_000
        assert gpus.power_w(handle, 10.55) == 9000
        assert gpus.counter_j(handle, 11.25) == pytest.approx(40)
        assert gpus.counter_j(handle, 11.6) == pytest.approx(0.8 * 200)
        assert gpus.time_s == pytest.approx(11.8)
        with pytest.raises(gpus.nvml.NVMLError_GpuIsLost):
            gpus.counter_j(handle, 12.0)


class TestConditions:
    @pytest.mark.parametrize(("reason", "field", "bits"), [(name, *told) for name, told in THROTTLES.items()])
    def test_a_throttled_stretch_sets_its_bits_and_its_nanoseconds(self, gpus, reason, field, bits):
        handle = gpus.use(SimulatedDevice(throttles=((reason, 1.0, 1.25), (reason, 2.0))))
        nvml = gpus.nvml
        seen = []
        for at_s in (0.5, 1.1, 1.5, 2.5):
            gpus.at(at_s)
            reasons = nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
            assert nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle) == reasons
            seen.append((reasons, gpus.throttled_ns(handle, field)))
        assert seen == [(0, 0), (bits, 100_000_000), (0, 250_000_000), (bits, 750_000_000)]
        others = [number for number, _ in THROTTLES.values() if number != field]
        assert {gpus.throttled_ns(handle, number) for number in others} == {0}

    def test_temperature_clocks_and_utilization_follow_the_script(self, gpus):
        handle = gpus.use(
            SimulatedDevice(
                temperatures=((1.0, 40.0), (3.0, 60.0)),
                clocks=(("sm", 0, 1980), ("mem", 0, 2619), ("sm", 2.0, 1200)),
                utilizations=((0, 0), (2.0, 100)),
            )
        )
        nvml = gpus.nvml
        told = []
        for at_s in (0.5, 2.0, 9.0):
            gpus.at(at_s)
            warm = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
            assert nvml.nvmlDeviceGetTemperatureV(handle, nvml.NVML_TEMPERATURE_GPU) == warm
            clocks = [nvml.nvmlDeviceGetClockInfo(handle, kind) for kind in (nvml.NVML_CLOCK_SM, nvml.NVML_CLOCK_MEM)]
            told.append((warm, *clocks, nvml.nvmlDeviceGetUtilizationRates(handle).gpu))
        assert told == [(40, 1980, 2619, 0), (50, 1200, 2619, 100), (60, 1200, 2619, 100)]

    def test_processes_come_and_go(self, gpus):
        handle = gpus.use(SimulatedDevice(memory_bytes=80 << 30, processes=((100,), (200, 1.0, 2.0, 5e9))))
        told, used_bytes = [], []
        for at_s in (0.5, 1.5, 2.5):
            gpus.at(at_s)
            found = gpus.nvml.nvmlDeviceGetComputeRunningProcesses(handle)
            assert [p.pid for p in gpus.nvml.nvmlDeviceGetComputeRunningProcesses_v2(handle)] == [
                p.pid for p in found
            ]
            told.append([(process.pid, process.usedGpuMemory) for process in found])
            used_bytes.append(gpus.nvml.nvmlDeviceGetMemoryInfo(handle).used)
        assert told == [[(100, None)], [(100, None), (200, 5_000_000_000)], [(100, None)]]
        assert used_bytes == [0, 5_000_000_000, 0]
        gpus.use(SimulatedDevice())
        assert gpus.nvml.nvmlDeviceGetComputeRunningProcesses(handle) == []

    def test_what_a_device_is_can_be_scripted(self, gpus):
        device = SimulatedDevice(
            name="A name", uuid="GPU-1", capability="8.0", power_limit_w=400, persistence=True, mig=False,
            memory_bytes=80 << 30, memory_used_bytes=1 << 30,
        )  # fmt: skip
        handle = gpus.use(device, replace(device, uuid="GPU-2"), driver_version="570.86.15")
        nvml = gpus.nvml
        assert (nvml.nvmlDeviceGetCount(), nvml.nvmlSystemGetDriverVersion()) == (2, "570.86.15")
        assert (nvml.nvmlDeviceGetName(handle), nvml.nvmlDeviceGetUUID(handle)) == ("A name", "GPU-1")
        assert nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetHandleByUUID("GPU-2")) == "GPU-2"
        assert nvml.nvmlDeviceGetIndex(gpus.handle(1)) == 1
        assert nvml.nvmlDeviceGetCudaComputeCapability(handle) == (8, 0)
        assert nvml.nvmlDeviceGetArchitecture(handle) == nvml.NVML_DEVICE_ARCH_AMPERE
        assert nvml.nvmlDeviceGetEnforcedPowerLimit(handle) == 400_000
        assert nvml.nvmlDeviceGetPersistenceMode(handle) == nvml.NVML_FEATURE_ENABLED
        assert nvml.nvmlDeviceGetMigMode(handle) == [0, 0]
        for memory in (
            nvml.nvmlDeviceGetMemoryInfo(handle),
            nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2),
        ):
            assert (memory.total, memory.used, memory.free) == (80 << 30, 1 << 30, 79 << 30)


class TestTime:
    def test_a_slow_call_and_a_stall_move_the_virtual_clock_instead_of_waiting(self, gpus):
        handle = gpus.use(replace(STEP, call_ms=20.0, stalls=((1.0, 2.55),)))
        assert gpus.counter_j(handle, 0.99) == pytest.approx(80)  # read at 1.01
        assert gpus.time_s == pytest.approx(1.01)
        assert gpus.counter_j(handle, 1.01) == pytest.approx(160 + 150)
        assert gpus.time_s == pytest.approx(2.55)
        assert gpus.counter_j(handle, 2.56) == pytest.approx(160 + 150)
        assert gpus.time_s == pytest.approx(2.58)

    def test_a_slow_device_takes_its_time_by_the_real_clock(self, nvml_of):
        script = (
            "import time, pynvml\npynvml.nvmlInit()\n"
            "handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in (0, 1)]\n"
            "for handle in handles:\n    began = time.monotonic()\n    pynvml.nvmlDeviceGetPowerUsage(handle)\n"
            "    print(time.monotonic() - began)"
        )
        environment = nvml_of(SimulatedDevice(call_ms=50.0), SimulatedDevice(uuid="GPU-2"))
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
        slow_s, quick_s = map(float, done.stdout.split())
        assert slow_s >= 0.05
        assert slow_s > quick_s

    def test_field_values_are_stamped_in_microseconds_with_their_call_or_their_tick(self, gpus):
        handle = gpus.use(SimulatedDevice(phase_s=0.03), at_s=1.5)
        assert gpus.field(handle, 83).timestamp == 1_500_000
        handle = gpus.use(SimulatedDevice(phase_s=0.03, stamp_at_tick=True), at_s=1.5)
        assert gpus.field(handle, 83).timestamp == 1_430_000

    def test_fields_say_what_the_calls_say(self, gpus):
        handle = gpus.use(replace(STEP, seen_s=0.025))
        gpus.at(2.05)
        energy, instant = (gpus.field(handle, number) for number in (83, 186))
        assert (energy.valueType, instant.valueType) == (
            gpus.nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG,
            gpus.nvml.NVML_VALUE_TYPE_UNSIGNED_INT,
        )
        assert energy.value.ullVal == gpus.nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        assert instant.value.uiVal == gpus.nvml.nvmlDeviceGetPowerUsage(handle)
        module = gpus.field(handle, 186, scope=gpus.nvml.NVML_POWER_SCOPE_MODULE)
        assert module.nvmlReturn == NOT_SUPPORTED


def test_without_a_script_there_are_two_devices_by_the_real_clock(nvml: dict[str, str]) -> None:
    script = (
        "import pynvml\npynvml.nvmlInit()\n"
        "for i in range(pynvml.nvmlDeviceGetCount()):\n"
        "    handle = pynvml.nvmlDeviceGetHandleByIndex(i)\n"
        "    print(pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetPowerUsage(handle))"
    )
    done = subprocess.run([sys.executable, "-c", script], env=nvml, capture_output=True, text=True, check=True)
    lines: list[Any] = [line.split() for line in done.stdout.splitlines()]
    assert lines == [
        ["GPU-00000000-sim0-0000-0000-000000000000", "100000"],
        ["GPU-00000000-sim1-0000-0000-000000000000", "50000"],
    ]
