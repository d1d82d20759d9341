"""The protocol of one trial, with an acting engine: what is done in which order, and when."""

import os
import time
from itertools import pairwise

import pytest

from llem.domain.convergence import still_changing
from llem.domain.measured import Flops, Memory, ModelFacts
from llem.domain.messages import GoOn, PhaseMessage, ProgressMessage, Stagger, WorkerSpec
from llem.engines.base import BatchTiming, PassCount
from llem.worker.hearing import HearingPipe
from llem.worker.protocol import measure
from llem.worker.voice import PROGRESS_EVERY_S, Voice
from llem.worker.warmup import warm_up
from llem.worker.windows import wait_until

QUICK = {
    "warmup_passes": 1,
    "warmup_max_s": 0,
    "soak_max_s": 0,
    "min_window_s": 0,
    "min_passes": 1,
    "guard_s": 0,
    "phases": False,
    "latency_passes": 0,
    "count_flops": False,
}
STEADY = GoOn(steady=True)


class ActingEngine:
    """Notes what it is told to do; a pass takes as long as ``pass_s`` says for that pass, on the real clock."""

    def __init__(self, pass_s=0.001):
        self.pass_s = pass_s if callable(pass_s) else lambda number: pass_s
        self.did = []

    def _do(self, what, seconds=0.0):
        start_ns = time.monotonic_ns()
        wait_until(start_ns + round(seconds * 1e9))
        self.did.append((what, start_ns, time.monotonic_ns()))

    def names(self):
        return [what for what, _, _ in self.did]

    def load(self):
        self._do("load", 0.01)

    def prepare(self):
        self._do("prepare")
        return "0" * 64

    def facts(self):
        return ModelFacts(
            parameters=1, weight_bytes=4, dtype="float32", attn_implementation=None, devices=("GPU-1",),
            device_names=("acted",), tokenizer="bytes", revision=None, weights_sha256=None,
            unknown={"revision": "acted", "weights_sha256": "acted"},
        )  # fmt: skip

    def libraries(self):
        return {}

    def run_pass(self):
        self._do("pass", self.pass_s(self.names().count("pass")))
        return PassCount(requests=2, input_tokens=8, padding_tokens=0, output_tokens=6)

    def prefill_pass(self):
        self._do("prefill", 0.001)
        return PassCount(requests=2, input_tokens=8, padding_tokens=0, output_tokens=2)

    def timed_pass(self):
        self._do("timed")
        return [BatchTiming(0, (10, 20, 30))]

    def outputs_sha256(self):
        return None

    def count_flops(self):
        self._do("flops")
        return Flops(per_pass=1, source="acted")

    def synchronize(self):
        self._do("synchronize")

    def reset_peak_memory(self):
        self._do("reset")

    def peak_memory(self):
        self._do("peak")
        return Memory(torch_allocated_bytes=None, torch_reserved_bytes=None, rss_bytes=1)


@pytest.fixture
def act(make):
    """Return a function that measures with an acting engine and returns (measured, messages, engine)."""

    def of(engine=None, *, hear=lambda: None, output_tokens=3, **options):
        engine = engine or ActingEngine()
        told = {name: options.pop(name) for name in ("guard_s", "stagger", "soak", "metered") if name in options}
        config = make.config(measurement={**QUICK, **options}, generation={"output_tokens": output_tokens})
        spec = WorkerSpec(trial="a_c1", attempt=1, config=config, base_dir="/", **told)
        sent = []
        return measure(engine, spec, sent.append, hear), sent, engine

    return of


def phases(sent):
    return [message.phase for message in sent if isinstance(message, PhaseMessage)]


def within(engine, what, interval):
    """Return how often the engine did something that lies in an interval wholly."""
    return sum(
        interval.start_ns <= start_ns and end_ns <= interval.end_ns
        for name, start_ns, end_ns in engine.did
        if name == what
    )


class Between:
    def __init__(self, start_ns, end_ns):
        self.start_ns, self.end_ns = start_ns, end_ns


def idle(engine, start_ns, end_ns):
    """Return whether nothing was submitted in a time; to wait for the devices submits nothing."""
    return not any(begun < end_ns and start_ns < ended for name, begun, ended in engine.did if name != "synchronize")


def test_every_phase_comes_once_and_in_order(act):
    _, sent, _ = act(
        hear=lambda: STEADY, guard_s=0.01, soak=True, soak_max_s=9, phases=True, count_flops=True, latency_passes=1
    )
    assert phases(sent) == [
        "load", "prepare", "loaded_idle", "count_flops", "warmup", "soak", "measure", "prefill", "latency", "teardown"
    ]  # fmt: skip


def test_what_is_not_asked_for_leaves_no_phase_and_no_record(act):
    measured, sent, _ = act()
    assert phases(sent) == ["load", "prepare", "warmup", "measure", "latency", "teardown"]
    assert (measured.loaded_idle, measured.soak, measured.prefill) == (None, None, None)


def test_without_a_meter_nothing_is_done_for_figures_of_energy_alone(act):
    measured, sent, _ = act(guard_s=0.01, phases=True, metered=False)
    assert phases(sent) == ["load", "prepare", "warmup", "measure", "latency", "teardown"]
    assert (measured.loaded_idle, measured.prefill) == (None, None)


def test_a_worker_speaks_after_a_long_timed_pass(act):
    class Slow(ActingEngine):
        def timed_pass(self):
            time.sleep(PROGRESS_EVERY_S)
            return super().timed_pass()

    sent = act(Slow(), latency_passes=2)[1]
    after = sent[[getattr(message, "phase", None) for message in sent].index("latency") + 1 :]
    assert [(message.done, message.fraction) for message in after if isinstance(message, ProgressMessage)] == [
        (1, 0.5),
        (2, 1.0),
    ]


def test_loading_ends_when_the_devices_are_done(act):
    measured, _, engine = act()
    assert engine.names()[:2] == ["load", "synchronize"]
    assert within(engine, "load", measured.load) == within(engine, "synchronize", measured.load) == 1
    assert measured.load_s == measured.load.duration_s >= 0.01


def test_a_loaded_model_idles_for_a_guard_before_any_work(act):
    measured, _, engine = act(guard_s=0.05, count_flops=True)
    assert measured.loaded_idle.duration_s >= 0.05
    assert idle(engine, measured.loaded_idle.start_ns, measured.loaded_idle.end_ns)
    assert all(
        start_ns >= measured.loaded_idle.end_ns for name, start_ns, _ in engine.did if name in ("pass", "flops")
    )


def test_a_warm_up_that_is_not_to_converge_is_the_passes_that_were_asked_for(act):
    measured, _, engine = act(warmup_passes=4)
    before = engine.names()[: engine.names().index("reset")]
    assert before.count("pass") == len(measured.warmup_s) == 4
    assert measured.warmup.model_dump() == {
        "repeats": (), "converged": None, "reason": "not looked at: measurement.warmup_max_s is 0", "passes": ()
    }  # fmt: skip


def warmed(engine, make, **settings):
    """Warm up with repeats of a hundredth of a second; return the warm-up and the messages."""
    sent = []
    measurement = make.config(measurement={**QUICK, **settings}).measurement
    return warm_up(engine, measurement, Voice(sent.append), repeat_s=0.01)[0], sent


def test_a_warm_up_ends_once_five_repeats_are_alike(make):
    engine = ActingEngine(lambda number: 0.08 - 0.006 * min(number, 8))
    found, _ = warmed(engine, make, warmup_max_s=30)
    assert (found.converged, found.reason) == (True, None)
    assert len(found.repeats) > 8
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(found.repeats))
    assert still_changing([one.duration_s / n for one, n in zip(found.repeats, found.passes, strict=True)]) is None


def test_a_repeat_is_whole_passes_that_take_long_enough_together(make):
    engine = ActingEngine(0.004)
    found, _ = warmed(engine, make, warmup_max_s=0.2)
    for repeat, passes in zip(found.repeats, found.passes, strict=True):
        assert repeat.duration_s >= 0.01
        assert within(engine, "pass", repeat) == passes >= 1


def test_a_warm_up_that_does_not_converge_ends_at_its_limit_and_says_what_still_changed(make):
    engine = ActingEngine(lambda number: 0.01 * (1 + number % 2))
    found, sent = warmed(engine, make, warmup_max_s=1.5)
    assert found.converged is False
    assert found.reason.startswith("not within 1.5 s: the last 5 repeats ")
    assert 0.5 < sent[-1].fraction <= 1


def test_a_soak_lasts_until_the_parent_says_go_on(act):
    words = iter([None, None, None, GoOn(steady=None, reason="no thermometer")])
    measured, sent, engine = act(hear=lambda: next(words), soak=True, soak_max_s=60)
    soak = measured.soak
    assert (soak.passes, soak.steady, soak.reason) == (4, None, "no thermometer")
    assert within(engine, "pass", soak.interval) == 4
    (entered,) = [message for message in sent if getattr(message, "phase", None) == "soak"]
    assert entered.devices == ("GPU-1",)


def test_a_soak_that_nobody_ends_ends_at_its_limit(act):
    measured, _, _ = act(soak=True, soak_max_s=0.05)
    assert measured.soak.interval.duration_s >= 0.05
    assert (measured.soak.steady, measured.soak.reason) == (False, "not steady within 0.05 s")


@pytest.mark.parametrize("settings", [{"soak": False, "soak_max_s": 9}, {"soak": True, "soak_max_s": 0}])
def test_nobody_soaks_who_is_not_told_to(act, settings):
    measured, sent, _ = act(**settings)
    assert measured.soak is None
    assert "soak" not in phases(sent)


def test_a_window_in_one_piece_is_long_enough_has_enough_passes_and_idle_guards(act):
    measured, _, engine = act(guard_s=0.03, min_window_s=0.05, min_passes=3)
    window = measured.window
    assert window.segments == ()
    assert window.duration_s >= 0.05
    assert within(engine, "pass", Between(window.t0_ns, window.t1_ns)) == window.passes >= 3
    assert measured.work.requests == 2 * window.passes
    assert measured.work.output_tokens == 6 * window.passes
    for start_ns, end_ns in ((window.guard_start_ns, window.t0_ns), (window.t1_ns, window.guard_end_ns)):
        assert (end_ns - start_ns) / 1e9 >= 0.03
        assert idle(engine, start_ns, end_ns)


def test_the_clocks_are_anchored_before_and_after_the_window(act):
    window = act(guard_s=0.02)[0].window
    assert window.guard_start_ns <= window.anchor_monotonic_ns <= window.t0_ns
    assert window.guard_end_ns <= window.anchor_end_monotonic_ns
    passed_s = (window.anchor_end_monotonic_ns - window.anchor_monotonic_ns) / 1e9
    assert (window.anchor_end_utc - window.anchor_utc).total_seconds() == pytest.approx(passed_s, abs=0.05)


def test_segments_share_the_window_and_the_guards_between_them(act):
    stagger = Stagger(segments=4, period_s=0.1)
    measured, _, engine = act(guard_s=0.02, min_window_s=0.08, min_passes=6, stagger=stagger)
    window = measured.window
    assert len(window.segments) == 4
    for segment in window.segments:
        assert segment.duration_s >= 0.02
        assert within(engine, "pass", Between(segment.t0_ns, segment.t1_ns)) == segment.passes >= 2
        assert idle(engine, segment.guard_start_ns, segment.t0_ns)
        assert (segment.t0_ns - segment.guard_start_ns) / 1e9 >= 0.02
    for left, right in pairwise(window.segments):
        assert (left.t1_ns, left.guard_end_ns) == (right.guard_start_ns, right.t0_ns)
    assert window.passes == sum(segment.passes for segment in window.segments)
    assert window.duration_s >= 0.08


@pytest.mark.parametrize(("devices", "segments"), [(("GPU-9",), 0), (("GPU-9", "GPU-1"), 2), (None, 2)])
def test_only_work_on_a_device_whose_sensor_needs_segments_is_measured_in_segments(act, devices, segments):
    stagger = Stagger(segments=2, period_s=0.01, devices=devices)
    measured = act(min_window_s=0.01, stagger=stagger)[0]
    assert measured.model.devices == ("GPU-1",)
    assert len(measured.window.segments) == segments


def test_no_segment_has_fewer_passes_than_the_first_however_slow_they_become(act):
    engine = ActingEngine(pass_s=lambda number: 0.001 if number < 10 else 0.004)
    window = act(engine, min_window_s=0.04, stagger=Stagger(segments=4, period_s=0.01))[0].window
    first, *others = window.segments
    assert all(segment.passes >= first.passes for segment in others)
    assert first.duration_s >= 1.02 * 0.01


def test_segments_are_begun_when_they_are_due(act):
    stagger = Stagger(segments=5, period_s=0.05)
    window = act(min_window_s=0.01, stagger=stagger)[0].window
    late_s = [
        ((segment.t0_ns - window.t0_ns) / 1e9 - number / 5 * 0.05) % 0.05
        for number, segment in enumerate(window.segments)
    ]
    # A busy machine may hold up one of them; that most are met shows that each was waited for.
    assert sorted(late_s)[2] < 0.005


def test_prefill_is_measured_like_the_whole_and_after_one_pass_that_does_not_count(act):
    stagger = Stagger(segments=2, period_s=0.01)
    measured, _, engine = act(guard_s=0.01, min_window_s=0.02, min_passes=3, stagger=stagger, phases=True)
    prefill = measured.prefill
    assert len(prefill.window.segments) == 2
    assert prefill.window.duration_s >= 0.02
    assert prefill.window.passes >= 4
    assert engine.names().count("prefill") == prefill.window.passes + 1
    assert prefill.requests == prefill.output_tokens == 2 * prefill.window.passes
    assert prefill.input_tokens == 8 * prefill.window.passes
    assert prefill.window.guard_start_ns >= measured.window.guard_end_ns


def test_one_output_token_is_prefill_alone_so_there_is_no_window_of_it(act):
    measured, sent, engine = act(phases=True, output_tokens=1)
    assert measured.prefill is None
    assert "prefill" not in phases(sent) + engine.names()


def test_latencies_are_timed_after_the_windows(act):
    measured, _, engine = act(phases=True, latency_passes=2)
    timed = [start_ns for name, start_ns, _ in engine.did if name == "timed"]
    assert len(timed) == measured.latency.passes == 2
    assert min(timed) >= measured.prefill.window.guard_end_ns


def test_a_worker_hears_whole_messages_and_never_waits_for_one():
    reader, writer = os.pipe()
    try:
        hear = HearingPipe(reader)
        assert hear() is None
        line = GoOn(steady=True, reason="x").model_dump_json().encode() + b"\n"
        os.write(writer, line[:10])
        assert hear() is None
        os.write(writer, line[10:] + line)
        assert hear() == hear() == GoOn(steady=True, reason="x")
        assert hear() is None
    finally:
        os.close(writer)
    assert hear() is None
    os.close(reader)
