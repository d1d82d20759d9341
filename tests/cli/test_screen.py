"""What reaches the screen: words, and nothing that a terminal acts on, whoever wrote them."""

import ast
import io
import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

import llem.cli
from llem.cli.console import _Console
from llem.cli.log import show_audit, show_log
from llem.cli.panel import Panel
from llem.cli.recover import show_recovery
from llem.cli.screen import redraw, say, tell, tell_crash
from llem.cli.status import show_status
from llem.cli.text import json_text, plain, printable
from llem.cli.verify import show_verification
from llem.domain.events import ExperimentFailed, ExperimentRunning, SessionEnded
from llem.journal.journal import Journal

ATTACKS = {
    "colour": "\x1b[31m",
    "clear": "\x1b[2J",
    "title": "\x1b]0;pwned\x07",
    "link": "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "answer": "\x1b[6n",
    "C1": "\x9b31m\x90q\x9c",
    "delete": "\x7f\x08",
    "line": "\r\x0b\x0c",
    "bidi": "\u202eevil\u202c \u2066\u2069\u200f",
    "invisible": "\u200b\ufeff\u2028\U000e0041",
    "surrogate": "\udc9b\ud800",
}
ALL = "".join(ATTACKS.values())
OWN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[1A|\x1b\[2?K|\r")
"""What llem itself writes to a terminal: styles, and the redrawing of its own lines."""


def acts(text: str) -> list[str]:
    """Return the characters of ``text`` on which a terminal acts, or which nobody sees."""
    return [char for char in text if char != "\n" and unicodedata.category(char)[0] in "CZ" and char != " "]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_seen_and_does_nothing(attack: str) -> None:
    text = f"before {ATTACKS[attack]} after"
    for shown in (plain(text), printable(text), json_text({"a": text})):
        assert acts(shown) == []
        assert "before" in shown
        assert "after" in shown
    assert json.loads(json_text({"a": text})) == {"a": text}


def test_what_is_escaped_says_what_it_was() -> None:
    assert plain("a\x1b[31mb\x9b\u202e\U000e0041\udc9bé漢🙂\n") == (
        "a\\x1b[31mb\\x9b\\u202e\\U000e0041\\udc9bé漢🙂\n"
    )
    assert printable("one\ntwo\tthree\x07") == "one two three\\x07"


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])))
def test_no_text_acts_and_what_can_be_seen_stays(text: str) -> None:
    shown = plain(text)
    assert acts(shown) == []
    assert plain(shown) == shown
    assert len(printable(text, 40)) <= 40
    if text.isprintable():
        assert shown == text


def test_every_way_to_the_screen_shows_it_so(capfd: pytest.CaptureFixture[str]) -> None:
    text = f"x {ALL} y"
    say(text)
    tell(text)
    redraw(text)
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        tell_crash(type(error), error, error.__traceback__)
    terminal = io.StringIO()
    console = _Console(file=terminal, force_terminal=True, width=2_000)
    console.print(Text(text, style="dim"))
    panel = Panel(console)
    panel.show(text)
    panel.above(text)
    shown = capfd.readouterr()
    assert "RuntimeError: x" in shown.err
    for words in (shown.out, shown.err, terminal.getvalue()):
        assert acts(OWN.sub("", words)) == []


def test_nothing_of_the_command_line_goes_another_way() -> None:
    """One bare ``print`` in a command would be a way around."""
    allowed = {"print": ("screen.py", "__init__.py"), "Console": (), "_Console": ("console.py",)}
    found = [
        f"{path.name}:{call.lineno}"
        for path in Path(llem.cli.__file__).parent.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        for name in (ast.unparse(call.func),)
        if (name.startswith("sys.std") and name.endswith("write")) or path.name not in allowed.get(name, (path.name,))
    ]
    assert found == []


@pytest.fixture
def hostile(tmp_path, make):
    """Return a study's folder whose journal, chained as it must be, was written to attack who looks at it."""
    root = tmp_path / f"study{ATTACKS['title']}".replace("/", "")
    (root / "results").mkdir(parents=True)
    study, *experiments = make.plan(experiments=2, cycles=1)
    events = [
        study.model_copy(update={"study_name": ALL[:-2], "llem_version": ALL[:-2]}),
        *(one.model_copy(update={"config_summary": {ALL[:-2]: ALL[:-2]}}) for one in experiments),
        ExperimentRunning(trial="e0_c1", attempt=1, log_file=ALL[:-2], launcher=ALL[:-2], cold_because=ALL[:-2]),
        ExperimentFailed(
            trial="e0_c1", attempt=1, error_type=ALL[:-2], error_message=ALL[:-2], phase="load", traceback=ALL[:-2]
        ),
        SessionEnded(reason="error", detail=ALL[:-2]),
    ]
    with Journal(root / "journal.db") as journal:
        for event in events:
            journal.append(event)
    (root / "results" / f"{ATTACKS['clear']}{ATTACKS['bidi']}.json").write_text(
        json.dumps({"journal_seq": 99, "journal_hash": ALL})
    )
    return root


@pytest.mark.parametrize("as_json", [False, True])
def test_a_journal_of_somebody_else_shows_itself_and_does_nothing(hostile, capsys, *, as_json: bool) -> None:
    for follow in (False, True):
        show_log(hostile, follow=follow, trial=None, kind=None, as_json=as_json)
    show_status(hostile, as_json=as_json)
    show_audit(hostile, as_json=as_json)
    show_verification(hostile, as_json=as_json)
    show_recovery(hostile, dry_run=True, as_json=as_json)
    shown = capsys.readouterr()
    assert "e0_c1" in shown.out
    assert "study" in shown.err
    assert acts(shown.out) == []
    assert acts(shown.err) == []


@pytest.mark.parametrize("typed", [["{}"], ["study", "{}"], ["study", "log", "--{}"], ["study", "log", "x", "{}"]])
def test_what_was_typed_is_told_without_acting(typed: list[str]) -> None:
    attack = ATTACKS["title"] + ATTACKS["bidi"] + "\udc9b"
    command = [sys.executable, "-m", "llem", *(word.format(attack) for word in typed)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode != 0
    assert acts((done.stdout + done.stderr).decode()) == []
