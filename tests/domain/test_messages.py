import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.messages import (
    ErrorMessage,
    InvalidMessageError,
    PhaseMessage,
    ProgressMessage,
    ResultMessage,
    WorkerSpec,
    parse_message,
    shown,
)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"type":"phase","phase":"load","t_ns":5}', PhaseMessage(phase="load", t_ns=5)),
        (b'{"type":"progress","done":3}', ProgressMessage(done=3)),
        (b'{"type":"progress","done":3,"fraction":0.5}', ProgressMessage(done=3, fraction=0.5)),
        (
            b'{"type":"error","error_type":"OutOfMemory","error_message":"too big"}\n',
            ErrorMessage(error_type="OutOfMemory", error_message="too big"),
        ),
    ],
)
def test_a_line_becomes_its_message(line, message):
    assert parse_message(line) == message


def test_a_measurement_comes_through_the_pipe_as_it_was_sent(make):
    message = ResultMessage(measured=make.measured())
    assert parse_message(message.model_dump_json().encode()) == message


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"", "EOF"),
        (b"garbage", "Invalid JSON"),
        (b"[1, 2]", "object"),
        (b'{"phase":"load"}', "type"),
        (b'{"type":"boom"}', "boom"),
        (b'{"type":"phase","phase":"nap","t_ns":1}', "phase"),
        (b'{"type":"phase","phase":"load"}', "t_ns"),
        (b'{"type":"phase","phase":"load","t_ns":1,"x":1}', "phase.x"),
        (b'{"type":"progress","done":1,"fraction":NaN}', "fraction"),
        (b'{"type":"error","error_type":"","error_message":""}', "error_type"),
        (b'{"type":"phase","phase":"load","t_ns":1}{"type":"phase"}', "Invalid JSON"),
        (b"\xff\xfe\x00", "Invalid JSON"),
    ],
)
def test_a_line_that_is_no_message_is_refused_with_what_is_wrong(line, told):
    with pytest.raises(InvalidMessageError, match=told):
        parse_message(line)


@given(st.binary(max_size=300))
def test_no_line_of_bytes_gives_anything_but_a_message_or_a_refusal(line):
    with pytest.raises(InvalidMessageError) as refused:
        parse_message(line)
    assert str(refused.value).isprintable()


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_no_json_of_another_form_is_taken_for_a_message(value):
    with pytest.raises(InvalidMessageError):
        parse_message(json.dumps(value).encode())


@pytest.mark.parametrize("depth", [100, 10_000, 400_000])
def test_a_line_of_any_depth_is_refused_and_harms_nothing(depth):
    with pytest.raises(InvalidMessageError):
        parse_message(b"[" * depth)


def test_a_measurement_whose_window_ends_before_it_begins_is_refused(make):
    sent = json.loads(ResultMessage(measured=make.measured()).model_dump_json())
    sent["measured"]["window"]["t1_ns"] = sent["measured"]["window"]["t0_ns"]
    with pytest.raises(InvalidMessageError, match="t0_ns < t1_ns"):
        parse_message(json.dumps(sent).encode())


@given(st.binary(max_size=200), st.integers(1, 80))
def test_what_is_shown_of_bytes_is_printable_and_short(raw, limit):
    text = shown(raw, limit)
    assert text.isprintable()
    assert text.isascii() or text.rstrip("…").isascii()
    assert text.endswith("…") == (len(raw.decode("utf-8", "replace")) > limit)


def test_what_is_shown_of_bytes_is_no_half_of_a_token():
    token = b"hf_" + b"a" * 34
    assert shown(b"x" * 70 + b" " + token) == f'"{"x" * 70} [redacted"…'


BEYOND = {
    "a share beyond all": '"type": "progress", "done": 1, "fraction": 1e308',
    "a negative share": '"type": "progress", "done": 1, "fraction": -0.1',
    "no number": '"type": "progress", "done": 1, "fraction": NaN',
    "a negative count": '"type": "progress", "done": -1',
    "a text for a number": '"type": "progress", "done": "1"',
    "a truth for a number": '"type": "phase", "phase": "load", "t_ns": true',
    "a time before all": '"type": "phase", "phase": "load", "t_ns": -1',
    "a time that no column holds": f'"type": "phase", "phase": "load", "t_ns": {1 << 63}',
    "a number of 4,000 digits": f'"type": "phase", "phase": "load", "t_ns": {"9" * 4000}',
    "a number of 5,000 digits": f'"type": "phase", "phase": "load", "t_ns": {"9" * 5000}',
    "half a surrogate": r'"type": "error", "error_type": "A", "error_message": "\ud800"',
}


@pytest.mark.parametrize("line", BEYOND.values(), ids=BEYOND)
def test_a_number_or_text_that_nothing_of_ours_can_hold_is_refused(line):
    with pytest.raises(InvalidMessageError):
        parse_message(f"{{{line}}}".encode())


def test_control_sequences_are_shown_and_not_sent_to_a_screen():
    assert shown(b"\x1b[31mred\r\n") == '"\\u001b[31mred\\r\\n"'


def test_a_workers_specification_comes_back_from_json(make):
    spec = WorkerSpec(trial="e0_c1", attempt=1, config=make.config(), base_dir="/s")
    assert WorkerSpec.model_validate_json(spec.model_dump_json()) == spec
