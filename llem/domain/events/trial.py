"""Events about attempts at trials."""

from typing import Literal

from pydantic import Field

from llem.domain.events.base import Event, FileName, Sha256, TrialEvent, TrialId
from llem.domain.result import Headline

Phase = Literal[
    "start",
    "load",
    "prepare",
    "loaded_idle",
    "count_flops",
    "warmup",
    "soak",
    "measure",
    "prefill",
    "latency",
    "teardown",
]


class ExperimentRunning(TrialEvent):
    """An attempt begins: its worker is started next.

    Attributes:
        log_file: Where the worker's stdout and stderr go, below the study folder.
        launcher: How the worker is started.
        cold_because: Why its process is new, where a forked one was wanted.
    """

    kind: Literal["experiment_running"] = "experiment_running"
    v: Literal[1] = 1
    log_file: str
    launcher: str
    cold_because: str | None = None


class PhaseEntered(TrialEvent):
    """The worker entered a phase.

    Attributes:
        phase: The phase.
        t_ns: When, on the worker's monotonic clock.
    """

    kind: Literal["phase_entered"] = "phase_entered"
    v: Literal[1] = 1
    phase: Phase
    t_ns: int


class ExperimentCompleted(TrialEvent):
    """An attempt has a result, and the result is safe on disk.

    Attributes:
        result_file: The result, below ``results/``.
        result_sha256: Its content hash.
        samples_file: The raw edges, below ``samples/``; None where nothing was recorded.
        samples_sha256: Their content hash.
        headline: The figures that tables and progress show.
    """

    kind: Literal["experiment_completed"] = "experiment_completed"
    v: Literal[1] = 1
    result_file: FileName
    result_sha256: Sha256
    samples_file: FileName | None = None
    samples_sha256: Sha256 | None = None
    headline: Headline


class ExperimentFailed(TrialEvent):
    """An attempt ended without a result.

    Attributes:
        error_type: What went wrong: one of llem's own types, or the class of the worker's exception.
        error_message: The same in words, with the remedy where there is one.
        phase: The phase that the worker was in.
        exit_code: The worker's exit code, if it had one.
        signal: The signal that ended the worker, if one did.
        traceback: The worker's own trace.
    """

    kind: Literal["experiment_failed"] = "experiment_failed"
    v: Literal[1] = 1
    error_type: str = Field(min_length=1)
    error_message: str
    phase: Phase
    exit_code: int | None = None
    signal: str | None = None
    traceback: str | None = None


class ExperimentInterrupted(TrialEvent):
    """An attempt was cut short by no fault of its own: the user, a deadline of the study, or a dead session.

    Attributes:
        reason: What cut it short.
        phase: The phase that it was in, as far as is known.
    """

    kind: Literal["experiment_interrupted"] = "experiment_interrupted"
    v: Literal[1] = 1
    reason: str
    phase: Phase | None = None


class ExperimentSkipped(Event):
    """A trial was not run, for the reason given."""

    kind: Literal["experiment_skipped"] = "experiment_skipped"
    v: Literal[1] = 1
    trial: TrialId
    reason: str


class ResultRejected(TrialEvent):
    """A completed trial's file is missing or altered, so the trial runs again.

    Attributes:
        file: The file, below the study folder.
        reason: What was found.
    """

    kind: Literal["result_rejected"] = "result_rejected"
    v: Literal[1] = 1
    file: str
    reason: str
