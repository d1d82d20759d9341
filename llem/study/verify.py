"""Proving a study's figures: everything that an audit checks, and each figure recomputed from the raw edges."""

from collections import Counter
from collections.abc import Callable

from llem.domain.events import SessionStarted
from llem.domain.model import Value
from llem.domain.result import ARITHMETIC, Figures
from llem.domain.row import Row
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold
from llem.study.audit import audit
from llem.study.exported import Export, exports_of
from llem.study.folder import StudyFolder
from llem.study.recompute import CompletedTrial, Discrepancy, differing, recompute

FIGURES_OF_A_RESULT = len(Figures.model_fields.keys() - {"unknown"})

Progress = Callable[[int, int], object]


class Verification(Value):
    """What a verification looked at and found.

    Attributes:
        events: Events whose chain holds, from the first on.
        results: Completed trials whose files are as recorded.
        anchors: Anchors outside the journal that agree with it.
        completed: Completed trials.
        recomputed: Completed trials whose figures were recomputed.
        figures: Figures that were compared, null ones among them.
        arithmetic: The arithmetic that this llem recomputes.
        other_arithmetic: Results of another arithmetic, which were not recomputed: its number → results.
        findings: What is wrong; empty means that nothing was found.
    """

    events: int
    results: int
    anchors: int
    completed: int
    recomputed: int
    figures: int
    arithmetic: int
    other_arithmetic: dict[int, int]
    findings: tuple[Discrepancy, ...]


def verify(folder: StudyFolder, progress: Progress | None = None) -> Verification:
    """Audit a study, then recompute the figures of every completed trial and compare them, bit by bit.

    Nothing is written. Of a study that is running, what is completed is verified.

    Args:
        folder: The study's folder.
        progress: Called before each completed trial with its number, from 1, and how many there are.

    Raises:
        InputError: The folder is no study.
        JournalError: The journal cannot be read at all.
    """
    # Before the journal, as its anchors are: what is exported later reflects events beyond the end that was read.
    record = _Record(list(exports_of(folder)))
    audited = audit(folder, record.saw)
    findings = [Discrepancy(where=finding.where, found=finding.found) for finding in audited.findings]
    spoiled = {finding.where for finding in findings}
    findings += record.export_findings
    completed = record.completed()
    done, others = 0, Counter[int]()
    for number, trial in enumerate(completed, start=1):
        if progress is not None:
            progress(number, len(completed))
        outcome = recompute(folder, trial)
        # That a file is missing or altered has been said; which of its figures differ has not.
        findings += [found for found in outcome.findings if found.field or found.where not in spoiled]
        done += outcome.done
        if outcome.arithmetic is not None and outcome.arithmetic != ARITHMETIC:
            others[outcome.arithmetic] += 1
    return Verification(
        events=audited.events,
        results=audited.results,
        anchors=audited.anchors,
        completed=len(completed),
        recomputed=done,
        figures=done * FIGURES_OF_A_RESULT,
        arithmetic=ARITHMETIC,
        other_arithmetic=dict(sorted(others.items())),
        findings=tuple(findings),
    )


class _Record:
    """What a journal says of its completed trials, taken in event by event.

    Args:
        exports: The files beside it that hold figures; each is compared at the event that it reflects.
    """

    def __init__(self, exports: list[Export]) -> None:
        self._exports = exports
        self._fold = ManifestFold()
        self._plan = PlanFold()
        self._session: SessionStarted | None = None
        self._completing: dict[str, tuple[Row, SessionStarted | None]] = {}
        self.export_findings: list[Discrepancy] = []

    def saw(self, row: Row, fold: ManifestFold) -> None:
        """Take in an event that is sound."""
        self._fold = fold
        self._plan.apply_all([row])
        if row.kind == "session_started":
            event = row.event()
            self._session = event if isinstance(event, SessionStarted) else None
        elif row.kind == "experiment_completed" and row.trial:
            self._completing[row.trial] = row, self._session
        for export in self._exports:
            if export.seq == row.seq:
                self.export_findings += differing(export.file, "the journal says", export.stands, export.view(fold))

    def completed(self) -> list[CompletedTrial]:
        """Return the completed trials, in the order of the plan."""
        study = self._plan.study
        return [
            CompletedTrial(state, self._plan.experiments[state.index].config, study.study_name, *made)
            for state in self._fold.in_order()
            if study is not None and (made := self._completing.get(state.trial)) and state.status == "completed"
        ]
