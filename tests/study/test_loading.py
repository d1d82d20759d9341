"""The load generator from its parent's side: what it tells, and every way in which it does not."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from llem.study.loading import put_under_load
from llem.study.signals import EndingSignals, SessionInterrupted
from llem.worker.load import PRODUCTS, keep_busy

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
    import torch

    if torch.cuda.is_available():
        pytest.skip("here is one")
    with EndingSignals() as signals:
        load = put_under_load(0.05, tmp_path / "load.log", signals)
    assert load.reason == "torch sees no CUDA device", (tmp_path / "load.log").read_text()


@pytest.mark.gpu
def test_the_real_generator_works_on_every_gpu_that_cuda_shows(tmp_path):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    with EndingSignals() as signals:
        load = put_under_load(1.0, tmp_path / "load.log", signals)
    assert load.reason is None, (tmp_path / "load.log").read_text()
    assert len(load.devices) == torch.cuda.device_count()
    assert load.interval[1] - load.interval[0] >= 1e9


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


class ActedTorch:
    """Two devices that take some time for each product: what a load generator uses of torch, and nothing else."""

    __version__ = "acted"
    float16 = "float16"

    def __init__(self):
        self.queued = {}
        self.longest = 0
        self.cuda = self

    def device(self, kind, index):
        return index

    def device_count(self):
        return 2

    def randn(self, rows, columns, *, device, dtype):
        return device

    def current_stream(self, device):
        return ActedStream(self, device)

    def mm(self, left, right, *, out):
        assert left == right == out
        self.queued[out] = self.queued.get(out, 0) + 1
        self.longest = max(self.longest, self.queued[out])

    def synchronize(self, device):
        self.queued[device] = 0

    def get_device_properties(self, device):
        return SimpleNamespace(uuid=f"0-{device}")


class ActedStream:
    def __init__(self, torch, device):
        self._torch, self._device = torch, device

    def record_event(self):
        upto = self._torch.queued[self._device]
        return SimpleNamespace(synchronize=lambda: self._done(upto))

    def _done(self, upto):
        time.sleep(0.001)
        self._torch.queued[self._device] -= PRODUCTS
        assert self._torch.queued[self._device] > 0, "the queue ran empty"


def test_every_device_is_kept_busy_with_a_queue_that_stays_short():
    torch = ActedTorch()
    load = keep_busy(torch, 0.05, warm_s=0.01)
    assert load.devices == ("GPU-0-0", "GPU-0-1")
    assert load.interval[1] - load.interval[0] >= 50_000_000
    assert 0 < torch.longest <= 3 * PRODUCTS
    assert set(torch.queued.values()) == {0}  # all of it is done before it tells
