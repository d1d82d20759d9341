"""``llem study verify`` on real studies: clean as they were written, and by name whatever was altered since."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from llem.domain.row import chain_hash
from llem.study.integrity import sha256_of

METER = {"LLEM_ACTING_RECORDER": "meter"}
MEASUREMENT = {"warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0, "sensors": ["rapl"]}
MODEL = {"window_s": 0.2, "settle_s": 0.1}


@pytest.fixture(scope="module")
def study(module_lab: Any) -> Any:
    """Return a study that is over: two trials measured by a meter of 10 W, one that failed."""
    study_file = module_lab.write(["ok", "exception", "ok_too"], model=MODEL, measurement=MEASUREMENT)
    _, made = module_lab.run(study_file, code=1, env=METER)
    return made


def verified(lab: Any, study: Any, *, code: int = 0) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(lab.llem("study", "verify", study.root, "--json", code=code).out)
    return tree


def found_in(tree: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(finding["where"], finding["field"]) for finding in tree["findings"]]


def forge(study: Any, change: Callable[[dict[str, Any]], object], *, headline: bool = False) -> str:
    """Alter the last result, or its headline, and re-make every hash that would tell; return the result's file.

    The exports go: they remember the head. The results remember events before the altered one.
    """
    event = study.events("experiment_completed")[-1]
    data = event["data"]
    path = study.root / "results" / data["result_file"]
    if headline:
        change(data["headline"])
    else:
        tree = json.loads(path.read_text())
        change(tree)
        path.write_text(json.dumps(tree))
        data["result_sha256"] = sha256_of(path.read_bytes())
    db = sqlite3.connect(study.journal)
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute("UPDATE events SET data = ? WHERE seq = ?", (json.dumps(data), event["seq"]))
    last = "genesis"
    columns = "seq, recorded_at, session, kind, v, trial, attempt, data"
    for row in db.execute(f"SELECT {columns} FROM events ORDER BY seq").fetchall():
        last, before = chain_hash(*row, last), last
        db.execute("UPDATE events SET prev_hash = ?, hash = ? WHERE seq = ?", (before, last, row[0]))
    db.commit()
    db.close()
    for export in ("manifest.json", "results.json"):
        (study.root / export).unlink()
    return str(path.relative_to(study.root))


def test_a_study_is_verified_as_it_was_written(lab: Any, study: Any) -> None:
    tree = verified(lab, study)
    events = len(study.events())
    assert tree["findings"] == []
    assert (tree["events"], tree["results"], tree["completed"], tree["recomputed"]) == (events, 2, 2, 2)
    assert tree["figures"] > 2 * 15
    assert tree["other_arithmetic"] == {}
    shown = lab.llem("study", "verify", study.root)
    assert shown.out == (
        f"{events} events chained, 2 of 2 results recomputed, {tree['figures']} figures compared, "
        f"{tree['anchors']} anchors agree: nothing found wrong\n"
    )
    assert shown.err == ""


def test_a_figure_that_was_forged_with_every_hash_is_found_by_recomputing_it_alone(lab: Any, study: Any) -> None:
    forged = lab.copy(study)
    true_j = study.result(study.trial_of("ok_too"))["figures"]["energy_total_j"]
    file = forge(forged, lambda tree: tree["figures"].update(energy_total_j=1.5))
    assert lab.llem("study", "log", forged.root, "--verify").out.endswith("nothing found wrong\n")
    tree = verified(lab, forged, code=3)
    (finding,) = tree["findings"]
    assert (finding["where"], finding["field"]) == (file, "figures.energy_total_j")
    assert (finding["stands"], finding["expected"]) == (1.5, true_j)
    shown = lab.llem("study", "verify", forged.root, code=3)
    assert shown.out.splitlines()[0] == f"{file}: figures.energy_total_j is 1.5; recomputed: {json.dumps(true_j)}"
    assert shown.out.endswith("1 FOUND WRONG\n")


def test_a_headline_that_was_forged_with_the_chain_is_found(lab: Any, study: Any) -> None:
    forged = lab.copy(study)
    seq = study.events("experiment_completed")[-1]["seq"]
    forge(forged, lambda headline: headline.update(output_tokens_per_s=9e9), headline=True)
    assert found_in(verified(lab, forged, code=3)) == [(f"event {seq}", "headline.output_tokens_per_s")]


def test_altered_edges_and_what_they_change_are_named(lab: Any, study: Any) -> None:
    altered = lab.copy(study)
    ours, theirs = [event["data"]["samples_file"] for event in study.events("experiment_completed")]
    (altered.root / "samples" / ours).write_bytes((altered.root / "samples" / theirs).read_bytes())
    found = found_in(verified(lab, altered, code=3))
    assert found[0] == (f"samples/{ours}", None)
    assert "figures.energy_total_j" in {field for _, field in found}


def test_results_of_another_arithmetic_are_counted_and_are_no_fault_of_theirs(lab: Any, study: Any) -> None:
    older = lab.copy(study)
    forge(older, lambda tree: tree.update(arithmetic=1))
    tree = verified(lab, older)
    assert (tree["recomputed"], tree["other_arithmetic"], tree["findings"]) == (1, {"1": 1}, [])
    shown = lab.llem("study", "verify", older.root)
    told = f"1 result was made by arithmetic 1; this llem recomputes {tree['arithmetic']}: not recomputed"
    assert shown.out.splitlines()[0] == told
    assert shown.out.endswith("nothing found wrong\n")


@pytest.mark.parametrize("part", ["results", "samples"])
def test_a_missing_file_is_named_and_the_others_are_verified(lab: Any, study: Any, part: str) -> None:
    altered = lab.copy(study)
    name = study.events("experiment_completed")[0]["data"][{"results": "result_file"}.get(part, "samples_file")]
    (altered.root / part / name).unlink()
    session = lab.llem("study", "verify", altered.root, code=3)
    assert "Traceback" not in session.err
    assert f"{part}/{name}: the file is missing" in session.out
    assert "1 of 2 results recomputed" in session.out


def test_words_of_a_forger_do_not_act_on_the_terminal(lab: Any, study: Any) -> None:
    forged = lab.copy(study)
    forge(forged, lambda tree: tree.update(boundary="\x1b[2J\x1b]0;pwned\x07"))
    shown = lab.llem("study", "verify", forged.root, code=3)
    assert "\x1b" not in shown.out + shown.err
    assert "boundary" in shown.out


def test_a_result_that_nothing_was_recorded_for_is_recomputed_from_the_worker_s_words(lab: Any) -> None:
    _, unmeasured = lab.run(lab.write(measurement=MEASUREMENT), env={"LLEM_ACTING_RECORDER": "none"})
    result = unmeasured.result(unmeasured.trials()[0])
    assert result["samples_file"] is None
    assert "There is no meter." in result["unrecorded"]
    tree = verified(lab, unmeasured)
    assert (tree["recomputed"], tree["findings"]) == (1, [])


@pytest.mark.parametrize(
    "gpu", ["GPU-00000000-sim0-0000-0000-000000000000", "GPU-00000000-sim1-0000-0000-000000000000"]
)
def test_what_a_gpu_gave_with_and_without_a_counter_is_recomputed_bit_by_bit(lab: Any, nvml: Any, gpu: str) -> None:
    model = {"devices": [gpu], "window_s": 0.4, "settle_s": 0.3}
    _, made = lab.run(lab.write(model=model, measurement={**MEASUREMENT, "sensors": ["nvml"]}), env=nvml)
    assert made.result(made.trials()[0])["figures"]["energy_total_j"] > 0
    tree = verified(lab, made)
    assert (tree["recomputed"], tree["findings"]) == (1, [])


def test_of_a_running_study_what_is_completed_is_verified(lab: Any) -> None:
    study_file = lab.write(["ok", "hang"], model=MODEL, measurement=MEASUREMENT)
    session, running = lab.start(study_file, env=METER)
    running.wait_for("experiment_completed")
    running.wait_for("experiment_running", count=2)
    tree = verified(lab, running)
    assert session.process.poll() is None
    assert (tree["completed"], tree["recomputed"], tree["findings"]) == (1, 1, [])


def test_a_study_in_a_read_only_folder_is_verified_and_left_as_it_is(lab: Any, study: Any) -> None:
    archived = lab.copy(study)
    before = {path: path.read_bytes() for path in archived.root.rglob("*") if path.is_file()}
    for path in [*archived.root.rglob("*"), archived.root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert verified(lab, archived)["findings"] == []
        assert {path: path.read_bytes() for path in archived.root.rglob("*") if path.is_file()} == before
    finally:
        archived.root.chmod(0o755)
        for path in archived.root.iterdir():
            path.chmod(0o755)
