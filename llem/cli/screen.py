"""The screen: all words go through here, so that nothing in them can act on a terminal."""

import os
import sys
from types import TracebackType

from llem.cli.text import plain
from llem.domain.redaction import redacted

CLEAR_LINE = "\r\x1b[K"


def say(text: str = "", *, end: str = "\n", flush: bool = False) -> None:
    """Write what was asked for, for people or as JSON, to stdout."""
    print(plain(text), end=end, flush=flush)


def tell(text: str, *, end: str = "\n", flush: bool = False) -> None:
    """Write words for people to stderr: warnings and errors may quote others, so secrets are left out."""
    print(plain(redacted(text)), end=end, file=sys.stderr, flush=flush)


def redraw(text: str = "") -> None:
    """Write over the terminal's last line, on stderr."""
    print(f"{CLEAR_LINE}{plain(text)}", end="", file=sys.stderr, flush=True)


def tell_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write the trace of an error that nobody foresaw: it may quote a worker, or somebody else's journal."""
    import traceback  # only here: a crash is rare, and every command would wait for it

    tell("".join(traceback.format_exception(kind, error, trace)), end="")


def open_closed_streams() -> None:
    """Point each standard stream at nothing that who started us has closed (``>&-``).

    Else the first files that we open would take their places, and be written to by whoever writes there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)
            if nowhere != number:
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def silence_broken_streams() -> None:
    """Point stdout and stderr at nothing where their reader has gone (a closed terminal, ``… | head``).

    What still waits in their buffers would otherwise fail once more when Python exits, and replace the exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
