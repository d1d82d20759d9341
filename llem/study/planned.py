"""What a session runs, by its journal: the plan of repetition, and each experiment when its trial comes."""

import json

from llem.domain.decoding import payload, typed_event
from llem.domain.errors import JournalError
from llem.domain.events import ExperimentPlanned, SessionStarted, StudyPlanned
from llem.domain.host import Host
from llem.domain.row import Row
from llem.domain.spec import ExperimentConfig, Measurement
from llem.journal.journal import Journal
from llem.projections.manifest import ManifestFold
from llem.study.trust import trusted


class Planned:
    """The plan that a journal holds.

    Configurations stay in the journal until their trial comes: ten thousand trials' would be most of what a session
    holds. How they are measured has few forms, which are shared.

    Args:
        journal: The journal.
        fold: Its fold, with a plan in it.

    Attributes:
        study: The plan of repetition as it stands now, extensions included.
        host: The machine of the last session; None before the first.
        trusted: What the study takes on trust, in words.

    Raises:
        JournalError: It holds no valid plan.
    """

    def __init__(self, journal: Journal, fold: ManifestFold) -> None:
        self._journal = journal
        self._seqs: dict[int, int] = {}
        self._measurements: dict[int, Measurement] = {}
        self._forms: dict[str, Measurement] = {}
        self.host: Host | None = None
        self.trusted: list[str] = []
        row: Row | None = None
        try:
            self.study = StudyPlanned.model_validate(fold.study)
            for row in journal.rows(("experiment_planned", "session_started")):
                self._take(row)
        except (LookupError, TypeError, ValueError) as error:
            where = "The plan" if row is None else f"Event {row.seq} ({row.kind})"
            raise JournalError(
                f"{where} is not what it should be: {error!r}.",
                remedy="The journal is damaged: `llem study log FOLDER --verify` says where.",
            ) from error

    def config(self, index: int) -> ExperimentConfig:
        """Return the configuration of an experiment.

        Raises:
            JournalError: The journal can no longer be read.
        """
        event = typed_event(self._journal.row(self._seqs[index]))
        assert isinstance(event, ExperimentPlanned)
        return event.config

    def measurement(self, index: int) -> Measurement:
        """Return how the trials of an experiment are measured."""
        return self._measurements[index]

    def measurements(self) -> list[Measurement]:
        """Return every way in which trials of the study are measured."""
        return list(self._forms.values())

    def _take(self, row: Row) -> None:
        if row.kind == "session_started":
            event = typed_event(row)
            assert isinstance(event, SessionStarted)
            self.host = event.host
            return
        data = payload(row)
        self._seqs[data["index"]] = row.seq
        config = data["config"]
        news = trusted(config["engine"], config["model"], config["engine_options"])
        self.trusted += [text for text in news if text not in self.trusted]
        form = json.dumps(config["measurement"])
        if form not in self._forms:
            self._forms[form] = Measurement.model_validate(config["measurement"])
        self._measurements[data["index"]] = self._forms[form]
