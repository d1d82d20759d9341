"""The load generator from its parent's side: what it tells, and every way in which it does not."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from llem.study.loading import put_under_load
from llem.study.signals import EndingSignals, SessionInterrupted

ACTING = Path(__file__).parents[1] / "processes" / "workers" / "acting_load.py"


def acted(what, log, **options):
    with EndingSignals() as signals:
        return put_under_load(0.05, log, signals, command=(sys.executable, str(ACTING), what), **options)


def test_a_load_tells_when_and_on_what_it_worked(tmp_path):
    before_ns = time.monotonic_ns()
    load = acted("works", tmp_path / "load.log")
    assert load.reason is None
    assert load.name == "acted work"
    assert len(load.devices) == 2
    start_ns, end_ns = load.interval
    assert before_ns < start_ns <= end_ns - 50_000_000 < time.monotonic_ns()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("cannot", "there is no device to work on"),
        ("dies", "ended without a word"),
        ("babbles", "the load generator says"),
    ],
)
def test_a_load_that_did_not_work_is_none_with_a_reason(tmp_path, what, reason):
    load = acted(what, tmp_path / "load.log")
    assert load.interval is None
    assert reason in load.reason


def test_a_generator_that_cannot_be_started_is_no_error(tmp_path):
    with EndingSignals() as signals:
        load = put_under_load(0.05, tmp_path / "load.log", signals, command=(str(tmp_path / "nothing"),))
    assert "cannot be started" in load.reason


def test_the_real_generator_says_that_there_is_no_cuda_device(tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("here is one")
    with EndingSignals() as signals:
        load = put_under_load(0.05, tmp_path / "load.log", signals)
    assert load.reason == "torch sees no CUDA device", (tmp_path / "load.log").read_text()


def test_a_signal_ends_the_wait_and_the_generator_at_once(tmp_path):
    ticks = []
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(SessionInterrupted):
        acted("hangs", tmp_path / "load.log", tick=lambda: ticks.append(1))
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if is_ours(path)]


def is_ours(cmdline):
    try:
        words = cmdline.read_bytes().split(b"\0")
    except OSError:
        return False
    return str(ACTING).encode() in words and b"hangs" in words and str(os.getpid()).encode() in words
