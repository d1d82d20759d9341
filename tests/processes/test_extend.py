"""``resume --study``: what differs from a study file, and the extension that a study may get of it."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from llem.domain.row import COLUMNS, Row, chain_hash
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold

OK_THREE = "first:ok"
"""A third behaviour of a worker that does what it should."""
LOGS_OF_SQLITE = {"journal.db-wal", "journal.db-shm"}


@pytest.fixture(scope="module")
def finished(module_lab: Any) -> Any:
    """Return a sealed study of two experiments in one cycle; tests work on copies."""
    _, study = module_lab.run(module_lab.write(["ok", "ok_too"]))
    return study


@pytest.fixture(scope="module")
def partial(module_lab: Any) -> Any:
    """Return a study with a completed trial and one that failed at its first attempt; tests work on copies."""
    _, study = module_lab.run(module_lab.write(["ok", "first:exception"]), code=1)
    return study


def extend(lab: Any, study: Any, file: Path, *options: str, code: int = 0) -> Any:
    """Resume a study with a file that may extend it; nobody may see a traceback."""
    session = lab.resume(study, f"--study={file}", "--extend", *options, code=code)
    assert "Traceback" not in session.err
    return session


def held(study: Any) -> dict[str, str]:
    """Return the files that hold what was measured, with their hashes."""
    parts = [path for part in ("results", "samples", "logs") for path in (study.root / part).glob("*_c*")]
    return {str(path.relative_to(study.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in parts}


def listing(study: Any) -> set[str]:
    return {str(path.relative_to(study.root)) for path in study.root.rglob("*")}


def places(study: Any) -> list[tuple[str, int]]:
    """Return (behaviour, cycle) of each attempt in the order in which they began."""
    labels = {
        event["data"]["label"]: event["data"]["config"]["model"]["behaviour"]
        for event in study.events("experiment_planned")
    }
    began = [event["trial"].split("_c") for event in study.events("experiment_running")]
    return [(labels[label], int(cycle)) for label, cycle in began]


def sound(study: Any, *, trials: int, kept: dict[str, str], before: list[dict[str, Any]]) -> None:
    """Check an extended study that is over, and what it had before against what it has now."""
    assert study.events()[: len(before)] == before, "what the journal held stays as it was"
    assert held(study).items() >= kept.items(), "what was measured stays as it was"
    assert [event["seq"] for event in study.events()] == list(range(1, len(study.events()) + 1))
    manifest = study.manifest()
    assert (manifest["status"], manifest["total_experiments"], manifest["completed"]) == ("completed", trials, trials)
    assert len(study.completions()) == trials
    assert set(study.completions().values()) == {1}
    assert len(study.result_files()) == trials
    assert study.findings() == []
    assert (manifest["journal_seq"], manifest["journal_hash"]) == (len(study.events()), study.events()[-1]["hash"])


EXTENSIONS: dict[str, tuple[list[str], int, list[tuple[str, int]], int]] = {
    "an experiment": (["ok", "ok_too", OK_THREE], 1, [(OK_THREE, 1)], 1),
    "an experiment before the others": ([OK_THREE, "ok", "ok_too"], 1, [(OK_THREE, 1)], 1),
    "cycles": (["ok", "ok_too"], 3, [("ok", 2), ("ok", 3), ("ok_too", 2), ("ok_too", 3)], 0),
    "both": (["ok", "ok_too", OK_THREE], 2, [("ok", 2), ("ok_too", 2), (OK_THREE, 1), (OK_THREE, 2)], 1),
}


@pytest.mark.parametrize(("behaviours", "cycles", "new", "added"), EXTENSIONS.values(), ids=EXTENSIONS)
def test_a_sealed_study_gets_what_only_the_file_has(
    lab: Any, finished: Any, behaviours: list[str], cycles: int, new: list[tuple[str, int]], added: int
) -> None:
    study = lab.copy(finished)
    before, kept = study.events(), held(study)
    extend(lab, study, lab.write(behaviours, cycles=cycles))
    assert places(study) == [("ok", 1), ("ok_too", 1), *new]
    sound(study, trials=2 + len(new), kept=kept, before=before)

    (extended,) = study.events("study_extended")
    assert extended["seq"] == len(before) + 1, "the extension is recorded before anything else happens"
    assert (extended["data"]["cycles"], extended["data"]["added"]) == (cycles, added)
    assert len(extended["data"]["sequence"]) == len(new)
    assert [event["data"]["index"] for event in study.events("experiment_planned")] == list(range(2 + added))
    assert not study.journal.with_name("journal.db-wal").exists(), "it is sealed again"


def test_an_extension_in_the_manifest_in_status_in_the_log_and_in_an_audit(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    file = lab.write(["ok", "ok_too"], cycles=2, sweep={"generation.output_tokens": [4, 8]})
    session = extend(lab, study, file)
    assert "6 of 8 trials to run" in session.err
    assert session.err.splitlines()[-1].startswith("All 8 trials completed.")
    status = json.loads(lab.llem("study", "status", study.root, "--json").out)
    assert (status["total_experiments"], status["completed"], status["pending"], status["status"]) == (
        8,
        8,
        0,
        "completed",
    )
    summaries = {(entry["trial"][:8], json.dumps(entry["config_summary"])) for entry in status["experiments"]}
    assert {summary for _, summary in summaries} == {
        json.dumps({"model.behaviour": behaviour, "generation.output_tokens": tokens})
        for behaviour in ("ok", "ok_too")
        for tokens in (4, 8)
    }, "what was planned before tells the keys in which it now differs from others"
    assert len(summaries) == 4
    assert status.items() >= study.manifest().items()

    shown = lab.llem("study", "status", study.root).out
    assert "behaviour=ok output_tokens=4" in shown
    assert "behaviour=ok_too output_tokens=8" in shown
    added = next(e["trial"] for e in status["experiments"] if e["cycle"] == 2)
    rows = lab.llem("study", "log", study.root, "--trial", added, "--json").out.splitlines()
    assert json.loads(rows[-1])["kind"] == "experiment_completed"
    log = lab.llem("study", "log", study.root, "--kind", "study_extended").out.splitlines()
    assert len(log) == 2
    assert "2 experiments added" in log[1]
    verified = lab.llem("study", "log", study.root, "--verify").out
    assert "8 results as recorded" in verified
    assert verified.endswith("nothing found wrong\n")


def test_one_experiment_alone_tells_its_dimension_once_a_second_one_joins(lab: Any) -> None:
    _, study = lab.run(lab.write(["ok"]))
    assert study.manifest()["experiments"][0]["config_summary"] == {
        "model": "llama-random",
        "engine": "transformers",
        "dtype": "auto",
    }
    extend(lab, study, lab.write(["ok", "ok_too"]))
    assert [entry["config_summary"] for entry in study.manifest()["experiments"]] == [
        {"model.behaviour": "ok"},
        {"model.behaviour": "ok_too"},
    ]


def test_a_study_is_extended_twice_and_keeps_each_file(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    before, kept = study.events(), held(study)
    first, second = lab.write(["ok", "ok_too"], cycles=2), lab.write(["ok", "ok_too", OK_THREE], cycles=3)
    extend(lab, study, first)
    session = extend(lab, study, second, "--json")
    closing = json.loads(session.out.splitlines()[-1])
    assert [(one["cycles"], one["n_valid"]) for one in closing["experiments"]] == [(3, 3)] * 3
    assert (study.root / "study_1.yaml").read_bytes() == first.read_bytes()
    assert (study.root / "study_2.yaml").read_bytes() == second.read_bytes()
    assert (study.root / "study.yaml").read_bytes() == (finished.root / "study.yaml").read_bytes()
    assert [event["data"]["cycles"] for event in study.events("study_extended")] == [2, 3]
    sound(study, trials=9, kept=kept, before=before)

    told = study.events()
    extend(lab, study, second)
    assert study.events() == told, "the same file once more: nothing differs, nothing is left to do"
    assert not (study.root / "study_3.yaml").exists()


def test_the_same_study_in_other_words_differs_in_nothing_and_goes_on(lab: Any) -> None:
    session, study = lab.start(lab.write(["ok", "first:hang"]))
    study.wait_for("phase_entered", phase="measure", count=2)
    session.signal(signal.SIGINT)
    session.ended(130)
    file = lab.place / "again.yaml"
    tree = json.loads((study.root / "study.yaml").read_text())
    file.write_text("# The same.\n" + "".join(f"{key}: {json.dumps(tree[key])}\n" for key in reversed(tree)))
    lab.resume(study, f"--study={file}")
    assert study.events("study_extended") == []
    assert not (study.root / "study_1.yaml").exists()
    assert study.manifest()["status"] == "completed"


def test_an_interrupted_study_is_extended_and_runs_what_it_lacked_first(lab: Any) -> None:
    session, study = lab.start(lab.write(["ok", "first:hang"]))
    study.wait_for("phase_entered", phase="measure", count=2)
    session.signal(signal.SIGTERM)
    session.ended(143)
    before = study.events()
    kept = {name: sha256 for name, sha256 in held(study).items() if name.startswith("results/")}
    extend(lab, study, lab.write(["ok", "first:hang", "ok_too"]))
    assert places(study) == [("ok", 1), ("first:hang", 1), ("first:hang", 1), ("ok_too", 1)]
    sound(study, trials=3, kept=kept, before=before)


@pytest.mark.parametrize(("options", "failed"), [([], 0), (["--no-retry-failed"], 1)], ids=["retried", "left alone"])
def test_failed_trials_of_an_extended_study_are_retried_unless_asked_otherwise(
    lab: Any, partial: Any, options: list[str], failed: int
) -> None:
    study = lab.copy(partial)
    extend(lab, study, lab.write(["ok", "first:exception", "ok_too"]), *options, code=1 if failed else 0)
    manifest = study.manifest()
    assert (manifest["completed"], manifest["failed"]) == (3 - failed, failed)
    assert study.completions()[study.trial_of("ok_too")] == 1
    assert study.completions()[study.trial_of("ok")] == 1
    assert study.findings() == []


def test_limits_may_change_and_hold_from_then_on(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    file = lab.write(["ok", "ok_too", "hang"], limits={"trial_s": 1.0})
    extend(lab, study, file, code=1)
    assert study.events("study_extended")[0]["data"]["limits"]["trial_s"] == 1.0
    (failed,) = study.events("experiment_failed")
    assert failed["trial"] == study.trial_of("hang")
    assert "limits.trial_s (1 s)" in failed["data"]["error_message"]
    assert study.findings() == []


def test_limits_alone_may_change_and_what_is_finished_stays_finished(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    (study.root / "study.yaml").unlink()  # the journal is all that an extension needs beside its file
    before, kept = study.events(), held(study)
    extend(lab, study, lab.write(["ok", "ok_too"], limits={"trial_s": 60}))
    assert (study.root / "study_1.yaml").is_file()
    assert places(study) == [("ok", 1), ("ok_too", 1)]
    sound(study, trials=2, kept=kept, before=before)


def carbon(intensity: float) -> dict[str, Any]:
    return {"intensity_g_per_kwh": intensity, "source": "the bill", "pue": 1.1}


def test_a_file_with_another_carbon_is_told_and_changes_nothing(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    before = study.events()
    session = lab.resume(study, f"--study={lab.write(['ok', 'ok_too'], carbon=carbon(40))}")
    assert "warning: the file declares another carbon (~ carbon.intensity_g_per_kwh: null → 40; " in session.err
    assert study.events() == before


def test_carbon_can_be_declared_later_and_nothing_is_measured_again(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    before, kept = study.events(), held(study)
    for intensity in (40.0, 50.0):
        extend(lab, study, lab.write(["ok", "ok_too"], carbon=carbon(intensity)))
        found = json.loads((study.root / "results.json").read_text())
        assert found["carbon"]["intensity_g_per_kwh"] == intensity
        assert found["study_design_hash"] == study.events("study_planned")[0]["data"]["study_design_hash"]
    assert places(study) == [("ok", 1), ("ok_too", 1)]
    sound(study, trials=2, kept=kept, before=before)


REFUSED: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "fewer cycles": ({"cycles": 1}, ["~ cycles: 2 → 1"], ["cycles can grow, not shrink"]),
    "another plan": (
        {"name": "other", "order": "interleave", "seed": 6, "gaps": {"between_trials": 1}},
        [
            "~ name: acted → other",
            "~ order: sequential → interleave",
            "~ seed: 5 → 6",
            "~ gaps.between_trials: 0 → 1",
        ],
        ["name cannot change", "order cannot change", "seed cannot change", "gaps.between_trials cannot change"],
    ),
    "changed experiments": (
        {"generation": {"output_tokens": 5}},
        [
            "~ {ok} behaviour=ok: generation.output_tokens: 4 → 5",
            "~ {ok_too} behaviour=ok_too: generation.output_tokens: 4 → 5",
        ],
        ["2 planned experiments would not be the same"],
    ),
    "a removed experiment": (
        {"sweep": {"model.behaviour": ["ok_too"]}},
        ["- {ok} behaviour=ok"],
        ["would be taken away"],
    ),
    "everything at once": (
        {"cycles": 1, "order": "shuffle", "sweep": {"model.behaviour": ["ok"], "dtype": ["auto", "float32"]}},
        [
            "~ cycles: 2 → 1",
            "~ order: sequential → shuffle",
            "~ {ok_too} behaviour=ok_too: dtype: auto → float32; model.behaviour: ok_too → ok",
        ],
        ["order cannot change", "cycles can grow, not shrink", "would not be the same"],
    ),
}


@pytest.fixture(scope="module")
def seeded(module_lab: Any) -> Any:
    """Return a sealed study of two experiments in two cycles, with a seed of its own."""
    _, study = module_lab.run(module_lab.write(["ok", "ok_too"], cycles=2, seed=5))
    return study


def test_an_extension_that_was_not_asked_for_is_shown_and_refused(lab: Any, seeded: Any) -> None:
    file = lab.write(["ok", "ok_too", OK_THREE], cycles=3, seed=5, limits={"trial_s": 5})
    words = refusal(lab, seeded, file)
    assert words[:3] == [
        f"error: The study in {seeded.root} is not what this file says:",
        "  ~ cycles: 2 → 3",
        "  ~ limits.trial_s: 3600 → 5",
    ]
    assert re.fullmatch(r"  \+ [0-9a-f]{8} behaviour=first:ok", words[3])
    assert words[4:] == ["Add --extend to add this to the study, or resume without --study to go on as planned."]


@pytest.mark.parametrize(("changes", "differences", "reasons"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_extension_is_refused_with_its_reasons_and_changes_nothing(
    lab: Any, seeded: Any, changes: dict[str, Any], differences: list[str], reasons: list[str]
) -> None:
    file = lab.write(["ok", "ok_too"], cycles=2, seed=5)
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    labels = {
        event["data"]["config"]["model"]["behaviour"]: event["data"]["label"]
        for event in seeded.events("experiment_planned")
    }
    words = refusal(lab, seeded, file, "--extend")
    assert words[:-1] == [
        f"error: The study in {seeded.root} cannot be extended by this file:",
        *(f"  {line.format(**labels)}" for line in differences),
    ]
    assert words[-1].startswith("That is no extension: ")
    assert [reason for reason in reasons if reason not in words[-1]] == []
    assert words[-1].endswith("Resume without --study to go on as planned, or start a new study: llem study run")


def refusal(lab: Any, study: Any, file: Path, *options: str) -> list[str]:
    """Return the lines with which the real command line refuses a file; nothing of the study has changed."""
    before, names, kept = stored(study.journal), listing(study), held(study)
    session = lab.llem("study", "resume", study.root, "--study", file, *options, code=2)
    assert session.out == ""
    assert "Traceback" not in session.err
    assert stored(study.journal) == before
    assert listing(study) - LOGS_OF_SQLITE == names - LOGS_OF_SQLITE
    assert held(study) == kept
    lines: list[str] = session.err.splitlines()
    return lines


def stored(journal: Path) -> list[tuple[Any, ...]]:
    """Return the events as the database has them."""
    connection = sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT * FROM events ORDER BY seq").fetchall()
    finally:
        connection.close()


def test_a_sealed_study_stays_sealed_where_a_file_is_refused(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    refusal(lab, study, lab.write(["ok"]))
    assert listing(study) & LOGS_OF_SQLITE == set()
    connection = sqlite3.connect(study.journal)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",), "one file is the whole journal"
    finally:
        connection.close()


BAD_FILES = {
    "missing": (None, "No such file"),
    "a mistake in it": ("name: acted\nmodel: {config: llama}\nbatchsize: 1\n", "did you mean 'batch_size'?"),
}


@pytest.mark.parametrize(("text", "word"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_study_file_that_cannot_be_used_is_refused_before_anything_is_recorded(
    lab: Any, finished: Any, text: str | None, word: str
) -> None:
    file = lab.place / "broken.yaml"
    if text is not None:
        file.write_text(text)
    assert word in "\n".join(refusal(lab, lab.copy(finished), file, "--extend"))


@pytest.mark.parametrize("options", [["--extend"], ["--cycles", "2", "--set", "dtype=float32"]], ids=" ".join)
def test_what_changes_a_study_file_needs_one(lab: Any, finished: Any, options: list[str]) -> None:
    before = finished.events()
    refused = lab.llem("study", "resume", finished.root, *options, code=2)
    assert "--study FILE" in refused.err
    assert "Traceback" not in refused.err
    assert finished.events() == before


def test_what_the_command_line_sets_belongs_to_the_file(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    file = lab.write(["ok", "ok_too"])
    words = refusal(lab, study, file, "--cycles", "2", "--set", "batch_size=1")
    assert words[1:-1] == ["  ~ cycles: 1 → 2"]
    extend(lab, study, file, "--set=cycles=2")
    assert study.manifest()["completed"] == 4


def test_grid_points_of_the_file_that_cannot_run_are_told_with_their_reason(lab: Any, finished: Any) -> None:
    file = lab.write(["ok", "ok_too"], sweep={"batch_size": [1, 99]})
    session = lab.llem("study", "resume", finished.root, "--study", file, "--extend")
    assert "batch_size (99) is more than prompts.count (1)" in session.err


def test_prompts_beside_a_file_in_another_folder_are_found_from_where_it_lies(lab: Any) -> None:
    here, there = lab.place / "here", lab.place / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "prompts.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    prompts = {"source": "jsonl", "path": "prompts.jsonl"}
    first = shutil.move(lab.write(["ok"], prompts={**prompts, "count": 1}), here / "study.yaml")
    _, study = lab.run(Path(first))
    (there / "more.jsonl").write_text('{"text": "three"}\n')
    tree = json.loads((here / "study.yaml").read_text())
    tree["prompts"] = {**prompts, "count": 1}
    tree["sweep"]["prompts.path"] = ["prompts.jsonl", "more.jsonl"]
    (there / "study.yaml").write_text(json.dumps(tree))
    extend(lab, study, there / "study.yaml")
    planned = [event["data"]["config"]["prompts"] for event in study.events("experiment_planned")]
    base = Path(study.events("study_planned")[0]["data"]["base_dir"])
    assert base == here
    assert [(base / prompts["path"]).resolve() for prompts in planned] == [
        here / "prompts.jsonl",
        there / "more.jsonl",
    ]
    assert [hashlib.sha256((base / p["path"]).read_bytes()).hexdigest() for p in planned] == [
        p["sha256"] for p in planned
    ]
    assert study.manifest()["completed"] == 2


def test_base_files_of_an_extension_are_kept_beside_it(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    (lab.place / "common.yaml").write_text((finished.root / "study.yaml").read_text())
    file = lab.place / "extension.yaml"
    file.write_text("base: common.yaml\ncycles: 2\n")
    extend(lab, study, file)
    assert (study.root / "study_1.yaml").read_text() == "base: common.yaml\ncycles: 2\n"
    assert (study.root / "base_1_1.yaml").read_bytes() == (finished.root / "study.yaml").read_bytes()
    assert study.manifest()["completed"] == 4


def test_a_seed_that_was_derived_does_not_stand_against_an_extension(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    tree = json.loads(lab.write(["ok", "ok_too", OK_THREE]).read_text())
    file = lab.place / "seed.yaml"
    file.write_text(json.dumps({**tree, "seed": None}))
    extend(lab, study, file)
    assert study.manifest()["completed"] == 3


def test_a_study_that_another_session_runs_is_not_extended(lab: Any) -> None:
    session, study = lab.start(lab.write(["ok", "first:hang"]))
    study.wait_for("phase_entered", phase="measure", count=2)
    before = study.events()
    file = lab.write(["ok", "first:hang"], cycles=2)
    refused = lab.llem("study", "resume", study.root, "--study", file, "--extend", code=3)
    assert "is being run by another session" in refused.err
    assert "Traceback" not in refused.err
    assert study.events() == before
    assert not (study.root / "study_1.yaml").exists(), "no file of an extension that is none"
    assert session.process.poll() is None


def shorten(journal: Path, *, keep: int) -> None:
    """Cut a journal down to its first ``keep`` events, as a restored older copy would be."""
    connection = sqlite3.connect(journal, isolation_level=None)
    connection.execute("DROP TRIGGER events_never_go")
    connection.execute("DELETE FROM events WHERE seq > ?", (keep,))
    connection.execute(
        "CREATE TRIGGER events_never_go BEFORE DELETE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are facts: they are never deleted'); END"
    )
    connection.close()


def test_a_journal_whose_tail_is_lost_is_not_extended(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    shorten(study.journal, keep=len(study.events()) - 3)
    before, names = study.events(), listing(study)
    refused = extend(lab, study, lab.write(["ok", "ok_too"], cycles=2), code=3)
    assert "its tail is lost" in refused.err
    assert study.events() == before, "a journal that is refused is not written to"
    assert listing(study) - LOGS_OF_SQLITE == names


def test_a_journal_with_events_of_a_newer_llem_is_not_extended(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    head = study.events()[-1]
    stored = (
        head["seq"] + 1,
        head["recorded_at"],
        1,
        "experiment_dreamt",
        1,
        None,
        None,
        "{}",
        head["hash"],
    )
    connection = sqlite3.connect(study.journal, isolation_level=None)
    connection.execute(
        f"INSERT INTO events ({COLUMNS}) VALUES ({', '.join('?' * 10)})", (*stored, chain_hash(*stored))
    )
    connection.close()
    before, names = study.events(), listing(study)
    refused = extend(lab, study, lab.write(["ok", "ok_too"], cycles=2), code=3)
    assert "experiment_dreamt" in refused.err
    assert study.events() == before, "a journal that is refused is not written to"
    assert listing(study) - LOGS_OF_SQLITE == names


def test_a_study_that_never_ran_is_extended_too(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    shorten(study.journal, keep=3)
    (study.root / "manifest.json").unlink()
    for path in (study.root / "results").iterdir():
        path.unlink()
    assert study.kinds() == ["study_planned", "experiment_planned", "experiment_planned"]
    extend(lab, study, lab.write(["ok", "ok_too"], cycles=2))
    assert places(study) == [("ok", 1), ("ok_too", 1), ("ok", 2), ("ok_too", 2)]
    assert study.manifest()["status"] == "completed"
    assert study.findings() == []


def kill(session: Any) -> None:
    """Kill the parent, and wait until nothing that it started lives."""
    session.signal(signal.SIGKILL)
    session.wait()
    deadline = time.monotonic() + 1.0
    while session.others() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert session.others() == {}, "outlived its parent by a second"


def test_a_kill_right_after_the_extension_loses_and_doubles_nothing(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    before, kept = study.events(), held(study)
    file = lab.write(["ok", "ok_too", OK_THREE], cycles=2)
    session = lab.begin_resume(study, f"--study={file}", "--extend")
    study.wait_for("study_extended")
    kill(session)
    status = json.loads(lab.llem("study", "status", study.root, "--json").out)
    assert (status["total_experiments"], status["status"]) == (6, "interrupted")
    assert status["completed"] >= 2
    lab.resume(study)
    assert len(study.events("study_extended")) == 1
    sound(study, trials=6, kept=kept, before=before)


@pytest.mark.parametrize("seed", range(2))
def test_a_study_killed_again_and_again_while_it_is_extended_completes_with_every_trial_once(
    lab: Any, seed: int
) -> None:
    draw = random.Random(seed)
    slow = {"window_s": 0.1}
    _, study = lab.run(lab.write(["ok", "ok_too"], model=slow, order="blocks"))
    before, kept = study.events(), held(study)
    file = lab.write(["ok", "ok_too", OK_THREE], model=slow, cycles=3, order="blocks")
    for _ in range(2):
        session = lab.begin_resume(study, f"--study={file}", "--extend")
        time.sleep(draw.uniform(0.3, 1.0))
        if session.process.poll() is None:
            kill(session)
    lab.resume(study, f"--study={file}", "--extend")
    (extended,) = study.events("study_extended")
    assert sorted(extended["data"]["sequence"]) == [0, 0, 1, 1, 2, 2, 2]
    assert (study.root / "study_1.yaml").read_bytes() == file.read_bytes()
    sound(study, trials=9, kept=kept, before=before)
    assert lab.survivors() == {}


def test_every_prefix_of_an_extended_journal_folds_into_a_plan_and_a_manifest_that_add_up(
    lab: Any, finished: Any
) -> None:
    study = lab.copy(finished)
    extend(lab, study, lab.write(["ok", "ok_too"], cycles=2, sweep={"generation.output_tokens": [4, 8]}))
    with open_reader(study.journal) as reader:
        every: list[Row] = list(reader.rows())
    live = ManifestFold()
    for number, row in enumerate(every, start=1):
        live.apply(row)
        rebuilt = ManifestFold().apply_all(every[:number])
        assert rebuilt == live
        manifest = rebuilt.manifest()
        assert manifest is not None
        plan = PlanFold().apply_all(every[:number])
        assert plan.study is not None
        assert manifest.total_experiments == len(manifest.experiments) == len(plan.experiments) * plan.study.cycles
        assert [e.config_summary for e in manifest.experiments] == [
            plan.experiments[state.index].config_summary for state in rebuilt.in_order()
        ]
        assert manifest.study_design_hash == plan.study.study_design_hash
    assert json.loads(live.manifest().model_dump_json()) == study.manifest()  # type: ignore[union-attr]


def test_a_study_folder_that_takes_no_file_is_not_extended(lab: Any, finished: Any) -> None:
    study = lab.copy(finished)
    (study.root / "study_1.yaml").mkdir()
    before = study.events()
    refused = extend(lab, study, lab.write(["ok", "ok_too"], cycles=2), code=3)
    assert "study_1.yaml cannot be written" in refused.err
    assert study.events() == before
    assert os.listdir(study.root / "study_1.yaml") == []
