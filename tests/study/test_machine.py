"""The GPUs of a machine as CUDA would show them, asked of a recorder that reads a simulated driver."""

import json
import os
import subprocess
import sys

import pytest

from llem.domain.host import Gpu
from llem.domain.sensing import Device
from llem.sensors.visible import identifiers
from llem.study.machine import ProbedMachine, UnknownMachine, usable_gpus, visible_gpus

SIM0 = Gpu(name="Simulated GPU 0", compute_capability=(9, 0), memory_bytes=None)
SIM1 = Gpu(name="Simulated GPU 1", compute_capability=(7, 5), memory_bytes=None)
ANY_SIM = Gpu(name="Simulated GPU 0 or Simulated GPU 1", compute_capability=None, memory_bytes=None)

UUIDS = ("GPU-aaaa1111-0000", "GPU-aaaa2222-0000", "GPU-bbbb3333-0000")


def device(uuid, name="T4", capability="7.5", memory_bytes=16 << 30, mig=None):
    facts = {"compute_capability": capability, "memory_bytes": memory_bytes, "mig": mig}
    return Device(id=uuid, name=name, facts=facts)


THREE = [device(UUIDS[0], "A"), device(UUIDS[1], "B"), device(UUIDS[2], "C")]


@pytest.fixture
def driver(nvml):
    """Return the folder of a simulated driver."""
    return nvml["LD_LIBRARY_PATH"]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def recorder_that_counts(tmp_path):
    """Return a recorder's command, and the file in which each of its starts leaves a line."""
    starts = tmp_path / "starts"
    script = f'echo >> {starts}; exec {sys.executable} -P -m llem.recorder "$@"'
    return ["sh", "-c", script, "recorder"], starts


class TestProbe:
    def test_the_gpus_are_asked_once_and_only_when_somebody_wants_to_know(
        self, driver, monkeypatch, recorder_that_counts
    ):
        monkeypatch.setenv("LD_LIBRARY_PATH", driver)
        monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        command, starts = recorder_that_counts
        machine = ProbedMachine(command)
        assert not starts.exists()
        assert machine.gpus() == machine.gpus() == (SIM0, SIM1)
        assert starts.read_text() == "\n"

    def test_in_cudas_own_order_a_number_is_one_of_them(self, driver, monkeypatch):
        monkeypatch.setenv("LD_LIBRARY_PATH", driver)
        assert ProbedMachine().gpus() == (ANY_SIM, ANY_SIM)

    def test_what_is_visible_counts(self, driver, monkeypatch):
        monkeypatch.setenv("LD_LIBRARY_PATH", driver)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-00000000-sim1")
        assert ProbedMachine().gpus() == (SIM1,)

    @pytest.mark.parametrize("nothing", ["", "-1", "NoDevFiles", "none"])
    def test_where_nothing_is_visible_nobody_is_asked(self, monkeypatch, nothing):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert ProbedMachine(["no-such-command"]).gpus() == ()

    def test_a_part_of_a_gpu_is_unknown(self, monkeypatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-aaaa1111-0000")
        assert ProbedMachine(["no-such-command"]).gpus() is None

    @pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="this machine has a driver")
    def test_without_a_driver_there_is_no_gpu_unless_a_device_file_says_otherwise(self, tmp_path):
        node = tmp_path / "kfd"
        assert ProbedMachine(gpu_nodes=[node]).gpus() == ()
        node.touch()
        assert ProbedMachine(gpu_nodes=[node]).gpus() is None

    @pytest.mark.parametrize("command", [["no-such-command"], ["false"], ["echo", "nonsense"]], ids=lambda c: c[0])
    def test_a_probe_that_fails_knows_nothing(self, command):
        assert ProbedMachine(command).gpus() is None

    def test_this_process_loads_no_nvml_and_leaves_no_file(self, driver, tmp_path):
        script = (
            "import json, sys\nfrom llem.study.machine import ProbedMachine\n"
            "print(json.dumps([len(ProbedMachine().gpus()), 'pynvml' in sys.modules]))"
        )
        environment = {**os.environ, "LD_LIBRARY_PATH": driver, "TMPDIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
        assert json.loads(done.stdout) == [2, False]
        assert list(tmp_path.iterdir()) == []

    def test_a_machine_that_nobody_asked_is_unknown(self):
        assert UnknownMachine().gpus() is None


class TestUsable:
    def test_the_gpus_that_a_study_can_use_are_those_that_cuda_shows_it(self, driver, monkeypatch, tmp_path):
        monkeypatch.setenv("LD_LIBRARY_PATH", driver)
        first, second = usable_gpus(gpu_nodes=[tmp_path])
        assert first.startswith("GPU-00000000-sim0-")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-00000000-sim1")
        assert usable_gpus(gpu_nodes=[tmp_path]) == (second,)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        assert usable_gpus(gpu_nodes=[tmp_path]) == ()

    def test_without_a_device_file_nobody_is_asked(self, tmp_path, recorder_that_counts):
        command, starts = recorder_that_counts
        assert usable_gpus(command, [tmp_path / "nvidiactl"]) == ()
        assert not starts.exists()

    def test_a_recorder_that_fails_names_none(self, tmp_path):
        assert usable_gpus(["false"], [tmp_path]) == ()


class TestVisible:
    @pytest.mark.parametrize(
        ("asked_for", "names"),
        [
            (None, "ABC"),
            ("0,1,2", "ABC"),
            ("2,0", "CA"),
            (" 1 , 2 ", "BC"),
            ("1gpu,+2", "BC"),
            ("0,-1,2", "A"),
            ("0,3,1", "A"),
            ("0,x,1", "A"),
            ("0,,1", "A"),
            ("7", ""),
            ("0,0", ""),
            ("", ""),
            ("-1", ""),
            ("GPU-bbbb", "C"),
            ("GPU-bbbb,GPU-aaaa1", "CA"),
            ("GPU-bbbb3333-0000", "C"),
            ("GPU-aaaa", ""),  # two begin so
            ("GPU-bbbb,GPU-cccc,GPU-aaaa1", "C"),
            ("GPU-bbbb,0", "C"),
            ("0,GPU-bbbb", "A"),
            ("GPU-bbbb,GPU-bbbb", ""),
            ("GPU-bbbb,GPU-b", ""),
        ],
    )
    def test_devices_are_restricted_and_reordered_as_cuda_does(self, asked_for, names):
        shown = visible_gpus(THREE, asked_for, by_speed=False)
        assert "".join(gpu.name for gpu in shown) == names

    def test_of_gpus_that_differ_a_number_says_only_what_they_share(self):
        mixed = [device(UUIDS[0]), device(UUIDS[1], "L4", "8.9", 16 << 30)]
        either = Gpu(name="T4 or L4", compute_capability=None, memory_bytes=16 << 30)
        assert visible_gpus(mixed, None, by_speed=True) == (either, either)
        assert visible_gpus(mixed, "1", by_speed=True) == (either,)
        assert [gpu.name for gpu in visible_gpus(mixed, "GPU-aaaa2", by_speed=True)] == ["L4"]

    def test_gpus_that_are_alike_are_known_in_any_order(self):
        alike = [device(uuid) for uuid in UUIDS]
        known = Gpu(name="T4", compute_capability=(7, 5), memory_bytes=16 << 30)
        assert visible_gpus(alike, None, by_speed=True) == (known,) * 3

    def test_a_partitioned_gpu_is_unknown(self):
        assert visible_gpus([device(UUIDS[0], mig=True)], None, by_speed=False) is None
        assert visible_gpus([device(UUIDS[0], mig=False)], None, by_speed=False) is not None

    def test_facts_that_a_driver_does_not_tell_are_unknown(self):
        (gpu,) = visible_gpus([device(UUIDS[0], capability=None, memory_bytes=None)], None, by_speed=False)
        assert gpu == Gpu(name="T4", compute_capability=None, memory_bytes=None)

    def test_no_gpus_are_no_gpus(self):
        assert visible_gpus([], None, by_speed=True) == visible_gpus([], "0", by_speed=True) == ()

    @pytest.mark.model
    @pytest.mark.parametrize(
        "asked_for",
        ["0,1,2", "2,0", "1gpu,+2", "0,-1,2", "0,x,1", "0,0", "", "-1", "GPU-b,GPU-a", "GPU-b,0", "GPU-b,GPU-b"],
    )
    def test_identifiers_are_read_as_torch_reads_them(self, asked_for, monkeypatch):
        from torch.cuda import _parse_visible_devices

        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", asked_for)
        assert identifiers(asked_for) == _parse_visible_devices()
