"""What files outside a journal remember of it: only they can tell that its tail is lost."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from llem.domain.model import Value
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


class Anchor(NamedTuple):
    """A journal's head as a file outside the journal remembers it."""

    file: str
    seq: int
    hash: str


def anchors_of(folder: StudyFolder) -> Iterator[Anchor]:
    """Yield the anchors in the manifest and in every result file, named by an event or not."""
    files = [folder.manifest]
    if folder.results.is_dir():
        files += sorted(folder.results.glob("*.json")) + sorted((folder.results / ORPHANS).glob("*.json"))
    for path in files:
        anchor = anchor_in(path, str(path.relative_to(folder.root)))
        if anchor is not None:
            yield anchor


def anchor_in(path: Path, where: str) -> Anchor | None:
    """Return the anchor in a file; None where the file is missing or garbled, which says nothing of the journal."""
    try:
        require_regular(path)
        content = json.loads(path.read_bytes())
        return Anchor(where, int(content["journal_seq"]), str(content["journal_hash"]))
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None


def agreement(anchor: Anchor, hashes: Sequence[str | None]) -> bool | None:
    """Return whether a journal of these hashes is the one that an anchor remembers; None where nobody can say."""
    if not 1 <= anchor.seq <= len(hashes):
        return False
    found = hashes[anchor.seq - 1]
    return None if found is None else found == anchor.hash


def anchor_findings(anchors: Iterable[Anchor], hashes: Sequence[str | None]) -> list[AuditFinding]:
    """Return the anchors that the journal does not reach or does not agree with.

    Args:
        anchors: Anchors outside the journal.
        hashes: The hashes of the journal's events, from the first on; None for one that cannot be read.
    """
    findings = []
    for anchor in anchors:
        if agreement(anchor, hashes) is not False:
            continue
        if anchor.seq > len(hashes):
            found = f"it remembers event {anchor.seq}, and the journal ends at {len(hashes)}: its tail is lost"
        else:
            found = f"event {anchor.seq} is not the one that it remembers: the journal was rewritten"
        findings.append(AuditFinding(where=anchor.file, found=found))
    return findings


def sound_anchors(folder: StudyFolder, fold: ManifestFold, anchors: Iterable[Anchor]) -> list[Anchor]:
    """Return the anchors that can be believed; every file of the study is hashed for that."""
    spoiled = {file for state in fold.trials.values() for file, _ in trial_file_problems(folder, state)}
    spoiled |= {file for file, _ in kept_file_problems(folder, fold)}
    return believed(anchors, spoiled)


def believed(anchors: Iterable[Anchor], spoiled: Collection[str]) -> list[Anchor]:
    """Return the anchors that are in no spoiled file.

    What an altered result remembers counts for nothing: its trial runs again, or it is in no figure anyway.
    """
    return [anchor for anchor in anchors if anchor.file not in spoiled]


def proven(anchors: Iterable[Anchor], hashes: Sequence[str]) -> int:
    """Return how many events, from the first on, no anchor speaks against.

    Where the journal was rewritten, that is as far as the last anchor goes that agrees with it before it does not.
    """
    found = [(anchor.seq, agreement(anchor, hashes)) for anchor in anchors if anchor.seq <= len(hashes)]
    agreed = max((seq for seq, agrees in found if agrees), default=0)
    return agreed if any(agrees is False and seq > agreed for seq, agrees in found) else len(hashes)
