"""A sensor in pure Python whose true energy is known: shared by the tests and the benchmark of the estimators.

Times are seconds; power is in watts and energy in joules.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from llem.domain.edges import Bounds, Edge
from llem.sensors.pace import TickPredictor

IDLE_W, WORK_W = 80.0, 300.0


class Load:
    """True power over time: from each moment on it goes to a level, at once or exponentially.

    Args:
        levels: (from when, level, time constant; 0 is at once), in time order.
    """

    def __init__(self, levels: Sequence[tuple[float, float, float]]) -> None:
        self._starts = [start for start, _, _ in levels]
        self._levels = levels
        self._above = [0.0]  # excess over the level when it starts
        self._energies = [0.0]
        for index, (start, level, _) in enumerate(levels[1:], start=1):
            self._energies.append(self._energies[-1] + self._since(index - 1, start))
            self._above.append(self._power(index - 1, start) - level)

    @property
    def levels(self) -> tuple[tuple[float, float, float], ...]:
        """Return what the load was made of."""
        return tuple(self._levels)

    def energy_j(self, until_s: float) -> float:
        """Return the joules since the first moment."""
        index = max(bisect_right(self._starts, until_s) - 1, 0)
        return self._energies[index] + self._since(index, until_s)

    def _since(self, index: int, until_s: float) -> float:
        start, level, tau = self._levels[index]
        length = until_s - start
        late = self._above[index] * tau * (1 - math.exp(-length / tau)) if tau else 0.0
        return level * length + late

    def _power(self, index: int, at_s: float) -> float:
        start, level, tau = self._levels[index]
        return level + (self._above[index] * math.exp(-(at_s - start) / tau) if tau else 0.0)


@dataclass(frozen=True)
class Meter:
    """A sensor and its flaws.

    Attributes:
        period_s: Between two updates.
        phase_s: When the first update is.
        seen_s: What of each period the sensor sees, at its end; None is all.
        summed: The counter is the sum of the readings, not a true integral.
        average_s: Power is a mean over this long; None is over what is seen.
        latency_s: From an update to its publication.
        noise_w: Standard deviation of each reading.
        quantum: Smallest step of a reading, in its own unit (J or W).
    """

    period_s: float = 0.1
    phase_s: float = 0.0
    seen_s: float | None = None
    summed: bool = False
    average_s: float | None = None
    latency_s: float = 0.0
    noise_w: float = 0.0
    quantum: float = 1e-3

    def updates_until(self, at_s: float) -> int:
        """Return the number of the update that a reading at this moment shows."""
        return max(0, math.floor((at_s - self.latency_s - self.phase_s) / self.period_s))


@dataclass(frozen=True)
class Trial:
    """One window on one load: what is true and what was read."""

    load: Load
    bounds: Bounds
    meter: Meter
    polls: tuple[tuple[float, float], ...]
    seed: int = 0
    cache: dict[str, list[Edge]] = field(default_factory=dict)
    segments: tuple[Bounds, ...] = ()

    @property
    def pieces(self) -> tuple[Bounds, ...]:
        """Return the segments; the window itself where it is in one piece."""
        return self.segments or (self.bounds,)

    @property
    def truth_j(self) -> float:
        """Return the true joules of the work."""
        return math.fsum(
            self.load.energy_j(piece.t1_ns / 1e9) - self.load.energy_j(piece.t0_ns / 1e9) for piece in self.pieces
        )

    def edges(self, kind: str = "energy_j") -> list[Edge]:
        """Return the readings of the counter (``energy_j``) or of the power (``power_w``)."""
        if kind not in self.cache:
            published = self._published(kind)
            self.cache[kind] = [
                Edge(round(before * 1e9), round(after * 1e9), published[self._index((before + after) / 2)])
                for before, after in self.polls
            ]
        return self.cache[kind]

    def _index(self, at_s: float) -> int:
        return self.meter.updates_until(at_s)

    def _published(self, kind: str) -> list[float]:
        # One sensor's noise, whatever is made of its readings: a counter that sums them up has it too.
        meter, random_ = self.meter, random.Random(f"{self.seed} readings")
        seen_s = (meter.seen_s or meter.period_s) if kind == "energy_j" else meter.average_s or meter.seen_s or 0.1
        values, summed_j = [], 0.0
        for index in range(self._index(self.polls[-1][1]) + 1):
            at_s = meter.phase_s + index * meter.period_s
            reading_w = (self.load.energy_j(at_s) - self.load.energy_j(at_s - seen_s)) / seen_s
            reading_w += random_.gauss(0, meter.noise_w) if meter.noise_w else 0.0
            summed_j += reading_w * meter.period_s
            counter_j = summed_j if meter.summed else self.load.energy_j(at_s)
            value = counter_j if kind == "energy_j" else reading_w
            values.append(math.floor(value / meter.quantum) * meter.quantum)
        return values


def trial(
    seed: int,
    window_s: float = 1.0,
    *,
    guard_s: float = 0.7,
    read_every_s: float | None = 0.05,
    decay_s: float = 0.0,
    idle_w: float = IDLE_W,
    work_w: float = WORK_W,
    idle_after_w: float | None = None,
    before_s: float = 4.0,
    **flaws: object,
) -> Trial:
    """Return a window of work between idle guards, after other work (as a warm-up) and before other work.

    The seed moves the work against the sensor and the readings against both. Where ``read_every_s`` is None, the
    recorder's own pace says when the sensor is read.
    """
    random_ = random.Random(seed)
    meter = replace(Meter(phase_s=random_.random() * 0.1), **flaws)  # type: ignore[arg-type]
    guard_start = before_s + random_.random()
    t0 = guard_start + guard_s
    t1 = t0 + window_s + random_.random() * meter.period_s  # whole periods would hide what cancels at both ends
    guard_end = t1 + guard_s
    end = guard_end + 1.0
    load = Load(
        [
            (-2.0, idle_w, 0.0),
            (2.0, work_w, 0.0),
            (guard_start, idle_w, decay_s),
            (t0, work_w, 0.0),
            (t1, idle_w if idle_after_w is None else idle_after_w, decay_s),
            (guard_end, work_w, 0.0),
        ]
    )
    bounds = Bounds(*(round(moment * 1e9) for moment in (guard_start, t0, t1, guard_end)))
    return Trial(load, bounds, meter, _polls(random_, meter, read_every_s, end), seed)


@dataclass(frozen=True)
class Pulse:
    """A load that switches between work and idle, or swings between them, from the begin of each segment on.

    Attributes:
        period_s: Of the load.
        duty: What of each period is work.
        phase: Where in its period it begins, from 0 to 1.
        sine: It swings like a sine, in steps of a fortieth of its period.
    """

    period_s: float = 0.1
    duty: float = 0.5
    phase: float = 0.0
    sine: bool = False

    def levels(self, start_s: float, end_s: float, idle_w: float, work_w: float) -> list[tuple[float, float, float]]:
        """Return the levels of power from ``start_s`` to ``end_s``, for a ``Load``."""
        steps = [n / 40 for n in range(40)] if self.sine else [0.0, self.duty]
        found = []
        for period in range(-1, math.ceil((end_s - start_s) / self.period_s) + 1):
            for step in steps:
                at_s = start_s + (period + step - self.phase) * self.period_s
                if self.sine:
                    level = (idle_w + work_w) / 2 - (work_w - idle_w) / 2 * math.cos(2 * math.pi * (step + 1 / 80))
                else:
                    level = idle_w if step else work_w
                found.append((at_s, level, 0.0))
        before = [level for level in found if level[0] <= start_s]
        return [(start_s, *before[-1][1:]), *(level for level in found if start_s < level[0] < end_s)]


def staggered(
    seed: int,
    *,
    segments: int = 4,
    segment_s: float = 2.5,
    guard_s: float = 0.7,
    read_every_s: float | None = 0.05,
    decay_s: float = 0.0,
    pulse: Pulse | None = None,
    idle_w: float = IDLE_W,
    work_w: float = WORK_W,
    late_s: float = 0.0005,
    spread_s: float = 0.1,
    **flaws: object,
) -> Trial:
    """Return a window in segments, each of which begins a further part of a period later against the sensor.

    Args:
        seed: Moves the work against the sensor and the readings against both.
        segments: How many.
        segment_s: Least length of each.
        guard_s: Least time between two of them.
        read_every_s: How often the sensor is read; None is the recorder's own pace.
        decay_s: Time constant with which power falls after a segment.
        pulse: The load; constant where left out.
        idle_w: Power without work.
        work_w: Power of work.
        late_s: By up to this much a segment begins late.
        spread_s: By up to this much a segment lasts longer.
        flaws: Of the meter.
    """
    random_ = random.Random(seed)
    meter = replace(Meter(phase_s=random_.random() * 0.1, summed=True, seen_s=0.025), **flaws)  # type: ignore[arg-type]
    guard_start = 2.0 + random_.random()
    levels, bounds = [(-2.0, idle_w, 0.0), (0.5, work_w, 0.0), (guard_start, idle_w, decay_s)], []
    first = guard_start + guard_s
    for n in range(segments):
        whole = math.ceil((guard_start + guard_s - first) / meter.period_s - 1e-9) if n else 0
        t0 = first + (whole + n / segments) * meter.period_s + random_.random() * late_s
        t1 = t0 + segment_s + random_.random() * spread_s
        levels += pulse.levels(t0, t1, idle_w, work_w) if pulse else [(t0, work_w, 0.0)]
        levels.append((t1, idle_w, decay_s))
        bounds.append((guard_start, t0, t1))
        guard_start = t1
    guard_end = t1 + guard_s
    ends = [*(each[1] for each in bounds[1:]), guard_end]
    found = tuple(
        Bounds(*(round(moment * 1e9) for moment in (*each, end))) for each, end in zip(bounds, ends, strict=True)
    )
    whole_window = Bounds(found[0].guard_start_ns, found[0].t0_ns, found[-1].t1_ns, found[-1].guard_end_ns)
    load = Load([*levels, (guard_end, work_w, 0.0)])
    return Trial(
        load, whole_window, meter, _polls(random_, meter, read_every_s, guard_end + 1.0), seed, segments=found
    )


def _polls(
    random_: random.Random, meter: Meter, read_every_s: float | None, end_s: float
) -> tuple[tuple[float, float], ...]:
    return tuple(_paced(meter, end_s, random_) if read_every_s is None else _steady(read_every_s, end_s, random_))


def _steady(read_every_s: float, end_s: float, random_: random.Random) -> list[tuple[float, float]]:
    polls, at = [], random_.random() * read_every_s
    while at < end_s:
        call_s = 0.0001 + random_.expovariate(1 / 0.0001)
        polls.append((at, at + call_s))
        at += call_s + read_every_s + random_.expovariate(1 / 0.0002)
    return polls


def _paced(meter: Meter, end_s: float, random_: random.Random) -> list[tuple[float, float]]:
    predictor, polls, at = TickPredictor(), [], random_.random() * 0.02
    while at < end_s:
        call_s = 0.0001 + random_.expovariate(1 / 0.0001)
        polls.append((at, at + call_s))
        shown = float(meter.updates_until(at + call_s / 2))
        predictor.read(round(at * 1e9), round((at + call_s) * 1e9), shown)
        at = max(predictor.due_ns / 1e9, at + call_s) + random_.expovariate(1 / 0.0002)
    return polls


def stalled(edges: Sequence[Edge], start_ns: int, length_s: float = 0.3) -> list[Edge]:
    """Return the readings without those that a recorder which stalls from ``start_ns`` on does not take."""
    return [edge for edge in edges if not start_ns <= edge.after_ns <= start_ns + length_s * 1e9]
