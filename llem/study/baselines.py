"""The idle power of the bare devices, measured while no worker runs, and again when it may have changed."""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, Protocol

from llem.domain.baseline import BaselinePower, bare_powers, has_meter, unknown_power
from llem.domain.errors import SensorError
from llem.domain.events import BaselineMeasured
from llem.domain.recording import Stopped
from llem.domain.result import ExperimentResult
from llem.domain.sensing import SensorReport, read_by
from llem.domain.spec import Measurement
from llem.journal.durable import discard
from llem.sensors.samples import PART, read_samples
from llem.study.standstill import STOOD_STILL_S

LEAD_IN_S = 0.2
"""Between the start of the recording and the time that counts."""
MAX_AGE_S = 3600.0
DRIFT_REL = 0.05
MAX_FAILED = 2
"""In a row; after that a session does without, until an hour has passed."""
TICK_S = 0.5

Why = Literal["first", "age", "drift"]


class Recording(Protocol):
    """What records: the session's recorders."""

    report: SensorReport

    def begin(self, samples: Path) -> None:
        """Record into ``samples``. Raises SensorError."""

    def finish(self) -> Stopped:
        """Stop recording. Raises SensorError."""


class BaselineWatcher(Protocol):
    """Who looks on while a baseline is measured."""

    def measuring_baseline(self, why: Why, left_s: float) -> None:
        """The session measures the bare devices, for so long still; told about twice a second."""

    def tick(self) -> None:
        """Time passed; called about twice a second."""


class Baselines:
    """Measures the bare devices at the start of a session, and again after an hour or after drift.

    Args:
        place: Returns where the n-th baseline's raw edges lie.
        recording: Records them.
        record: Records an event.
        pause: Waits that many seconds; whatever it raises ends the baseline.
        watcher: Looks on.
        session_ends: Returns when the session must be over, in seconds of ``clock``.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        place: Callable[[int], Path],
        recording: Recording,
        record: Callable[[BaselineMeasured], object],
        *,
        pause: Callable[[float], None],
        watcher: BaselineWatcher,
        session_ends: Callable[[], float] = lambda: math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._recording = recording
        self._record = record
        self._pause = pause
        self._watcher = watcher
        self._session_ends = session_ends
        self._clock = clock
        self._number = 0
        self._measured_at: float | None = None
        self._failed = 0
        self._drifted = False
        self._worked = False
        self._idle_w: dict[str, float] = {}

    def at_start(self, measurements: Iterable[Measurement]) -> None:
        """Measure as the first of these asks that asks for a baseline at all; see ``before``.

        What the session does next may put the devices to work.
        """
        self._if_due(next(filter(self._asks, measurements), None))
        self._worked = True

    def before(self, measurement: Measurement) -> None:
        """Measure before a trial that is measured so if that is due, and record what was found.

        A recorder that fails costs the baseline, not the trial: the event has the reason. A baseline that would end
        after the session's deadline is not begun.
        """
        self._if_due(measurement if self._asks(measurement) else None)
        self._worked = True

    def _asks(self, measurement: Measurement) -> bool:
        channels = read_by(measurement.sensors, self._recording.report.channels)
        return measurement.bare_idle_s > 0 and any(map(has_meter, channels))

    def _if_due(self, measurement: Measurement | None) -> None:
        why = None if measurement is None else self._due()
        if measurement is None or why is None:
            return
        idle_s = measurement.bare_idle_s
        if self._clock() + self._settle_s(idle_s) + LEAD_IN_S + idle_s < self._session_ends():
            self._record(self._measured(why, idle_s))
            self._measured_at, self._drifted = self._clock(), False

    def completed(self, result: ExperimentResult) -> None:
        """Take note of a trial's idle power: where it has moved, that of the bare devices may have too."""
        found = {finding.code for finding in (*result.validity, *result.warnings)}
        idle_w = result.figures.power_context_idle_w
        last_w = self._idle_w.get(result.config_hash)
        moved = idle_w is not None and last_w is not None and abs(idle_w - last_w) > DRIFT_REL * abs(last_w)
        self._drifted |= "idle_drift" in found or moved
        if idle_w is not None:
            self._idle_w[result.config_hash] = idle_w

    def _due(self) -> Why | None:
        if self._measured_at is None or 0 < self._failed < MAX_FAILED:
            return "first"
        if self._clock() - self._measured_at > MAX_AGE_S:
            return "age"
        return "drift" if self._drifted and not self._failed else None

    def _measured(self, why: Why, idle_s: float) -> BaselineMeasured:
        self._number += 1
        samples = self._place(self._number)
        start_ns = end_ns = time.monotonic_ns()
        try:
            self._wait(why, self._settle_s(idle_s), LEAD_IN_S + idle_s)
            self._recording.begin(samples)
            self._wait(why, LEAD_IN_S, idle_s)
            ends, start_ns = self._clock() + idle_s, time.monotonic_ns()
            self._wait(why, idle_s, 0.0)
            late_s, end_ns = self._clock() - ends, time.monotonic_ns()
            stopped = self._recording.finish()
            if late_s >= STOOD_STILL_S:
                raise SensorError("The session stood still meanwhile.", remedy="It is measured once more.")
            powers = self._powers(samples, start_ns, end_ns)
        except (SensorError, ArithmeticError, ValueError) as error:  # the last two: readings beyond arithmetic
            self._failed += 1
            discard(samples)
            discard(samples.with_name(samples.name + PART))
            return BaselineMeasured(powers=self._unknown(error), why=why, start_ns=start_ns, end_ns=end_ns)
        self._failed = 0
        return BaselineMeasured(
            powers=powers,
            why=why,
            start_ns=start_ns,
            end_ns=end_ns,
            samples_file=samples.name,
            samples_sha256=stopped.sha256,
        )

    def _settle_s(self, idle_s: float) -> float:
        """Return how long to wait first: a device that has worked gets as long to fall back as it is measured."""
        return idle_s if self._worked else 0.0

    def _wait(self, why: Why, seconds: float, more_s: float) -> None:
        """Wait, and tell how long it takes with the ``more_s`` seconds that come after it."""
        ends = self._clock() + seconds
        while (left_s := ends - self._clock()) > 0:
            self._watcher.measuring_baseline(why, left_s + more_s)
            self._pause(min(TICK_S, left_s))
            self._watcher.tick()

    def _powers(self, samples: Path, start_ns: int, end_ns: int) -> tuple[BaselinePower, ...]:
        held = read_samples(samples)
        return bare_powers(held.channels, held.edges, held.failures, start_ns, end_ns)

    def _unknown(self, error: Exception) -> tuple[BaselinePower, ...]:
        reason = error.message if isinstance(error, SensorError) else f"no power can be made of its readings: {error}"
        return tuple(
            unknown_power(channel, reason) for channel in self._recording.report.channels if has_meter(channel)
        )
