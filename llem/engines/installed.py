"""What is installed here, looked for without importing any of it: importing torch takes seconds."""

import ast
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

Accelerator = Literal["cuda", "hip", "xpu", "none"]


@lru_cache(maxsize=256)
def installed(module: str) -> bool:
    """Return whether ``module`` (``package`` or ``package.part``) can be imported here, as far as its files say."""
    package, _, part = module.partition(".")
    spec = find_spec(package)
    if spec is None or not part:
        return spec is not None
    # find_spec("package.part") would import the package.
    return PathFinder.find_spec(module, spec.submodule_search_locations) is not None


@lru_cache(maxsize=1)
def torch_accelerator() -> Accelerator | None:
    """Return what the installed torch was built for; None where it does not say.

    Every build writes into ``torch/version.py`` the version of CUDA (``cuda``), ROCm (``hip``) or oneAPI (``xpu``)
    that it was built with, or None.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        module = ast.parse(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    built_with = {
        statement.target.id: statement.value.value
        for statement in module.body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(statement.value, ast.Constant)
    }
    kinds: tuple[Accelerator, ...] = ("cuda", "hip", "xpu")
    return next((kind for kind in kinds if built_with.get(kind)), "none") if "cuda" in built_with else None
