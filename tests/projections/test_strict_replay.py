"""The fast replay against one through the strict models: of a sound journal both make the same."""

import gzip
import json
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.decoding import typed_event
from llem.domain.errors import JournalError
from llem.domain.events import (
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentInterrupted,
    ExperimentPlanned,
    ExperimentRunning,
    ExperimentSkipped,
    ResultRejected,
    SessionEnded,
    SessionStarted,
    StudyCompleted,
    StudyExtended,
    StudyPlanned,
)
from llem.domain.manifest import ExperimentManifestEntry, StudyManifest
from llem.domain.row import GENESIS, chain_hash
from llem.domain.spec import Limits
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold
from llem.study.chain import sound

KEPT = sorted(Path(__file__).parents[1].joinpath("journals").glob("*/journal.db.gz"))
STATUSES = ("pending", "running", "completed", "failed", "interrupted", "skipped")
UNSUCCESSFUL = {ExperimentFailed: "failed", ExperimentInterrupted: "interrupted", ExperimentSkipped: "skipped"}


class StrictReplay:
    """What a journal says, read as slowly and as plainly as it can be: every event a checked model."""

    def __init__(self, rows):
        self.study, self.experiments, self.entries, self.about = None, {}, {}, {}
        for row in rows:
            self.take_in(row, typed_event(row))
            self.head = row

    def take_in(self, row, event):
        match event:
            case StudyPlanned():
                self.study, self.order = event, list(event.sequence)
                self.about = {"started_at": None, "completed_at": None, "llem_version": event.llem_version}
                self.about["status"] = "planned"
            case ExperimentPlanned():
                self.experiments[event.index] = event
                self.add_trials(event, self.study.cycles)
            case StudyExtended():
                pairs = zip(list(self.experiments.items()), event.summaries, strict=True)
                for (index, planned), summary in pairs:
                    self.experiments[index] = planned.model_copy(update={"config_summary": summary})
                    self.add_trials(self.experiments[index], event.cycles)
                again = {"cycles": event.cycles, "study_design_hash": event.study_design_hash}
                self.study, self.order = self.study.model_copy(update=again), self.order + event.sequence
                self.about["completed_at"] = None
                if self.about["status"] not in ("planned", "running"):
                    self.about["status"] = "interrupted"
            case SessionStarted():
                started = self.about["started_at"] or row.recorded_at
                self.about |= {"started_at": started, "completed_at": None, "status": "running"}
                self.about["llem_version"] = event.llem_version
                self.finished = False
            case StudyCompleted():
                self.finished, self.about["completed_at"] = True, row.recorded_at
            case SessionEnded():
                self.about["status"] = "interrupted"
                if self.finished:
                    done = [entry["status"] for entry in self.entries.values()].count("completed")
                    whole = "completed" if done == len(self.entries) else "partial" if done else "failed"
                    self.about["status"] = whole
            case _ if row.trial is not None:
                self.take_in_trial(row, event)

    def add_trials(self, planned, cycles):
        for cycle in range(1, cycles + 1):
            trial = f"{planned.label}_c{cycle}"
            entry = self.entries.setdefault(trial, {"trial": trial, "cycle": cycle, "index": planned.index})
            entry.setdefault("status", "pending")

    def take_in_trial(self, row, event):
        entry = self.entries[row.trial]
        match event:
            case ExperimentRunning():
                kept = entry.get("invalid_results", 0) + (entry["status"] == "completed")
                same = {key: entry[key] for key in ("trial", "cycle", "index")}
                attempts = max(entry.get("attempts", 0), event.attempt)
                entry.clear()
                entry.update(same, status="running", started_at=row.recorded_at, attempts=attempts)
                entry["invalid_results"] = kept
            case ExperimentCompleted():
                entry.update(status="completed", result_file=event.result_file, headline=event.headline)
                entry["completed_at"] = row.recorded_at
            case ResultRejected():
                entry.update(status="pending", result_file=None, headline=None, completed_at=None)
                entry.update(error_type="ResultRejected", error_message=f"{event.file}: {event.reason}")
            case ExperimentFailed() | ExperimentInterrupted() | ExperimentSkipped():
                status = UNSUCCESSFUL[type(event)]
                entry.update(status=status, completed_at=row.recorded_at)
                entry["error_type"] = getattr(event, "error_type", status.capitalize())
                entry["error_message"] = getattr(event, "error_message", None) or event.reason

    def manifest(self):
        entries = []
        cycles = {index: count(1) for index in self.experiments}
        places = [(index, next(cycles[index])) for index in self.order if index in cycles]
        by_place = {(entry["index"], entry["cycle"]): entry for entry in self.entries.values()}
        for entry in (by_place[place] for place in places if place in by_place):
            planned = self.experiments[entry["index"]]
            told = {key: value for key, value in entry.items() if key != "index"}
            entries.append(
                ExperimentManifestEntry(
                    config_hash=planned.config_hash, config_summary=planned.config_summary, **told
                )
            )
        standing = [entry["status"] for entry in self.entries.values()]
        return StudyManifest(
            study_name=self.study.study_name,
            study_design_hash=self.study.study_design_hash,
            total_experiments=len(self.entries),
            journal_seq=self.head.seq,
            journal_hash=self.head.hash,
            experiments=tuple(entries),
            **{status: standing.count(status) for status in STATUSES},
            **self.about,
        )


def assert_same(rows):
    """Check both replays, and the plan, at the end of ``rows``."""
    strict = StrictReplay(rows)
    assert ManifestFold().apply_all(rows).manifest() == strict.manifest()
    plan = PlanFold().apply_all(rows)
    assert plan.experiments == strict.experiments
    assert (plan.study.sequence, plan.study.cycles) == (strict.order, strict.study.cycles)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.parent.name)
def test_every_prefix_of_a_kept_journal_is_replayed_as_its_strict_events_say(path, tmp_path):
    (tmp_path / "journal.db").write_bytes(gzip.decompress(path.read_bytes()))
    with open_reader(tmp_path / "journal.db") as reader:
        rows = list(reader.rows())
    for number in range(1, len(rows) + 1):
        assert_same(rows[:number])


@given(data=st.data())
def test_a_drawn_journal_is_replayed_as_its_strict_events_say(make, simulate, data):
    chain = make.chain()
    simulate(data.draw, chain)
    if data.draw(st.booleans()):
        extend(make, chain)
    for number in {data.draw(st.integers(1, len(chain.rows))), len(chain.rows)}:
        assert_same(chain.rows[:number])


def extend(make, chain):
    """Append a cycle, and an experiment that takes part in all of them."""
    plan = PlanFold().apply_all(chain.rows)
    planned, cycles = len(plan.experiments), plan.study.cycles + 1
    chain.append(
        StudyExtended(
            study_design_hash="b" * 64,
            llem_version="0.0.2",
            cycles=cycles,
            limits=Limits(),
            sequence=[*range(planned), *[planned] * cycles],
            added=1,
            summaries=tuple({"batch_size": size} for size in range(planned)),
        )
    )
    chain.append(make.plan(planned + 1, 1)[-1])


DAMAGES = st.sampled_from([None, [], {}, "text", "", -1, 1.5, True, ["text"], {"text": 1}])


@given(data=st.data())
def test_whatever_damage_gives_a_state_that_the_strict_events_do_not_is_found_by_the_audit(make, simulate, data):
    chain = make.chain()
    simulate(data.draw, chain)
    rows = list(chain.rows)
    place = data.draw(st.integers(0, len(rows) - 1))
    rows[place] = rows[place]._replace(data=json.dumps(damaged(data.draw, json.loads(rows[place].data))))
    rows = rechained(rows)
    try:
        manifest = ManifestFold().apply_all(rows).manifest()
    except ValueError:
        manifest = "no manifest at all"  # one of the values fits the fold, and no manifest
    except JournalError:
        manifest = "refused"
    try:
        strict = StrictReplay(rows).manifest()
    except (JournalError, LookupError, ValueError):
        strict = "refused too"
    try:
        ManifestFold().apply_all(sound(rows))
    except JournalError:
        return
    assert manifest == strict


def damaged(draw, content):
    """Return an event's data in which a value is missing, of another type, or too many; or no such data at all."""
    way = draw(st.sampled_from(["drop", "replace", "add", "all"]))
    if way == "all" or not content:
        return draw(DAMAGES)
    if way == "add":
        return {**content, "surprise": draw(DAMAGES)}
    key = draw(st.sampled_from(sorted(content)))
    inner = content[key]
    if isinstance(inner, dict) and inner and draw(st.booleans()):
        return {**content, key: damaged(draw, inner)}
    left = {name: value for name, value in content.items() if name != key}
    return left if way == "drop" else {**content, key: draw(DAMAGES)}


def rechained(rows):
    """Return the rows with a chain that fits, as a forger would make it."""
    last, found = GENESIS, []
    for row in rows:
        stored = (*row[:-2], last)
        last = chain_hash(*stored)
        found.append(row._replace(prev_hash=stored[-1], hash=last))
    return found
