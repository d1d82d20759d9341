"""Finding any edit, removal, reordering or lost tail of a study's record, and any result that changed."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from llem.domain.decoding import typed_event
from llem.domain.errors import JournalError
from llem.domain.model import Value
from llem.domain.row import GENESIS, Row
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.study.folder import StudyFolder
from llem.study.integrity import ORPHANS, kept_file_problems, require_regular, trial_file_problems


class AuditFinding(Value):
    """Something that is not as it was recorded.

    Attributes:
        where: The event, file or anchor.
        found: What is wrong with it.
    """

    where: str
    found: str


class Audit(Value):
    """What an audit looked at and found.

    Attributes:
        events: Events whose chain holds, from the first on.
        results: Completed trials whose files are as recorded.
        anchors: Anchors outside the journal that agree with it.
        findings: What is wrong; empty means that nothing was found.
    """

    events: int
    results: int
    anchors: int
    findings: tuple[AuditFinding, ...]


class Anchor(NamedTuple):
    """A journal's head as a file outside the journal remembers it."""

    file: str
    seq: int
    hash: str


Saw = Callable[[Row, ManifestFold], object]


def audit(folder: StudyFolder, saw: Saw | None = None) -> Audit:
    """Check a study's journal event by event, its anchors, and the files that it names.

    Args:
        folder: The study's folder.
        saw: Called with each event that is sound, and the fold that has it.

    Raises:
        InputError: The folder is no study.
        JournalError: The journal cannot be read at all.
    """
    findings: list[AuditFinding] = []
    fold = ManifestFold()
    hashes: list[str] = []
    # Before the journal: while a session runs, what is exported after it was read remembers events beyond its end.
    anchors = list(anchors_of(folder))
    with open_reader(folder.journal) as reader:
        findings += [AuditFinding(where=folder.journal.name, found=text) for text in reader.integrity()]
        try:
            for row in sound(reader.rows()):
                fold.apply(row)
                if saw is not None:
                    saw(row, fold)
                hashes.append(row.hash)
        except JournalError as error:
            findings.append(AuditFinding(where=f"event {len(hashes) + 1}", found=error.message))
    lost = anchor_findings(anchors, hashes)
    findings += lost
    done = [state for state in fold.trials.values() if state.status == "completed"]
    spoiled = [trial_file_problems(folder, state) for state in done]
    spoiled_files = [problem for problems in spoiled for problem in problems] + kept_file_problems(folder, fold)
    findings += [AuditFinding(where=file, found=found) for file, found in spoiled_files]
    return Audit(
        events=len(hashes),
        results=sum(not problems for problems in spoiled),
        anchors=len(anchors) - len(lost),
        findings=tuple(findings),
    )


def sound(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield ``rows`` as long as number and chain hold and every event is valid.

    Raises:
        JournalError: A row is missing, out of place, altered, or no valid event.
    """
    for row in checked(rows):
        typed_event(row)
        yield row


def checked(rows: Iterable[Row], hashes: list[str] | None = None) -> Iterator[Row]:
    """Yield ``rows`` as long as number and chain hold.

    Args:
        rows: The rows of a journal, from the first on.
        hashes: Where the hash of each row is added before the row is yielded.

    Raises:
        JournalError: A row is missing, out of place or altered.
    """
    seq, last_hash = 0, GENESIS
    for row in rows:
        if row.seq != seq + 1:
            raise _damaged(f"event {seq + 1} is missing: {row.seq} follows {seq}")
        if row.prev_hash != last_hash:
            raise _damaged(f"event {row.seq} does not follow event {seq}: the chain is broken")
        if row.hash != row.expected_hash():
            raise _damaged(f"event {row.seq} was altered: its hash is not that of its content")
        seq, last_hash = row.seq, row.hash
        if hashes is not None:
            hashes.append(last_hash)
        yield row


def anchors_of(folder: StudyFolder) -> Iterator[Anchor]:
    """Yield the anchors in the manifest and in every result file, named by an event or not."""
    files = [folder.manifest]
    if folder.results.is_dir():
        files += sorted(folder.results.glob("*.json")) + sorted((folder.results / ORPHANS).glob("*.json"))
    for path in files:
        anchor = _anchor(path, str(path.relative_to(folder.root)))
        if anchor is not None:
            yield anchor


def _anchor(path: Path, where: str) -> Anchor | None:
    """Return the anchor in a file; None where the file is missing or garbled, which says nothing of the journal."""
    try:
        require_regular(path)
        content = json.loads(path.read_bytes())
        return Anchor(where, int(content["journal_seq"]), str(content["journal_hash"]))
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None


def anchor_findings(anchors: Iterable[Anchor], hashes: list[str]) -> list[AuditFinding]:
    """Return the anchors that the journal does not reach or does not agree with.

    Args:
        anchors: Anchors outside the journal.
        hashes: The hashes of the journal's events, from the first on.
    """
    findings = []
    for anchor in anchors:
        if anchor.seq > len(hashes):
            found = f"it remembers event {anchor.seq}, and the journal ends at {len(hashes)}: its tail is lost"
        elif anchor.seq < 1 or hashes[anchor.seq - 1] != anchor.hash:
            found = f"event {anchor.seq} is not the one that it remembers: the journal was rewritten"
        else:
            continue
        findings.append(AuditFinding(where=anchor.file, found=found))
    return findings


def _damaged(message: str) -> JournalError:
    return JournalError(message, remedy="Restore the study folder from a backup.")
