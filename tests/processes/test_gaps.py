"""Idle time between trials: waited, recorded as it was, cut short by what ends a session, ended by cool devices."""

import os
import re
import signal
from itertools import pairwise
from typing import Any

import pytest

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
LONG_S = 3600.0
COOL_DOWN = {"cool_to_c": 50.0, "at_most_s": LONG_S}
METER = {"sensors": ["nvml"], "guard_s": 0, "latency_passes": 0, "count_flops": False}


def gaps_of(study: Any) -> list[dict[str, Any]]:
    """Return the gaps that were recorded, each right between the end of one trial and the start of its own."""
    events = study.events()
    for before, gap, after in zip(events, events[1:], events[2:], strict=False):
        if gap["kind"] == "gap_waited":
            assert before["kind"] == "experiment_completed"
            assert (after["kind"], after["trial"]) == ("experiment_running", gap["trial"])
    return [event["data"] | {"trial": event["trial"]} for event in events if event["kind"] == "gap_waited"]


def idle(lab: Any, until: Any, between_trials: Any, **changes: Any) -> tuple[Any, Any]:
    """Start a study of two trials and return once it stands idle between them."""
    session, study = lab.start(lab.write(["ok", "ok_too"], gaps={"between_trials": between_trials}, **changes))
    words = "cooling to" if isinstance(between_trials, dict) else "idle before the next trial"
    until(lambda: words in session.err, words)
    return session, study


def test_every_trial_but_the_first_waits_as_planned_and_only_a_new_cycle_waits_as_between_cycles(lab: Any) -> None:
    gaps = {"between_trials": 0.2, "between_cycles": 0.7}
    session, study = lab.run(lab.write(["ok", "ok_too"], cycles=3, order="interleave", gaps=gaps))
    begun = [event["trial"] for event in study.events("experiment_running")]
    waited = gaps_of(study)
    assert [gap["trial"] for gap in waited] == begun[1:]
    assert [(gap["between"], gap["planned"]) for gap in waited] == [
        ("cycles", 0.7) if one[-1] != other[-1] else ("trials", 0.2) for one, other in pairwise(begun)
    ]
    assert [gap["between"] for gap in waited].count("cycles") == 2
    assert all(gap["waited_s"] >= gap["planned"] for gap in waited)
    assert session.err.count("idle before the next trial") == 5
    assert study.findings() == []
    log = lab.llem("study", "log", study.root, "--kind", "gap_waited").out
    assert log.count("between trials: ") == 3
    assert log.count("between cycles: ") == 2


def test_a_gap_of_no_seconds_leaves_no_trace(lab: Any) -> None:
    session, study = lab.run(lab.write(["ok", "ok_too"], gaps={"between_trials": 0}))
    assert gaps_of(study) == []
    assert "idle" not in session.err


@pytest.mark.parametrize("planned", [LONG_S, COOL_DOWN], ids=["seconds", "cool-down"])
@pytest.mark.parametrize("signum", EXIT_CODES)
def test_a_signal_ends_a_long_gap_at_once_and_resume_goes_on_without_it(
    lab: Any, until: Any, signum: signal.Signals, planned: Any
) -> None:
    session, study = idle(lab, until, planned)
    until(lambda: study.manifest()["completed"] == 1, "the manifest to be current while the session stands idle")
    session.signal(signum)
    session.ended(EXIT_CODES[signum])
    assert session.err.splitlines()[-1] == f"1 of 2 trials left. Go on with: llem study resume {study.root}"
    ended = study.events()[-1]
    assert (ended["kind"], ended["data"]["reason"]) == ("session_ended", "interrupted")
    assert study.events("experiment_interrupted", "gap_waited") == []
    assert lab.survivors() == {}

    lab.resume(study)
    assert gaps_of(study) == []
    assert set(study.completions().values()) == {1}
    assert study.findings() == []


def test_the_deadline_of_a_session_ends_a_gap_and_what_is_left_can_be_resumed(lab: Any, until: Any) -> None:
    session, study = idle(lab, until, LONG_S, limits={"study_s": 8.0})
    session.ended(1)
    assert study.events("session_ended")[-1]["data"]["reason"] == "study_deadline"
    assert study.events("gap_waited") == []
    assert study.completions().total() == 1
    lab.resume(study)
    assert study.manifest()["status"] == "completed"


def test_a_cool_down_ends_when_the_hottest_gpu_is_cool(lab: Any, nvml: Any) -> None:
    study_file = lab.write(["ok", "ok_too"], cycles=2, gaps={"between_trials": COOL_DOWN}, measurement=METER)
    # 100 °C when the recorder opens, and 50 °C five seconds later. The other has 40 °C.
    session, study = lab.run(study_file, env={**nvml, "LLEM_SIMULATED_COOLING": "100:10:40"})
    first, *others = gaps_of(study)
    assert first["planned"] == COOL_DOWN
    assert 0 < first["waited_s"] < LONG_S
    for gap in (first, *others):
        assert 40 <= gap["temperature_c"] <= 50
        assert gap["reason"] is None
    assert len(others) == 2
    told = re.search(r"cooling to 50 °C, now (\d+) °C, at most 1:00:00 h", session.err)
    assert told
    assert 50 < int(told[1]) <= 100
    assert study.findings() == []
    log = lab.llem("study", "log", study.root, "--kind", "gap_waited").out
    assert log.count("°C, asked for 50 °C\n") == 3


@pytest.mark.parametrize("sensors", [[], ["nvml"]], ids=["no sensor", "a mute sensor"])
def test_a_cool_down_without_a_temperature_waits_the_whole_time_and_says_why(
    lab: Any, nvml: Any, sensors: list[str]
) -> None:
    gaps = {"between_trials": {"cool_to_c": 50.0, "at_most_s": 1.2}}
    study_file = lab.write(["ok", "ok_too"], cycles=2, gaps=gaps, measurement={**METER, "sensors": sensors})
    session, study = lab.run(study_file, env=nvml)
    waited = gaps_of(study)
    assert len(waited) == 3
    for gap in waited:
        assert gap["waited_s"] >= 1.2
        assert gap["temperature_c"] is None
        assert ("Not Supported" if sensors else "no sensor of this study tells a temperature") in gap["reason"]
    assert session.err.count("warning: no temperature can be read") == 1
    assert session.err.count("cooling to 50 °C, now unknown, at most 1 s") == 3


def test_a_recorder_that_dies_while_devices_cool_ends_nothing_and_the_next_trial_has_another(
    lab: Any, nvml: Any, until: Any
) -> None:
    gaps = {"between_trials": {"cool_to_c": 50.0, "at_most_s": 6.0}}
    study_file = lab.write(["ok", "ok_too"], gaps=gaps, measurement=METER)
    session, study = lab.start(study_file, env={**nvml, "LLEM_SIMULATED_COOLING": "100:0:100"})
    until(lambda: "cooling to" in session.err, "the cool-down")
    (recorder,) = [pid for pid, command in session.others().items() if "llem.recorder" in command]
    os.kill(recorder, signal.SIGKILL)
    session.ended(0)
    (gap,) = gaps_of(study)
    assert gap["waited_s"] >= 6.0
    assert (gap["temperature_c"], gap["reason"]) == (None, "The recorder died.")
    last = study.events("experiment_completed")[-1]["data"]
    assert last["samples_file"] is not None
