"""The fold of a study's events into what its trials took: the ground for estimates of the next study."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from llem.domain.decoding import typed_event
from llem.domain.events import ExperimentCompleted, ExperimentPlanned
from llem.domain.result import Headline
from llem.domain.row import Row


@dataclass(frozen=True, slots=True)
class TrialCost:
    """What one completed attempt took.

    Attributes:
        duration_s: From its start to its result, by the journal's clock.
        headline: Its main figures; the energy is that of the window alone.
    """

    duration_s: float
    headline: Headline

    @property
    def overhead_s(self) -> float:
        """Return what it took beside the measured window."""
        return max(0.0, self.duration_s - self.headline.duration_s)


@dataclass(slots=True)
class HistoryFold:
    """Completed trials of one journal or of several, by the hash of their configuration."""

    trials: dict[str, list[TrialCost]] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)
    _started: dict[str, datetime] = field(default_factory=dict)

    def apply_all(self, rows: Iterable[Row]) -> "HistoryFold":
        """Take in the events of one journal and return this fold."""
        self._hashes, self._started = {}, {}
        for row in rows:
            self._apply(row)
        return self

    def _apply(self, row: Row) -> None:
        if row.kind == "experiment_planned":
            event = typed_event(row)
            assert isinstance(event, ExperimentPlanned)
            self._hashes[event.label] = event.config_hash
        elif row.kind == "experiment_running" and row.trial:
            self._started[row.trial] = datetime.fromisoformat(row.recorded_at)
        elif row.kind == "experiment_completed" and row.trial in self._started:
            event = typed_event(row)
            assert isinstance(event, ExperimentCompleted)
            duration = datetime.fromisoformat(row.recorded_at) - self._started[row.trial]
            cost = TrialCost(max(0.0, duration.total_seconds()), event.headline)
            self.trials.setdefault(self._hashes[row.trial.rpartition("_c")[0]], []).append(cost)
