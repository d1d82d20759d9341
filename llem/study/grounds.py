"""What a session measures beside its trials: the sensor check and the baseline that a trial's figures stand on."""

from dataclasses import dataclass

from llem.domain.baseline import BaselinePower
from llem.domain.decoding import typed_event
from llem.domain.events import BaselineMeasured, SensorsChecked
from llem.domain.row import Row
from llem.domain.sensor_check import SensorCheck
from llem.domain.spec import ExperimentConfig


@dataclass(frozen=True)
class Grounds:
    """What the figures of one trial stand on, and the events that say it.

    Attributes:
        check: What the sensor check found; None where there was none.
        check_seq: Its event.
        bare: The idle power of the bare devices; None where the trial uses none.
        baseline_seq: Its event.
    """

    check: SensorCheck | None = None
    check_seq: int | None = None
    bare: tuple[BaselinePower, ...] | None = None
    baseline_seq: int | None = None


@dataclass(slots=True)
class GroundsFold:
    """Folds rows into the last check and the last baseline of the session that they are of."""

    _check: tuple[int, SensorCheck] | None = None
    _bare: tuple[int, tuple[BaselinePower, ...]] | None = None

    def apply(self, row: Row) -> None:
        """Take in the next row."""
        if row.kind == "session_started":
            self._check = self._bare = None
        elif row.kind in ("sensors_checked", "baseline_measured"):
            event = typed_event(row)
            if isinstance(event, SensorsChecked):
                self._check = row.seq, event.check
            elif isinstance(event, BaselineMeasured):
                self._bare = row.seq, event.powers

    def of(self, config: ExperimentConfig) -> Grounds:
        """Return what a trial of ``config`` stands on that begins now."""
        check_seq, check = self._check or (None, None)
        baseline_seq, bare = (config.measurement.bare_idle_s and self._bare) or (None, None)
        return Grounds(check, check_seq, bare, baseline_seq)
