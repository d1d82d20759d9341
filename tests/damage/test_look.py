"""What is wrong with a study is named to the event, and nothing of it is shown as if it were sound."""

import json
import sqlite3

import pytest

from llem.cli.log import show_audit, show_log
from llem.cli.status import show_status
from llem.domain.errors import JournalError
from llem.domain.row import COLUMNS, chain_hash
from llem.study.audit import audit
from llem.study.recover import recover

MOVE = "UPDATE events SET seq = {1} WHERE seq = {0}"


def test_the_log_names_what_is_wrong_and_which_results_still_stand(sealed, finished, capsys, edit):
    running, completed = (
        sealed.seq_of("experiment_running", "e1_c3"),
        sealed.seq_of("experiment_completed", "e1_c3"),
    )
    edit(finished, f"UPDATE events SET attempt = 7 WHERE seq IN ({running}, {completed})")
    (finished.results / "e0_c2.json").unlink()
    assert show_audit(finished.root, as_json=False) == 3
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines == [
        f"event {running}: event {running} was altered: its hash is not that of its content",
        f"event {completed}: event {completed} was altered: its hash is not that of its content",
        "results/e0_c2.json: the file is missing",
        "not trustworthy: e0_c2: results/e0_c2.json: the file is missing",
        f"not trustworthy: e1_c3: its event {running} is not in the sound part of the journal",
        f"not trustworthy: e0_c3: its event {completed + 1} is not in the sound part of the journal",
        "trustworthy results (3): e0_c1, e1_c1, e1_c2",
        f"{running - 1} events chained, 3 results as recorded, 6 anchors agree: 3 FOUND WRONG",
    ]
    assert f"llem study recover {finished.root}" in shown.err
    assert show_audit(finished.root, as_json=True) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["damaged"] is True
    assert told["trustworthy"] == ["e0_c1", "e1_c1", "e1_c2"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            ["DELETE FROM events WHERE seq IN (9, 10, 20)"],
            {9: "events 9 to 10 are missing", 20: "event 20 is missing"},
        ),
        (
            [MOVE.format(*places) for places in ((9, 999), (10, 9), (999, 10))],
            {9: "event 9 is event 10, in another place", 10: "event 10 is event 9, in another place"},
        ),
        (["UPDATE events SET hash = prev_hash WHERE seq = 9"], {9: "event 9 was altered"}),
        ([MOVE.format(49, 50)], {49: "event 49 is missing", 50: "event 50 is event 49, in another place"}),
    ],
)
def test_every_event_that_is_not_as_it_was_is_named_and_no_other(finished, changes, told, edit):
    edit(finished, *changes)
    named = [(finding.where, finding.found) for finding in audit(finished).findings if "event" in finding.where]
    assert len(named) == len(told)
    for (where, found), (seq, text) in zip(named, told.items(), strict=True):
        assert str(seq) in where
        assert text in found


def test_what_a_rewritten_journal_says_is_trusted_up_to_the_last_anchor_that_agrees(sealed, finished):
    first = sealed.seq_of("experiment_completed", "e0_c2")
    db = sqlite3.connect(finished.journal, isolation_level=None)
    for name in ("events_never_change", "events_never_go", "events_in_a_row"):
        db.execute(f"DROP TRIGGER {name}")
    last = sealed.rows[first - 2].hash
    for row in sealed.rows[first - 1 :]:
        data = row.data.replace('"energy_total_j":1', '"energy_total_j":9')
        changed = row._replace(data=data, prev_hash=last)
        last = chain_hash(*changed[:-1])
        db.execute("DELETE FROM events WHERE seq = ?", (row.seq,))
        db.execute(f"INSERT INTO events ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)", (*changed[:-1], last))
    db.close()
    found = audit(finished)
    assert found.damaged
    assert sorted(found.trustworthy) == ["e0_c1", "e1_c1", "e1_c2"]
    assert {trial.trial for trial in found.doubtful} == {"e0_c2", "e1_c3", "e0_c3"}
    assert "may have been rewritten" in found.doubtful[0].reason


def test_nothing_is_shown_of_a_damaged_journal_as_if_it_were_sound(finished, edit):
    edit(finished, "UPDATE events SET data = replace(data, '\"energy_total_j\":1', '\"energy_total_j\":9')")
    with pytest.raises(JournalError, match="was altered"):
        show_status(finished.root, as_json=False)


def test_a_look_at_a_shortened_journal_does_not_take_away_what_tells_of_the_loss(finished, capsys, edit):
    before = finished.manifest.read_bytes()
    edit(finished, "DELETE FROM events WHERE seq > 40")
    show_status(finished.root, as_json=False)
    assert finished.manifest.read_bytes() == before
    assert "manifest.json remembers what the journal does not have" in capsys.readouterr().err
    assert recover(finished)[0].events == 40


def test_a_manifest_that_is_behind_is_written_again(sealed, finished):
    for path in (finished.manifest, finished.results_file):
        tree = json.loads(path.read_bytes())
        path.write_text(json.dumps({**tree, "journal_seq": 40, "journal_hash": sealed.rows[39].hash}))
    show_status(finished.root, as_json=False)
    assert json.loads(finished.manifest.read_bytes())["journal_seq"] == len(sealed.rows)


def test_a_record_that_holds_what_no_column_may_is_altered_and_nothing_worse(finished, capsys, edit):
    db = sqlite3.connect(finished.journal, isolation_level=None)
    db.execute("PRAGMA writable_schema=ON")
    db.execute("UPDATE sqlite_master SET sql = replace(sql, ') STRICT', ')') WHERE name = 'events'")
    db.close()
    edit(finished, "UPDATE events SET data = CAST(data AS BLOB), trial = x'ff' WHERE seq = 9")
    told = {finding.where: finding.found for finding in audit(finished).findings}
    assert told["event 9"] == "event 9 was altered: its hash is not that of its content"
    with pytest.raises(JournalError, match="Event 9 cannot be shown"):
        show_log(finished.root, follow=False, trial=None, kind=None, as_json=True)
