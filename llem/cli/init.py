"""``llem init``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem.cli.words import printable
from llem.domain.errors import InputError
from llem.domain.spec import ExperimentConfig
from llem.engines import ENGINES
from llem.study.starter import starter_study

DEFAULT_ENGINE: str = ExperimentConfig.model_fields["engine"].default
STDOUT = Path("-")


def init(
    path: Annotated[Path, Parameter(allow_leading_hyphen=True)] = Path("study.yaml"),
    *,
    engine: str = DEFAULT_ENGINE,
    model: str | None = None,
    force: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Write a commented study to start from.

    Parameters
    ----------
    path
        The file to write; - for stdout.
    engine
        The engine that measures.
    model
        A local folder, as seen from the file, or a hub id; a small model with random weights where left out.
    force
        Overwrite the file if it exists.
    """
    if engine not in ENGINES:
        raise InputError(f"There is no engine {engine!r}.", remedy=f"Choose one of {', '.join(ENGINES)}.")
    if str(path).startswith("-") and path != STDOUT:  # a mistyped option, let through with "-"
        raise InputError(f"There is no option {path}.", remedy="See `llem init --help`.")
    text = starter_study(path, engine=engine, model=model)
    if path == STDOUT:
        print(text, end="")
        return 0
    _write(path, text, force=force)
    print(printable(f"{path} is written. Next: llem study plan {shlex.quote(str(path))}"), file=sys.stderr)
    return 0


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        raw = text.encode()  # before the file is touched
        with path.open("wb" if force else "xb") as file:
            file.write(raw)
    except UnicodeEncodeError:
        raise InputError("The model's name is not UTF-8.", remedy="Give another name.") from None
    except FileExistsError:
        raise InputError(f"{path} exists already.", remedy="Give another name, or --force to overwrite it.") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}.", remedy="Name a file in a folder of yours."
        ) from None
