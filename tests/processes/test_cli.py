"""The command ``llem`` as people and scripts meet it: words, JSON, exit codes, and never a traceback."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llem.sensors import automatic_sensors


@pytest.fixture(scope="module")
def study(module_lab: Any) -> Any:
    """Return a study that is over: two trials completed, one failed."""
    _, made = module_lab.run(module_lab.write(["ok", "exception", "ok_too"]), code=1)
    return made


def refused(lab: Any, *arguments: object, code: int) -> str:
    """Run a command that must be refused with ``code``; return its words, which hold no traceback."""
    session = lab.llem(*arguments, code=code)
    assert "Traceback" not in session.err + session.out
    words: str = session.out + session.err
    assert words.strip(), "refused without a word"
    return words


def test_version_is_one_line(lab: Any) -> None:
    from llem.version import __version__

    assert lab.llem("--version").out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--help"], ["study", "doctor", "Exit codes"]),
        (["study", "--help"], ["run", "resume", "log", "status", "verify", "recover"]),
        (["study", "run", "--help"], ["STUDY", "--output", "--json", "llem study run examples/quickstart.yaml"]),
        (["study", "resume", "--help"], ["FOLDER", "retry-failed", "--output"]),
        (["study", "log", "--help"], ["--follow", "--trial", "--kind", "--json", "--verify"]),
        (["study", "status", "--help"], ["FOLDER", "--json"]),
        (["study", "verify", "--help"], ["FOLDER", "--json", "Exit code 3"]),
        (["study", "recover", "--help"], ["FOLDER", "--dry-run", "--json", "damaged/", "Exit code 3"]),
        (["doctor", "--help"], ["--json"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and "--help" in value else None,
)
def test_help_names_what_there_is(lab: Any, arguments: list[str], named: list[str]) -> None:
    shown = lab.llem(*arguments).out
    assert [name for name in named if name not in shown] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["study", "log", "{study}"],
        ["study", "status", "{study}"],
        ["study", "verify", "{study}"],
    ],
    ids=" ".join,
)
def test_no_heavy_library_is_loaded_to_read(lab: Any, study: Any, arguments: list[str]) -> None:
    arguments = [argument.format(study=study.root) for argument in arguments]
    session = lab.popen(sys.executable, "-X", "importtime", "-m", "llem", *arguments).ended(0)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in session.err.splitlines()}
    assert "llem" in loaded
    heavy = {"torch", "transformers", "codecarbon", "pynvml", "numpy", "pandas", "sqlite_utils"}
    assert loaded & heavy == set()


def test_a_study_file_that_is_not_there_is_bad_input(lab: Any) -> None:
    words = refused(lab, "study", "run", lab.place / "nothing.yaml", code=2)
    assert "nothing.yaml" in words
    assert "No such file" in words


def test_a_mistyped_key_is_named_with_its_line_and_a_guess(lab: Any) -> None:
    path = lab.place / "typo.yaml"
    path.write_text("name: typo\nmodel:\n  config: llama\nbatchsize: 2\n")
    words = refused(lab, "study", "run", path, code=2)
    assert f"{path}:4" in words
    assert "did you mean 'batch_size'?" in words


def test_a_study_file_that_is_no_yaml_is_bad_input_with_its_place(lab: Any) -> None:
    path = lab.place / "broken.yaml"
    path.write_text("name: broken\nmodel: [\n")
    assert f"{path}:" in refused(lab, "study", "run", path, code=2)


def test_an_unknown_engine_and_a_model_folder_that_is_not_there_are_bad_input(lab: Any) -> None:
    for change, word in (({"engine": "transformer"}, "transformers"), ({"model": "./nothing"}, "no such folder")):
        path = lab.place / "bad.yaml"
        path.write_text(json.dumps({"name": "bad", "model": {"config": "llama"}, **change}))
        assert word in refused(lab, "study", "run", path, "--output", lab.output, code=2)
    assert not lab.output.exists(), "nothing may be made for a study that cannot run"


@pytest.mark.parametrize(
    "command", [["log"], ["log", "--verify"], ["log", "--follow"], ["status"], ["verify"], ["resume"], ["recover"]]
)
def test_a_folder_that_is_no_study_is_bad_input(lab: Any, command: list[str]) -> None:
    assert "is no study" in refused(lab, "study", command[0], lab.place, *command[1:], code=2)
    assert list(lab.place.glob("journal*")) == [], "looking must not make anything"


@pytest.mark.parametrize("command", [["log"], ["log", "--verify"], ["status"], ["verify"], ["resume"], ["recover"]])
def test_a_journal_of_a_newer_llem_asks_for_an_upgrade(lab: Any, study: Any, command: list[str]) -> None:
    newer = lab.copy(study)
    connection = sqlite3.connect(newer.journal)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "upgrade llem" in refused(lab, "study", command[0], newer.root, *command[1:], code=3)


@pytest.mark.parametrize("command", [["log"], ["log", "--verify"], ["status"], ["verify"], ["resume"], ["recover"]])
@pytest.mark.parametrize(
    "content", [b"", b"not a database", b"SQLite format 3\x00" + b"\xff" * 5000], ids=["empty", "text", "torn"]
)
def test_a_journal_that_is_no_journal_is_refused_in_words(
    lab: Any, study: Any, command: list[str], content: bytes
) -> None:
    spoilt = lab.copy(study)
    spoilt.journal.write_bytes(content)
    words = refused(lab, "study", command[0], spoilt.root, *command[1:], code=3)
    assert "Delete the folder" not in words, "there are results in it"


def test_an_output_folder_that_cannot_be_made_is_refused_before_anything_runs(lab: Any) -> None:
    path = lab.place / "file"
    path.write_text("a regular file")
    words = refused(lab, "study", "run", lab.write(), "--output", path / "below", code=3)
    assert "cannot be created" in words
    assert "--output" in words


@pytest.mark.parametrize(
    "arguments",
    [["--nonsense"], ["nonsense"], ["study", "nonsense"], ["study", "log"], ["study", "run", "x", "--nonsense"]],
    ids=" ".join,
)
def test_bad_usage_exits_with_2_and_one_message(lab: Any, arguments: list[str]) -> None:
    refused(lab, *arguments, code=2)


def test_the_log_is_a_table_of_every_event(lab: Any, study: Any) -> None:
    head, *lines = lab.llem("study", "log", study.root).out.splitlines()
    assert head.split()[:2] == ["seq", "time"]
    assert [int(line.split()[0]) for line in lines] == [event["seq"] for event in study.events()]
    assert any("RuntimeError" in line and "experiment_failed" in line for line in lines)


def test_the_log_as_json_is_one_whole_event_a_line(lab: Any, study: Any) -> None:
    lines = [json.loads(line) for line in lab.llem("study", "log", study.root, "--json").out.splitlines()]
    assert lines == study.events()


def test_the_log_of_one_trial_and_of_one_kind(lab: Any, study: Any) -> None:
    trial = study.trial_of("exception")
    lines = lab.llem("study", "log", study.root, "--trial", trial, "--json").out.splitlines()
    assert [json.loads(line) for line in lines] == study.events(trial=trial)
    lines = lab.llem("study", "log", study.root, "--kind", "experiment_failed", "--json").out.splitlines()
    assert [json.loads(line) for line in lines] == study.events("experiment_failed")


def test_the_log_cut_by_head_ends_without_a_word(lab: Any, study: Any) -> None:
    errors = lab.place / "errors"
    command = f"{sys.executable} -m llem study log {study.root} --json 2>{errors} | head -n 1"
    shell = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(shell.stdout)["seq"] == 1
    assert errors.read_text() == ""


def test_the_audit_of_a_sound_study_finds_nothing(lab: Any, study: Any) -> None:
    assert lab.llem("study", "log", study.root, "--verify").out.endswith("nothing found wrong\n")
    tree = json.loads(lab.llem("study", "log", study.root, "--verify", "--json").out)
    assert (tree["events"], tree["results"], tree["findings"]) == (len(study.events()), 2, [])


def test_the_audit_of_an_altered_study_names_the_file_and_exits_with_3(lab: Any, study: Any) -> None:
    altered = lab.copy(study)
    name = study.events("experiment_completed")[0]["data"]["result_file"]
    path = altered.root / "results" / name
    path.write_bytes(path.read_bytes() + b" ")
    assert f"results/{name}: the file was altered" in lab.llem("study", "log", altered.root, "--verify", code=3).out
    tree = json.loads(lab.llem("study", "log", altered.root, "--verify", "--json", code=3).out)
    assert [finding["where"] for finding in tree["findings"]] == [f"results/{name}"]


def test_status_as_json_counts_every_trial(lab: Any, study: Any) -> None:
    tree = json.loads(lab.llem("study", "status", study.root, "--json").out)
    assert (tree["completed"], tree["failed"], tree["pending"], tree["running"]) == (2, 1, 0, 0)
    assert tree["total_experiments"] == 3
    assert tree["status"] == "partial"
    assert tree["session_alive"] is False
    assert len(tree["experiments"]) == 3
    assert tree["journal_hash"] == study.events()[-1]["hash"]


def test_status_in_words_tells_what_failed_and_what_to_type_next(lab: Any, study: Any) -> None:
    shown = lab.llem("study", "status", study.root)
    assert "partial" in shown.out
    assert "2 completed, 1 failed" in shown.out
    assert "RuntimeError: shapes differ" in shown.out
    assert f"llem study resume {study.root}" in shown.err


def test_a_study_in_a_read_only_folder_is_read_all_the_same(lab: Any, study: Any) -> None:
    archived = lab.copy(study)
    (archived.root / "manifest.json").unlink()
    for path in (*archived.root.rglob("*"), archived.root):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        for command in (["status"], ["log"], ["log", "--verify"], ["verify"]):
            assert lab.llem("study", command[0], archived.root, *command[1:]).out
    finally:
        archived.root.chmod(0o755)
        for path in archived.root.rglob("*"):
            path.chmod(0o755)


def test_doctor_tells_what_can_be_measured_and_its_exit_code_agrees(lab: Any) -> None:
    session = lab.llem("doctor", "--json", code=None)
    tree = json.loads(session.out)
    assert session.wait() == (0 if tree["can_measure_energy"] else 3)
    measured = [c for c in tree["sensors"]["channels"] if c["provenance"] in ("counter", "sampled")]
    assert tree["can_measure_energy"] == bool(measured)
    seen = {c["sensor"] for c in tree["sensors"]["channels"]} | {u["sensor"] for u in tree["sensors"]["unavailable"]}
    assert seen == set(automatic_sensors())
    assert all(u["reason"] and u["remedy"] for u in tree["sensors"]["unavailable"])
    assert tree["host"]["cpus"] >= 1
    shown = lab.llem("doctor", code=session.wait())
    assert "Traceback" not in shown.err
    assert all(unavailable["sensor"] in shown.out for unavailable in tree["sensors"]["unavailable"])
    assert lab.survivors() == {}


def test_a_session_as_json_prints_nothing_else_on_stdout(lab: Any) -> None:
    session, made = lab.run(lab.write(["ok", "exception"]), "--json", code=1)
    *lines, closing = [json.loads(line) for line in session.out.splitlines()]
    planned = len(made.events("study_planned", "experiment_planned"))
    assert lines == made.events()[planned:] or lines == made.events()
    assert closing["kind"] == "closing"
    assert (closing["status"], closing["exit_code"]) == ("partial", 1)
    assert Path(closing["folder"]) == made.root
    assert [experiment["n_valid"] for experiment in closing["experiments"]] == [1, 0]
    assert "study folder: " in session.err


def test_the_closing_table_and_the_next_step_stand_at_the_end_of_a_session(lab: Any) -> None:
    session, made = lab.run(lab.write(["ok", "ok_too"], cycles=2))
    assert "behaviour=ok " in session.out
    assert "2/2" in session.out
    assert "null" in session.out
    assert "Energy unknown: no sensor was asked for" in session.out
    assert session.err.splitlines()[-1].startswith("All 4 trials completed.")
    assert session.err.splitlines()[-1].endswith(f"llem study log {made.root} --verify")


def test_folders_with_odd_names_are_quoted_in_the_next_step(lab: Any, study: Any) -> None:
    odd = lab.place / "it's a $HOME `study`"
    shutil.copytree(study.root, odd)
    line = lab.llem("study", "status", odd).err.splitlines()[-1]
    command = line[line.index("llem study log") :].split(". Try them")[0]
    shell = f"set -- {command}; printf '%s' \"$4\""
    parsed = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=True)
    assert parsed.stdout == str(odd)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_few_characters_is_no_reason_to_fail(lab: Any, study: Any, encoding: str) -> None:
    environment = {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0"}
    for command in (["study", "status"], ["study", "log"], ["study", "log", "--json"]):
        shown = lab.llem(*command[:2], study.root, *command[2:], env=environment)
        assert "Traceback" not in shown.err


def test_a_study_goes_on_where_stdout_cannot_say_what_a_worker_says(lab: Any) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    session, made = lab.run(lab.write(["exception", "ok"]), "--json", code=1, env=environment)
    assert made.manifest()["status"] == "partial"
    assert "Traceback" not in session.err


def test_the_command_runs_in_a_folder_full_of_misleading_modules(lab: Any, study: Any) -> None:
    trap = lab.place / "trap"
    trap.mkdir()
    for name in ("rich", "pydantic", "codecarbon", "torch"):
        (trap / f"{name}.py").write_text("raise SystemExit('imported a stray file')")
    llem = shutil.which("llem", path=str(Path(sys.executable).parent))
    if llem is None:
        pytest.skip("the command llem is not installed beside this python")
    shown = lab.popen(llem, "study", "status", str(study.root), cwd=trap).ended(0)
    assert "stray" not in shown.err
