"""How far each estimator is from a known truth, on simulated sensors: no GPU and no waiting.

    python benchmarks/accuracy.py [--trials N] [--device-trials N] [--read-every SECONDS] [--json FILE]

Each row is one sensor and one window, under a step of 80 → 300 → 80 W between guards of 0.7 s. The columns are the
95th percentile of |error| over the trials, relative to the truth, in percent. `u` is the median 95 % uncertainty that
the leading estimator states, and `held` the percentage of trials in which it covers the truth. A dash: the estimator
did not apply in any trial, or the tool is not installed.

The first table reads a simulated NVML (C, by a virtual clock) through the real nvidia-ml-py, so that other tools can
measure the same windows of the same device: the difference of its counter between the window's start and end, Zeus
and CodeCarbon. The second reads a sensor in pure Python, which gives the same figures everywhere.

`4 × 2.5 s` is a window of 10 s in segments, each of which begins a further quarter of the sensor's period later.
`mean of 5` is the mean over five such windows, as of an experiment of five cycles; `u` is then half of the interval
by Student's t, and `held` the percentage of such means in which it covers the truth.
"""

import argparse
import json
import math
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any, Self

from other_tools import TOOLS, Tool, installed_tools
from simulated_gpu import SimulatedDevice, Simulation, build, load
from simulated_sensor import Trial, staggered, trial

from llem.domain.edges import Bounds, Edge, Estimate
from llem.domain.energy import estimate
from llem.domain.sensing import Channel
from llem.domain.statistics import mean_with_interval

RAW = "raw difference"
NAMES = ("stratified_edges", "guarded_edges", "inner_ticks", "interpolated_counter")
STATED = ("u", "held")
IN_STEP = "in_step"
DEVICES: dict[str, dict[str, object]] = {
    "true counter, 100 ms": {"summed": False, "seen_s": None},
    "part-time 25/100 ms, summed": {"summed": True, "seen_s": 0.025},
    "the same, work in step with it": {"summed": True, "seen_s": 0.025, IN_STEP: True},
}
SENSORS: dict[str, dict[str, object]] = {
    "true counter, 100 ms": {},
    "the same, 30 ms late": {"latency_s": 0.03},
    "the same, decay of 0.2 s after work": {"decay_s": 0.2},
    "sum of noisy readings (2 W)": {"summed": True, "noise_w": 2.0},
    "part-time 25/100 ms, summed": {"summed": True, "seen_s": 0.025},
}
WINDOWS_S = (0.5, 1.0, 5.0, 10.0)
SEGMENTS, SEGMENT_S, CYCLES = 4, 2.5, 5
NO_SEGMENTS = (
    "Other tools have no segments. Beside a window in segments stands what they measured of the same work in one\n"
    "piece of 10 s, begun and ended around all of it; beside the mean of five such windows, the mean of their five."
)
CHANNEL = Channel(
    id="simulated", sensor="nvml", device="simulated", boundary="gpu", kind="energy_j", provenance="counter"
)
Row = dict[str, float | None]


@dataclass(frozen=True)
class Outcome:
    """What was made of one window, relative to its truth.

    Attributes:
        ratios: Energy / truth, by estimator and by tool.
        leading: The ratio of the estimator that leads; ``u`` is the uncertainty that it states.
    """

    ratios: dict[str, float]
    leading: float
    u: float

    @classmethod
    def of(cls, made: Trial, edges: list[Edge], truth_j: float, others_j: dict[str, float]) -> Self:
        """Return what llem's estimators make of these readings, beside what others measured."""
        seen_s = made.meter.seen_s
        unseen_s = None if seen_s is None else made.meter.period_s - seen_s
        found = estimate(CHANNEL.model_copy(update={"unseen_s": unseen_s}), edges, *made.pieces)
        assert isinstance(found.leading, Estimate), found.leading.reason
        energies_j = others_j | {one.estimator: one.energy_j for one in found.all}
        return cls(
            {name: energy_j / truth_j for name, energy_j in energies_j.items()},
            found.leading.energy_j / truth_j,
            found.leading.u_j / truth_j,
        )


class Bench:
    """A simulated device in this process, and the tools that measure on it."""

    def __init__(self, folder: Path) -> None:
        self._script = folder / "script"
        self._simulation: Simulation = load(build(folder))
        # What CodeCarbon insists on asking.
        self._facts: dict[str, Any] = {"memory_bytes": 80 << 30, "power_limit_w": 700, "temperatures": ((0, 40),)}
        self._simulation.use(self._script, SimulatedDevice(**self._facts))
        self._simulation.set_time_s(1.0)
        import pynvml  # noqa: PLC0415 - it finds the simulated driver only after that was loaded

        pynvml.nvmlInit()
        self._nvml, self._handle = pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
        tools, self.missing = installed_tools(folder)
        self.tools: dict[str, Tool] = {RAW: _Difference(self._read_j), **tools}

    def outcome(self, made: Trial, *, in_step: bool) -> Outcome:
        """Measure the window of a trial, at its own moments; where it is in one piece, by every tool at once."""
        device = self._device(made, in_step=in_step)
        self._simulation.use(self._script, device)
        tools = {} if made.segments else self.tools
        edges: list[Edge] = []
        others_j: dict[str, float] = {}

        def read(before_s: float, after_s: float) -> None:
            edges.append(Edge(round(before_s * 1e9), round(after_s * 1e9), self._read_j()))

        def begin() -> None:
            for tool in tools.values():
                tool.begin()

        def end() -> None:
            others_j.update({name: tool.end() for name, tool in tools.items()})

        t0_s, t1_s = in_seconds(made.bounds)
        todo: list[tuple[float, Callable[..., None], tuple[float, ...]]] = [(t0_s, begin, ()), (t1_s, end, ())]
        todo += [((before_s + after_s) / 2, read, (before_s, after_s)) for before_s, after_s in made.polls]
        for at_s, act, arguments in sorted(todo, key=lambda item: item[0]):
            self._simulation.set_time_s(at_s)
            act(*arguments)
        truth_j = math.fsum(device.energy_j(*in_seconds(piece)) for piece in made.pieces)
        return Outcome.of(made, edges, truth_j, others_j)

    def _device(self, made: Trial, *, in_step: bool) -> SimulatedDevice:
        meter, waves = made.meter, ()
        if in_step:
            # As strong as the step and on for half of each period. Work begins at any phase of it, and repeats it.
            late_s = random.Random(made.seed).random() * meter.period_s
            pieces = [in_seconds(piece) for piece in made.pieces]
            waves = tuple((meter.period_s, 0.5, 220.0, t0_s + late_s, t0_s, t1_s) for t0_s, t1_s in pieces)
        return SimulatedDevice(
            levels=made.load.levels,
            waves=waves,
            period_s=meter.period_s,
            phase_s=meter.phase_s,
            seen_s=meter.seen_s,
            summed=meter.summed,
            **self._facts,
        )

    def _read_j(self) -> float:
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000


class _Difference:
    """What a tool gives that reads the counter at the window's start and end, and no more."""

    def __init__(self, read_j: Callable[[], float]) -> None:
        self._read_j, self._start_j = read_j, 0.0

    def begin(self) -> None:
        self._start_j = self._read_j()

    def end(self) -> float:
        return self._read_j() - self._start_j


def main() -> None:
    """Print the tables; write them as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300, help="a row of the sensor in Python; 0 leaves it out")
    parser.add_argument("--device-trials", type=int, default=200, help="a row of the simulated NVML; 0 leaves it out")
    pace = "llem reads the sensor this often, in seconds; without it, at its recorder's own pace"
    parser.add_argument("--read-every", type=float, help=pace)
    parser.add_argument("--json", type=Path, help="write the tables to this file")
    arguments = parser.parse_args()
    rows = []
    if arguments.device_trials:
        rows += compared(arguments.device_trials, arguments.read_every)
    if arguments.trials:
        rows += simulated(arguments.trials, arguments.read_every)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


def compared(trials: int, read_every_s: float | None) -> list[dict[str, object]]:
    """Print and return what llem and other tools measure on the same simulated device."""
    with tempfile.TemporaryDirectory(prefix="llem-accuracy-") as folder:
        bench = Bench(Path(folder))
        for name, reason in bench.missing.items():
            print(f"{name}: {reason}")
        with table("simulated NVML", trials, read_every_s, (RAW, *TOOLS, *NAMES, *STATED)) as add:
            for name, flaws in DEVICES.items():
                compare(bench, add, name, flaws, trials, read_every_s)
            print(f"\n{NO_SEGMENTS}")
    return add.rows


def compare(
    bench: Bench, add: "Table", name: str, flaws: dict[str, object], trials: int, read_every_s: float | None
) -> None:
    """Add the rows of one sensor: windows in one piece, and that of the greatest length in segments too."""
    in_step = IN_STEP in flaws
    sensor = {key: value for key, value in flaws.items() if key != IN_STEP} | {"read_every_s": read_every_s}
    for window_s in WINDOWS_S:
        whole = [bench.outcome(trial(n, window_s, **sensor), in_step=in_step) for n in range(trials)]
        add(name, window_s, windows(whole))
    cut = [
        bench.outcome(staggered(n, segments=SEGMENTS, segment_s=SEGMENT_S, **sensor), in_step=in_step)
        for n in range(trials)
    ]
    # The last windows in one piece are of the same work: what the other tools made of it stands beside the segments.
    ours = [
        replace(one, ratios={key: other.ratios[key] for key in bench.tools} | one.ratios)
        for one, other in zip(cut, whole, strict=True)
    ]
    add(name, window_s, windows(ours), segments=SEGMENTS)
    if trials >= CYCLES:
        add(name, window_s, studies(ours), segments=SEGMENTS, cycles=CYCLES)


def simulated(trials: int, read_every_s: float | None) -> list[dict[str, object]]:
    """Print and return what llem's estimators make of a sensor in pure Python."""
    with table("sensor in Python", trials, read_every_s, (RAW, *NAMES, *STATED)) as add:
        for name, flaws in SENSORS.items():
            for window_s in WINDOWS_S:
                made = (trial(n, window_s, read_every_s=read_every_s, **flaws) for n in range(trials))
                add(name, window_s, windows([python_outcome(one) for one in made]))
    return add.rows


def python_outcome(made: Trial) -> Outcome:
    return Outcome.of(made, made.edges(), made.truth_j, {RAW: raw_difference_j(made)})


def windows(outcomes: Sequence[Outcome]) -> Row:
    """Return, in percent, the p95 of each one's error, and the stated uncertainty and its coverage."""
    row = errors([one.ratios for one in outcomes])
    row["u"] = 100 * median(one.u for one in outcomes)
    row["held"] = 100 * fmean(abs(one.leading - 1) <= one.u for one in outcomes)
    return row


def studies(outcomes: Sequence[Outcome]) -> Row:
    """Return the same for the means over cycles, and the intervals of these means by Student's t."""
    starts = range(0, len(outcomes) - CYCLES + 1, CYCLES)
    groups = [outcomes[start : start + CYCLES] for start in starts]
    names = set.intersection(*(set(one.ratios) for one in outcomes))
    row = errors([{name: fmean(one.ratios[name] for one in group) for name in names} for group in groups])
    told = [mean_with_interval([one.leading for one in group]) for group in groups]
    row["u"] = 100 * median(each.half_width for each in told)
    row["held"] = 100 * fmean(abs(each.mean - 1) <= each.half_width for each in told)
    return row


def errors(ratios: Iterable[dict[str, float]]) -> Row:
    """Return, by name, the p95 of |ratio − 1| in percent."""
    found: dict[str, list[float]] = {}
    for one in ratios:
        for name, ratio in one.items():
            found.setdefault(name, []).append(abs(ratio - 1))
    return {name: p95(values) for name, values in found.items()}


def raw_difference_j(made: Trial) -> float:
    """Return what a tool gives that reads the counter at the window's start and end, and no more."""
    start, end = (
        next(edge for edge in reversed(made.edges()) if edge.after_ns <= moment)
        for moment in (made.bounds.t0_ns, made.bounds.t1_ns)
    )
    return end.value - start.value


class Table:
    """A table that is printed while it is made."""

    def __init__(self, device: str, columns: tuple[str, ...]) -> None:
        self._device, self._columns = device, columns
        self.rows: list[dict[str, object]] = []

    def __call__(self, sensor: str, window_s: float, row: Row, *, segments: int = 1, cycles: int = 1) -> None:
        """Add a row."""
        told = {
            "device": self._device,
            "sensor": sensor,
            "window_s": window_s,
            "segments": segments,
            "cycles": cycles,
        }
        self.rows.append({**told, **row})
        window = f"{window_s:g} s" if segments == 1 else f"{segments} × {window_s / segments:g} s"
        window = window if cycles == 1 else f"mean of {cycles}"
        cells = (shown(row.get(name)) for name in self._columns)
        line = " ".join(f"{cell:>{width(name)}}" for cell, name in zip(cells, self._columns, strict=True))
        print(f"{sensor:<36} {window:>9} {line}", flush=True)


@contextmanager
def table(device: str, trials: int, read_every_s: float | None, columns: tuple[str, ...]) -> Iterator[Table]:
    pace = "at the recorder's pace" if read_every_s is None else f"every {read_every_s * 1000:g} ms"
    print(f"{device}, read {pace}, {trials} trials a row; p95 of |error| in %\n")
    print(f"{'sensor':<36} {'window':>9} " + " ".join(f"{name:>{width(name)}}" for name in columns))
    yield Table(device, columns)
    print()


def width(name: str) -> int:
    return max(len(name), 6)


def in_seconds(bounds: Bounds) -> tuple[float, float]:
    """Return when the work begins and ends."""
    return bounds.t0_ns / 1e9, bounds.t1_ns / 1e9


def p95(values: list[float]) -> float:
    return 100 * sorted(values)[int(0.95 * (len(values) - 1))]


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}" if value < 10 else f"{value:.3g}"


if __name__ == "__main__":
    main()
