"""``llem init`` and ``llem schema`` as a person types them."""

import json
import subprocess
import sys

import pytest
import yaml

from llem.cli import main
from llem.engines import ENGINES
from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import plan_study
from llem.study.schema import study_schema

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


@pytest.fixture
def llem(tmp_path, monkeypatch, capsys):
    """Return a function from what is typed to (exit code, stdout, stderr); it runs in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def typed(*arguments):
        monkeypatch.setattr(sys, "argv", ["llem", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return typed


def planned(path):
    return plan_study(load_study(path, machine=UnknownMachine()))


def test_it_writes_a_study_that_plans_and_says_what_to_type_next(llem, tmp_path):
    code, out, err = llem("init")
    assert (code, out) == (0, "")
    assert err == "study.yaml is written. Next: llem study plan study.yaml\n"
    plan = planned(tmp_path / "study.yaml")
    assert (len(plan.experiments), plan.trials, plan.study.profile) == (4, 12, "quick")
    assert plan.warnings == []
    assert [skipped.reason for skipped in plan.study.skipped] == []


def test_the_command_that_it_names_ends_well(llem):
    llem("init")
    code, out, _ = llem("study", "plan", "study.yaml")
    assert code == 0
    assert "12  (4 × 3 cycles)" in out


def test_its_first_lines_name_the_schema_and_how_to_make_it(llem, tmp_path):
    llem("init")
    first, second, *_ = (tmp_path / "study.yaml").read_text().splitlines()
    assert first == "# yaml-language-server: $schema=study.schema.json"
    assert "llem schema > study.schema.json" in second


def test_every_part_has_a_comment_and_no_line_is_long(llem, tmp_path):
    llem("init")
    lines = (tmp_path / "study.yaml").read_text().splitlines()
    assert max(map(len, lines)) <= 120
    assert sum("#" in line for line in lines) >= 15


def test_a_file_that_is_there_stays_as_it_is(llem, tmp_path):
    (tmp_path / "study.yaml").write_text("mine")
    code, out, err = llem("init")
    assert (code, out) == (2, "")
    assert err == "error: study.yaml exists already. Give another name, or --force to overwrite it.\n"
    assert (tmp_path / "study.yaml").read_text() == "mine"


def test_force_overwrites_it(llem, tmp_path):
    (tmp_path / "study.yaml").write_text("mine")
    assert llem("init", "--force")[0] == 0
    assert planned(tmp_path / "study.yaml").trials == 12


def test_a_dash_is_stdout_and_writes_nothing(llem, tmp_path):
    code, out, err = llem("init", "-")
    assert (code, err) == (0, "")
    assert yaml.safe_load(out)["name"] == "study"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", ["gpt2", "org/model", "true", "1", "a: b # c", "it's {odd}", "${MODEL:gpt2}", "ü"])
def test_a_model_is_written_as_given(llem, tmp_path, model):
    assert llem("init", "--model", model)[0] == 0
    assert yaml.safe_load((tmp_path / "study.yaml").read_text())["model"] == model


def test_a_model_folder_is_seen_from_the_file(llem, tmp_path):
    folder = tmp_path / "studies" / "my-model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert llem("init", "studies/mine.yaml", "--model", "./my-model")[0] == 0
    plan = planned(tmp_path / "studies" / "mine.yaml")
    assert plan.study.study_name == "mine"
    assert (len(plan.experiments), plan.experiments[0].config.model) == (4, "./my-model")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my study.yaml", "my-study"),
        ("..yaml", "study"),
        ("ü.yaml", "study"),
        ("2026.yaml", "2026"),
        ("on.yml", "on"),
    ],
)
def test_the_file_names_the_study(llem, tmp_path, file, name):
    assert llem("init", file)[0] == 0
    assert planned(tmp_path / file).study.study_name == name


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_has_a_study_to_start_from(llem, tmp_path, engine):
    assert llem("init", "--engine", engine)[0] == 0
    assert planned(tmp_path / "study.yaml").experiments[0].config.engine == engine


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "vlm"], f"There is no engine 'vlm'. Choose one of {', '.join(ENGINES)}."),
        (["--forse"], "There is no option --forse. See `llem init --help`."),
        (["nowhere/a.yaml"], "nowhere/a.yaml cannot be written: No such file or directory."),
        ([".", "--force"], ". cannot be written: Is a directory."),
        (["--model", "\udcff"], "The model's name is not UTF-8."),
    ],
)
def test_what_cannot_be_written_is_bad_input_and_leaves_nothing(llem, tmp_path, arguments, words):
    code, out, err = llem("init", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {words}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_schema_is_printed_and_nothing_else(llem):
    code, out, err = llem("schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == study_schema()


@pytest.mark.parametrize("command", ["init", "schema"])
def test_help_shows_what_to_type(llem, command):
    code, out, _ = llem(command, "--help")
    assert code == 0
    assert f"llem {command}" in out
    assert "Examples" in out


@pytest.mark.parametrize("arguments", [["init", "-"], ["schema"]], ids=" ".join)
def test_no_heavy_library_is_loaded(arguments):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "llem", *arguments], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert {"llem", "pydantic"} <= loaded
    assert loaded & {"torch", "transformers", "codecarbon", "pynvml", "numpy", "pandas", "sqlite_utils"} == set()
