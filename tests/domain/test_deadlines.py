import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.deadlines import ERROR_TYPES, GROUPS, MAY_BE_SILENT, PHASES, Deadlines, too_short
from llem.domain.events import Phase
from llem.domain.profiles import PROFILES
from llem.domain.spec import Limits, Measurement

OFF = dict.fromkeys(("start_s", "load_s", "warmup_s", "measurement_s", "silence_s"))
LONG = {**OFF, "trial_s": 1e6}


def test_every_phase_has_a_limit_of_its_own_kind():
    assert list(GROUPS) == list(get_args(Phase))
    assert set(GROUPS.values()) == set(ERROR_TYPES) - {"silence_s", "trial_s"}


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_is_overdue_by_the_limit_that_it_shares(phase):
    limit = GROUPS[phase]
    deadlines = Deadlines(Limits(**{**LONG, limit: 10.0}), 100.0)
    if phase != "start":
        deadlines.entered(phase, 150.0)
    begun = 100.0 if phase == "start" else 150.0
    assert deadlines.next() == begun + 10
    assert deadlines.overdue(begun + 9.9) is None
    error_type, message = deadlines.overdue(begun + 10)
    assert error_type == ERROR_TYPES[limit]
    assert f"limits.{limit} (10 s), in phase {phase!r}" in message
    assert f"--limit {limit}=20" in message
    assert ("its last message came" in message) == (phase != "start")


def test_phases_that_share_a_limit_share_its_time():
    deadlines = Deadlines(Limits(**{**LONG, "measurement_s": 10.0}), 0.0)
    deadlines.entered("measure", 5.0)
    deadlines.entered("prefill", 13.0)
    assert deadlines.next() == 15.0


def test_silence_counts_from_the_last_word_and_not_while_a_model_is_loaded():
    deadlines = Deadlines(Limits(**{**LONG, "silence_s": 3.0}), 0.0)
    for phase in sorted(MAY_BE_SILENT - {"start"}, key=PHASES.index):
        deadlines.entered(phase, 1.0)
        assert deadlines.overdue(1000.0) is None
    deadlines.heard(50.0)
    deadlines.entered("warmup", 50.0)
    deadlines.heard(52.0)
    assert deadlines.overdue(54.9) is None
    assert deadlines.overdue(55.0).error_type == "SilenceTimeout"


seconds = st.floats(0.001, 1e6)


@given(
    limits=st.fixed_dictionaries({name: st.none() | seconds for name in OFF} | {"trial_s": seconds}),
    steps=st.lists(st.tuples(seconds, st.sampled_from([None, *PHASES[1:]])), max_size=8),
    later=seconds,
)
def test_an_attempt_is_overdue_from_the_first_moment_that_was_told_and_not_before(limits, steps, later):
    deadlines, now, reached = Deadlines(Limits(**limits), 0.0), 0.0, 0
    for step, phase in steps:
        now += step
        deadlines.heard(now)
        if phase is not None and PHASES.index(phase) > reached:
            reached = PHASES.index(phase)
            deadlines.entered(phase, now)
    ends = deadlines.next()
    assert ends <= limits["trial_s"]
    assert deadlines.overdue(math.nextafter(ends, -math.inf)) is None
    assert deadlines.overdue(max(ends, now) + later) is not None


def test_the_defaults_leave_room_for_every_profile():
    for settings in PROFILES.values():
        method = Measurement.model_validate(settings.get("measurement", {}))
        assert list(too_short(Limits(), method)) == []


@pytest.mark.parametrize(
    ("limit", "needed_s"), [("warmup_s", 180.7), ("measurement_s", 11.4), ("silence_s", 0.7), ("trial_s", 11.4)]
)
def test_a_limit_that_no_trial_can_keep_is_too_short(limit, needed_s):
    assert [name for name, _ in too_short(Limits(**{limit: needed_s}), Measurement())] == [limit]
    assert list(too_short(Limits(**{limit: needed_s + 0.1}), Measurement())) == []
