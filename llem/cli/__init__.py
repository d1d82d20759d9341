"""The command line: thin, and lazy so that ``--help`` pays only for cyclopts."""

import errno
import sys

from cyclopts import App, CycloptsError

from llem.cli import help
from llem.cli.help import Help
from llem.cli.screen import open_closed_streams, silence_broken_streams, tell, tell_crash
from llem.domain.errors import LlemError
from llem.domain.redaction import redacted
from llem.version import __version__

OUTPUT_IS_FULL = (errno.ENOSPC, errno.EIO)
MOST_OF_A_LINE = 2_000


def mistyped(error: CycloptsError) -> object:
    """Return what is shown of a command that cannot be understood: what was typed may be any file's name."""
    from cyclopts.panel import CycloptsPanel

    from llem.cli.text import plain

    return CycloptsPanel(plain(str(error)))


def _group(name: str, words: Help) -> App:
    return App(
        name=name,
        help=words.text,
        help_epilogue=words.epilogue,
        help_format="plaintext",
        version=__version__,
        error_formatter=mistyped,
    )


app = _group("llem", help.LLEM)
study = _group("study", help.STUDY)
app.command(study)
# Named, not imported: what a group's help says of its commands stands in ``help``.
for group, command, words in (
    (study, "plan", help.PLAN),
    (study, "run", help.RUN),
    (study, "resume", help.RESUME),
    (study, "log", help.LOG),
    (study, "status", help.STATUS),
    (study, "verify", help.VERIFY),
    (study, "recover", help.RECOVER),
    (app, "doctor", help.DOCTOR),
    (app, "init", help.INIT),
    (app, "schema", help.SCHEMA),
):
    group.command(f"llem.cli.commands:{command}", name=command, help=words.text, help_epilogue=words.epilogue)


def main() -> None:
    """Run the command line and exit with its code."""
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a ± is no reason to fail
    sys.excepthook = tell_crash
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where it can be told, and not when Python exits
    except LlemError as error:
        from llem.cli.text import printable

        # Line by line: what a file or a worker wrote into the message must not act on a terminal.
        lines = redacted(f"error: {error}").splitlines()
        _tell("\n".join(printable(line, MOST_OF_A_LINE) for line in lines))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone (`llem study log … | head`): the code that SIGPIPE would have given.
        silence_broken_streams()
        sys.exit(141)
    except OSError as error:
        if error.errno not in OUTPUT_IS_FULL or error.filename is not None:
            raise
        silence_broken_streams()
        _tell(f"error: what was asked for cannot be written: {error.strerror}.")
        sys.exit(3)


def _tell(text: str) -> None:
    """Say something on stderr, if anybody can hear it; the exit code tells all the same."""
    try:
        tell(text)
    except OSError:
        silence_broken_streams()
