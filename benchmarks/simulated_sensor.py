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

    @property
    def truth_j(self) -> float:
        """Return the true joules of the window."""
        return self.load.energy_j(self.bounds.t1_ns / 1e9) - self.load.energy_j(self.bounds.t0_ns / 1e9)

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
    polls = _paced(meter, end, random_) if read_every_s is None else _steady(read_every_s, end, random_)
    bounds = Bounds(*(round(moment * 1e9) for moment in (guard_start, t0, t1, guard_end)))
    return Trial(load, bounds, meter, tuple(polls), seed)


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
