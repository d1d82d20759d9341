"""One life of ``run`` or ``resume``: the same loop for one experiment and ten thousand."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from llem.domain.checked import least_guard_s, stagger_for
from llem.domain.errors import EnvironmentNotFitError, JournalError, LlemError
from llem.domain.events import (
    Event,
    ExperimentSkipped,
    SessionEnded,
    SessionStarted,
    StudyCompleted,
)
from llem.domain.events.session import SessionEnd
from llem.domain.host import Host, host_drift
from llem.domain.manifest import TrialStatus
from llem.domain.row import Row
from llem.domain.sensing import SensorReport
from llem.domain.sensor_check import SensorCheck
from llem.journal.journal import Journal
from llem.journal.reader import no_plan
from llem.projections.failures import KINDS, FailureFold
from llem.projections.manifest import ManifestFold, runs_again
from llem.projections.peaks import peaks_of
from llem.projections.trials import TrialState
from llem.sensors import SENSORS, automatic_sensors
from llem.study.aftermath import settle_aftermath
from llem.study.attempt import TrialAttempt
from llem.study.baselines import Baselines, BaselineWatcher
from llem.study.bench import Bench, Trial, Watcher
from llem.study.checking import CheckSettings, CheckWatcher, check_at_start
from llem.study.clean import CleanDevices
from llem.study.disk import StudyDisk
from llem.study.folder import StudyFolder
from llem.study.gaps import GapKeeper, GapWatcher
from llem.study.grounds import GroundsFold
from llem.study.host import host_facts
from llem.study.integrity import spoiled_results
from llem.study.logs import redact_session_logs
from llem.study.options import SessionOptions
from llem.study.planned import Planned
from llem.study.recorders import Recorders
from llem.study.signals import EndingSignals, SessionInterrupted
from llem.study.stops import Stop, Stops
from llem.version import __version__

KEPT: tuple[TrialStatus, ...] = ("completed",)
TERMINAL: tuple[TrialStatus, ...] = ("completed", "failed", "skipped")

Command = Literal["run", "resume"]


class Observer(Watcher, GapWatcher, BaselineWatcher, CheckWatcher, Protocol):
    """Who shows or exports what happens. It gets every event after it is durable, and cannot stop the study."""

    def saw(self, row: Row, fold: ManifestFold) -> None:
        """An event was recorded; ``fold`` has it."""

    def close(self, fold: ManifestFold) -> None:
        """The session is over; ``fold`` is its last state."""


@dataclass(frozen=True)
class Ending:
    """How a session ended.

    Attributes:
        reason: Why it ended.
        exit_code: What the command exits with.
        error: What ended it, where an error did.
        stopped: What ended it before all trials had run, in words; None where nothing of the plan's did.
    """

    reason: SessionEnd
    exit_code: int
    error: LlemError | None = None
    stopped: str | None = None


class Session:
    """Runs what a journal's plan leaves to do.

    Args:
        folder: The study's folder.
        journal: Its journal, with the plan in it; the caller holds the lock.
        fold: The fold of that journal.
        command: The command of this session.
        observer: Looks on.
        options: What it works with.
        signals: Ending signals.
        retry_failed: Whether trials that failed or were skipped run again.
    """

    def __init__(
        self,
        folder: StudyFolder,
        journal: Journal,
        fold: ManifestFold,
        *,
        command: Command,
        observer: Observer,
        options: SessionOptions,
        signals: EndingSignals,
        retry_failed: bool = True,
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._fold = fold
        self._command: Command = command
        self._launcher = options.make_launcher(str(folder.root.resolve()))
        self._observer = observer
        self._options = options
        self._signals = signals
        self._retry_failed = retry_failed
        self._grounds = GroundsFold()
        self._failures = FailureFold().apply_all(journal.rows(KINDS))
        if fold.study is None:
            raise no_plan(folder.root)
        self._planned = Planned(journal, fold)
        self._study = self._planned.study
        self._check_settings = options.check or CheckSettings.of(self._study.profile)

    @property
    def head(self) -> tuple[int, str]:
        """Return number and hash of the last event."""
        return self._journal.head

    @property
    def session(self) -> int:
        """Return the number of this session."""
        return self._journal.session

    def append(self, event: Event) -> Row:
        """Record an event durably, fold it, and show it."""
        return self.append_all((event,))[0]

    def append_all(self, events: Sequence[Event]) -> list[Row]:
        """Record events that came at once as ``append`` does, all of them or none: the disk is waited for once."""
        return [self._took(row) for row in self._journal.append_all(events)]

    def _took(self, row: Row) -> Row:
        """Fold and show a row that is durable."""
        self._fold.apply(row)
        self._grounds.apply(row)
        self._failures.apply(row)
        self._observer.saw(row, self._fold)
        return row

    def run(self) -> Ending:
        """Run every trial that is left, and return how that ended. Every way out leaves a resumable journal."""
        settled = self._fold.finished and not self._fold.session_open
        if settled and not any(self._left()) and not spoiled_results(self._folder, self._fold):
            self._observer.close(self._fold)
            return self._finished()
        recorders = Recorders(
            self._sensor_names(), self._folder.logs / "recorder.log", self._signals, self._options.start_recorder
        )
        try:
            return self._guarded(recorders)
        finally:
            recorders.close()
            self._launcher.close()
            redact_session_logs(self._folder.logs)
            self._signals.nothing_to_lose()
            self._observer.close(self._fold)

    def _guarded(self, recorders: Recorders) -> Ending:
        try:
            ending = self._trials(recorders, self._signals)
        except SessionInterrupted as stop:
            self._end("interrupted", str(stop))
            return Ending("interrupted", stop.exit_code)
        except JournalError as error:
            return Ending("environment", error.exit_code, error)  # it takes no further event
        except EnvironmentNotFitError as error:
            self._end("environment", error.message)
            return Ending("environment", error.exit_code, error)
        except Exception as error:
            self._end("error", f"{type(error).__name__}: {error}")
            raise
        return ending

    def _trials(self, recorders: Recorders, signals: EndingSignals) -> Ending:
        limit_s = self._study.limits.study_s
        began_s = signals.standstills.awake_s()
        deadline = None if limit_s is None else began_s + limit_s

        def ends() -> float:
            return math.inf if deadline is None else deadline + signals.standstills.counted_s

        signals.check()  # it may have come before there was a plan to be resumed
        report = recorders.open()
        host = host_facts()
        self._record_start(report, host)
        settle_aftermath(self._folder, self._fold, self._launcher, self.append, self._observer.warn)
        stops = Stops(
            self._study.limits,
            self._fold,
            self._failures,
            session_ends=ends,
            fail_fast=self._options.fail_fast,
            pause=signals.pause,
            watcher=self._observer,
        )
        spent = stops.spent_up()
        if spent is not None and any(self._left()):
            return self._finish(spent)
        clean = CleanDevices(
            recorders.use,
            self._study.limits.clean_s,
            pause=signals.pause,
            watcher=self._observer,
            deadline=deadline,
            clock=signals.standstills.awake_s,
        )
        baselines = self._baselines(recorders, signals, ends)
        # Before the check, whose load would warm the bare devices up.
        baselines.at_start(self._planned.measurement(state.index) for _, state in self._left())
        check = self._check_sensors(recorders, signals)
        channels = report.channels
        bench = Bench(
            self._folder,
            self._study,
            host,
            self,
            self._launcher,
            recorders,
            signals,
            self._observer,
            StudyDisk(self._folder, self._journal),
            stagger=stagger_for({channel.device for channel in channels}, channels, check),
            least_guard_s=least_guard_s(channels, check),
            steady_s=self._options.steady_s,
            clean=clean.before,
            peaks=lambda state: peaks_of(self._fold.trials.values(), state),
        )
        stop = self._run_due(bench, baselines, stops, ends)
        signals.check()
        return self._finish(stop)

    def _record_start(self, report: SensorReport, host: Host) -> None:
        """Record that the session starts, and say what a person should know of where it does."""
        file_system = self._options.find_mount(self._folder.root).fs_type
        event = SessionStarted(
            command=self._command,
            llem_version=__version__,
            pid=os.getpid(),
            host=host,
            sensors=report,
            file_system=file_system,
            journal_mode=self._journal.mode,
        )
        self.append(event)
        if event.journal_mode == "delete":
            self._observer.warn(
                f"the study lies on {file_system}, where a write-ahead log is not safe: the journal goes without "
                "one, so an event takes longer and readers wait for the writer"
            )
        for taken in self._planned.trusted if self._command == "resume" else ():
            self._observer.warn(taken)  # a plan says it before it runs
        drift = host_drift(self._planned.host, host) if self._planned.host else []
        if drift:
            self._observer.warn(f"this machine is not as it was in the last session: {'; '.join(drift)}")

    def _baselines(
        self, recorders: Recorders, signals: EndingSignals, session_ends: Callable[[], float]
    ) -> Baselines:
        return Baselines(
            lambda number: self._folder.samples_of(f"baseline_s{self.session}_{number}"),
            recorders,
            self.append,
            pause=signals.pause,
            watcher=self._observer,
            session_ends=session_ends,
        )

    def _run_due(
        self, bench: Bench, baselines: Baselines, stops: Stops, session_ends: Callable[[], float]
    ) -> Stop | None:
        """Run every trial that is due, and return what stopped that before the last one, if anything did."""
        gaps = GapKeeper(
            self._study.gaps,
            ask=bench.recorders.temperatures,
            pause=bench.signals.pause,
            watcher=self._observer,
            session_ends=session_ends,
        )
        for place, state in self._due(stops):
            bench.signals.check()
            stop = stops.before(state.trial)
            if stop is not None:
                return stop
            waited = gaps.before(state.trial, state.cycle)
            if waited is not None:
                self.append(waited)
            config = self._planned.config(state.index)
            baselines.before(config.measurement)
            if (late := stops.out_of_time()) is not None:
                return late
            trial = Trial(state, place, config, self._grounds.of(config))
            result = TrialAttempt(bench, trial, session_ends=session_ends).run()
            stops.after(state, result)
            if result is not None:
                baselines.completed(result)
        return None

    def _due(self, stops: Stops) -> Iterator[tuple[int, TrialState]]:
        """Yield each trial that is left, with its place, and directly after it the same one if it is due once more.

        Directly after, so that a block stays together in time: what drifts from block to block is not to part
        experiments that are compared within one.
        """
        for place, state in self._left():
            if state.status != "completed":
                yield place, state
            while stops.out_of_time() is None and (why := self._once_more(state)) is not None:
                self._observer.warn(f"{state.trial} {why}")
                yield place, state

    def _once_more(self, state: TrialState) -> str | None:
        """Return why a trial runs once more, directly after; None where it does not."""
        if state.status == "interrupted":
            return f"was cut short ({state.error_message}): it is tried anew"
        if self._runs_again(state):
            again = f"{state.invalid_results + 1} of {self._study.reruns}"
            return f"is invalid ({', '.join(state.invalid)}): runs again ({again})"
        if self._is_retried(state):
            again = f"{self._failures.tries(state.trial)} of {self._study.retries}"
            return f"failed by its environment ({state.error_type}): tried again ({again})"
        return None

    def _is_retried(self, state: TrialState) -> bool:
        return state.status == "failed" and self._failures.is_due(state.trial)

    def _check_sensors(self, recorders: Recorders, signals: EndingSignals) -> SensorCheck | None:
        """Check the sensors where trials are left that they will measure; record and return what was found."""
        if not any(self._left()):
            return None
        event = check_at_start(
            recorders,
            recorders.report,
            self._folder,
            self.session,
            signals,
            self._observer,
            self._check_settings,
        )
        if event is None:
            return None
        self.append(event)
        return event.check

    def _left(self) -> Iterator[tuple[int, TrialState]]:
        """Yield each trial that is left, with its place in the order of the plan, from 0."""
        keep = TERMINAL if not self._retry_failed else KEPT
        for place, state in enumerate(self._fold.in_order()):
            if state.status not in keep or self._runs_again(state) or self._is_retried(state):
                yield place, state

    def _runs_again(self, state: TrialState) -> bool:
        return runs_again(self._fold, state, self._options.rerun_codes)

    def _finish(self, stop: Stop | None) -> Ending:
        if stop is not None and stop.reason == "breaker":
            self._skip_rest(stop.detail)
        counts = {status: self._fold.count(status) for status in TERMINAL}
        everything = sum(counts.values()) == len(self._fold.trials)
        if stop is None and (not everything or any(map(self._once_more, self._fold.trials.values()))):
            # The last attempt was cut short by it.
            stop = Stop("study_deadline", f"limits.study_s = {self._study.limits.study_s}")
        if everything and (stop is None or stop.reason == "breaker"):
            self.append(StudyCompleted(**counts))
        if stop is not None:
            self._end(stop.reason, stop.detail)
            return Ending(stop.reason, 1, stopped=stop.detail)
        self._end("finished", None)
        return self._finished()

    def _skip_rest(self, why: str) -> None:
        """Record every trial that has not ended as skipped, in one transaction: they may be many."""
        left = [state.trial for state in self._fold.in_order() if state.status not in TERMINAL]
        self.append_all([ExperimentSkipped(trial=trial, reason=why) for trial in left])

    def _finished(self) -> Ending:
        return Ending("finished", 0 if self._fold.count("completed") == len(self._fold.trials) else 1)

    def _end(self, reason: SessionEnd, detail: str | None) -> None:
        """Record why the session ends, if it has begun and the journal still takes it."""
        if not self._fold.session_open or self._fold.session != self.session:
            return
        try:
            self.append(SessionEnded(reason=reason, detail=detail))
        except JournalError as error:
            self._observer.warn(str(error))

    def _sensor_names(self) -> list[str]:
        """Return the sensors that any experiment asks for, in the registry's order."""
        asked = [measurement.sensors for measurement in self._planned.measurements()]
        wanted = {name for names in asked for name in (automatic_sensors() if names == "auto" else names)}
        return [name for name in SENSORS if name in wanted]
