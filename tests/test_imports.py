"""What a process loads, seen in a process of its own."""

import ast
import gzip
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import llem

HEAVY = {"torch", "transformers", "pynvml", "codecarbon", "zeus", "pandas", "numpy"}
WORK = {"pydantic", "pydantic_core", "yaml", "sqlite3", "sqlite_utils", "asyncio", "email", "tempfile"}
SLOW_STANDARD_LIBRARY = {"asyncio", "difflib", "email", "gzip", "shutil", "subprocess", "tempfile"}
# Modules that only a worker or the recorder imports, by the name under which they are started.
NOT_THE_PARENTS = ("llem.engines.transformers_", "llem.worker.__main__", "llem.recorder.__main__", "llem.__main__")


def loaded_by(code):
    """Return the top-level names of the modules that a fresh process loads for ``code``."""
    script = (
        f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted({{n.partition('.')[0] for n in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def parents_modules():
    names = [module.name for module in pkgutil.walk_packages(llem.__path__, "llem.", onerror=lambda name: None)]
    return [name for name in names if not name.startswith(NOT_THE_PARENTS)]


def test_the_modules_of_the_parent_are_found():
    found = parents_modules()
    assert {"llem.study.run", "llem.study.session", "llem.cli.run", "llem.cli.log", "llem.sensors.nvml"} <= set(found)


def test_importing_llem_loads_nothing_heavy_and_not_even_pydantic():
    assert not (HEAVY | {"pydantic"}) & loaded_by("import llem")


def test_importing_the_command_line_loads_nothing_heavy_and_not_even_pydantic():
    assert not (HEAVY | {"pydantic"}) & loaded_by("import llem.cli")


def test_reading_rows_takes_the_standard_library_alone():
    assert loaded_by("import llem.journal.reader") - loaded_by("pass") - sys.stdlib_module_names == {"llem"}


def loaded_by_typing(*arguments):
    return loaded_by(f"from llem.cli import app\ntry:\n    app({list(arguments)!r})\nexcept SystemExit:\n    pass")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["nonsense"],
        ["study", "--help"],
        ["study", "run", "--help"],
        ["study", "log", "--help"],
        ["study", "nonsense"],
        ["study", "run", "--nonsense"],
    ],
    ids=" ".join,
)
def test_what_only_explains_loads_the_parser_and_no_work(arguments):
    loaded = loaded_by_typing(*arguments)
    assert "cyclopts" in loaded
    assert not (HEAVY | WORK) & loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a study of an older form, with its journal."""
    folder = tmp_path_factory.mktemp("study")
    kept = Path(__file__).parent / "journals" / "form1" / "journal.db.gz"
    (folder / "journal.db").write_bytes(gzip.decompress(kept.read_bytes()))
    return folder


@pytest.mark.parametrize(
    "options",
    [[], ["--json"], ["--follow"], ["--trial", "1060d628_c2"], ["--kind", "phase_entered"]],
    ids=" ".join,
)
def test_a_log_loads_the_parser_and_a_little_of_the_standard_library(folder, options):
    loaded = loaded_by_typing("study", "log", str(folder), *options)
    assert loaded - loaded_by("import cyclopts") - sys.stdlib_module_names == {"llem"}
    assert "sqlite3" in loaded
    assert not SLOW_STANDARD_LIBRARY & loaded


def test_the_parents_process_loads_nothing_heavy():
    code = "\n".join(f"import {name}" for name in parents_modules() if not name.startswith("llem.migrations"))
    loaded = loaded_by(code)
    assert {"pydantic", "yaml"} <= loaded
    assert not HEAVY & loaded


@pytest.mark.parametrize("name", parents_modules())
def test_every_module_imports_on_its_own(name):
    importlib.import_module(name)


def test_sqlite_utils_is_loaded_to_create_a_journal_alone_and_brings_nothing_heavy(tmp_path):
    create = (
        f"from pathlib import Path\nfrom llem.journal.journal import Journal\nJournal(Path({str(tmp_path / 'j')!r}))"
    )
    created = loaded_by(create)
    assert "sqlite_utils" in created
    assert not HEAVY & created
    assert not (HEAVY | {"sqlite_utils"}) & loaded_by(create)


def test_nothing_that_could_run_code_passes_between_processes_or_lies_in_a_file():
    """What is unpickled can do anything; messages, journals and results are JSON, studies are safe YAML."""
    running_code = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "multiprocessing", "code"}
    calls = {"eval", "exec", "compile", "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
    found = []
    for path in Path(llem.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = set()
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names} & running_code
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").partition(".")[0]} & running_code
            elif isinstance(node, ast.Call):
                names = {ast.unparse(node.func)} & calls
            found += [f"{path.name}:{node.lineno}: {name}" for name in names]
    assert found == []
