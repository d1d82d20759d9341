"""The fold of a study's events into its manifest."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from operator import index
from typing import Any

from llem.domain.decoding import payload, typed_event
from llem.domain.errors import JournalError
from llem.domain.events import CURRENT_VERSION, require_known
from llem.domain.identity import result_filename
from llem.domain.manifest import StudyManifest, StudyStatus, TrialStatus
from llem.domain.order import in_cycles
from llem.domain.row import Row
from llem.domain.validity import RERUN_CODES
from llem.projections.trials import KeptResult, TrialState

Payload = dict[str, Any]


@dataclass(slots=True)
class ManifestFold:
    """Folds rows, one after the other, into the state of a study.

    Columns route the fold and data is parsed only where it is needed; ``manifest()`` validates the whole
    once. Kinds that say nothing about the manifest pass; kinds that this llem does not know are refused.
    """

    study: Payload | None = None
    experiments: list[Payload] = field(default_factory=list)
    trials: dict[str, TrialState] = field(default_factory=dict)
    samples: dict[str, str] = field(default_factory=dict)
    """Raw edges that belong to no trial, baselines and sensor checks: file → SHA-256."""
    started_at: str | None = None
    completed_at: str | None = None
    session: int = 0
    session_open: bool = False
    finished: bool = False
    seq: int = 0
    hash: str = ""
    version: str = ""
    _standing: Counter[TrialStatus] = field(default_factory=Counter, init=False, repr=False)
    """How many trials stand at each status, kept as they move: who shows a study asks at every event."""

    def apply(self, row: Row) -> None:
        """Take in the next row.

        Raises:
            JournalError: The row is of a kind or version that this llem does not know, or does not fit the
                plan before it.
        """
        self.apply_all((row,))

    def apply_all(self, rows: Iterable[Row]) -> "ManifestFold":
        """Take in all of ``rows`` and return this fold.

        Raises:
            JournalError: As ``apply`` does, for the first row that does not fit.
        """
        row = None
        try:
            for row in rows:  # one loop without a call that is not needed: a million rows pass through it
                kind = row.kind
                if kind not in CURRENT_VERSION or row.v > CURRENT_VERSION[kind]:
                    require_known(kind, row.v, row.seq)
                if kind in _STEPS:
                    _STEPS[kind](self, row)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            where = "The first event" if row is None else f"Event {row.seq} ({row.kind})"
            raise JournalError(
                f"{where} does not fit the events before it: {error!r}.",
                remedy="The journal is damaged: `llem study log FOLDER --verify` says where.",
            ) from error
        if row is not None:
            self.seq, self.hash = row.seq, row.hash
        return self

    def lay_to_rest(self) -> None:
        """Take note that the last session is over though no event says so: its process is gone.

        For readers only. The writer records ``experiment_interrupted`` instead, so that the journal knows.
        """
        self.session_open = False
        for state in self.trials.values():
            if state.status == "running":
                self.move(state, "interrupted")
                state.error_type = "Interrupted"
                state.error_message = "found running in a session that is over"

    def in_order(self) -> list[TrialState]:
        """Return the trials in the order in which the plan runs them."""
        if self.study is None:
            return []
        by_place = {(state.index, state.cycle): state for state in self.trials.values()}
        return [by_place[place] for place in in_cycles(self.study["sequence"]) if place in by_place]

    def move(self, state: TrialState, status: TrialStatus) -> None:
        """Have a trial stand at ``status``."""
        self._standing[state.status] -= 1
        self._standing[status] += 1
        state.status = status

    def add(self, state: TrialState) -> None:
        """Take in a trial that was planned; one that was planned before, as damage may have it, begins anew."""
        before = self.trials.get(state.trial)
        if before is not None:
            self._standing[before.status] -= 1
        self.trials[state.trial] = state
        self._standing[state.status] += 1

    def counts(self) -> dict[TrialStatus, int]:
        """Return how many trials stand at each status."""
        return {status: self._standing[status] for status in _COUNTED}

    def count(self, *statuses: TrialStatus) -> int:
        """Return how many trials stand at any of ``statuses``."""
        return sum(self._standing[status] for status in statuses)

    def status(self) -> StudyStatus:
        """Return where the study stands."""
        if self.session_open:
            return "running"
        if not self.finished:
            return "interrupted" if self.session else "planned"
        done = self.count("completed")
        return "completed" if done == len(self.trials) else "partial" if done else "failed"

    def manifest(self) -> StudyManifest | None:
        """Return the manifest; None while no plan has been recorded."""
        return self._manifest(tuple(self.in_order()))

    def outline(self) -> StudyManifest | None:
        """Return the manifest without its entries: what it says of the study as a whole."""
        return self._manifest(())

    def _manifest(self, states: tuple[TrialState, ...]) -> StudyManifest | None:
        if self.study is None:
            return None
        return StudyManifest.model_validate(
            {
                "study_name": self.study["study_name"],
                "study_design_hash": self.study["study_design_hash"],
                "llem_version": self.version,
                "status": self.status(),
                "started_at": self.started_at,
                "completed_at": self.completed_at,
                "total_experiments": len(self.trials),
                **self.counts(),
                "journal_seq": self.seq,
                "journal_hash": self.hash,
                "experiments": states,
            },
            from_attributes=True,
        )


_KEPT_OF_PLAN = ("index", "label", "config_hash", "config_summary", "result_stem")
_COUNTED: tuple[TrialStatus, ...] = ("pending", "running", "completed", "failed", "interrupted", "skipped")


def runs_again(fold: ManifestFold, state: TrialState, codes: Collection[str] = RERUN_CODES) -> bool:
    """Return whether a trial's result was spoiled by what may be gone next time, and may be made once more.

    Args:
        fold: The study.
        state: The trial.
        codes: What may be gone next time.
    """
    allowed = (fold.study or {}).get("reruns", 0)
    spoiled = any(code in codes for code in state.invalid)
    return state.status == "completed" and spoiled and state.invalid_results < allowed


def trial_id(label: str, cycle: int) -> str:
    """Return the name of a trial: the experiment's label and the cycle."""
    return f"{label}_c{cycle}"


def _study_planned(fold: ManifestFold, row: Row) -> None:
    fold.study = _checked_data(row)
    fold.version = fold.study["llem_version"]


def _experiment_planned(fold: ManifestFold, row: Row) -> None:
    data = payload(row)
    fold.experiments.append({key: data[key] for key in _KEPT_OF_PLAN})
    if fold.study is not None:
        _add_trials(fold, fold.experiments[-1], range(1, fold.study["cycles"] + 1))


def _study_extended(fold: ManifestFold, row: Row) -> None:
    data = _checked_data(row)
    if fold.study is None:
        raise ValueError("there is no study to extend")
    more = range(fold.study["cycles"] + 1, data["cycles"] + 1)
    for experiment, summary in zip(fold.experiments, data["summaries"], strict=True):
        experiment["config_summary"] = summary
        _add_trials(fold, experiment, more)
    for state in fold.trials.values():
        state.config_summary = fold.experiments[state.index]["config_summary"]
    added = data["sequence"]
    fold.study = {**fold.study, **_extended(data), "sequence": [*fold.study["sequence"], *added]}
    fold.finished, fold.completed_at = False, None


def _checked_data(row: Row) -> Payload:
    """Return a strictly checked event's data: all else stands on what was planned of the study, and such are few."""
    return typed_event(row).data()


def _extended(data: Payload) -> Payload:
    kept = {key: data[key] for key in ("study_design_hash", "cycles", "limits", "carbon")}
    return kept | {key: data[key] for key in ("reruns", "retries") if data.get(key) is not None}


def _add_trials(fold: ManifestFold, experiment: Payload, cycles: Iterable[int]) -> None:
    for cycle in cycles:
        state = TrialState(
            trial_id(experiment["label"], cycle),
            index(experiment["index"]),
            cycle,
            experiment["config_hash"],
            experiment["config_summary"],
            result_filename(experiment["result_stem"], cycle),
        )
        fold.add(state)


def _session_started(fold: ManifestFold, row: Row) -> None:
    fold.version = payload(row)["llem_version"]
    fold.started_at = fold.started_at or row.recorded_at
    fold.completed_at = None
    fold.session, fold.session_open, fold.finished = row.session, True, False


def _session_ended(fold: ManifestFold, row: Row) -> None:
    fold.session_open = False


def _journal_recovered(fold: ManifestFold, row: Row) -> None:
    fold.session_open = False  # it ended with the journal; its trials are settled by the next one


def _study_completed(fold: ManifestFold, row: Row) -> None:
    fold.finished, fold.completed_at = True, row.recorded_at


def _session_samples(fold: ManifestFold, row: Row) -> None:
    data = payload(row)
    if data["samples_file"] is not None:
        fold.samples[data["samples_file"]] = data["samples_sha256"]


def _running(fold: ManifestFold, row: Row) -> None:
    state = _trial(fold, row)
    _supersede(state)
    fold.move(state, "running")
    state.attempts = max(state.attempts, row.attempt or 0)
    state.started_at, state.completed_at, state.entered = row.recorded_at, None, None
    state.error_type = state.error_message = None


def _supersede(state: TrialState) -> None:
    """Keep the result of a trial that runs again although it has one."""
    if state.result_file is None or state.result_sha256 is None or state.headline is None:
        return
    kept = KeptResult(
        attempt=state.attempts,
        result_file=state.result_file,
        result_sha256=state.result_sha256,
        samples_file=state.samples_file,
        samples_sha256=state.samples_sha256,
        headline=state.headline,
    )
    state.superseded = (*state.superseded, kept)
    _forget_result(state)


def _forget_result(state: TrialState) -> None:
    state.result_file = state.result_sha256 = state.headline = None
    state.samples_file = state.samples_sha256 = None


def _phase_entered(fold: ManifestFold, row: Row) -> None:
    fold.trials[row.trial or ""].entered = row  # most events of a study come here


def _completed(fold: ManifestFold, row: Row) -> None:
    state, data = _trial(fold, row), payload(row)
    fold.move(state, "completed")
    state.completed_at, state.entered = row.recorded_at, None
    # Mostly one text and not two alike: there is one of it for each trial.
    state.result_file = state.planned_file if data["result_file"] == state.planned_file else data["result_file"]
    state.result_sha256 = data["result_sha256"]
    state.samples_file, state.samples_sha256 = data["samples_file"], data["samples_sha256"]
    state.headline = data["headline"]


def _failed(fold: ManifestFold, row: Row) -> None:
    data = payload(row)
    _end(fold, row, "failed", data["error_type"], data["error_message"])


def _interrupted(fold: ManifestFold, row: Row) -> None:
    _end(fold, row, "interrupted", "Interrupted", payload(row)["reason"])


def _skipped(fold: ManifestFold, row: Row) -> None:
    _end(fold, row, "skipped", "Skipped", payload(row)["reason"])


def _rejected(fold: ManifestFold, row: Row) -> None:
    data = payload(row)
    state = _trial(fold, row)
    _forget_result(state)
    fold.move(state, "pending")
    state.completed_at, state.error_type = None, "ResultRejected"
    state.error_message = f"{data['file']}: {data['reason']}"


def _end(fold: ManifestFold, row: Row, status: TrialStatus, error_type: str, message: str) -> None:
    state = _trial(fold, row)
    fold.move(state, status)
    state.error_type, state.error_message = error_type, message
    state.completed_at, state.entered = row.recorded_at, None


def _trial(fold: ManifestFold, row: Row) -> TrialState:
    return fold.trials[row.trial or ""]


_STEPS: dict[str, Callable[[ManifestFold, Row], None]] = {
    "study_planned": _study_planned,
    "study_extended": _study_extended,
    "experiment_planned": _experiment_planned,
    "session_started": _session_started,
    "sensors_checked": _session_samples,
    "baseline_measured": _session_samples,
    "session_ended": _session_ended,
    "journal_recovered": _journal_recovered,
    "study_completed": _study_completed,
    "experiment_running": _running,
    "phase_entered": _phase_entered,
    "experiment_completed": _completed,
    "experiment_failed": _failed,
    "experiment_interrupted": _interrupted,
    "experiment_skipped": _skipped,
    "result_rejected": _rejected,
}
