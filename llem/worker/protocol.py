"""One attempt, step by step: load, prepare, warm up, soak, measure, time. The same for every engine."""

import time
from itertools import pairwise

from llem.domain.measured import Flops, Interval, Latency, Measured, PhaseWindow, Work
from llem.domain.messages import WorkerSpec
from llem.domain.spec import Measurement
from llem.domain.statistics import percentiles
from llem.engines.base import BatchTiming, Engine, PassCount
from llem.worker.hearing import Hear
from llem.worker.voice import Send, Voice
from llem.worker.warmup import soak, warm_up
from llem.worker.windows import WindowPlan, measured_window


def measure(engine: Engine, spec: WorkerSpec, send: Send, hear: Hear) -> Measured:
    """Measure one experiment once.

    Phases and progress are sent as they come. Nothing is sent between the passes of a window more often than
    once a second, and nothing else happens there.

    Args:
        engine: The engine, not yet loaded.
        spec: What to measure, and how long the guards and how many the segments are.
        send: Takes the messages.
        hear: Gives what the parent says.
    """
    config, settings, voice = spec.config, spec.config.measurement, Voice(send)
    load = _load(engine, voice)
    voice.enter("prepare")
    prompts_sha256 = engine.prepare()
    facts = engine.facts()
    loaded_idle = _loaded_idle(engine, spec.guard_s if spec.metered else 0.0, voice)
    flops = _flops(engine, settings, voice)
    voice.enter("warmup")
    warmup, warmup_s = warm_up(engine, settings, voice)
    soaked = None
    if spec.soak and settings.soak_max_s:
        voice.enter("soak", facts.devices)
        soaked = soak(engine, settings, voice, hear)

    stagger = spec.stagger if spec.stagger and spec.stagger.serves(facts.devices) else None
    plan = WindowPlan(settings.min_window_s, settings.min_passes, spec.guard_s, stagger)
    voice.enter("measure")
    engine.reset_peak_memory()
    window, total = measured_window(engine, engine.run_pass, plan, voice)
    memory = engine.peak_memory()
    prefill = None
    if spec.metered and settings.phases and config.generation.output_tokens > 1:
        voice.enter("prefill")
        prefill = _prefill(engine, plan, voice)

    voice.enter("latency")
    timings = []
    for done in range(1, settings.latency_passes + 1):
        timings.append(engine.timed_pass())
        voice.progress(done, done / settings.latency_passes)
    outputs_sha256 = engine.outputs_sha256()
    voice.enter("teardown")
    return Measured(
        window=window,
        work=_work(total, config.generation.output_tokens, prompts_sha256, outputs_sha256),
        latency=_latency([batch for timed in timings for batch in timed], passes=len(timings)),
        memory=memory,
        model=facts,
        flops=flops,
        load_s=load.duration_s,
        libraries=engine.libraries(),
        warmup_s=warmup_s,
        load=load,
        loaded_idle=loaded_idle,
        warmup=warmup,
        soak=soaked,
        prefill=prefill,
    )


def _load(engine: Engine, voice: Voice) -> Interval:
    """Load the model and return when that was, the devices' part included."""
    voice.enter("load")
    start_ns = time.monotonic_ns()
    engine.load()
    engine.synchronize()
    return Interval(start_ns=start_ns, end_ns=time.monotonic_ns())


def _loaded_idle(engine: Engine, guard_s: float, voice: Voice) -> Interval | None:
    """Submit nothing for as long as a guard, and return when that was; None where there are no guards."""
    if not guard_s:
        return None
    voice.enter("loaded_idle")
    engine.synchronize()
    start_ns = time.monotonic_ns()
    time.sleep(guard_s)
    return Interval(start_ns=start_ns, end_ns=time.monotonic_ns())


def _flops(engine: Engine, settings: Measurement, voice: Voice) -> Flops:
    if not settings.count_flops:
        return Flops(per_pass=None, source=None, reason="switched off: measurement.count_flops is false")
    voice.enter("count_flops")
    return engine.count_flops()


def _prefill(engine: Engine, plan: WindowPlan, voice: Voice) -> PhaseWindow:
    """Measure a window of prefill-only passes, after one that does not count: its shapes are new to the device."""
    engine.prefill_pass()
    window, total = measured_window(engine, engine.prefill_pass, plan, voice)
    return PhaseWindow(
        window=window,
        requests=total.requests,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
    )


def _work(total: PassCount, output_tokens: int, prompts_sha256: str, outputs_sha256: str | None) -> Work:
    return Work(
        **total._asdict(),
        asked_output_tokens=total.requests * output_tokens,
        prompts_sha256=prompts_sha256,
        outputs_sha256=outputs_sha256,
    )


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
