"""The console that tables are printed on."""

from rich.console import Console

PIPE_WIDTH = 140


def table_console() -> Console:
    """Return the console for tables: the terminal's width, or one that wraps no figure in files and pipes."""
    console = _Console()
    return console if console.is_terminal else _Console(width=PIPE_WIDTH)


class _Console(Console):
    """A console that leaves a broken pipe to the command line: it has an exit code of its own."""

    def on_broken_pipe(self) -> None:
        """Pass on what happened."""
        raise BrokenPipeError
