"""What a fold of a study's events knows of each trial."""

from dataclasses import dataclass
from typing import Any

from llem.domain.decoding import payload
from llem.domain.identity import rerun_filename
from llem.domain.manifest import TrialStatus
from llem.domain.row import Row


@dataclass(frozen=True, slots=True)
class KeptResult:
    """A result after which its trial ran again: it was spoiled, is kept, and stands for nothing."""

    attempt: int
    result_file: str
    result_sha256: str
    samples_file: str | None
    samples_sha256: str | None
    headline: dict[str, Any]


@dataclass(slots=True)
class TrialState:
    """What the fold knows of one trial."""

    trial: str
    index: int
    cycle: int
    config_hash: str
    config_summary: dict[str, Any]
    planned_file: str
    status: TrialStatus = "pending"
    result_file: str | None = None
    result_sha256: str | None = None
    samples_file: str | None = None
    samples_sha256: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    attempts: int = 0
    headline: dict[str, Any] | None = None
    entered: Row | None = None
    """The event of the phase that it is in."""
    superseded: tuple[KeptResult, ...] = ()
    """Its spoiled results, the first one first."""

    @property
    def invalid(self) -> tuple[str, ...]:
        """Return the codes for which its result is in no figure; empty where it is valid, or has none."""
        return tuple((self.headline or {}).get("invalid", ()))

    @property
    def invalid_results(self) -> int:
        """Return how many spoiled results of it are kept beside the one that stands."""
        return len(self.superseded)

    def result_name(self, attempt: int) -> str:
        """Return the name of the result file of an attempt: that of a kept one is never used again."""
        return rerun_filename(self.planned_file, attempt) if self.superseded else self.planned_file

    @property
    def phase(self) -> str | None:
        """Return the phase of a running trial. Read only when asked for: most trials of a replay are over."""
        if self.status != "running":
            return None
        return "start" if self.entered is None else str(payload(self.entered)["phase"])
