"""Shared by the tests of study files: a second engine, and from files to a plan."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from llem.domain.errors import Problem
from llem.domain.model import Value
from llem.engines import ENGINES
from llem.engines.base import EngineEntry
from llem.study.grammar import Grammar
from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import StudyPlan, plan_study


class VllmOptions(Value):
    """Options of an engine that llem does not have: what is tested is that there are two."""

    quantization: str | None = None
    max_num_seqs: int = 256
    path: str | None = None
    source: str | None = None


def awq_needs_float16(config, base_dir, machine) -> Sequence[Problem]:
    if config.engine_options["quantization"] == "awq" and config.dtype != "float16":
        return [Problem("vllm.quantization", f"awq needs float16; found {config.dtype}")]
    return []


VLLM = EngineEntry(
    trusts=lambda model, options: iter(()),
    options=VllmOptions,
    check=awq_needs_float16,
    environment=lambda config, base_dir, answers: {},
    late_variables=frozenset(),
    preload="nowhere:nothing",
    adapter="nowhere:nothing",
    may_use_gpu=lambda config: True,
)


@pytest.fixture(scope="session")
def two_engines() -> Grammar:
    """Return the grammar of an llem that has a second engine, ``vllm``."""
    return Grammar({**ENGINES, "vllm": VLLM})


@pytest.fixture
def planned_files(tmp_path, two_engines):
    """Return a function from the files of a study to its plan. No process is started for it."""

    def plan(
        files: Mapping[str, str | bytes], settings: Sequence[str] = (), *, two: bool = False, **options
    ) -> StudyPlan:
        write_files(tmp_path, files)
        grammar = {"grammar": two_engines} if two else {}
        study = load_study(tmp_path / "study.yaml", settings, machine=UnknownMachine(), **grammar, **options)
        return plan_study(study)

    return plan


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
