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
        duration_s: From its start to its result: by the worker's monotonic clock, and by the journal's before its
            first phase and after its last, so that a clock that was set in between changes nothing.
        headline: Its main figures; the energy is that of the window alone.
    """

    duration_s: float
    headline: Headline

    @property
    def overhead_s(self) -> float:
        """Return what it took beside the measured window."""
        return max(0.0, self.duration_s - self.headline.duration_s)


@dataclass(slots=True)
class _Elapsed:
    """The time since an attempt began, up to the last event that told."""

    at: datetime
    seconds: float = 0.0
    t_ns: int | None = None

    def until(self, row: Row, t_ns: int | None = None) -> float:
        at = datetime.fromisoformat(row.recorded_at)
        if self.t_ns is None or t_ns is None:
            step_s = (at - self.at).total_seconds()
        else:
            step_s = (t_ns - self.t_ns) / 1e9
        self.at, self.t_ns, self.seconds = at, t_ns, self.seconds + max(0.0, step_s)
        return self.seconds


@dataclass(slots=True)
class HistoryFold:
    """Completed trials of one journal or of several, by the hash of their configuration."""

    trials: dict[str, list[TrialCost]] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)
    _running: dict[str, _Elapsed] = field(default_factory=dict)

    def apply_all(self, rows: Iterable[Row]) -> "HistoryFold":
        """Take in the events of one journal and return this fold."""
        self._hashes, self._running = {}, {}
        for row in rows:
            self._apply(row)
        return self

    def _apply(self, row: Row) -> None:
        if row.kind == "experiment_planned":
            event = typed_event(row)
            assert isinstance(event, ExperimentPlanned)
            self._hashes[event.label] = event.config_hash
        elif row.kind == "experiment_running" and row.trial:
            self._running[row.trial] = _Elapsed(datetime.fromisoformat(row.recorded_at))
        elif row.kind == "phase_entered" and row.trial in self._running:
            self._running[row.trial].until(row, row.payload()["t_ns"])
        elif row.kind == "experiment_completed" and row.trial in self._running:
            event = typed_event(row)
            assert isinstance(event, ExperimentCompleted)
            cost = TrialCost(self._running[row.trial].until(row), event.headline)
            self.trials.setdefault(self._hashes[row.trial.rpartition("_c")[0]], []).append(cost)
