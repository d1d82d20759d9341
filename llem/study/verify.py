"""Proving a study's figures: everything that an audit checks, and each figure recomputed from the raw edges."""

from collections import Counter
from collections.abc import Callable

from llem.domain.decoding import typed_event
from llem.domain.events import BaselineMeasured, SessionStarted
from llem.domain.model import Value
from llem.domain.result import ARITHMETIC, Figures
from llem.domain.row import Row
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold
from llem.study.audit import audit
from llem.study.exported import Export, exports_of
from llem.study.folder import StudyFolder
from llem.study.grounds import Grounds, GroundsFold
from llem.study.rechecking import recheck
from llem.study.recompute import Discrepancy, RecordedResult, differing, recompute, recompute_baseline

FIGURES_OF_A_RESULT = len(Figures.model_fields.keys() - {"unknown"})

Progress = Callable[[int, int], object]


class Verification(Value):
    """What a verification looked at and found.

    Attributes:
        events: Events whose chain holds, from the first on.
        results: Completed trials whose files are as recorded.
        anchors: Anchors outside the journal that agree with it.
        completed: Completed trials.
        kept: Spoiled results of earlier attempts, which are in no figure; they are verified as the others.
        recomputed: Results whose figures were recomputed, kept ones among them.
        baselines: Baselines whose powers were recomputed.
        figures: Figures of results that were compared, null ones among them.
        arithmetic: The arithmetic that this llem recomputes.
        other_arithmetic: Results of another arithmetic, which were not recomputed: its number → results.
        findings: What is wrong; empty means that nothing was found.
    """

    events: int
    results: int
    anchors: int
    completed: int
    kept: int
    recomputed: int
    baselines: int
    figures: int
    arithmetic: int
    other_arithmetic: dict[int, int]
    findings: tuple[Discrepancy, ...]


def verify(folder: StudyFolder, progress: Progress | None = None) -> Verification:
    """Audit a study, then recompute every baseline and the figures of every result and compare them, bit by bit.

    Nothing is written. Of a study that is running, what is completed is verified.

    Args:
        folder: The study's folder.
        progress: Called before each result with its number, from 1, and how many there are.

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
    findings += [found for row in record.checks for found in recheck(folder, row) if found.where not in spoiled]
    baselines = [recompute_baseline(folder, seq, event) for seq, event in record.baselines.items()]
    results = record.results()
    outcomes = []
    for number, recorded in enumerate(results, start=1):
        if progress is not None:
            progress(number, len(results))
        outcomes.append(recompute(folder, recorded))
    # That a file is missing or altered has been said; which of its figures differ has not.
    told = [found for outcome in (*baselines, *outcomes) for found in outcome.findings]
    findings += [found for found in told if found.field or found.where not in spoiled]
    done = sum(outcome.done for outcome in outcomes)
    others = Counter(outcome.arithmetic for outcome in outcomes if outcome.arithmetic not in (None, ARITHMETIC))
    return Verification(
        events=audited.events,
        results=audited.results,
        anchors=audited.anchors,
        completed=record.completed,
        kept=len(results) - record.completed,
        recomputed=done,
        baselines=sum(outcome.done for outcome in baselines),
        figures=done * FIGURES_OF_A_RESULT,
        arithmetic=ARITHMETIC,
        other_arithmetic=dict(sorted(others.items())),
        findings=tuple(findings),
    )


class _Record:
    """What a journal says of its results and baselines, taken in event by event.

    Args:
        exports: The files beside it that hold figures; each is compared at the event that it reflects.
    """

    def __init__(self, exports: list[Export]) -> None:
        self._exports = exports
        self._fold = ManifestFold()
        self._plan = PlanFold()
        self._session: SessionStarted | None = None
        self._grounds = GroundsFold()
        self._begun: dict[str, Grounds] = {}
        self._completing: dict[tuple[str, int | None], tuple[Row, SessionStarted | None, Grounds]] = {}
        self.baselines: dict[int, BaselineMeasured] = {}
        self.checks: list[Row] = []
        self.export_findings: list[Discrepancy] = []

    def saw(self, row: Row, fold: ManifestFold) -> None:
        """Take in an event that is sound."""
        self._fold = fold
        self._plan.apply_all([row])
        self._grounds.apply(row)
        if row.kind == "session_started":
            event = typed_event(row)
            self._session = event if isinstance(event, SessionStarted) else None
        elif row.kind == "sensors_checked":
            self.checks.append(row)
        elif row.kind == "baseline_measured":
            baseline = typed_event(row)
            assert isinstance(baseline, BaselineMeasured)
            self.baselines[row.seq] = baseline
        elif row.kind == "experiment_running" and row.trial:
            state = fold.trials[row.trial]
            self._begun[row.trial] = self._grounds.of(self._plan.experiments[state.index].config)
        elif row.kind == "experiment_completed" and row.trial:
            grounds = self._begun.get(row.trial, Grounds())
            self._completing[row.trial, row.attempt] = row, self._session, grounds
        for export in self._exports:
            if export.seq == row.seq:
                self.export_findings += differing(export.file, "the journal says", export.stands, export.view(fold))

    @property
    def completed(self) -> int:
        """Return how many trials are completed."""
        return self._fold.count("completed")

    def results(self) -> list[RecordedResult]:
        """Return the results, in the order of the plan; of one trial, those that are kept come first."""
        study, found = self._plan.study, []
        if study is None:
            return []
        for place, state in enumerate(self._fold.in_order()):
            standing = [state.attempts] if state.status == "completed" else []
            config = self._plan.experiments[state.index].config
            for attempt in (*(kept.attempt for kept in state.superseded), *standing):
                made = self._completing.get((state.trial, attempt))
                if made is not None:
                    found.append(RecordedResult(state, place, config, study, *made))
        return found
