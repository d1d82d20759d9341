"""Work before the window: until the workload's time no longer changes, and then until the devices are steady."""

import time

from llem.domain.convergence import still_changing
from llem.domain.measured import Interval, Soak, WarmUp
from llem.domain.spec import Measurement
from llem.engines.base import Engine
from llem.worker.hearing import Hear
from llem.worker.voice import Voice

REPEAT_S = 0.5
"""A repeat takes at least this long, so that neither a clock's nor a scheduler's grain shows in its time."""
MAX_REPEATS = 1000
"""A result holds no more of them, however long the warm-up may take: its message has a limit of size."""


def warm_up(
    engine: Engine, settings: Measurement, voice: Voice, repeat_s: float = REPEAT_S
) -> tuple[WarmUp, tuple[float, ...]]:
    """Run the workload until its time no longer changes.

    The first ``warmup_passes`` passes stand for themselves: they meet cold caches and are not looked at. What follows
    is repeated until its last repeats are alike, or until ``warmup_max_s`` are over since the beginning; the repeat
    at which that happens is completed.

    Args:
        engine: The engine, prepared.
        settings: How many passes, and how long at most.
        voice: Tells of progress.
        repeat_s: A repeat takes at least this long, in seconds.

    Returns:
        The repeats and what became of them, and the seconds of each of the first passes.
    """
    began_ns = time.monotonic_ns()
    passes_s = []
    for done in range(1, settings.warmup_passes + 1):
        passes_s.append(_pass_s(engine))
        # How long the repeats after them will take is not known, so no share of the whole is.
        voice.progress(done, None if settings.warmup_max_s else done / settings.warmup_passes)
    if not settings.warmup_max_s:
        unasked = WarmUp(repeats=(), converged=None, reason="not looked at: measurement.warmup_max_s is 0")
        return unasked, tuple(passes_s)
    repeat_s = max(repeat_s, settings.warmup_max_s / MAX_REPEATS)
    return _repeat(engine, settings, voice, began_ns, repeat_s), tuple(passes_s)


def _pass_s(engine: Engine) -> float:
    start_ns = time.monotonic_ns()
    engine.run_pass()
    engine.synchronize()
    return (time.monotonic_ns() - start_ns) / 1e9


def _repeat(engine: Engine, settings: Measurement, voice: Voice, began_ns: int, repeat_s: float) -> WarmUp:
    limit_s = settings.warmup_max_s
    repeats: list[Interval] = []
    passes: list[int] = []
    changing: str | None = "there was no repeat"
    while changing is not None and (time.monotonic_ns() - began_ns) / 1e9 < limit_s:
        start_ns = time.monotonic_ns()
        held = 0
        while not held or (time.monotonic_ns() - start_ns) / 1e9 < repeat_s:
            engine.run_pass()
            held += 1
            elapsed_s = (time.monotonic_ns() - began_ns) / 1e9
            voice.progress(settings.warmup_passes + sum(passes) + held, elapsed_s / limit_s)
        engine.synchronize()
        repeats.append(Interval(start_ns=start_ns, end_ns=time.monotonic_ns()))
        passes.append(held)
        changing = still_changing([one.duration_s / held for one, held in zip(repeats, passes, strict=True)])
    reason = None if changing is None else f"not within {limit_s:g} s: {changing}"
    return WarmUp(repeats=tuple(repeats), converged=changing is None, reason=reason, passes=tuple(passes))


def soak(engine: Engine, settings: Measurement, voice: Voice, hear: Hear) -> Soak:
    """Work on until the parent says that the devices are steady, or ``soak_max_s`` are over.

    The parent is heard between passes; one pass is made at least.
    """
    start_ns = time.monotonic_ns()
    passes, told = 0, None
    while told is None and (not passes or (time.monotonic_ns() - start_ns) / 1e9 < settings.soak_max_s):
        engine.run_pass()
        passes += 1
        voice.progress(passes, (time.monotonic_ns() - start_ns) / 1e9 / settings.soak_max_s)
        told = hear()
    engine.synchronize()
    interval = Interval(start_ns=start_ns, end_ns=time.monotonic_ns())
    if told is None:
        reason = f"not steady within {settings.soak_max_s:g} s"
        return Soak(interval=interval, passes=passes, steady=False, reason=reason)
    return Soak(interval=interval, passes=passes, steady=told.steady, reason=told.reason)
