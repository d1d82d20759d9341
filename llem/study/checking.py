"""The sensor check: sensors are read while the devices idle and while they work, and compared with each other."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llem.domain.errors import SensorError
from llem.domain.events import SensorsChecked
from llem.domain.loading import Load
from llem.domain.names import SAMPLES_ENDING, ProfileName
from llem.domain.recording import Stopped
from llem.domain.sensing import SensorReport
from llem.domain.sensor_check import SensorCheck
from llem.domain.sensor_checking import check_sensors
from llem.journal.durable import discard
from llem.sensors.samples import PART, Samples, read_samples
from llem.study.folder import StudyFolder
from llem.study.loading import LOAD_COMMAND, TICK_S, put_under_load
from llem.study.signals import EndingSignals
from llem.study.spoilers import sensor_spoilers

IDLE_S = 5.0
QUICK_S = 3.0
LOAD_START_S = 6.0
"""About how long a load generator takes to begin: torch is loaded, and the devices warm up."""


@dataclass(frozen=True)
class CheckSettings:
    """How a sensor check is done.

    Attributes:
        idle_s: How long the idle devices are read; 0 leaves the whole check out.
        load_s: How long they are read at work; 0 leaves that out.
        load_command: What puts them to work, as ``put_under_load`` takes it.
    """

    idle_s: float = IDLE_S
    load_s: float = IDLE_S
    load_command: Sequence[str] = LOAD_COMMAND

    @classmethod
    def of(cls, profile: ProfileName) -> "CheckSettings":
        """Return what a study of this profile takes."""
        return cls(QUICK_S, QUICK_S) if profile == "quick" else cls()


class CheckRecorder(Protocol):
    """What records; SensorError where it does not."""

    def begin(self, samples: Path) -> None:
        """Record into ``samples`` from now on."""

    def finish(self) -> Stopped:
        """Stop recording; ``samples`` is complete."""


class CheckWatcher(Protocol):
    """Who looks on while sensors are checked."""

    def checking(self, left_s: float) -> None:
        """The check takes about this long yet; told about twice a second."""

    def warn(self, text: str) -> None:
        """Something deserves a person's attention."""

    def tick(self) -> None:
        """Time passed; called about twice a second."""


def check_now(
    recorder: CheckRecorder,
    report: SensorReport,
    samples: Path,
    load_log: Path,
    signals: EndingSignals,
    watcher: CheckWatcher,
    settings: CheckSettings,
) -> SensorsChecked | None:
    """Read the sensors for some seconds and return what that shows; None where no channel measures energy.

    The devices idle for ``settings.idle_s``; then the GPUs with an energy counter work for ``settings.load_s``, where
    a load can be made. An ending signal ends all of it at once.

    Args:
        recorder: Records.
        report: What it can read.
        samples: The file of raw edges to make.
        load_log: Where the load generator's output goes.
        signals: Ending signals.
        watcher: Looks on.
        settings: How long, and by which load.

    Raises:
        SensorError: Nothing could be recorded.
        SessionInterrupted: An ending signal came.
    """
    measured = [c for c in report.channels if c.measures_energy and c.provenance != "modelled"]
    if not measured or not settings.idle_s:
        return None
    ends_at = time.monotonic() + settings.idle_s + _expected_load_s(report, settings)

    def tick() -> None:
        watcher.checking(max(0.0, ends_at - time.monotonic()))
        watcher.tick()

    seen = len(signals.standstills.seen)
    recorder.begin(samples)
    idle = _idle(settings.idle_s, signals, tick)
    unloaded = _no_load(report, settings)
    load = (
        Load(reason=unloaded)
        if unloaded
        else put_under_load(settings.load_s, load_log, signals, tick=tick, command=settings.load_command)
    )
    sha256 = recorder.finish().sha256
    for standstill in signals.standstills.seen[seen:]:
        raise SensorError(f"The session {standstill.describe()}.", remedy="Check them again: llem doctor")
    interval = load.interval or (None, None)
    return SensorsChecked(
        check=_evaluated(read_samples(samples), idle, load),
        samples_file=samples.name,
        samples_sha256=sha256,
        idle_start_ns=idle[0],
        idle_end_ns=idle[1],
        load_start_ns=interval[0],
        load_end_ns=interval[1],
        loaded=load.devices if load.interval else (),
    )


def _idle(seconds: float, signals: EndingSignals, tick: Callable[[], object]) -> tuple[int, int]:
    """Leave the devices alone for so long, and return from when to when, in nanoseconds of the monotonic clock."""
    start_ns = time.monotonic_ns()
    until = time.monotonic() + seconds
    while (left_s := until - time.monotonic()) > 0:
        tick()
        signals.pause(min(TICK_S, left_s))
    return start_ns, time.monotonic_ns()


def check_at_start(
    recorder: CheckRecorder,
    report: SensorReport,
    folder: StudyFolder,
    session: int,
    signals: EndingSignals,
    watcher: CheckWatcher,
    settings: CheckSettings,
) -> SensorsChecked | None:
    """Check the sensors for a session; a check that cannot be made is a warning, and None.

    Raises:
        SessionInterrupted: An ending signal came.
    """
    samples = folder.samples / f"check_s{session}{SAMPLES_ENDING}"
    try:
        event = check_now(recorder, report, samples, folder.logs / "load.log", signals, watcher, settings)
    except (SensorError, ArithmeticError, ValueError) as error:  # the last two: readings beyond arithmetic
        why = error.message if isinstance(error, SensorError) else f"nothing can be made of their readings: {error}"
        watcher.warn(f"the sensors were not checked: {why}")
        discard(samples)
        discard(samples.with_name(samples.name + PART))
        return None
    for spoiler in sensor_spoilers(event.check) if event else ():
        watcher.warn(f"{spoiler.where}: {spoiler.found}")
    return event


def recomputed(event: SensorsChecked, samples: Samples) -> SensorCheck:
    """Return what the raw edges of a recorded check give."""
    told = event.check
    loaded = event.load_start_ns is not None and event.load_end_ns is not None
    load = Load(
        devices=event.loaded,
        start_ns=event.load_start_ns,
        end_ns=event.load_end_ns,
        name=told.load,
        reason=None if loaded else told.no_load_reason or "unknown",
    )
    return _evaluated(samples, (event.idle_start_ns, event.idle_end_ns), load)


def _evaluated(samples: Samples, idle: tuple[int, int], load: Load) -> SensorCheck:
    """Return the check: the one way from raw edges to it, when it is made and when it is verified."""
    return check_sensors(
        samples.channels,
        samples.edges,
        idle,
        load.interval,
        loaded=load.devices,
        load_name=load.name if load.interval else None,
        no_load_reason=load.reason,
    )


def _no_load(report: SensorReport, settings: CheckSettings) -> str | None:
    """Return why the devices are not put to work; None where they are."""
    if not settings.load_s:
        return "no load was asked for"
    counted = any(c.sensor == "nvml" and c.kind == "energy_j" for c in report.channels)
    return None if counted else "no NVIDIA GPU with an energy counter is read"


def _expected_load_s(report: SensorReport, settings: CheckSettings) -> float:
    return 0.0 if _no_load(report, settings) else settings.load_s + LOAD_START_S
