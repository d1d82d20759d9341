"""What spoils comparisons: named where it is, with the command that mends it, and never where it is not known."""

from pathlib import Path

import pytest

from llem.domain.sensing import Device
from llem.domain.sensor_check import Agreement, DeviceCheck, SensorCheck
from llem.study.spoilers import spoilers

QUIET = {"load": 0.0, "cpus": 8, "free_bytes": 10**12, "folder": Path("/data")}


@pytest.fixture
def found(tmp_path):
    """Return a function from a machine to (code, where, remedy) of what spoils comparisons there."""

    def of(*devices, governors=(), **changes):
        for number, governor in enumerate(governors):
            path = tmp_path / f"devices/system/cpu/cpu{number}/cpufreq/scaling_governor"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{governor}\n")
        told = spoilers(devices, sysfs=tmp_path, **{**QUIET, **changes})
        return [(spoiler.code, spoiler.where, spoiler.remedy) for spoiler in told]

    return of


def gpu(**facts):
    return Device(id="GPU-1", name="Simulated", facts=facts)


def test_a_quiet_machine_has_nothing_that_spoils_comparisons(found):
    fine = gpu(mig=False, persistence=True, compute_processes=0)
    assert found(fine, governors=["performance", "performance"]) == []


def test_what_is_not_known_spoils_nothing(found):
    assert found(gpu(mig=None, persistence=None, compute_processes=None), gpu()) == []


@pytest.mark.parametrize(
    ("facts", "code", "remedy"),
    [
        ({"mig": True}, "mig", "sudo nvidia-smi -i GPU-1 -mig 0"),
        ({"persistence": False}, "persistence_off", "sudo nvidia-smi -i GPU-1 -pm 1"),
        (
            {"compute_processes": 2},
            "foreign_process",
            "nvidia-smi -i GPU-1 --query-compute-apps=pid,name,used_memory --format=csv",
        ),
    ],
)
def test_a_gpu_that_spoils_comparisons_is_named_with_the_command_that_mends_it(found, facts, code, remedy):
    assert found(gpu(**facts)) == [(code, "GPU-1", remedy)]


def test_a_governor_that_follows_the_load_is_told_once(found):
    assert found(governors=["powersave", "performance", "powersave"]) == [
        ("cpu_governor", "cpu", "sudo cpupower frequency-set -g performance")
    ]


@pytest.mark.parametrize(("load", "codes"), [(0.8, []), (0.81, ["busy"])])
def test_others_who_run_here_are_told_above_a_tenth_of_the_processors(found, load, codes):
    assert [code for code, _, _ in found(load=load)] == codes


@pytest.mark.parametrize(("free_bytes", "codes"), [(10**9, []), (10**9 - 1, ["low_disk"])])
def test_a_disk_with_less_than_a_gigabyte_is_told(found, free_bytes, codes):
    assert [code for code, _, _ in found(free_bytes=free_bytes)] == codes


def checked(grade, *relative):
    agreements = tuple(
        Agreement(state="load", channel="power", counter_w=100, channel_w=100 * (1 + off), relative=off, duration_s=4)
        for off in relative
    )
    device = DeviceCheck(
        device="GPU-1", counter="energy", counter_is_sum=None, why="", agreements=agreements, grade=grade
    )
    return SensorCheck(duration_s=10, channels=(), devices=(device,))


@pytest.mark.parametrize(
    ("check", "codes"),
    [
        (None, []),
        (checked("good", 0.01), []),
        (checked("doubtful", 0.03), ["doubtful_sensor"]),
        (checked("poor", 0.07), ["poor_sensor"]),
        (checked("poor"), ["poor_sensor"]),
    ],
)
def test_sensors_that_do_not_agree_are_told(found, check, codes):
    assert [code for code, _, _ in found(check=check)] == codes


def test_a_poor_sensor_says_by_which_readings(tmp_path):
    (off,) = spoilers([], sysfs=tmp_path, check=checked("poor", 0.01, 0.07), **QUIET)
    assert off.found.endswith("power 107 W under load, the counter 100 W")
    (stood,) = spoilers([], sysfs=tmp_path, check=checked("poor"), **QUIET)
    assert stood.found.endswith("its energy counter fell or did not move")
