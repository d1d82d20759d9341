"""The fold of a study's events into what its failures call for: another try, a rest, or an end."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from llem.domain.decoding import payload
from llem.domain.faults import cause_of
from llem.domain.row import Row

PLANNED = ("study_planned", "study_extended")
KINDS = (*PLANNED, "session_started", "experiment_completed", "experiment_failed")
"""The events that say something of failures."""


@dataclass(slots=True)
class FailureFold:
    """Failures by the environment: of each trial, and of trials in a row.

    A trial has failed by its environment when its retries are used up. Attempts that were interrupted, and faults of
    a configuration, say nothing about the environment: neither count, nor do they end a row. A result ends it.

    The breaker is closed below ``threshold`` failed trials in a row, open at that many, and has stopped beyond it:
    the one trial more was the probe. A session finds a breaker that has stopped open: its first trial is the probe.

    Attributes:
        retries: How often a trial is tried again.
        threshold: After how many failed trials in a row the breaker opens; None for never.
        in_a_row: How many trials have failed since the last result.
        last: The failure that was counted last: its type and its trial; None before the first.
    """

    retries: int = 0
    threshold: int | None = None
    in_a_row: int = 0
    last: str | None = None
    _tries: dict[str, int] = field(default_factory=dict)

    def apply(self, row: Row) -> None:
        """Take in the next row."""
        if row.kind == "experiment_failed":
            self._failed(row)
        elif row.kind == "experiment_completed":
            self._tries.pop(row.trial or "", None)
            self.in_a_row = 0
        elif row.kind == "session_started":
            self._begin_session()
        elif row.kind in PLANNED:
            self._plan(row)

    def apply_all(self, rows: Iterable[Row]) -> "FailureFold":
        """Take in ``rows`` and return this fold."""
        for row in rows:
            self.apply(row)
        return self

    def tries(self, trial: str) -> int:
        """Return how many failed attempts at a trial its retries are counted from."""
        return self._tries.get(trial, 0)

    def is_due(self, trial: str) -> bool:
        """Return whether a trial that failed is to be tried again."""
        return 0 < self.tries(trial) <= self.retries

    @property
    def is_open(self) -> bool:
        """Return whether the next trial is a probe."""
        return self.in_a_row == self.threshold

    @property
    def has_stopped(self) -> bool:
        """Return whether a probe has failed."""
        return self.threshold is not None and self.in_a_row > self.threshold

    def _failed(self, row: Row) -> None:
        data, trial = payload(row), row.trial or ""
        if cause_of(data["error_type"], data["error_message"]) == "configuration":
            self._tries.pop(trial, None)
            return
        self._tries[trial] = self.tries(trial) + 1
        if not self.is_due(trial):
            self.in_a_row += 1
            self.last = f"{data['error_type']}, {trial}"

    def _begin_session(self) -> None:
        """What failed for good has its retries again, if it runs again."""
        self._tries = {trial: tries for trial, tries in self._tries.items() if tries <= self.retries}
        if self.has_stopped:
            self.in_a_row = self.threshold or 0

    def _plan(self, row: Row) -> None:
        data = payload(row)
        retries = data.get("retries")
        if retries is not None:  # plans of before retries do not have them
            self.retries = retries
        self.threshold = data["limits"]["consecutive_failures"]
