"""The fold of a study's events into its plan as it stands now, extensions included."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from llem.domain.decoding import typed_event
from llem.domain.errors import JournalError
from llem.domain.events import ExperimentPlanned, SessionStarted, StudyExtended, StudyPlanned
from llem.domain.host import Host
from llem.domain.row import Row

KINDS = ("study_planned", "study_extended", "experiment_planned", "session_started")


@dataclass(slots=True)
class PlanFold:
    """What was planned, and the machine of the last session.

    Attributes:
        study: The plan of repetition; None while nothing was planned.
        experiments: The experiments by their index.
        host: The machine of the last session; None before the first.
        extensions: How often the study was extended.
    """

    study: StudyPlanned | None = None
    experiments: dict[int, ExperimentPlanned] = field(default_factory=dict)
    host: Host | None = None
    extensions: int = 0

    def apply_all(self, rows: Iterable[Row]) -> "PlanFold":
        """Take in ``rows`` and return this fold."""
        for row in rows:
            if row.kind in KINDS:
                try:
                    self._apply(row)
                except (LookupError, ValueError) as error:
                    raise JournalError(
                        f"Event {row.seq} ({row.kind}) does not fit the events before it: {error!r}.",
                        remedy="The journal is damaged: `llem study log FOLDER --verify` says where.",
                    ) from error
        return self

    def _apply(self, row: Row) -> None:
        event = typed_event(row)
        if isinstance(event, StudyPlanned):
            self.study = event
        elif isinstance(event, StudyExtended) and self.study is not None:
            self.study, self.experiments = extended(self.study, self.experiments.values(), event)
            self.extensions += 1
        elif isinstance(event, ExperimentPlanned):
            self.experiments[event.index] = event
        elif isinstance(event, SessionStarted):
            self.host = event.host


def extended(
    study: StudyPlanned, experiments: Iterable[ExperimentPlanned], event: StudyExtended
) -> tuple[StudyPlanned, dict[int, ExperimentPlanned]]:
    """Return the plan of repetition and the experiments planned before, as ``event`` leaves them."""
    changed = {
        "study_design_hash": event.study_design_hash,
        "cycles": event.cycles,
        "limits": event.limits,
        "reruns": study.reruns if event.reruns is None else event.reruns,
        "retries": study.retries if event.retries is None else event.retries,
        "carbon": event.carbon,
        "sequence": [*study.sequence, *event.sequence],
    }
    named: Sequence[tuple[ExperimentPlanned, object]] = list(zip(experiments, event.summaries, strict=True))
    return study.model_copy(update=changed), {
        planned.index: planned.model_copy(update={"config_summary": summary}) for planned, summary in named
    }
