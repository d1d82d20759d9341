import os
import time

import pytest

from llem.domain.deadlines import Deadlines
from llem.domain.messages import PhaseMessage, ProgressMessage, ResultMessage
from llem.domain.spec import Limits
from llem.study.launcher import Fault
from llem.study.signals import EndingSignals
from llem.study.standstill import Standstill
from llem.study.supervise import STOOD_STILL, Supervisor


class Speaking:
    """A worker from which these messages arrive, one list after the other."""

    def __init__(self, *arrivals):
        self.arrivals = list(arrivals)
        self.ready, self.never = os.eventfd(1), os.eventfd(0)

    def fileno(self):
        return self.ready

    def exit_fileno(self):
        return self.never

    def receive(self):
        return self.arrivals.pop(0), not self.arrivals

    def close(self):
        os.close(self.ready)
        os.close(self.never)


def phase(name):
    return PhaseMessage(phase=name, t_ns=time.monotonic_ns())


@pytest.fixture
def heard():
    """Return a function from arrivals to what was told of them, in order, and the outcome."""

    def of(*arrivals):
        told, worker = [], Speaking(*arrivals)
        with EndingSignals() as signals:
            outcome = Supervisor(
                worker,
                started_ns=time.monotonic_ns(),
                deadlines=Deadlines(Limits(), time.monotonic()),
                signals=signals,
                on_phases=lambda messages: told.append([message.phase for message in messages]),
                on_progress=lambda message: told.append(message.done),
                tick=lambda: None,
            ).watch()
        worker.close()
        return told, outcome

    return of


def test_phases_that_arrive_together_are_told_together(heard):
    told, outcome = heard([phase("load"), phase("prepare")], [phase("warmup")])
    assert told == [["load", "prepare"], ["warmup"]]
    assert outcome is None


def test_progress_is_told_after_the_phase_that_it_is_made_in(heard):
    told, _ = heard([phase("load"), phase("warmup"), ProgressMessage(done=1), phase("measure")])
    assert told == [["load", "warmup"], 1, ["measure"]]


def test_phases_before_the_end_are_told_and_none_after_it(heard, make):
    early = ResultMessage(measured=make.measured())
    told, outcome = heard([phase("load"), early, phase("measure")])
    assert told == [["load"]]
    assert isinstance(outcome, Fault)
    assert outcome.error_type == "ProtocolViolation"


def test_a_phase_out_of_turn_is_not_told(heard):
    told, outcome = heard([phase("measure"), phase("load")])
    assert told == [["measure"]]
    assert outcome.error_type == "ProtocolViolation"


def test_an_attempt_across_which_the_session_stood_still_is_cut_short_and_no_limit_counts_that():
    worker = Speaking([phase("load")], [phase("warmup")])
    with EndingSignals() as signals:

        def stand_still(messages):
            signals.standstills.seen.append(Standstill(3600.0, 3600.0, asked_for=True))

        outcome = Supervisor(
            worker,
            started_ns=time.monotonic_ns(),
            deadlines=Deadlines(Limits(trial_s=60), time.monotonic() - 3600),
            signals=signals,
            on_phases=stand_still,
            on_progress=print,
            tick=lambda: None,
        ).watch()
    worker.close()
    assert outcome == Fault(STOOD_STILL, "the session stopped for 3600.0 s by SIGTSTP")
