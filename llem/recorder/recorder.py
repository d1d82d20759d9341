"""Reads every sensor at its own pace while it is told to record."""

import select
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel

from llem.domain.errors import SensorError
from llem.domain.recording import (
    COMMAND,
    Command,
    Ready,
    RecorderFailed,
    Started,
    StartRecording,
    Stopped,
    StopRecording,
    TellTemperatures,
    Temperatures,
    Use,
)
from llem.domain.redaction import redacted
from llem.domain.result import RecorderCost
from llem.domain.sensing import SensorReport, UnavailableSensor
from llem.sensors.base import Paced, Sensor, SensorFactory, Steady, Thermometer, Watchman
from llem.sensors.samples import SampleWriter

HIDDEN = "the environment hides each of its devices from this study"


def open_sensors(
    names: Iterable[str], factories: Mapping[str, SensorFactory]
) -> tuple[dict[str, Sensor], SensorReport]:
    """Open the named sensors; return those that work, and the report on all."""
    sensors: dict[str, Sensor] = {}
    unavailable: list[UnavailableSensor] = []
    for name in names:
        try:
            sensors[name] = factories[name]()
        except SensorError as error:
            unavailable.append(UnavailableSensor(sensor=name, reason=error.message, remedy=error.remedy))
        except Exception as error:  # noqa: BLE001 - a vendor's library may raise anything; the study goes on
            reason = redacted(f"{type(error).__name__}: {error}")
            unavailable.append(UnavailableSensor(sensor=name, reason=reason, remedy="Leave it out of `sensors`."))
    for name, sensor in sensors.items():
        if not sensor.channels:
            remedy = "Check CUDA_VISIBLE_DEVICES, or leave it out of `sensors`."
            unavailable.append(UnavailableSensor(sensor=name, reason=HIDDEN, remedy=remedy))
    report = SensorReport(
        channels=tuple(channel for sensor in sensors.values() for channel in sensor.channels),
        devices=tuple(device for sensor in sensors.values() for device in sensor.devices),
        unavailable=tuple(unavailable),
    )
    return sensors, report


class Recorder:
    """Answers commands and takes readings, in one thread.

    Args:
        sensors: Open sensors.
        report: What they can read.
        commands: Commands come in here, one JSON object a line; its end ends the recorder.
        replies: Replies go out here.
    """

    def __init__(
        self, sensors: Iterable[Sensor], report: SensorReport, commands: BinaryIO, replies: BinaryIO
    ) -> None:
        self._sensors = list(sensors)
        self._paced = [sensor if isinstance(sensor, Paced) else Steady(sensor) for sensor in self._sensors]
        self._report = report
        self._commands = commands
        self._replies = replies
        self._writer: SampleWriter | None = None
        self._began = (0.0, 0.0)
        self._failure = RecorderFailed(reason="nothing was being recorded")

    def run(self) -> None:
        """Serve until the commands end."""
        self._reply(Ready(report=self._report))
        waited_for = [self._commands.fileno()]
        while True:
            due_ns = [sensor.due_ns() for sensor in self._paced] if self._writer is not None else []
            wait_s = max(0, min(due_ns) - time.monotonic_ns()) / 1e9 if due_ns else None
            # epoll would round the time to wait up to milliseconds, and a selector costs as much as a wake-up itself.
            if not select.select(waited_for, (), (), wait_s)[0]:
                self._take(due_ns)
                continue
            line = self._commands.readline()
            if not line:
                break
            self._obey(COMMAND.validate_json(line))
        if self._writer is not None:
            self._writer.abandon()
        for sensor in self._sensors:
            sensor.close()

    def _obey(self, command: Command) -> None:
        try:
            if isinstance(command, StartRecording):
                self._start(Path(command.file))
            elif isinstance(command, StopRecording):
                self._stop()
            elif isinstance(command, TellTemperatures):
                self._tell_temperatures()
            else:
                self._tell_use()
        except OSError as error:
            if isinstance(command, StartRecording | StopRecording):
                self._give_up(error)
            else:
                self._reply(RecorderFailed(reason=str(error)))

    def _give_up(self, error: OSError) -> None:
        """Drop the file that cannot be written, and say so at once: what is measured now has no record."""
        self._failure = RecorderFailed(reason=f"the raw edges cannot be written: {error}", errno=error.errno)
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
        self._reply(self._failure)

    def _start(self, path: Path) -> None:
        if self._writer is not None:
            self._writer.abandon()
        self._writer = SampleWriter(path, self._report.channels)
        self._began = (time.process_time(), time.monotonic())
        self._take_all(self._writer)
        self._reply(Started())

    def _stop(self) -> None:
        if self._writer is None:
            self._reply(self._failure)
            return
        writer = self._writer
        self._take_all(writer)
        cpu, wall = self._began
        sha256 = writer.finish()
        self._writer = None
        cost = RecorderCost(
            cpu_s=time.process_time() - cpu,
            wall_s=time.monotonic() - wall,
            edges=writer.edges,
            devices=len({channel.device for channel in self._report.channels}),
        )
        self._reply(Stopped(sha256=sha256, cost=cost))

    def _tell_temperatures(self) -> None:
        thermometers = [sensor for sensor in self._sensors if isinstance(sensor, Thermometer)]
        told = tuple(temperature for sensor in thermometers for temperature in sensor.temperatures())
        self._reply(Temperatures(devices=told))

    def _tell_use(self) -> None:
        watchmen = [sensor for sensor in self._sensors if isinstance(sensor, Watchman)]
        self._reply(Use(devices=tuple(use for sensor in watchmen for use in sensor.use())))

    def _take(self, due_ns: Sequence[int]) -> None:
        """Read the sensors that are due by now."""
        if self._writer is None:
            return
        now_ns = time.monotonic_ns()
        try:
            for sensor, sensor_due_ns in zip(self._paced, due_ns, strict=True):
                if sensor_due_ns <= now_ns:
                    self._writer.add(sensor.read_due())
        except OSError as error:
            self._give_up(error)

    def _take_all(self, writer: SampleWriter) -> None:
        for sensor in self._paced:
            writer.write(sensor.read())

    def _reply(self, reply: BaseModel) -> None:
        self._replies.write(reply.model_dump_json().encode() + b"\n")
        self._replies.flush()
