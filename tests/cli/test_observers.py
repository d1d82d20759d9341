import io

import pytest
from rich.console import Console

from llem.cli.observers import LiveDisplay, PlainDisplay, idle_text
from llem.domain.spec import CoolDown
from llem.study.gaps import Idle

COOL = CoolDown(cool_to_c=45, at_most_s=300)


@pytest.mark.parametrize(
    ("idle", "text"),
    [
        (Idle("t", 90.0, 89.5, None), "idle before the next trial, 1:30 min left"),
        (Idle("t", COOL, 300.0, 52.0), "cooling to 45 °C, now 52 °C, at most 5:00 min"),
        (Idle("t", COOL, 5.0, None), "cooling to 45 °C, now unknown, at most 5 s"),
    ],
)
def test_a_gap_says_what_is_waited_for(idle, text):
    assert idle_text(idle) == text


def test_a_plain_display_has_one_line_for_each_gap(capsys):
    display = PlainDisplay()
    for trial in ("a_c1", "b_c1"):
        for left_s in (2.0, 1.0):
            display.idle(Idle(trial, 2.0, left_s, None))
    assert capsys.readouterr().err.splitlines() == ["idle before the next trial, 2 s left"] * 2


def test_a_live_display_counts_a_gap_down():
    screen = io.StringIO()
    display = LiveDisplay(Console(file=screen, force_terminal=True, width=100))
    for temperature_c in (52.0, 46.0):
        display.idle(Idle("a_c1", COOL, 200.0, temperature_c))
        display.tick()
    display.close()
    shown = screen.getvalue()
    assert "now 52 °C, at most 3:20 min" in shown
    assert "now 46 °C, at most 3:20 min" in shown
