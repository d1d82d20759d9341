"""The sensor check at the start of a session: what it records, what it leaves out, and how it ends."""

import json
import signal
import sqlite3
from typing import Any

import pytest

SHORT = {"LLEM_CHECK": "0.4:0.4"}
METER = {"LLEM_ACTING_RECORDER": "meter"}
MEASURED = {"sensors": ["rapl"], "guard_s": 0, "latency_passes": 0, "count_flops": False}
COUNTED = "GPU-00000000-sim0-0000-0000-000000000000"


@pytest.fixture(scope="module")
def checked(module_lab: Any) -> Any:
    """Return a study with an acted meter, of two sessions that both checked it."""
    study_file = module_lab.write(["ok", "exception"], measurement=MEASURED)
    _, study = module_lab.run(study_file, env={**SHORT, **METER}, code=1)
    module_lab.resume(study, env={**SHORT, **METER}, code=1)
    return study


def test_each_session_checks_the_sensors_before_its_first_trial(checked: Any) -> None:
    kinds = checked.kinds()
    assert kinds.count("sensors_checked") == 2
    assert kinds.index("session_started") < kinds.index("sensors_checked") < kinds.index("experiment_running")
    assert [event["session"] for event in checked.events("sensors_checked")] == [1, 2]


def test_the_raw_edges_of_every_session_s_check_stay_and_give_the_same_again(module_lab: Any, checked: Any) -> None:
    named = {event["data"]["samples_file"] for event in checked.events("sensors_checked")}
    assert len(named) == 2
    assert named < {path.name for path in (checked.root / "samples").iterdir()}
    assert json.loads(module_lab.llem("study", "verify", checked.root, "--json").out)["findings"] == []


def test_the_event_names_its_raw_edges_and_what_they_give(checked: Any) -> None:
    event = checked.events("sensors_checked")[0]["data"]
    assert (checked.root / "samples" / event["samples_file"]).is_file() or event["samples_file"].startswith(
        "check_s1"
    )
    (device,) = event["check"]["devices"]
    assert (device["device"], device["grade"], device["counter_is_sum"]) == ("package-0", "good", None)
    assert device["why"] == "no power readings beside it"
    (channel,) = event["check"]["channels"]
    assert channel["monotonic"] is True
    assert "every reading" in channel["reason"]
    assert event["check"]["load"] is None
    assert event["check"]["no_load_reason"] == "no NVIDIA GPU with an energy counter is read"
    assert event["idle_end_ns"] - event["idle_start_ns"] >= 0.4e9


def test_the_log_tells_a_check_in_one_line(module_lab: Any, checked: Any) -> None:
    out = module_lab.llem("study", "log", checked.root, "--kind", "sensors_checked").out
    first = out.splitlines()[1]
    assert (
        "idle only (no NVIDIA GPU with an energy counter is read)  package-0 good, sum or integral unknown" in first
    )


def test_a_check_is_recomputed_bit_by_bit(lab: Any) -> None:
    study_file = lab.write(["ok"], measurement=MEASURED)
    _, study = lab.run(study_file, env={**SHORT, **METER})
    assert json.loads(lab.llem("study", "verify", study.root, "--json").out)["findings"] == []
    forged = lab.copy(study)
    forge(forged, lambda data: data["check"]["channels"][0].update(readings=1))
    found = json.loads(lab.llem("study", "verify", forged.root, "--json", code=3).out)["findings"]
    assert "check.channels[0].readings" in [finding["field"] for finding in found]
    lost = lab.copy(study)
    (lost.root / "samples" / study.events("sensors_checked")[0]["data"]["samples_file"]).unlink()
    found = json.loads(lab.llem("study", "verify", lost.root, "--json", code=3).out)["findings"]
    assert any("check_s1" in finding["where"] and "missing" in finding["found"] for finding in found)


def forge(study: Any, change: Any) -> None:
    """Alter the check in a journal, every hash made to fit."""
    from llem.domain.row import Row

    connection = sqlite3.connect(study.journal)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    last = "genesis"
    for columns in connection.execute("SELECT * FROM events ORDER BY seq").fetchall():
        row = Row(*columns)
        if row.kind == "sensors_checked":
            data = json.loads(row.data)
            change(data)
            row = row._replace(data=json.dumps(data, separators=(",", ":")))
        row = row._replace(prev_hash=last)
        row = row._replace(hash=row.expected_hash())
        connection.execute(
            "UPDATE events SET data = ?, prev_hash = ?, hash = ? WHERE seq = ?",
            (row.data, row.prev_hash, row.hash, row.seq),
        )
        last = row.hash
    connection.commit()
    connection.close()


def test_the_bare_devices_are_measured_before_the_check_puts_them_to_work(lab: Any) -> None:
    study_file = lab.write(
        ["ok", "ok_too"], measurement={**MEASURED, "bare_idle_s": 0.2}, model={"window_s": 0.1, "settle_s": 0.05}
    )
    _, study = lab.run(study_file, env={**SHORT, **METER})
    kinds = study.kinds()
    assert kinds.index("baseline_measured") < kinds.index("sensors_checked") < kinds.index("experiment_running")
    (baseline,), (check,) = study.events("baseline_measured"), study.events("sensors_checked")
    results = [study.result(trial) for trial in study.trials()]
    assert {(result["baseline_seq"], result["check_seq"]) for result in results} == {(baseline["seq"], check["seq"])}
    assert json.loads(lab.llem("study", "verify", study.root, "--json").out)["findings"] == []


@pytest.mark.parametrize("environment", [METER, {**SHORT, "LLEM_ACTING_RECORDER": "none"}])
def test_nothing_is_checked_where_that_is_switched_off_or_nothing_measures(lab: Any, environment: Any) -> None:
    _, study = lab.run(lab.write(["ok"], measurement=MEASURED), env=environment)
    assert study.events("sensors_checked") == []


def test_nothing_is_checked_where_no_trial_is_left(lab: Any) -> None:
    _, study = lab.run(lab.write(["ok"], measurement=MEASURED), env={**SHORT, **METER})
    lab.resume(study, env={**SHORT, **METER})
    assert len(study.events("sensors_checked")) == 1


def test_a_signal_during_the_check_ends_the_session_at_once(lab: Any, until: Any) -> None:
    session, study = lab.start(lab.write(["ok"], measurement=MEASURED), env={"LLEM_CHECK": "60:0", **METER})
    until(lambda: "checking the sensors" in session.err, "the check")
    session.signal(signal.SIGINT)
    session.ended(130)
    assert study.kinds()[-1] == "session_ended"
    assert study.events("sensors_checked", "experiment_running") == []
    assert list((study.root / "samples").iterdir()) == []
    assert lab.survivors() == {}


def test_gpus_are_put_to_work_and_compared_idle_and_under_load(lab: Any, nvml: Any) -> None:
    study_file = lab.write(["ok"], measurement={**MEASURED, "sensors": ["nvml"]})
    _, study = lab.run(study_file, env={**nvml, "LLEM_CHECK": "0.3:2.6", "LLEM_ACTING_LOAD": "works"})
    (event,) = [event["data"] for event in study.events("sensors_checked")]
    assert event["check"]["load"] == "acted work"
    assert event["load_start_ns"] < event["load_end_ns"]
    assert COUNTED in event["loaded"]
    (device,) = event["check"]["devices"]
    assert device["device"] == COUNTED
    assert {agreed["state"] for agreed in device["agreements"]} >= {"load"}
    # What was found holds for the trial, and the figures made of it are those that are recomputed.
    result = study.result(study.trials()[0])
    assert result["check_seq"] == study.events("sensors_checked")[0]["seq"]
    (counter,) = [part["channel"] for part in result["components"] if part["channel"]["kind"] == "energy_j"]
    assert counter["updates_every_s"] == pytest.approx(0.1, rel=0.02)
    assert lab.llem("study", "verify", study.root).wait() == 0


def test_a_signal_during_the_load_ends_the_session_and_the_load(lab: Any, nvml: Any, until: Any) -> None:
    study_file = lab.write(["ok"], measurement={**MEASURED, "sensors": ["nvml"]})
    environment = {**nvml, "LLEM_CHECK": "0.1:60", "LLEM_ACTING_LOAD": "hangs"}
    session, study = lab.start(study_file, env=environment)
    until(lambda: [c for c in session.others().values() if "acting_load" in c], "the load")
    session.signal(signal.SIGTERM)
    session.ended(143)
    assert study.kinds()[-1] == "session_ended"
    assert lab.survivors() == {}


def test_a_load_does_not_outlive_a_killed_session(lab: Any, nvml: Any, until: Any) -> None:
    study_file = lab.write(["ok"], measurement={**MEASURED, "sensors": ["nvml"]})
    session = lab.begin_run(study_file, env={**nvml, "LLEM_CHECK": "0.1:60", "LLEM_ACTING_LOAD": "hangs"})
    until(lambda: [c for c in session.others().values() if "acting_load" in c], "the load")
    session.signal(signal.SIGKILL)
    session.ended(-9)
    until(lambda: not lab.survivors(), "the end of all that the session started")


def test_gpus_that_cannot_be_put_to_work_are_checked_idle_and_the_reason_kept(lab: Any, nvml: Any) -> None:
    study_file = lab.write(["ok"], measurement={**MEASURED, "sensors": ["nvml"]})
    _, study = lab.run(study_file, env={**nvml, "LLEM_CHECK": "0.4:0.4", "LLEM_ACTING_LOAD": "cannot"})
    (event,) = [event["data"] for event in study.events("sensors_checked")]
    assert (event["check"]["load"], event["load_start_ns"]) == (None, None)
    assert event["check"]["no_load_reason"] == "there is no device to work on"
