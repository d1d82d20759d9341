"""What a trial costs does not grow with the study: counted in Python's own steps, so that no clock is asked."""

import sys
from itertools import pairwise
from statistics import median

import pytest
from no_op import NO_OP
from scale import InstantLauncher, study

from llem.cli.observers import PlainDisplay, StudyObserver
from llem.study.grammar import Grammar
from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.options import SessionOptions
from llem.study.plan import plan_study
from llem.study.run import start_study

FEW, MANY = 15, 100
COMPARED = 10


class Steps:
    """Counts the bytecode instructions that this process executes."""

    def __init__(self):
        self.taken = 0

    def __enter__(self):
        sys.settrace(self.traced)
        return self

    def __exit__(self, *error):
        sys.settrace(None)

    def traced(self, frame, event, arg):
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.counted

    def counted(self, frame, event, arg):
        self.taken += 1
        return self.counted


class Noting(StudyObserver):
    def __init__(self, folder, steps):
        super().__init__(folder, PlainDisplay())
        self.steps = steps
        self.begun = []

    def saw(self, row, fold):
        super().saw(row, fold)
        if row.kind == "experiment_running":
            self.begun.append(self.steps.taken)


@pytest.fixture
def steps_per_trial(tmp_path):
    """Return a function from a number of trials to the steps of each of them but the last, in a study of so many."""

    def of(trials):
        file = tmp_path / f"{trials}.yaml"
        file.write_text(study(trials, seconds=600, gpu=False))
        plan = plan_study(load_study(file, grammar=Grammar({"no_op": NO_OP}), machine=UnknownMachine()))
        noting = []

        def observe(folder, fold):
            noting.append(Noting(folder, steps))
            return noting[0]

        with Steps() as steps:
            ending = start_study(plan, tmp_path / str(trials), observe, options=SessionOptions(InstantLauncher))
        assert ending.exit_code == 0
        begun = noting[0].begun
        assert len(begun) == trials
        return [after - before for before, after in pairwise(begun)]

    return of


def test_a_trial_takes_as_many_steps_at_the_end_of_a_large_study_as_in_a_small_one(steps_per_trial):
    few, many = steps_per_trial(FEW), steps_per_trial(MANY)
    # Medians: a second may pass in any trial, and then the manifest is exported.
    usual = median(few[-COMPARED:])
    assert median(many[:COMPARED]) == pytest.approx(usual, rel=0.01)
    assert median(many[-COMPARED:]) == pytest.approx(usual, rel=0.01)
