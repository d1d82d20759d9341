"""One attempt, step by step: load, prepare, warm up, measure, time. The same for every engine."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

from llem.domain.events import Phase
from llem.domain.messages import PhaseMessage, ProgressMessage
from llem.domain.result import Flops, Latency, Measured, Window, Work
from llem.domain.spec import ExperimentConfig, Measurement
from llem.domain.statistics import percentiles
from llem.engines.base import BatchTiming, Engine, PassCount

PROGRESS_EVERY_S = 0.5

Send = Callable[[PhaseMessage | ProgressMessage], None]


def measure(engine: Engine, config: ExperimentConfig, send: Send) -> Measured:
    """Measure one experiment once.

    Phases and progress are sent as they come. Nothing is sent between the passes of the window more often than
    every half second, and nothing else happens there.

    Args:
        engine: The engine, not yet loaded.
        config: What to measure.
        send: Takes the messages.
    """
    settings = config.measurement
    _enter("load", send)
    loading_ns = time.monotonic_ns()
    engine.load()
    load_s = (time.monotonic_ns() - loading_ns) / 1e9
    _enter("prepare", send)
    prompts_sha256 = engine.prepare()
    facts = engine.facts()

    flops = Flops(per_pass=None, source=None, reason="switched off: measurement.count_flops is false")
    if settings.count_flops:
        _enter("count_flops", send)
        flops = engine.count_flops()
    _enter("warmup", send)
    warmup_s = tuple(_warm_up(engine, settings, send))

    _enter("measure", send)
    engine.reset_peak_memory()
    window, counts = _window(engine, settings, send)
    memory = engine.peak_memory()

    _enter("latency", send)
    timings = [engine.timed_pass() for _ in range(settings.latency_passes)]
    outputs_sha256 = engine.outputs_sha256()
    _enter("teardown", send)
    total = PassCount(*map(sum, zip(*counts, strict=True)))
    return Measured(
        window=window,
        work=Work(
            **total._asdict(),
            asked_output_tokens=total.requests * config.generation.output_tokens,
            prompts_sha256=prompts_sha256,
            outputs_sha256=outputs_sha256,
        ),
        latency=_latency([batch for timed in timings for batch in timed], passes=len(timings)),
        memory=memory,
        model=facts,
        flops=flops,
        load_s=load_s,
        libraries=engine.libraries(),
        warmup_s=warmup_s,
    )


def _enter(phase: Phase, send: Send) -> None:
    send(PhaseMessage(phase=phase, t_ns=time.monotonic_ns()))


def _warm_up(engine: Engine, settings: Measurement, send: Send) -> list[float]:
    """Run the workload ``warmup_passes`` times and return each pass's seconds."""
    durations_s = []
    for done in range(settings.warmup_passes):
        start_ns = time.monotonic_ns()
        engine.run_pass()
        engine.synchronize()
        durations_s.append((time.monotonic_ns() - start_ns) / 1e9)
        send(ProgressMessage(done=done + 1, fraction=(done + 1) / settings.warmup_passes))
    return durations_s


def _window(engine: Engine, settings: Measurement, send: Send) -> tuple[Window, list[PassCount]]:
    """Repeat the workload between two guards until the window is long enough and has enough passes."""
    engine.synchronize()
    guard_start_ns = time.monotonic_ns()
    anchor_utc, anchor_ns = datetime.now(UTC), time.monotonic_ns()
    time.sleep(settings.guard_s)
    counts: list[PassCount] = []
    t0_ns = told_ns = time.monotonic_ns()
    while True:
        counts.append(engine.run_pass())
        now_ns = time.monotonic_ns()
        elapsed_s = (now_ns - t0_ns) / 1e9
        if len(counts) >= settings.min_passes and elapsed_s >= settings.min_window_s:
            break
        if (now_ns - told_ns) / 1e9 >= PROGRESS_EVERY_S:
            told_ns = now_ns
            send(ProgressMessage(done=len(counts), fraction=_fraction(len(counts), elapsed_s, settings)))
    engine.synchronize()
    t1_ns = time.monotonic_ns()
    time.sleep(settings.guard_s)
    window = Window(
        t0_ns=t0_ns,
        t1_ns=t1_ns,
        guard_start_ns=guard_start_ns,
        guard_end_ns=time.monotonic_ns(),
        anchor_monotonic_ns=anchor_ns,
        anchor_utc=anchor_utc,
        passes=len(counts),
    )
    return window, counts


def _fraction(passes: int, elapsed_s: float, settings: Measurement) -> float:
    by_time = elapsed_s / settings.min_window_s if settings.min_window_s else 1.0
    return min(1.0, by_time, passes / settings.min_passes)


def _latency(batches: list[BatchTiming], *, passes: int) -> Latency:
    """Return the spread of the token times of timed batches."""
    timed = [batch for batch in batches if batch.token_ns]
    later = [batch for batch in timed if len(batch.token_ns) > 1]
    return Latency(
        ttft_s=percentiles([(batch.token_ns[0] - batch.start_ns) / 1e9 for batch in timed]),
        itl_s=percentiles([(b - a) / 1e9 for batch in later for a, b in pairwise(batch.token_ns)]),
        tpot_s=percentiles(
            [(batch.token_ns[-1] - batch.token_ns[0]) / 1e9 / (len(batch.token_ns) - 1) for batch in later]
        ),
        end_to_end_s=percentiles([(batch.token_ns[-1] - batch.start_ns) / 1e9 for batch in timed]),
        passes=passes,
    )
