"""How ``llem study verify`` tells how far it is."""

import io

import pytest

from llem.cli import verify as command
from llem.cli.screen import CLEAR_LINE


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_on(stream: io.StringIO, patience_s: float, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(command, "PATIENCE_S", patience_s)
    progress = command._Progress()
    for number in (1, 2):
        progress.show(number, 3000)
    progress.close()
    return stream.getvalue()


def test_a_long_verification_tells_on_a_terminal_how_far_it_is_and_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clear = CLEAR_LINE
    assert shown_on(Terminal(), 0, monkeypatch) == f"{clear}result 1 of 3,000{clear}result 2 of 3,000{clear}"


def test_a_short_one_and_one_into_a_file_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_on(Terminal(), 60, monkeypatch) == ""
    assert shown_on(io.StringIO(), 0, monkeypatch) == ""
