import errno
import os
import subprocess
import sys
import threading
import time

import pytest

from llem.domain.errors import SensorError
from llem.domain.recording import (
    REPLY,
    Ready,
    RecorderFailed,
    Started,
    StartRecording,
    Stopped,
    StopRecording,
    TellTemperatures,
    TellUse,
    Temperatures,
    Use,
)
from llem.domain.sensing import DeviceUse, SensorReport, Temperature
from llem.recorder.recorder import Recorder, open_sensors
from llem.sensors.base import Reading, calls
from llem.sensors.samples import read_samples


class FakeSensor:
    """Counts its own readings."""

    devices = ()

    def __init__(self, channel, period_s=0.005):
        self.channels = (channel,)
        self.period_s = period_s
        self.taken = 0
        self.closed = 0
        self.failing = None

    def read(self):
        self.taken += 1
        now_ns = time.monotonic_ns()
        value = None if self.failing else float(self.taken)
        return [Reading(self.channels[0].id, now_ns, now_ns, value, self.failing)]

    def close(self):
        self.closed += 1


class WarmSensor(FakeSensor):
    """Also tells temperatures, which rise by a degree each time that they are asked."""

    degrees_c = 40

    def temperatures(self):
        self.degrees_c += 1
        known = Temperature(device=f"{self.channels[0].id}/warm", temperature_c=self.degrees_c)
        return [known, Temperature(device=f"{self.channels[0].id}/mute", temperature_c=None, reason="Not Supported")]


class WatchfulSensor(FakeSensor):
    """Also tells what is on its device."""

    def use(self):
        return [DeviceUse(device=self.channels[0].id, memory_bytes=1 << 30, processes=(7,))]


class PacedSensor(FakeSensor):
    """Wants to be read five times, 2 ms apart, and then not again."""

    due_taken = 0
    read_ns = 0

    def due_ns(self):
        return self.read_ns + (2_000_000 if self.due_taken < 5 else 3600 * 10**9)

    def read(self):
        self.read_ns = time.monotonic_ns()
        return super().read()

    def read_due(self):
        self.due_taken += 1
        return calls(self.read())


class Running:
    """A recorder in a thread of its own, at the other end of real pipes."""

    def __init__(self, sensors):
        self.sensors = sensors
        report = SensorReport(channels=tuple(channel for sensor in sensors for channel in sensor.channels))
        commands, self.commands = os.pipe()
        replies, write = os.pipe()
        self.replies = os.fdopen(replies, "rb")
        inner = (os.fdopen(commands, "rb", buffering=0), os.fdopen(write, "wb"))
        recorder = Recorder(sensors, report, *inner)

        def serve():
            with inner[0], inner[1]:
                recorder.run()

        self.thread = threading.Thread(target=serve)
        self.thread.start()

    def send(self, *commands):
        os.write(self.commands, b"".join(command.model_dump_json().encode() + b"\n" for command in commands))

    def reply(self):
        return REPLY.validate_json(self.replies.readline())

    def end(self):
        if self.commands >= 0:
            os.close(self.commands)
            self.commands = -1
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()


@pytest.fixture
def record(make):
    """Return a function that starts a recorder on fake sensors with these periods; it has said that it is ready."""
    started = []

    def start(*periods_s, kind=FakeSensor):
        sensors = [kind(make.channel(id=f"fake/{n}"), period_s) for n, period_s in enumerate(periods_s)]
        running = Running(sensors)
        started.append(running)
        ready = running.reply()
        assert isinstance(ready, Ready)
        assert [channel.id for channel in ready.report.channels] == [f"fake/{n}" for n in range(len(sensors))]
        return running

    yield start
    for running in started:
        running.end()
        running.replies.close()


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_what_is_read_between_start_and_stop_lies_in_the_file(record, tmp_path):
    running, file = record(0.002), tmp_path / "s.json.gz"
    begun_ns = time.monotonic_ns()
    running.send(StartRecording(file=str(file)))
    assert running.reply() == Started()
    wait_for(lambda: running.sensors[0].taken >= 10)
    running.send(StopRecording())
    stopped = running.reply()
    ended_ns = time.monotonic_ns()
    edges = read_samples(file).edges["fake/0"]
    assert isinstance(stopped, Stopped)
    assert [edge.value for edge in edges] == [float(n) for n in range(1, running.sensors[0].taken + 1)]
    assert begun_ns <= edges[0].before_ns < edges[-1].after_ns <= ended_ns
    assert stopped.cost.edges == len(edges)
    assert stopped.cost.cpu_s >= 0
    assert 0 < stopped.cost.wall_s <= (ended_ns - begun_ns) / 1e9
    assert stopped.cost.cpu_share == stopped.cost.cpu_s / stopped.cost.wall_s
    assert stopped.cost.devices == 1


def test_the_first_edge_is_taken_before_it_says_started_and_the_last_before_it_says_stopped(record, tmp_path):
    running, file = record(3600.0), tmp_path / "s.json.gz"
    running.send(StartRecording(file=str(file)))
    running.reply()
    started_ns = time.monotonic_ns()
    running.send(StopRecording())
    running.reply()
    first, last = read_samples(file).edges["fake/0"]
    assert first.after_ns <= started_ns <= last.before_ns


def test_each_sensor_is_read_at_its_own_pace(record, tmp_path):
    running = record(0.002, 3600.0)
    running.send(StartRecording(file=str(tmp_path / "s")))
    running.reply()
    wait_for(lambda: running.sensors[0].taken >= 20)
    assert running.sensors[1].taken == 1


def test_a_sensor_with_a_pace_of_its_own_is_read_when_it_wants_to_be(record, tmp_path):
    running, file = record(3600.0, kind=PacedSensor), tmp_path / "s"
    running.send(StartRecording(file=str(file)))
    running.reply()
    wait_for(lambda: running.sensors[0].due_taken >= 5)
    time.sleep(0.02)
    running.send(StopRecording())
    assert running.reply().cost.edges == len(read_samples(file).edges["fake/0"]) == 7
    assert running.sensors[0].due_taken == 5


def test_nothing_is_read_while_nothing_is_recorded(record, tmp_path):
    running = record(0.001)
    assert running.sensors[0].taken == 0
    running.send(StartRecording(file=str(tmp_path / "s")), StopRecording())
    running.reply()
    running.reply()
    taken = running.sensors[0].taken
    time.sleep(0.03)
    assert running.sensors[0].taken == taken


def test_one_recorder_records_one_file_after_the_other(record, tmp_path):
    running = record(0.002)
    for n in range(3):
        running.send(StartRecording(file=str(tmp_path / f"{n}")))
        assert running.reply() == Started()
        running.send(StopRecording())
        assert isinstance(running.reply(), Stopped)
    files = [read_samples(tmp_path / f"{n}").edges["fake/0"] for n in range(3)]
    values = [edge.value for edges in files for edge in edges]
    assert values == sorted(set(values))


def test_a_failed_reading_is_recorded_with_its_reason_and_does_not_stop_the_recorder(record, tmp_path):
    running, file = record(0.002), tmp_path / "s"
    running.send(StartRecording(file=str(file)))
    running.reply()
    running.sensors[0].failing = "GPU is lost"
    taken = running.sensors[0].taken
    wait_for(lambda: running.sensors[0].taken >= taken + 3)
    running.send(StopRecording())
    assert isinstance(running.reply(), Stopped)
    samples = read_samples(file)
    assert samples.failures == {"fake/0": "GPU is lost"}
    assert len(samples.edges["fake/0"]) < running.sensors[0].taken


def test_a_file_that_cannot_be_made_is_told_and_the_next_one_can(record, tmp_path):
    running = record(0.002)
    running.send(StartRecording(file=str(tmp_path / "nowhere" / "s")))
    failed = running.reply()
    assert isinstance(failed, RecorderFailed)
    assert "No such file" in failed.reason
    running.send(StartRecording(file=str(tmp_path / "s")))
    assert running.reply() == Started()


def test_stopping_what_never_started_is_told(record):
    running = record(0.002)
    running.send(StopRecording())
    assert running.reply() == RecorderFailed(reason="nothing was being recorded")


def test_starting_anew_drops_what_was_begun(record, tmp_path):
    running = record(0.002)
    running.send(StartRecording(file=str(tmp_path / "one")))
    running.reply()
    running.send(StartRecording(file=str(tmp_path / "other")), StopRecording())
    running.reply()
    running.reply()
    assert [file.name for file in tmp_path.iterdir()] == ["other"]


def test_the_end_of_the_commands_ends_the_recorder_and_drops_what_was_begun(record, tmp_path):
    running = record(0.002, 0.002)
    running.send(StartRecording(file=str(tmp_path / "s")))
    running.reply()
    running.end()
    assert list(tmp_path.iterdir()) == []
    assert [sensor.closed for sensor in running.sensors] == [1, 1]


def test_temperatures_are_told_of_every_device_with_a_reason_where_they_are_unknown(record):
    running = record(0.002, 0.002, kind=WarmSensor)
    for degrees_c in (41, 42):
        running.send(TellTemperatures())
        told = running.reply()
        assert isinstance(told, Temperatures)
        assert [(t.device, t.temperature_c, t.reason) for t in told.devices] == [
            ("fake/0/warm", degrees_c, None),
            ("fake/0/mute", None, "Not Supported"),
            ("fake/1/warm", degrees_c, None),
            ("fake/1/mute", None, "Not Supported"),
        ]


@pytest.mark.parametrize("sensors", [0, 1])
def test_sensors_without_a_thermometer_have_no_temperature_and_it_is_no_failure(record, sensors):
    running = record(*[0.002] * sensors)
    running.send(TellTemperatures())
    assert running.reply() == Temperatures(devices=())


def test_what_is_on_the_devices_is_told_by_those_who_can(record):
    running = record(0.002, 0.002, kind=WatchfulSensor)
    running.send(TellUse())
    one, other = running.reply().devices
    assert (one.device, one.memory_bytes, one.processes) == ("fake/0", 1 << 30, (7,))
    assert other.device == "fake/1"
    blind = record(0.002)
    blind.send(TellUse())
    assert blind.reply() == Use(devices=())


def test_asking_for_temperatures_does_not_disturb_what_is_being_recorded(record, tmp_path):
    running, file = record(0.002, kind=WarmSensor), tmp_path / "s"
    running.send(StartRecording(file=str(file)), TellTemperatures())
    assert running.reply() == Started()
    assert isinstance(running.reply(), Temperatures)
    wait_for(lambda: running.sensors[0].taken >= 10)
    running.send(StopRecording())
    assert isinstance(running.reply(), Stopped)
    assert len(read_samples(file).edges["fake/0"]) == running.sensors[0].taken


def test_a_recorder_without_a_sensor_answers_all_the_same(record, tmp_path):
    running = record()
    running.send(StartRecording(file=str(tmp_path / "s")), StopRecording())
    assert running.reply() == Started()
    assert running.reply().cost.edges == 0


def test_a_sensor_that_cannot_be_opened_is_part_of_the_report_and_the_others_work(make):
    def refused():
        raise SensorError("No GPU.", remedy="Plug one in.")

    def broken():
        raise ZeroDivisionError("vendor")

    working = FakeSensor(make.channel())
    sensors, report = open_sensors(
        ["refused", "working", "broken"], {"refused": refused, "broken": broken, "working": lambda: working}
    )
    assert sensors == {"working": working}
    assert report.channels == working.channels
    assert [(missing.sensor, missing.reason) for missing in report.unavailable] == [
        ("refused", "No GPU."),
        ("broken", "ZeroDivisionError: vendor"),
    ]
    assert all(missing.remedy for missing in report.unavailable)


def test_only_the_sensors_that_are_named_are_opened(make):
    opened = []
    factories = {name: lambda name=name: opened.append(name) or FakeSensor(make.channel()) for name in ("a", "b")}
    open_sensors(["b"], factories)
    assert opened == ["b"]


FILL_THE_DISK = """
import os, resource, sys, time
from llem.domain.sensing import Channel, SensorReport
from llem.recorder.recorder import Recorder
from llem.sensors.base import Reading

channel = Channel(id="a", sensor="s", device="d", boundary="gpu", kind="energy_j", provenance="counter")

class Busy:
    channels, devices, period_s = (channel,), (), float(sys.argv[1])
    def read(self):
        now_ns = time.monotonic_ns()
        return [Reading("a", now_ns, now_ns, float(hash((now_ns,)) % 10**9))]
    def close(self):
        pass

resource.setrlimit(resource.RLIMIT_FSIZE, (1, -1))  # a small disk
Recorder([Busy()], SensorReport(channels=(channel,)), os.fdopen(0, "rb", buffering=0), os.fdopen(1, "wb")).run()
"""


@pytest.fixture
def crowded(tmp_path):
    """Return a function that has a recorder which cannot write record, reading every so many seconds."""
    started = []

    def start(period_s):
        command = [sys.executable, "-c", FILL_THE_DISK, str(period_s)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert isinstance(REPLY.validate_json(process.stdout.readline()), Ready)
        tell(process, StartRecording(file=str(tmp_path / "a.json.gz")))
        assert isinstance(REPLY.validate_json(process.stdout.readline()), Started)
        return process

    yield start
    for process in started:
        process.communicate(timeout=20)
        assert process.returncode == 0


def tell(process, command):
    process.stdin.write(command.model_dump_json().encode() + b"\n")
    process.stdin.flush()


def test_a_disk_that_fills_up_while_it_records_is_told_at_once(crowded, tmp_path):
    process = crowded(0.0)
    failed = REPLY.validate_json(process.stdout.readline())  # nothing was asked
    assert isinstance(failed, RecorderFailed)
    assert failed.errno == errno.EFBIG
    assert "the raw edges cannot be written" in failed.reason
    tell(process, StopRecording())
    assert REPLY.validate_json(process.stdout.readline()) == failed
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_finished_leaves_nothing(crowded, tmp_path):
    process = crowded(3600.0)
    tell(process, StopRecording())
    assert REPLY.validate_json(process.stdout.readline()).errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []
