"""What ends a session before all of its trials have run: its limits, its failures, and the rest before a probe."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from llem.domain.errors import EnvironmentNotFitError
from llem.domain.events.session import SessionEnd
from llem.domain.result import ExperimentResult
from llem.domain.spec import Limits
from llem.projections.budget import J_PER_KWH, energy_spent
from llem.projections.failures import FailureFold
from llem.projections.manifest import ManifestFold
from llem.projections.trials import TrialState
from llem.study.gaps import TICK_S, GapWatcher, Idle

MOST_CUT_SHORT = 10
"""In a row: where jobs take turns by being stopped, no attempt comes to its end, however often it is made."""


@dataclass(frozen=True)
class Stop:
    """Why a session ends before its trials are done.

    Attributes:
        reason: As ``session_ended`` says it.
        detail: The same in words.
    """

    reason: SessionEnd
    detail: str


class Stops:
    """Decides before each trial of a session whether it runs, and lets the environment rest before a probe.

    Args:
        limits: The plan's limits.
        fold: Where the study stands when the session begins.
        failures: The failures so far; kept up to date by the session.
        session_ends: Returns when the session must be over, in seconds of ``clock``.
        fail_fast: Whether the first failed trial ends the session.
        pause: Waits that many seconds; whatever it raises ends the rest.
        watcher: Looks on.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        limits: Limits,
        fold: ManifestFold,
        failures: FailureFold,
        *,
        session_ends: Callable[[], float] = lambda: math.inf,
        fail_fast: bool,
        pause: Callable[[float], None],
        watcher: GapWatcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._failures = failures
        self._session_ends = session_ends
        self._fail_fast = fail_fast
        self._pause = pause
        self._watcher = watcher
        self._clock = clock
        self._budget_j = math.inf if limits.energy_kwh is None else limits.energy_kwh * J_PER_KWH
        self._spent = energy_spent(fold)
        self._failed: str | None = None
        self._cut_short = 0
        # A session that finds the breaker open has rested: the one before it is over.
        self._rested = True

    def before(self, trial: str) -> Stop | None:
        """Return why the next trial does not run; None if it does, after the rest that it may need.

        Raises:
            EnvironmentNotFitError: The session is stopped so often that none comes to its end.
        """
        if self._cut_short >= MOST_CUT_SHORT:
            raise EnvironmentNotFitError(
                f"{self._cut_short} attempts in a row were cut short: the session is stopped again and again.",
                remedy="Run it where no scheduler suspends it: llem study resume",
            )
        stop = self.spent_up() or self._failed_too_often()
        if stop is None:
            self._rest(trial)
        return stop or self.out_of_time()

    def out_of_time(self) -> Stop | None:
        """Return the end of the session's time, if it has come."""
        if self._clock() < self._session_ends():
            return None
        return Stop("study_deadline", f"limits.study_s = {self._limits.study_s}")

    def after(self, state: TrialState, result: ExperimentResult | None) -> None:
        """Take note of an attempt that has ended."""
        self._cut_short = self._cut_short + 1 if state.status == "interrupted" else 0
        if result is not None:
            self._spent = self._spent.plus(result.figures.energy_total_j, result.provenance)
        elif state.status == "failed" and not self._failures.is_due(state.trial):
            self._failed = f"{state.trial} failed: {state.error_type}"

    def spent_up(self) -> Stop | None:
        """Return the end of the study's energy, if it has come."""
        if self._spent.measured_j < self._budget_j:
            return None
        spent_kwh = self._spent.measured_j / J_PER_KWH
        return Stop("energy_budget", f"limits.energy_kwh = {self._limits.energy_kwh}, measured {spent_kwh:.6g} kWh")

    def _failed_too_often(self) -> Stop | None:
        if self._failures.has_stopped:
            return Stop("breaker", f"{self._in_a_row()}, and so did the probe. The last: {self._failures.last}")
        if self._fail_fast and self._failed is not None:
            return Stop("fail_fast", self._failed)
        return None

    def _in_a_row(self) -> str:
        number = self._limits.consecutive_failures
        return f"{number} trials in a row failed by their environment" if number != 1 else "a trial failed"

    def _rest(self, trial: str) -> None:
        """Cool down if the next trial is a probe and nothing has rested since the breaker opened."""
        if not self._failures.is_open:
            self._rested = False
        if self._rested or not self._failures.is_open:
            return
        self._rested = True
        cool_down_s = self._limits.cool_down_s
        self._watcher.warn(
            f"{self._in_a_row()} (the last: {self._failures.last}): cooling down for {cool_down_s:g} s, then one "
            "trial shows whether that is over"
        )
        ends = self._clock() + cool_down_s
        while (now := self._clock()) < min(ends, self._session_ends()):
            self._watcher.idle(Idle(trial, cool_down_s, ends - now, None))
            self._pause(min(TICK_S, ends - now))
            self._watcher.tick()
