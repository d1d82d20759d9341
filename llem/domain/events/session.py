"""Events about the lives of ``run`` and ``resume``."""

from typing import Literal

from llem.domain.baseline import BaselinePower
from llem.domain.events.base import Event, FileName, Sha256, TrialId
from llem.domain.host import Host
from llem.domain.sensing import SensorReport
from llem.domain.sensor_check import SensorCheck
from llem.domain.spec import Gap

SessionEnd = Literal[
    "finished", "interrupted", "study_deadline", "energy_budget", "fail_fast", "breaker", "environment", "error"
]


class SessionStarted(Event):
    """A session took the study's lock and looked at the machine.

    Attributes:
        command: ``run`` or ``resume``.
        llem_version: The llem that runs it.
        pid: Process id of the parent.
        host: The machine.
        sensors: What can be measured here, and why the rest cannot.
        file_system: What type of file system the study's folder lies on, as the kernel names it; None where unknown.
        journal_mode: How the journal is made durable: ``wal``, or ``delete`` where a write-ahead log is not safe.
    """

    kind: Literal["session_started"] = "session_started"
    v: Literal[1] = 1
    command: Literal["run", "resume"]
    llem_version: str
    pid: int
    host: Host
    sensors: SensorReport
    file_system: str | None = None
    journal_mode: Literal["wal", "delete"] = "wal"


class SensorsChecked(Event):
    """The sensors were read for some seconds and compared with each other, before the session's first trial.

    Attributes:
        check: What was found.
        samples_file: The raw edges of the check, below ``samples/``.
        samples_sha256: Their content hash.
        idle_start_ns: Start of the time in which the devices idled, in nanoseconds of the monotonic clock …
        idle_end_ns: … and its end.
        load_start_ns: Start of the time in which they worked; None where they were not put under load …
        load_end_ns: … and its end.
        loaded: The devices that worked then.
    """

    kind: Literal["sensors_checked"] = "sensors_checked"
    v: Literal[1] = 1
    check: SensorCheck
    samples_file: FileName
    samples_sha256: Sha256
    idle_start_ns: int
    idle_end_ns: int
    load_start_ns: int | None = None
    load_end_ns: int | None = None
    loaded: tuple[str, ...] = ()


class BaselineMeasured(Event):
    """The idle power of the bare devices was measured: no process of the study was on them.

    Attributes:
        powers: One per channel that was read.
        why: Why it was measured now: ``first`` of the session, ``age`` of the last one, or ``drift`` since then.
        start_ns: Start of the time that counts, in nanoseconds of the monotonic clock.
        end_ns: Its end.
        samples_file: The raw edges, below ``samples/``; None where nothing was recorded: ``powers`` has the reason.
        samples_sha256: Their content hash.
    """

    kind: Literal["baseline_measured"] = "baseline_measured"
    v: Literal[1] = 1
    powers: tuple[BaselinePower, ...]
    why: Literal["first", "age", "drift"]
    start_ns: int
    end_ns: int
    samples_file: FileName | None = None
    samples_sha256: Sha256 | None = None


class SessionEnded(Event):
    """A session is over, and says why.

    Attributes:
        reason: Why it ended.
        detail: The signal, the limit that was reached, or the error, in words.
    """

    kind: Literal["session_ended"] = "session_ended"
    v: Literal[1] = 1
    reason: SessionEnd
    detail: str | None = None


class StudyCompleted(Event):
    """Every trial has ended: completed, failed or skipped.

    Attributes:
        completed: Trials with a result.
        failed: Trials that failed.
        skipped: Trials that were skipped.
    """

    kind: Literal["study_completed"] = "study_completed"
    v: Literal[1] = 1
    completed: int
    failed: int
    skipped: int


class GapWaited(Event):
    """The session stood idle before a trial, as the plan asks.

    Attributes:
        between: Which gap of the plan it was.
        planned: The gap that the plan asks for.
        waited_s: How long it was.
        temperature_c: The hottest device at its end, in degrees Celsius, where the plan asks to cool; None where
            unknown.
        reason: Why a cool-down ended without being cool, or why a device's temperature is not known.
    """

    kind: Literal["gap_waited"] = "gap_waited"
    v: Literal[1] = 1
    trial: TrialId
    between: Literal["trials", "cycles"]
    planned: Gap
    waited_s: float
    temperature_c: float | None = None
    reason: str | None = None
