"""What of a journal is sound, and what became of the rest of it, event by event."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from llem.domain.errors import JournalError
from llem.domain.row import Row
from llem.journal.reader import open_reader
from llem.journal.salvage import Unreadable, log_hides, remains_of
from llem.study.anchors import Anchor, AuditFinding
from llem.study.chain import Saw, SoundPart, altered, is_as_written, not_following
from llem.study.folder import StudyFolder

MOST_PLACES = 200
"""For so many numbers it is tried whether an altered event belongs there."""


@dataclass
class Rest:
    """What lies behind the sound part of a journal.

    Attributes:
        findings: What is wrong with it, in the order of the events.
        unreadable: Events that cannot be read.
        invalid: Events that can be read.
        hashes: The hashes that stand there; None for an event that cannot be read or is missing.
        trials: The first event of each trial that has events there.
    """

    findings: list[AuditFinding] = field(default_factory=list)
    unreadable: int = 0
    invalid: int = 0
    hashes: list[str | None] = field(default_factory=list)
    trials: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosis:
    """What was found in a journal.

    Attributes:
        part: Its sound part.
        rest: What lies behind that.
        findings: What is wrong with the journal itself; empty where it is whole as far as it tells.
    """

    part: SoundPart
    rest: Rest
    findings: list[AuditFinding]

    @property
    def hashes(self) -> list[str | None]:
        """Return the hashes that stand in the journal, from the first event on."""
        return [*self.part.hashes, *self.rest.hashes]


def examine(
    folder: StudyFolder, anchors: Sequence[Anchor], saw: Saw | None = None, *, running: bool = False
) -> Diagnosis:
    """Find the sound part of a journal, with all means where SQLite alone does not give the whole of it.

    Args:
        folder: The study's folder.
        anchors: What files outside the journal remember.
        saw: Called with each sound event, and the fold that has it.
        running: Whether a session writes it meanwhile: then its log is not looked into beside SQLite.

    Raises:
        InputError: The folder is no study.
        JournalError: Nothing at all can be read, or a newer llem wrote it.
    """
    part, findings, unopened = SoundPart(saw), [], None
    name = folder.journal.name
    remembered = max((anchor.seq for anchor in anchors), default=0)
    try:
        with open_reader(folder.journal) as reader:
            findings += [AuditFinding(where=name, found=text) for text in reader.integrity()]
            part.extend(reader.rows())
    except JournalError as error:
        unopened = error
        findings.append(AuditFinding(where=name, found=error.message))
    read, broken = len(part.hashes), part.broken
    hidden = not running and log_hides(folder.journal)
    if unopened is None and broken is None and remembered <= read and not hidden:
        return Diagnosis(part, Rest(), findings)
    rest = _with_all_means(folder.journal, part, remembered)
    if unopened is not None and not part.hashes and not rest.hashes:
        raise JournalError(
            unopened.message,
            remedy="Nothing of it can be read by other means either. Restore it from a backup, or run the study "
            "again from its study.yaml; the files in results/ stay where they are.",
        )
    if len(part.hashes) > read:
        more = _named(read + 1, len(part.hashes))
        findings.append(AuditFinding(where=name, found=f"{more} can be read only by leaving out what is damaged"))
    findings += rest.findings
    if broken is not None and not findings:
        findings.append(AuditFinding(where=_named(read + 1, read + 1), found=broken))
    return Diagnosis(part, rest, findings)


def _with_all_means(journal: Path, part: SoundPart, remembered: int) -> Rest:
    """Extend the sound part by whatever still holds its next event, and return what then remains."""
    with tempfile.TemporaryDirectory(prefix="llem-") as spare:
        before = -1
        while before < len(part.hashes):
            before = len(part.hashes)
            for remains in remains_of(journal, Path(spare)):
                part.extend(_readable(remains.rows(len(part.hashes))))
        for remains in remains_of(journal, Path(spare)):  # the first: the journal as it lies, if SQLite opens it
            part.extend(_readable(remains.rows(len(part.hashes))))
            seen = list(_seen(remains.rows(len(part.hashes))))
            return _described(_without_guesses(seen, remembered), part)
    return Rest()


def _readable(items: Iterable[Row | Unreadable]) -> Iterator[Row]:
    """Yield rows up to the first that cannot be read."""
    for item in items:
        if isinstance(item, Unreadable):
            raise JournalError(f"event {item.seq} cannot be read: {item.why}", remedy="See the others.")
        yield item


class _Seen(NamedTuple):
    """What is kept of an event behind the sound part; of one that was altered, the row."""

    seq: int
    why: str | None = None
    trial: str | None = None
    prev_hash: object = None
    hash: object = None
    row: Row | None = None


def _seen(items: Iterable[Row | Unreadable]) -> Iterator[_Seen]:
    for item in items:
        if isinstance(item, Unreadable):
            yield _Seen(item.seq, why=item.why)
        else:
            trial = item.trial if isinstance(item.trial, str) else None
            row = None if is_as_written(item) else item
            yield _Seen(item.seq, None, trial, item.prev_hash, item.hash, row)


def _without_guesses(seen: list[_Seen], remembered: int) -> list[_Seen]:
    """Drop unreadable events at the end of which nobody knows that they were ever there, all but the first."""
    end = max((event.seq for event in seen if event.why is None), default=seen[0].seq if seen else 0)
    return [event for event in seen if event.seq <= max(end, remembered)]


def _described(seen: Sequence[_Seen], part: SoundPart) -> Rest:
    """Return what is wrong with each event behind the sound part."""
    rest, (last, last_hash) = Rest(), part.head
    follows: object = last_hash
    places = _free_places(seen, last)
    for event in seen:
        if event.seq > last + 1:
            gap = _named(last + 1, event.seq - 1)
            verb = "is" if event.seq == last + 2 else "are"
            rest.findings.append(AuditFinding(where=gap, found=f"{gap} {verb} missing: {event.seq} follows {last}"))
            rest.hashes += [None] * (event.seq - last - 1)
            follows = None
        found = _problem(event, follows, places)
        if found is None and event.seq == len(part.hashes) + 1:
            found = part.broken  # a link of the chain, and still no event that can follow
        if found is not None:
            rest.findings.append(AuditFinding(where=f"event {event.seq}", found=found))
        rest.hashes.append(event.hash if isinstance(event.hash, str) else None)
        last, follows = event.seq, event.hash if event.row is None else None
        if event.trial is not None:
            rest.trials.setdefault(event.trial, event.seq)
    rest.unreadable = sum(event.why is not None for event in seen)
    rest.invalid = len(seen) - rest.unreadable
    return rest


def _free_places(seen: Sequence[_Seen], after: int) -> list[int]:
    """Return the numbers where no event stands that is as written: one that was moved belongs to one of them."""
    held = {event.seq for event in seen if event.row is None}
    end = seen[-1].seq if seen else after
    return list(islice((seq for seq in range(after + 1, end + 1) if seq not in held), MOST_PLACES))


def _problem(event: _Seen, follows: object, places: Sequence[int]) -> str | None:
    """Return what is wrong with an event; None where it is as written.

    Args:
        event: The event.
        follows: The hash of the event before it; None where that is not known.
        places: Where an event that was moved may belong.
    """
    if event.why is not None:
        return f"event {event.seq} cannot be read: {event.why}"
    if event.row is not None:
        for place in places:
            if is_as_written(event.row._replace(seq=place)):
                return f"event {event.seq} is event {place}, in another place: the events were reordered"
        return altered(event.seq)
    return not_following(event.seq) if follows is not None and event.prev_hash != follows else None


def _named(first: int, last: int) -> str:
    return f"event {first}" if first == last else f"events {first} to {last}"
