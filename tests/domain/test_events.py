import hashlib
import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llem.domain.baseline import BaselinePower
from llem.domain.carbon import CarbonFactor
from llem.domain.decoding import payload, typed_event
from llem.domain.errors import JournalError
from llem.domain.events import (
    CURRENT_VERSION,
    AnyEvent,
    BaselineMeasured,
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentInterrupted,
    ExperimentRunning,
    ExperimentSkipped,
    GapWaited,
    JournalRecovered,
    PhaseEntered,
    ResultRejected,
    SensorsChecked,
    SessionEnded,
    SessionStarted,
    StudyCompleted,
    StudyExtended,
    parse_event,
)
from llem.domain.events.recovery import KeptFile
from llem.domain.row import chain_hash
from llem.domain.sensing import SensorReport, UnavailableSensor
from llem.domain.sensor_check import Agreement, ChannelCheck, DeviceCheck, SensorCheck, Spread
from llem.domain.spec import CoolDown, Limits


@pytest.mark.parametrize("name", ["../e0_c1.json", "/etc/passwd", "a/b", "", "a\x00"])
def test_an_event_names_no_file_outside_the_folder_of_its_kind(name, make):
    completed = {"trial": "e0_c1", "attempt": 1, "result_file": "e0_c1.json", "result_sha256": "0" * 64}
    with pytest.raises(ValidationError, match="pattern"):
        ExperimentCompleted(**{**completed, "result_file": name}, headline=make.headline())
    with pytest.raises(ValidationError, match="pattern"):
        ExperimentCompleted(**completed, samples_file=name, samples_sha256="0" * 64, headline=make.headline())
    with pytest.raises(ValidationError, match="pattern"):
        BaselineMeasured(powers=(), why="first", start_ns=0, end_ns=0, samples_file=name)


KINDS = {
    "study_planned",
    "study_extended",
    "experiment_planned",
    "session_started",
    "sensors_checked",
    "baseline_measured",
    "gap_waited",
    "experiment_running",
    "phase_entered",
    "experiment_completed",
    "experiment_failed",
    "experiment_interrupted",
    "experiment_skipped",
    "result_rejected",
    "journal_recovered",
    "session_ended",
    "study_completed",
}
UNION = get_args(get_args(AnyEvent)[0])


@pytest.fixture(scope="session")
def every_event(make):
    """Return one event of each kind, every optional field filled."""
    study, experiment, *_ = make.plan()
    report = SensorReport(
        channels=(make.channel(wraps_at_j=262143.328850),),
        unavailable=(UnavailableSensor(sensor="rapl", reason="hidden", remedy="bare metal"),),
    )
    about = {"trial": "e0_c1", "attempt": 2}
    events = [
        study,
        StudyExtended(
            study_design_hash=make.sha,
            llem_version="0.1",
            cycles=3,
            limits=Limits(study_s=5.0),
            reruns=1,
            retries=2,
            sequence=[1, 0],
            added=0,
            summaries=({"batch_size": 1}, {"batch_size": 2}),
            carbon=CarbonFactor(intensity_g_per_kwh=56, source="RTE", pue=1.2),
        ),
        experiment,
        SessionStarted(command="run", llem_version="0.1", pid=1, host=make.host(), sensors=report),
        SensorsChecked(
            check=SensorCheck(
                duration_s=3.0,
                channels=(
                    ChannelCheck(
                        channel="c",
                        readings=9,
                        updates=3,
                        period_s=Spread(median=0.1, p5=0.09, p95=0.11),
                        resolution=0.001,
                        call_s=Spread(median=1e-5, p5=9e-6, p95=2e-5),
                        monotonic=True,
                        reason="…",
                    ),
                ),
                devices=(
                    DeviceCheck(
                        device="d",
                        counter="c",
                        counter_is_sum=False,
                        why="…",
                        residual_w=0.5,
                        noise_w=0.5,
                        agreements=(
                            Agreement(
                                state="idle",
                                channel="p",
                                counter_w=20.0,
                                channel_w=20.1,
                                relative=0.005,
                                duration_s=3,
                            ),
                        ),
                        grade="good",
                    ),
                ),
                load="torch",
                no_load_reason="…",
            ),
            samples_file="check_1.jsonl.gz",
            samples_sha256=make.sha,
            idle_start_ns=1,
            idle_end_ns=2,
            load_start_ns=3,
            load_end_ns=4,
        ),
        BaselineMeasured(
            powers=(BaselinePower(channel="c", power_w=20.0, u_w=0.1, reason="…"),),
            why="first",
            start_ns=1,
            end_ns=2,
            samples_file="baseline_1_1.jsonl.gz",
            samples_sha256=make.sha,
        ),
        ExperimentRunning(**about, log_file="logs/e0_c1_a2.log", launcher="local"),
        PhaseEntered(**about, phase="warmup", t_ns=123),
        ExperimentCompleted(
            **about,
            result_file="r.json",
            result_sha256=make.sha,
            samples_file="s.json.gz",
            samples_sha256=make.sha,
            headline=make.headline(),
        ),
        ExperimentFailed(
            **about,
            error_type="OutOfMemory",
            error_message="too big: “é\n\x1b”",
            phase="load",
            exit_code=1,
            signal="SIGKILL",
            traceback="Traceback …",
        ),
        ExperimentInterrupted(**about, reason="SIGTERM", phase="measure"),
        ExperimentSkipped(trial="e0_c1", reason="does not fit"),
        GapWaited(
            trial="e0_c2",
            between="cycles",
            planned=CoolDown(cool_to_c=45.0, at_most_s=300.0),
            waited_s=12.5,
            temperature_c=44.0,
            reason="…",
        ),
        ResultRejected(**about, file="results/r.json", reason="the file is missing"),
        JournalRecovered(
            llem_version="0.1",
            reason="event 7 was altered",
            unreadable=1,
            invalid=2,
            remembered_seq=9,
            lost_trials=("e0_c1",),
            kept_in="2026-01-02T03-04-05.2",
            files=(KeptFile(name="journal.db", sha256=make.sha),),
            set_aside=("manifest.json",),
        ),
        SessionEnded(reason="interrupted", detail="SIGINT"),
        StudyCompleted(completed=3, failed=1, skipped=0),
    ]
    return {event.kind: event for event in events}


def test_the_kinds_are_those_of_the_design_and_all_are_listed_with_their_version():
    assert {cls.model_fields["kind"].default for cls in UNION} == KINDS
    assert {cls.model_fields["kind"].default: cls.model_fields["v"].default for cls in UNION} == CURRENT_VERSION


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_event_comes_back_from_its_row_as_it_went_in(make, every_event, kind):
    event = every_event[kind]
    row = make.chain().append(event)
    assert typed_event(row) == event
    assert type(typed_event(row)) is type(event)
    assert payload(row) == row.payload() == event.data()
    assert (row.kind, row.v, row.trial, row.attempt) == (kind, event.v, event.trial, event.attempt)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_routes_the_fold_is_stored_in_columns_only(every_event, kind):
    assert not {"kind", "v", "trial", "attempt"} & set(every_event[kind].data())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_event_cannot_be_changed(every_event, kind):
    with pytest.raises(ValidationError, match="frozen"):
        every_event[kind].v = 2


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_event_with_an_unknown_key_is_refused(every_event, kind):
    fields = {**every_event[kind].model_dump(mode="json"), "surprise": 1}
    with pytest.raises(JournalError, match="surprise"):
        parse_event(fields, 5)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_event_of_a_newer_form_is_refused_with_the_advice_to_upgrade(every_event, kind):
    fields = {**every_event[kind].model_dump(mode="json"), "v": CURRENT_VERSION[kind] + 1}
    told = rf"Event 7 is a '{kind}' of version {fields['v']}.*upgrade llem"
    with pytest.raises(JournalError, match=told) as refused:
        parse_event(fields, 7)
    assert refused.value.exit_code == 3


def test_an_event_of_an_unknown_kind_is_refused_with_the_advice_to_upgrade():
    with pytest.raises(JournalError, match=r"Event 9 is a 'gpu_melted' of version 1.*upgrade llem"):
        parse_event({"kind": "gpu_melted", "v": 1}, 9)


def test_an_event_without_a_field_names_the_field():
    with pytest.raises(JournalError, match=r"Event 3 is no valid 'session_ended': session_ended\.reason"):
        parse_event({"kind": "session_ended", "v": 1}, 3)


@pytest.mark.parametrize("attempt", [0, -1, None])
def test_an_attempt_is_counted_from_one(attempt):
    with pytest.raises(ValidationError):
        ExperimentRunning(trial="t", attempt=attempt, log_file="l", launcher="local")


@pytest.mark.parametrize("sha256", ["", "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n"])
def test_a_result_is_named_with_a_whole_hash(make, sha256):
    with pytest.raises(ValidationError):
        ExperimentCompleted(trial="t", attempt=1, result_file="r", result_sha256=sha256, headline=make.headline())


@pytest.mark.parametrize("data", ["[]", "1", "null", "not json", '{"reason": "finished", "detail": NaN}'])
def test_a_row_whose_data_is_no_such_event_is_a_journal_error(make, data):
    row = make.chain().append(SessionEnded(reason="finished"))._replace(data=data)
    with pytest.raises(JournalError):
        typed_event(row)


def test_the_hash_of_a_row_covers_every_column(make):
    chain = make.chain()
    chain.append(SessionEnded(reason="finished"))
    row = chain.append(PhaseEntered(trial="t", attempt=1, phase="load", t_ns=1))
    assert row.hash == row.expected_hash()
    for column, value in row._asdict().items():
        if column != "hash":
            changed = row._replace(**{column: value + 1 if isinstance(value, int) else value + "x"})
            assert changed.expected_hash() != row.hash, column


def test_columns_that_run_together_have_different_hashes():
    one = chain_hash(1, "t", 1, "ab", 1, "c", 1, "{}", "genesis")
    other = chain_hash(1, "t", 1, "a", 1, "bc", 1, "{}", "genesis")
    assert one != other


def test_a_literal_row_has_the_same_hash_in_every_release():
    found = chain_hash(1, "2026-01-02T03:04:05.000006Z", 1, "session_ended", 1, None, None, '{"a":"é"}', "genesis")
    assert found == "f448204708d22212664bb193c7f0a95d81a88bbb857ed8d1277da337a3054f07"


@given(
    st.tuples(
        st.integers(1),
        st.text(),
        st.integers(1),
        st.text(),
        st.integers(1),
        st.none() | st.text(),
        st.none() | st.integers(1),
        st.text(st.characters(exclude_categories=())),
        st.text(),
    )
)
def test_what_is_hashed_is_the_columns_as_plain_json(columns):
    text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
    assert chain_hash(*columns) == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def test_no_damage_to_the_type_of_a_column_leaves_its_hash_or_stops_the_check(make):
    row = make.chain().append(PhaseEntered(trial="t", attempt=1, phase="load", t_ns=1))
    for column, value in row._asdict().items():
        if column != "hash":
            for other in (str(value).encode(), None, float(value) + 0.5 if isinstance(value, int) else 1, str(value)):
                if other != value:
                    assert row._replace(**{column: other}).expected_hash() != row.hash, (column, other)


@pytest.mark.parametrize("v", [0, 1])
def test_an_unknown_kind_is_refused_whatever_version_it_claims(v):
    with pytest.raises(JournalError, match="upgrade llem"):
        parse_event({"kind": "gpu_melted", "v": v}, 9)
