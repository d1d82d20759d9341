"""One attempt at one trial: from its first event to its last."""

import math
import time
from collections.abc import Callable, Sequence

from llem.domain.baseline import has_meter
from llem.domain.deadlines import Deadlines
from llem.domain.errors import JournalError, LlemError, SensorError, StudyError
from llem.domain.events import (
    Event,
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentInterrupted,
    ExperimentRunning,
    Phase,
    PhaseEntered,
)
from llem.domain.figures import Evaluation
from llem.domain.fitting import what_fits
from llem.domain.measured import Measured
from llem.domain.messages import PhaseMessage, WorkerSpec
from llem.domain.recording import Stopped
from llem.domain.result import ARITHMETIC, ExperimentResult, Headline
from llem.domain.sensing import read_by
from llem.journal.durable import discard, write_durably
from llem.journal.storage import unwritable
from llem.sensors.samples import PART, Samples, read_samples
from llem.study.bench import Bench, Trial
from llem.study.evaluation import evaluated
from llem.study.integrity import sha256_of
from llem.study.launcher import Attempt, Exit, Fault, Start
from llem.study.logs import redact_log
from llem.study.signals import SessionInterrupted
from llem.study.soak import SoakWatcher
from llem.study.supervise import CUT_SHORT, Supervisor, ended_silently
from llem.version import __version__

STOP_GRACE_S = 2.0
EXIT_PATIENCE_S = 5.0
SILENT_PATIENCE_S = 2.0


class TrialAttempt:
    """One attempt at one trial.

    Args:
        bench: What the session's attempts share.
        trial: The trial.
        session_ends: Returns when the session must be over, on ``time.monotonic()``.
    """

    def __init__(self, bench: Bench, trial: Trial, *, session_ends: Callable[[], float] = lambda: math.inf) -> None:
        self._bench = bench
        self._trial = trial
        self._state = state = trial.state
        self._start: Start
        self._made: ExperimentResult | None = None
        self._number = state.attempts + 1
        self._session_ends = session_ends
        stem = f"{state.trial}_a{self._number}"
        self._log = bench.folder.log_of(stem)
        self._samples = bench.folder.samples_of(stem)
        self._recording = False
        self._unrecorded: str | None = None
        self._phase: Phase = "start"
        self._settled = False

    def run(self) -> ExperimentResult | None:
        """Run the attempt to its terminal event, and return its result; None where it has none.

        Raises:
            SessionInterrupted: An ending signal came; the attempt is recorded as interrupted.
            StudyError: What it measures cannot be recorded.
        """
        bench, state = self._bench, self._state
        bench.disk.require_room()
        start = bench.launcher.prepare(self._spec(), self._log, bench.signals)
        if start.warning:
            bench.watcher.warn(start.warning)
        bench.record.append(
            ExperimentRunning(
                trial=state.trial,
                attempt=self._number,
                log_file=str(self._log.relative_to(bench.folder.root)),
                launcher=start.launcher,
                cold_because=start.cold_because,
            )
        )
        self._start = start
        try:
            unfit = bench.clean(state.trial)
            if unfit is not None:
                self._fail(unfit, None)
                return None
            self._begin_recording()
            self._work()
        except BaseException as error:
            # A journal that fails takes no further event; an attempt that has ended needs none.
            if not self._settled and not isinstance(error, JournalError):
                self._interrupt(_reason(error))
            raise
        result = [bench.folder.results / state.result_name(self._number)] if self._made else []
        bench.disk.took([self._log, self._samples, *result])
        return self._made

    def _work(self) -> None:
        """Start the worker and follow it to the terminal event; no process of it is left afterwards."""
        started_ns = time.monotonic_ns()
        try:
            worker = self._start.start()
        except OSError as error:
            self._fail(Fault("WorkerNotStarted", f"the worker cannot be started: {error}"), None)
            self._drop_recording()
            return
        try:
            outcome = self._watch(worker, started_ns)
            if isinstance(outcome, Measured):
                # Recorded before the worker has gone: its teardown may take its time, or crash.
                outcome = self._complete(outcome)
        except BaseException:
            worker.end(patience_s=0, grace_s=STOP_GRACE_S, signals=self._bench.signals)
            redact_log(self._log)
            raise
        if self._settled:
            worker.end(patience_s=EXIT_PATIENCE_S, grace_s=STOP_GRACE_S, signals=self._bench.signals)
        else:
            self._give_up(worker, outcome)
        redact_log(self._log)

    def _spec(self) -> WorkerSpec:
        method = self._trial.config.measurement
        channels = read_by(method.sensors, self._bench.recorders.report.channels)
        return WorkerSpec(
            trial=self._state.trial,
            attempt=self._number,
            config=self._trial.config,
            base_dir=self._bench.study.base_dir,
            # Who asks for no guards gets none.
            guard_s=max(method.guard_s, self._bench.least_guard_s) if method.guard_s else 0.0,
            stagger=self._bench.stagger,
            soak=True,
            metered=any(map(has_meter, channels)),
        )

    def _watch(self, worker: Attempt, started_ns: int) -> Measured | Fault | None:
        soak = SoakWatcher(self._bench.recorders.temperatures, worker.tell, over_s=self._bench.steady_s)

        def entered(messages: Sequence[PhaseMessage]) -> None:
            self._note_phases(messages)
            for message in messages:
                soak.entered(message)

        def tick() -> None:
            self._bench.watcher.tick()
            self._bench.disk.require_place()
            self._bench.recorders.check()
            soak.tick()

        supervisor = Supervisor(
            worker,
            started_ns=started_ns,
            deadlines=Deadlines(self._bench.study.limits, started_ns / 1e9),
            session_ends=self._session_ends,
            signals=self._bench.signals,
            on_phases=entered,
            on_progress=lambda message: self._bench.watcher.progress(self._state.trial, self._phase, message),
            tick=tick,
        )
        return supervisor.watch()

    def _give_up(self, worker: Attempt, outcome: Fault | None) -> None:
        """End the worker and record why there is no result."""
        torn = outcome is not None and outcome.error_type == "TornMessage"
        patience_s = SILENT_PATIENCE_S if outcome is None or torn or outcome.told else 0
        exited = worker.end(patience_s=patience_s, grace_s=STOP_GRACE_S, signals=self._bench.signals)
        if torn and (exited.signal or exited.lost) and not exited.forced:
            outcome = None  # it did not write nonsense: it was killed while it wrote
        if outcome is not None and outcome.error_type in CUT_SHORT:
            self._interrupt(outcome.message)
        else:
            self._fail(outcome or ended_silently(exited, self._log), exited)
        self._drop_recording()

    def _note_phases(self, messages: Sequence[PhaseMessage]) -> None:
        self._phase = messages[-1].phase
        trial, attempt = self._state.trial, self._number
        self._bench.record.append_all(
            [
                PhaseEntered(trial=trial, attempt=attempt, phase=message.phase, t_ns=message.t_ns)
                for message in messages
            ]
        )

    def _complete(self, measured: Measured) -> Fault | None:
        """Write the result, then the event that names it; return a fault if no figures can be made of it."""
        try:
            result, headline = self._evaluated(measured)
        except (ArithmeticError, ValueError) as error:
            return Fault("ImplausibleResult", f"no figures can be made of what the worker measured: {error}")
        name = self._state.result_name(self._number)
        data = result.model_dump_json(indent=2).encode() + b"\n"
        try:
            write_durably(self._bench.folder.result(name), data)
        except OSError as error:
            raise unwritable(f"The result {self._bench.folder.results / name}", error) from error
        self._end_with(
            ExperimentCompleted(
                trial=self._state.trial,
                attempt=self._number,
                result_file=name,
                result_sha256=sha256_of(data),
                samples_file=result.samples_file,
                samples_sha256=result.samples_sha256,
                headline=headline,
            )
        )
        self._made = result
        return None

    def _evaluated(self, measured: Measured) -> tuple[ExperimentResult, Headline]:
        """Return the result and its headline.

        Raises:
            ArithmeticError: The worker's numbers are beyond arithmetic.
            ValueError: The figures are none that a result can hold.
        """
        stopped, samples = self._finish_recording()
        evaluation = evaluated(
            self._trial.config,
            measured,
            samples,
            self._unrecorded,
            check=self._trial.grounds.check,
            bare=self._trial.grounds.bare,
            devices=self._bench.recorders.report.devices,
        )
        return self._result(measured, evaluation, stopped), evaluation.headline(measured)

    def _result(self, measured: Measured, evaluation: Evaluation, stopped: Stopped | None) -> ExperimentResult:
        bench, state = self._bench, self._state
        seq, head_hash = bench.record.head
        return ExperimentResult(
            llem_version=__version__,
            study_name=bench.study.study_name,
            study_design_hash=bench.study.study_design_hash,
            trial=state.trial,
            attempt=self._number,
            session=bench.record.session,
            cycle=state.cycle,
            config_hash=state.config_hash,
            config_summary=state.config_summary,
            config=self._trial.config,
            journal_seq=seq,
            journal_hash=head_hash,
            launcher=self._start.launcher,
            cold_because=self._start.cold_because,
            boundary=evaluation.boundary,
            provenance=evaluation.provenance,
            estimator=evaluation.estimator,
            figures=evaluation.figures,
            components=evaluation.components,
            measured=measured,
            host=bench.host,
            devices=bench.recorders.report.devices,
            recorder=stopped.cost if stopped else None,
            samples_file=self._samples.name if stopped else None,
            samples_sha256=stopped.sha256 if stopped else None,
            unrecorded=self._unrecorded,
            order_index=self._trial.place,
            seed=bench.study.seed,
            baseline_seq=self._trial.grounds.baseline_seq,
            check_seq=self._trial.grounds.check_seq,
            arithmetic=ARITHMETIC,
            conditions=evaluation.conditions,
            validity=evaluation.validity,
            warnings=evaluation.warnings,
        )

    def _begin_recording(self) -> None:
        try:
            self._bench.recorders.begin(self._samples)
            self._recording = True
        except SensorError as error:
            self._unrecorded = error.message

    def _finish_recording(self) -> tuple[Stopped | None, Samples | None]:
        if not self._recording:
            return None, None
        self._recording = False
        try:
            stopped = self._bench.recorders.finish()
        except SensorError as error:
            self._unrecorded = error.message
            discard(self._samples.with_name(self._samples.name + PART))
            return None, None
        return stopped, self._read_back()

    def _read_back(self) -> Samples:
        """Return what the recorder wrote and synced a moment ago: that it cannot be read is the disk's fault."""
        try:
            return read_samples(self._samples)
        except SensorError as error:
            remedy = "See what `dmesg` says of the disk and mend it, then run `llem study resume`."
            raise StudyError(error.message, remedy=remedy) from error

    def _drop_recording(self) -> None:
        """Stop recording; what was recorded belongs to no result."""
        self._finish_recording()
        discard(self._samples)

    def _fail(self, fault: Fault, exited: Exit | None) -> None:
        by_itself = exited if exited is not None and not exited.forced else None
        self._end_with(
            ExperimentFailed(
                trial=self._state.trial,
                attempt=self._number,
                error_type=fault.error_type,
                error_message=self._told(fault),
                phase=self._phase,
                exit_code=by_itself.code if by_itself else None,
                signal=by_itself.signal if by_itself else None,
                traceback=fault.traceback,
            )
        )

    def _told(self, fault: Fault) -> str:
        """Return the fault in words; where memory ran out, with what would fit."""
        if fault.error_type != "OutOfMemory":
            return fault.message
        stop = "" if fault.message.endswith(".") else "."
        remedy = what_fits(fault.message, self._phase, self._trial.config.batch_size, self._bench.peaks(self._state))
        return f"{fault.message}{stop} {remedy}"

    def _interrupt(self, reason: str) -> None:
        self._end_with(
            ExperimentInterrupted(trial=self._state.trial, attempt=self._number, reason=reason, phase=self._phase)
        )

    def _end_with(self, event: Event) -> None:
        """Record the attempt's one terminal event."""
        self._settled = True
        self._bench.record.append(event)


def _reason(error: BaseException) -> str:
    """Return in words what cut an attempt short."""
    if isinstance(error, SessionInterrupted):
        return f"the session was ended by {error}"
    return error.message if isinstance(error, LlemError) else f"{type(error).__name__}: {error}"
