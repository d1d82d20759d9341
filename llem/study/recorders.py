"""The session's recorder: started once, started again when it died, and done without while it will not run."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from llem.domain.errors import SensorError
from llem.domain.recording import Stopped
from llem.domain.sensing import DeviceUse, SensorReport, Temperature, UnavailableSensor
from llem.study.recording import RecorderClient
from llem.study.signals import EndingSignals

MAX_FAILED_STARTS = 2
"""In a row; after that a session does without for a while, since each try may take a minute of every trial."""
TRY_AGAIN_S = 600.0
"""A study runs for days, and what kept a recorder from starting may be gone: this is what that costs at most."""

StartRecorder = Callable[[Sequence[str], Path, EndingSignals], RecorderClient]


class Recorders:
    """Keeps one recorder running for a session.

    Args:
        sensors: The sensors to read.
        log: Where the recorder's output goes.
        signals: Ending signals.
        start: Starts a recorder.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        sensors: Sequence[str],
        log: Path,
        signals: EndingSignals,
        start: StartRecorder = RecorderClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sensors = sensors
        self._log = log
        self._signals = signals
        self._start = start
        self._clock = clock
        self._tried_at = 0.0
        self._client: RecorderClient | None = None
        self._failed_starts = 0
        self._recording = False
        self.report = SensorReport()

    def open(self) -> SensorReport:
        """Start the recorder and return what it can read; a recorder that will not start is part of the report."""
        try:
            self.report = self._running().report
        except SensorError as error:
            missing = UnavailableSensor(sensor="recorder", reason=error.message, remedy=error.remedy)
            self.report = SensorReport(unavailable=(missing,))
        return self.report

    def begin(self, samples: Path) -> None:
        """Record into ``samples``, with a new recorder if the last one died.

        Raises:
            SensorError: Nothing is being recorded.
            StudyError: ``samples`` cannot be written.
        """
        try:
            client = self._running()
            if not client.report.channels:
                raise SensorError(self._why_nothing(client.report), remedy="See `llem doctor`.")
            client.begin(samples)
            self._recording = True
        except SensorError:
            self._drop_if_broken()
            raise

    def finish(self) -> Stopped:
        """Stop recording.

        Raises:
            SensorError: There is no complete record.
            StudyError: It could not be written.
        """
        self._recording = False
        try:
            return self._running().finish()
        except SensorError:
            self._drop_if_broken()
            raise

    def temperatures(self) -> tuple[Temperature, ...]:
        """Return how warm the devices are now; empty where no sensor can tell.

        Starts no recorder, which may take a minute: a gap must not take longer than was planned.

        Raises:
            SensorError: No recorder answers. One that failed is given up, and the next trial starts another; while
                it records, that is left to ``finish``, since a temperature is not worth a record.
        """
        if self._client is None:
            raise SensorError("No recorder is running.", remedy="See logs/recorder.log.")
        try:
            return self._client.temperatures()
        except SensorError:
            if not self._recording:
                self.close()
            raise

    def use(self) -> tuple[DeviceUse, ...]:
        """Return what is on the devices now; empty where no sensor can tell. Nothing must be recorded meanwhile.

        Raises:
            SensorError: No recorder answers.
        """
        try:
            return self._running().use()
        except SensorError:
            self.close()
            raise

    def check(self) -> None:
        """Make sure that what is being recorded can be written.

        Raises:
            StudyError: It cannot.
        """
        if self._client is not None and self._recording:
            self._client.check()

    def close(self) -> None:
        """End the recorder."""
        if self._client is not None:
            self._client.close()
            self._client = None
            self._recording = False

    def _running(self) -> RecorderClient:
        if self._client is None:
            if self._failed_starts >= MAX_FAILED_STARTS and self._clock() < self._tried_at + TRY_AGAIN_S:
                raise SensorError("The recorder would not start.", remedy="See logs/recorder.log.")
            self._failed_starts += 1
            self._tried_at = self._clock()
            self._client = self._start(self._sensors, self._log, self._signals)
            self._failed_starts = 0
        return self._client

    def _drop_if_broken(self) -> None:
        """After a failure the exchange of commands and replies cannot be trusted: a new recorder takes over."""
        if self._client is not None and self._client.report.channels:
            self.close()

    @staticmethod
    def _why_nothing(report: SensorReport) -> str:
        reasons = "; ".join(f"{missing.sensor}: {missing.reason}" for missing in report.unavailable)
        return f"no sensor can be read here ({reasons})" if reasons else "no sensor was asked for"
