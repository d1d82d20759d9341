"""The manifest: where every trial of a study stands. A view of the journal, never its source."""

from typing import Literal

from pydantic import AwareDatetime, JsonValue, SerializerFunctionWrapHandler, model_serializer

from llem.domain.model import Value
from llem.domain.result import Headline

MANIFEST_SCHEMA_VERSION = 1

TrialStatus = Literal["pending", "running", "completed", "failed", "interrupted", "skipped"]
StudyStatus = Literal["planned", "running", "interrupted", "completed", "partial", "failed"]


class ExperimentManifestEntry(Value):
    """Where one trial stands: one experiment in one cycle.

    Attributes:
        trial: The trial, as events and ``llem study log --trial`` name it.
        config_hash: Identity of the experiment.
        config_summary: The dimensions that vary in this study.
        cycle: The cycle, from 1.
        status: Where it stands.
        result_file: The result, below ``results/``; None until there is one.
        error_type: What went wrong in the last attempt, if it did.
        error_message: The same in words.
        started_at: Start of the last attempt.
        completed_at: End of the last attempt.
        attempts: Attempts so far.
        headline: Figures of the completed attempt.
        invalid_results: Spoiled results of earlier attempts: kept, and in no figure. Left out where it is 0,
            so that manifests from before it are written the same again.
    """

    trial: str
    config_hash: str
    config_summary: dict[str, JsonValue]
    cycle: int
    status: TrialStatus = "pending"
    result_file: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    attempts: int = 0
    headline: Headline | None = None
    invalid_results: int = 0

    @model_serializer(mode="wrap")
    def _without_absent_additions(self, dump: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        written: dict[str, JsonValue] = dump(self)
        return {name: value for name, value in written.items() if value or name != "invalid_results"}


class StudyManifest(Value):
    """Where a study stands, and the event that this view reflects.

    ``status`` is ``planned`` before the first session, ``running`` during one, ``interrupted`` when a session
    ended with trials left, and at the end ``completed`` (every trial has a result), ``partial`` (some have)
    or ``failed`` (none has).
    """

    schema_version: int = MANIFEST_SCHEMA_VERSION
    study_name: str
    study_design_hash: str
    llem_version: str
    status: StudyStatus
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    total_experiments: int
    pending: int
    running: int
    completed: int
    failed: int
    interrupted: int
    skipped: int
    journal_seq: int
    journal_hash: str
    experiments: tuple[ExperimentManifestEntry, ...]
