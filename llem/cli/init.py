"""``llem init``."""

import shlex
from pathlib import Path

from llem.cli.screen import say, tell
from llem.cli.text import printable
from llem.domain.errors import InputError
from llem.engines import ENGINES
from llem.study.starter import starter_study

STDOUT = Path("-")


def write_starter(path: Path, *, engine: str, model: str | None, force: bool) -> None:
    """Write a study to start from into ``path``, or on stdout.

    Raises:
        InputError: There is no such engine, or the file cannot be written.
    """
    if engine not in ENGINES:
        raise InputError(f"There is no engine {engine!r}.", remedy=f"Choose one of {', '.join(ENGINES)}.")
    if str(path).startswith("-") and path != STDOUT:  # a mistyped option, let through with "-"
        raise InputError(f"There is no option {path}.", remedy="See `llem init --help`.")
    text = starter_study(path, engine=engine, model=model)
    if path == STDOUT:
        say(text, end="")
        return
    _write(path, text, force=force)
    tell(printable(f"{path} is written. Next: llem study plan {shlex.quote(str(path))}"))


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
