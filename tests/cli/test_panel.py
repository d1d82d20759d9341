import io
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from llem.cli.panel import BAR_CELLS, Panel, bar

WIDTH = 20


class Screen(io.StringIO):
    """A terminal that knows what a panel writes: text, new lines, and the codes that go up and clear a line."""

    def __init__(self):
        super().__init__()
        self.lines, self.row, self.writes = [""], 0, 0

    def write(self, text):
        self.writes += 1
        for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
            self.take(part)
        return len(text)

    def take(self, part):
        if part == "\n":
            self.row += 1
            self.lines += [""] * (self.row + 1 - len(self.lines))
        elif part == "\x1b[1A":
            self.row -= 1
        elif part == "\x1b[2K":
            self.lines[self.row] = ""
        elif part != "\r":
            self.lines[self.row] += part
            assert len(self.lines[self.row]) <= WIDTH

    @property
    def shown(self):
        return [line for line in self.lines if line]


def panel_on(screen):
    return Panel(Console(file=screen, force_terminal=True, width=WIDTH))


TEXTS = st.text(st.sampled_from("abc ━é"), min_size=1, max_size=WIDTH + 5).filter(str.strip)
ACTIONS = st.one_of(
    st.tuples(st.just("show"), TEXTS, TEXTS), st.tuples(st.just("above"), TEXTS), st.tuples(st.just("clear"))
)


@given(st.lists(ACTIONS))
def test_the_lines_stand_below_all_that_scrolled_past_whatever_happens(actions):
    screen = Screen()
    panel = panel_on(screen)
    scrolled, lines = "", []
    for name, *texts in actions:
        getattr(panel, name)(*texts)
        if name == "above":
            scrolled += "".join(texts)
        else:
            lines = [text[: WIDTH - 1] if len(text) >= WIDTH else text for text in texts]
        past = screen.shown[: len(screen.shown) - len(lines)]
        assert screen.shown[len(past) :] == lines
        assert "".join(past).replace(" ", "") == scrolled.replace(" ", "")


def test_nothing_is_written_while_nothing_changes():
    screen = Screen()
    panel = panel_on(screen)
    panel.show("a", "b")
    before = screen.writes
    for _ in range(3):
        panel.show("a", "b")
    assert screen.writes == before


def test_wide_characters_are_cut_to_the_cells_that_they_take():
    screen = Screen()
    panel_on(screen).show("語" * WIDTH)
    assert screen.shown[0].strip() == "語" * ((WIDTH - 1) // 2)


def test_a_bar_is_empty_at_the_begin_and_full_at_the_end():
    assert {len(bar(share / 10)) for share in range(11)} == {BAR_CELLS}
    assert (bar(0.0).count("━"), bar(0.5).count("━"), bar(1.0).count("━")) == (0, BAR_CELLS / 2, BAR_CELLS)
