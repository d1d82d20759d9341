"""``llem study log``: what it prints of a journal, and when."""

import io
import json
from contextlib import redirect_stdout

import pytest

from llem.cli.log import show_log
from llem.domain.errors import InputError
from llem.domain.events import ExperimentRunning, PhaseEntered, SessionEnded
from llem.journal.journal import Journal

ALL = {"follow": False, "trial": None, "kind": None, "as_json": True}


class Pipe(io.StringIO):
    """Remembers how much it had been given at each flush."""

    def __init__(self):
        super().__init__()
        self.flushed = []

    def flush(self):
        self.flushed.append(self.getvalue().count("\n"))


@pytest.fixture
def root(tmp_path, make):
    """Return the folder of a study of two experiments and two cycles, of which one trial is measured."""
    with Journal(tmp_path / "journal.db") as journal:
        for event in make.plan(experiments=2, cycles=2):
            journal.append(event)
        journal.append(ExperimentRunning(trial="e0_c1", attempt=1, log_file="log", launcher="local"))
        for number in range(1, 40):
            journal.append(PhaseEntered(trial="e0_c1", attempt=1, phase="measure", t_ns=number))
        journal.append(SessionEnded(reason="interrupted"))
    return tmp_path


def printed(root, capsys, **options):
    show_log(root, **{**ALL, **options})
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("follow", [False, True])
def test_it_prints_every_event_or_those_of_one_trial_and_kind(root, capsys, follow):
    assert [event["seq"] for event in printed(root, capsys, follow=follow)] == list(range(1, 45))
    assert [event["seq"] for event in printed(root, capsys, follow=follow, trial="e0_c1")] == list(range(4, 44))
    (running,) = printed(root, capsys, follow=follow, trial="e0_c1", kind="experiment_running")
    assert running["data"]["log_file"] == "log"


@pytest.mark.parametrize("as_json", [False, True])
def test_the_first_line_is_on_its_way_before_the_second_is_made(root, as_json):
    pipe = Pipe()
    with redirect_stdout(pipe):
        show_log(root, **{**ALL, "as_json": as_json})
    head = 0 if as_json else 1
    assert pipe.flushed == [*range(1, head + 1), head + 1]
    assert pipe.getvalue().count("\n") == head + 44


def test_a_trial_that_is_planned_and_a_kind_that_may_come_have_no_events_yet(root, capsys):
    assert printed(root, capsys, trial="e1_c2") == []
    assert printed(root, capsys, kind="gap_waited") == []


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"trial": "e1_c3"}, "Did you mean 'e1_c2'?"),
        ({"trial": "zzz"}, "It is one of e0_c1, e0_c2, e1_c1, e1_c2."),
        ({"kind": "phase_enterd"}, "Did you mean 'phase_entered'?"),
        ({"kind": "phase_enterd", "as_json": False, "follow": True}, "Did you mean 'phase_entered'?"),
    ],
)
def test_what_no_event_can_be_is_refused_before_anything_is_printed(root, capsys, options, remedy):
    with pytest.raises(InputError) as refused:
        printed(root, capsys, **options)
    assert refused.value.remedy == remedy
    assert capsys.readouterr().out == ""
