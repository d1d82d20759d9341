"""The consoles that tables and the live panel are printed on."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from llem.cli.text import plain

PIPE_WIDTH = 140


def table_console() -> Console:
    """Return the console for tables: the terminal's width, or one that wraps no figure in files and pipes."""
    console = _Console()
    return console if console.is_terminal else _Console(width=PIPE_WIDTH)


def words_console() -> Console:
    """Return the console for what moves while people wait, on stderr."""
    return _Console(stderr=True)


class _Console(Console):
    """A console whose texts cannot act on the terminal; it leaves a broken pipe to the command line."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what makes ``renderable``, its texts with all escaped that cannot be seen."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Pass on what happened: it has an exit code of its own."""
        raise BrokenPipeError
