"""Events as lines of a log: what is said of what is stored, event by event."""

import pytest

from llem.cli.eventtext import event_text
from llem.domain.baseline import BaselinePower
from llem.domain.errors import JournalError
from llem.domain.events import (
    BaselineMeasured,
    ExperimentCompleted,
    ExperimentFailed,
    GapWaited,
    SensorsChecked,
    SessionEnded,
    StudyExtended,
)
from llem.domain.sensor_check import DeviceCheck, SensorCheck
from llem.domain.spec import CoolDown, Limits

COOL = CoolDown(cool_to_c=45, at_most_s=300)


@pytest.fixture
def said(make):
    """Return a function from an event to what a log says of it."""
    return lambda event: event_text(make.chain().append(event))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"planned": 90.0}, "between cycles: 1:30 min"),
        ({"planned": COOL, "temperature_c": 44.0}, "between cycles: 1:30 min, at 44 °C, asked for 45 °C"),
        (
            {"planned": COOL, "reason": "The recorder died."},
            "between cycles: 1:30 min, temperature unknown, asked for 45 °C (The recorder died.)",
        ),
    ],
)
def test_a_gap(said, fields, text):
    assert said(GapWaited(trial="a_c2", between="cycles", waited_s=90.2, **fields)) == text


def test_a_baseline(said):
    powers = (
        BaselinePower(channel="nvml/0", power_w=22.4, u_w=0.31),
        BaselinePower(channel="nvml/1", power_w=20.0),
        BaselinePower(channel="nvml/2", power_w=None, reason="it vanished"),
    )
    some = BaselineMeasured(powers=powers, why="first", start_ns=0, end_ns=1)
    assert said(some) == "first: nvml/0 22.4 ± 0.31 W, nvml/1 20 W, nvml/2 unknown (it vanished)"
    none = BaselineMeasured(powers=(), why="age", start_ns=0, end_ns=1)
    assert said(none) == "age: no channel measures energy"


@pytest.mark.parametrize(
    ("load", "text"),
    [
        ({"load": "matmul"}, "16 s, idle and under load"),
        ({"no_load_reason": "no torch"}, "16 s, idle only (no torch)"),
    ],
)
def test_a_sensor_check(said, make, load, text):
    devices = tuple(
        DeviceCheck(device=name, counter="c", counter_is_sum=is_sum, why="…", grade="good")
        for name, is_sum in (("GPU-1", False), ("GPU-2", True), ("GPU-3", None))
    )
    check = SensorCheck(duration_s=16.2, channels=(), devices=devices, **load)
    event = SensorsChecked(check=check, samples_file="s", samples_sha256=make.sha, idle_start_ns=0, idle_end_ns=1)
    found = "GPU-1 good, a true integral  GPU-2 good, a sum of readings  GPU-3 good, sum or integral unknown"
    assert said(event) == f"{text}  {found}"


def test_a_plan_and_its_extension(said, make):
    assert said(make.plan(experiments=2, cycles=2)[0]) == "4 trials, order blocks"
    extended = StudyExtended(
        study_design_hash=make.sha,
        llem_version="0.1",
        cycles=3,
        limits=Limits(),
        sequence=[0, 1],
        added=1,
        summaries=({},),
    )
    assert said(extended) == "1 experiments added, 3 cycles now, 2 trials more"


def test_how_a_trial_ended(said, make):
    result = {"trial": "e0_c1", "attempt": 1, "result_file": "e0_c1.json", "result_sha256": make.sha}
    assert said(ExperimentCompleted(**result, headline=make.headline())) == "e0_c1.json"
    spoiled = make.headline(invalid=("throttled", "counter_fell"))
    assert said(ExperimentCompleted(**result, headline=spoiled)) == "e0_c1.json  INVALID: throttled, counter_fell"
    failed = ExperimentFailed(
        trial="e0_c1", attempt=1, error_type="OutOfMemory", error_message="too big", phase="load"
    )
    assert said(failed) == "OutOfMemory  too big  load"


DAMAGED = '{"planned": {}, "waited_s": "long", "check": 1}'


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        *((kind, DAMAGED) for kind in ("gap_waited", "baseline_measured", "sensors_checked", "study_planned")),
        *(("session_ended", data) for data in ("[]", "null", "not json")),
    ],
)
def test_data_that_is_no_such_event_is_a_journal_error_with_its_number(make, kind, data):
    row = make.chain().append(SessionEnded(reason="finished"))._replace(kind=kind, data=data)
    with pytest.raises(JournalError, match=rf"The data of event 1 \({kind}\)"):
        event_text(row)
