"""Journals of every form that llem ever wrote, kept for ever: today's code reads them as they were meant."""

import gzip
import json
from pathlib import Path

import pytest

from llem.domain.decoding import payload, typed_event
from llem.domain.events import CURRENT_VERSION
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold
from llem.study.chain import checked

KEPT = sorted(path for path in Path(__file__).parent.iterdir() if (path / "journal.db.gz").is_file())


@pytest.fixture(params=KEPT, ids=lambda path: path.name)
def kept(request, tmp_path):
    """Return a kept journal's rows and the manifest that was exported with it."""
    (tmp_path / "journal.db").write_bytes(gzip.decompress((request.param / "journal.db.gz").read_bytes()))
    with open_reader(tmp_path / "journal.db") as reader:
        return list(reader.rows()), json.loads((request.param / "manifest.json").read_text())


def test_there_are_journals_of_older_forms():
    assert [path.name for path in KEPT] == ["form1", "form1_every_kind"]


def test_every_kind_of_event_is_in_a_kept_journal(tmp_path):
    found = set()
    for folder in KEPT:
        (tmp_path / "journal.db").write_bytes(gzip.decompress((folder / "journal.db.gz").read_bytes()))
        with open_reader(tmp_path / "journal.db") as reader:
            found |= {(row.kind, row.v) for row in reader.rows()}
    assert set(CURRENT_VERSION.items()) - found == set(), "add a journal: see README.md"


def test_a_kept_journal_folds_into_the_manifest_that_was_exported_with_it(kept):
    rows, exported = kept
    manifest = ManifestFold().apply_all(checked(rows)).manifest()
    assert manifest is not None
    assert json.loads(manifest.model_dump_json()) == exported


def test_every_event_of_a_kept_journal_is_a_valid_event_of_today(kept):
    rows, _ = kept
    assert all(typed_event(row).v == CURRENT_VERSION[row.kind] for row in rows)
    assert all(payload(row) == row.payload() for row in rows)


def test_the_first_form_of_a_plan_says_the_same_in_the_form_of_today(tmp_path):
    (folder,) = [path for path in KEPT if path.name == "form1"]
    (tmp_path / "journal.db").write_bytes(gzip.decompress((folder / "journal.db.gz").read_bytes()))
    with open_reader(tmp_path / "journal.db") as reader:
        plan = PlanFold().apply_all(reader.rows())
        (stored,) = reader.rows(kind="study_planned")
    assert (stored.v, stored.stored()["order"], stored.stored()["blocks"]) == (1, "sequential", [[0, 1], [0, 1]])
    assert plan.study is not None
    assert (plan.study.order, plan.study.sequence, plan.study.cycles) == ("interleave", [0, 1, 0, 1], 2)
    assert [planned.result_stem for planned in plan.experiments.values()] == [
        "llama-random_transformers_auto_1060d628",
        "llama-random_transformers_auto_a5bb4592",
    ]
