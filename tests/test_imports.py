"""What a process loads, seen in a process of its own."""

import importlib
import json
import pkgutil
import subprocess
import sys

import pytest

import llem

HEAVY = {"torch", "transformers", "pynvml", "codecarbon", "zeus", "pandas", "numpy"}
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


def test_help_loads_nothing_heavy_and_not_even_pydantic():
    code = "from llem.cli import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass"
    loaded = loaded_by(code)
    assert "cyclopts" in loaded
    assert not (HEAVY | {"pydantic", "sqlite_utils"}) & loaded


def test_the_parents_process_loads_nothing_heavy():
    code = "\n".join(f"import {name}" for name in parents_modules() if not name.startswith("llem.migrations"))
    loaded = loaded_by(code)
    assert {"pydantic", "yaml"} <= loaded
    assert not HEAVY & loaded


@pytest.mark.parametrize("name", parents_modules())
def test_every_module_imports_on_its_own(name):
    importlib.import_module(name)


def test_reading_and_appending_events_never_loads_sqlite_utils(tmp_path):
    create = (
        f"from pathlib import Path\nfrom llem.journal.journal import Journal\nJournal(Path({str(tmp_path / 'j')!r}))"
    )
    assert "sqlite_utils" in loaded_by(create)
    assert not (HEAVY | {"sqlite_utils"}) & loaded_by(create)
