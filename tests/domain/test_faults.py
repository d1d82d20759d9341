import ast
from pathlib import Path

import pytest

import llem
from llem.domain.deadlines import ERROR_TYPES
from llem.domain.faults import CAUSES, cause_of

DOCS = Path(__file__).parents[2] / "docs"
NO_FAULTS = {"StudyDeadline"}


def told_types():
    """Return every error type that the source gives to a fault, an engine's error or a worker's message."""
    found = set(ERROR_TYPES.values())
    for path in Path(llem.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                named = [keyword.value for keyword in node.keywords if keyword.arg == "error_type"]
                first = node.args[:1] if node.func.id in ("Fault", "EngineError", "ErrorMessage") else []
                found.update(texts([*named, *first]))
            elif isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "error_type" for t in node.targets):
                found.update(texts([node.value]))
    return found - NO_FAULTS


def texts(nodes):
    for node in nodes:
        inner = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
        yield from (one.value for one in inner if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_every_error_type_that_can_come_has_its_cause_and_no_other():
    told = told_types()
    assert told >= {"OutOfMemory", "WorkerKilled", "WorkerExitedWithoutResult", "SilenceTimeout", "PromptsChanged"}
    assert told == set(CAUSES)


def test_every_error_type_stands_in_the_docs():
    workers, faults = ((DOCS / name).read_text() for name in ("design/workers.md", "faults.md"))
    assert [name for name in CAUSES if f"`{name}`" not in workers] == []
    assert [name for name, cause in CAUSES.items() if cause == "environment" and f"`{name}`" not in faults] == []


@pytest.mark.parametrize(
    ("error_type", "message", "cause"),
    [
        ("WorkerKilled", "the worker was killed by SIGSEGV", "environment"),
        ("OutOfMemory", "CUDA out of memory. Tried to allocate 2 GiB", "configuration"),
        ("OutOfMemory", "CUDA out of memory; Xid 31 stood in the log", "configuration"),
        ("RuntimeError", "shapes differ", "configuration"),
        ("RuntimeError", "CUDA error: device-side assert triggered", "configuration"),
        ("RuntimeError", "CUDA error: unspecified launch failure", "environment"),
        ("AcceleratorError", "CUDA error: uncorrectable ECC error encountered", "environment"),
        ("RuntimeError", "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.", "environment"),
        ("RuntimeError", "CUDA error: all CUDA-capable devices are busy or unavailable", "environment"),
        ("ModelNotLoaded", "llama cannot be loaded: [Errno 5] Input/output error", "environment"),
        ("OSError", "[Errno 28] No space left on device: '/cache/model.safetensors'", "environment"),
        ("OSError", "[Errno 122] Disk quota exceeded", "environment"),
        ("ValueError", "maxids is not an option", "configuration"),
    ],
)
def test_what_smells_of_hardware_is_the_environment_whatever_exception_told_it(error_type, message, cause):
    assert cause_of(error_type, message) == cause
