"""Two lines that stay in place on a terminal, below what scrolls past."""

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from llem.cli.text import plain

BAR_CELLS = 30
UP_AND_CLEAR = "\x1b[1A\x1b[2K"
CLEAR = "\r\x1b[2K"


class Panel:
    """Lines at the bottom of a terminal, written only when they change and then as plain text.

    rich's own live display lays its content out anew at each refresh: one to two milliseconds, in which the machine
    that is being measured has other things to do.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: list[str] = []

    def show(self, *lines: str) -> None:
        """Show these lines instead of the last ones, each cut to the terminal's width."""
        fitting = [_cut(plain(line), self._console.width) for line in lines]
        if fitting != self._shown:
            self._write(self._erasure() + "\n".join(fitting))
            self._shown = fitting

    def above(self, text: str) -> None:
        """Let a text scroll past above the lines."""
        shown = self._shown
        self.clear()
        self._console.print(Text(text))
        self.show(*shown)

    def clear(self) -> None:
        """Take the lines away."""
        if self._shown:
            self._write(self._erasure())
            self._shown = []

    def _erasure(self) -> str:
        return CLEAR + UP_AND_CLEAR * (len(self._shown) - 1) if self._shown else ""

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


def bar(share: float) -> str:
    """Return a bar of which ``share`` is filled."""
    filled = round(share * BAR_CELLS)
    return "━" * filled + "┄" * (BAR_CELLS - filled)


def _cut(line: str, width: int) -> str:
    return line if cell_len(line) < width else set_cell_size(line, width - 1)
