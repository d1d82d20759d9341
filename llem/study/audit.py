"""Finding any edit, removal, reordering or lost tail of a study's record, and any result that changed."""

from llem.domain.model import Value
from llem.journal.lock import is_locked
from llem.projections.trials import TrialState
from llem.study.anchors import AuditFinding, anchor_findings, anchors_of, believed, proven
from llem.study.chain import Saw
from llem.study.diagnosis import Diagnosis, examine
from llem.study.folder import StudyFolder
from llem.study.integrity import kept_file_problems, trial_file_problems


class DoubtfulTrial(Value):
    """A trial of which not all is as it was recorded.

    Attributes:
        trial: The trial.
        reason: What is not.
    """

    trial: str
    reason: str


class Audit(Value):
    """What an audit looked at and found.

    Attributes:
        events: Events that are sound, from the first on: chained, and of a form that this llem knows.
        results: Completed trials whose files are as recorded.
        anchors: Anchors outside the journal that agree with it.
        damaged: Whether the journal itself is damaged, or shorter than its anchors: `llem study recover` mends that.
        trustworthy: Trials whose result stands: plan and all events are sound, and the files as recorded.
        doubtful: Trials of which something is not, with the reason.
        findings: What is wrong; empty means that nothing was found.
    """

    events: int
    results: int
    anchors: int
    damaged: bool
    trustworthy: tuple[str, ...]
    doubtful: tuple[DoubtfulTrial, ...]
    findings: tuple[AuditFinding, ...]


def audit(folder: StudyFolder, saw: Saw | None = None) -> Audit:
    """Check a study's journal event by event, its anchors, and the files that it names.

    Args:
        folder: The study's folder.
        saw: Called with each event that is sound, and the fold that has it.

    Raises:
        InputError: The folder is no study.
        JournalError: The journal cannot be read at all, or a newer llem wrote it.
    """
    # Before the journal: while a session runs, what is exported after it was read remembers events beyond its end.
    running = is_locked(folder.lock)
    anchors = list(anchors_of(folder))
    found = examine(folder, anchors, saw, running=running)
    fold, hashes = found.part.fold, found.hashes
    lost = anchor_findings(anchors, hashes)
    done = [state for state in fold.in_order() if state.status == "completed"]
    spoiled = {state.trial: trial_file_problems(folder, state) for state in done}
    spoiled_files = [problem for problems in spoiled.values() for problem in problems]
    spoiled_files += kept_file_problems(folder, fold)
    sound = believed(anchors, {file for file, _ in spoiled_files})
    doubtful = _doubtful(found, spoiled, proven(sound, found.part.hashes))
    doubted = {trial.trial for trial in doubtful}
    return Audit(
        events=len(found.part.hashes),
        results=sum(not problems for problems in spoiled.values()),
        anchors=len(anchors) - len(lost),
        damaged=bool(found.findings or anchor_findings(sound, hashes)),
        trustworthy=tuple(state.trial for state in done if state.trial not in doubted),
        doubtful=tuple(doubtful),
        findings=(
            *found.findings,
            *lost,
            *(AuditFinding(where=file, found=text) for file, text in spoiled_files),
        ),
    )


def _doubtful(found: Diagnosis, spoiled: dict[str, list[tuple[str, str]]], trusted: int) -> list[DoubtfulTrial]:
    """Return the trials of which not all is sound, in the order of the plan; those that the plan lacks come last.

    Args:
        found: What was found in the journal.
        spoiled: Each completed trial with what is wrong with its files.
        trusted: The last event that no anchor speaks against.
    """
    planned = found.part.fold.in_order()
    more = sorted(found.rest.trials.keys() - {state.trial for state in planned})
    reasons = [(state.trial, _reason(state, found, spoiled, trusted)) for state in planned]
    reasons += [(trial, "its plan is not in the sound part of the journal") for trial in more]
    return [DoubtfulTrial(trial=trial, reason=reason) for trial, reason in reasons if reason is not None]


def _reason(
    state: TrialState, found: Diagnosis, spoiled: dict[str, list[tuple[str, str]]], trusted: int
) -> str | None:
    """Return why a trial is doubtful; None where it is not."""
    if state.trial in found.rest.trials:
        return f"its event {found.rest.trials[state.trial]} is not in the sound part of the journal"
    if found.part.last_of.get(state.trial, 0) > trusted:
        return f"its event {found.part.last_of[state.trial]} may have been rewritten"
    return next((f"{file}: {text}" for file, text in spoiled.get(state.trial, ())), None)
