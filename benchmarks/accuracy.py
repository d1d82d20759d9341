"""How far each estimator is from a known truth, on simulated sensors: no GPU and no waiting.

    python benchmarks/accuracy.py [--trials N] [--device-trials N] [--read-every SECONDS] [--json FILE]

Each row is one sensor and one length of window, under a step of 80 → 300 → 80 W between guards of 0.7 s. The columns
are the 95th percentile of |error| over the trials, relative to the truth, in percent. `u` is the median 95 %
uncertainty that `guarded_edges` states, and `held` the percentage of trials in which it covers the truth. A dash: the
estimator did not apply in any trial, or the tool is not installed.

The first table reads a simulated NVML (C, by a virtual clock) through the real nvidia-ml-py, so that other tools can
measure the same windows of the same device: the difference of its counter between the window's start and end, Zeus
and CodeCarbon. The second reads a sensor in pure Python, which gives the same figures everywhere.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from other_tools import TOOLS, Tool, installed_tools
from simulated_gpu import SimulatedDevice, Simulation, build, load
from simulated_sensor import Trial, trial

from llem.domain.edges import Bounds, Edge
from llem.domain.energy import estimate
from llem.domain.sensing import Channel

RAW = "raw difference"
NAMES = ("guarded_edges", "inner_ticks", "interpolated_counter")
STATED = ("u", "held")
IN_STEP = "in_step"
DEVICES: dict[str, dict[str, object]] = {
    "true counter, 100 ms": {},
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
CHANNEL = Channel(
    id="simulated", sensor="nvml", device="simulated", boundary="gpu", kind="energy_j", provenance="counter"
)
Row = dict[str, float | None]


@dataclass(frozen=True)
class Case:
    """One window: its truth, what llem read, and what others made of it."""

    truth_j: float
    bounds: Bounds
    edges: list[Edge]
    others_j: dict[str, float]
    unseen_s: float | None


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
        self._tools: dict[str, Tool] = {RAW: _Difference(self._read_j), **tools}

    def case(self, made: Trial, *, in_step: bool) -> Case:
        """Measure the window of a trial, at its own moments, by everything at once."""
        device = self._device(made, in_step=in_step)
        self._simulation.use(self._script, device)
        edges: list[Edge] = []
        others_j: dict[str, float] = {}

        def read(before_s: float, after_s: float) -> None:
            edges.append(Edge(round(before_s * 1e9), round(after_s * 1e9), self._read_j()))

        def begin() -> None:
            for tool in self._tools.values():
                tool.begin()

        def end() -> None:
            others_j.update({name: tool.end() for name, tool in self._tools.items()})

        t0_s, t1_s = made.bounds.t0_ns / 1e9, made.bounds.t1_ns / 1e9
        todo: list[tuple[float, Callable[..., None], tuple[float, ...]]] = [(t0_s, begin, ()), (t1_s, end, ())]
        todo += [((before_s + after_s) / 2, read, (before_s, after_s)) for before_s, after_s in made.polls]
        for at_s, act, arguments in sorted(todo, key=lambda item: item[0]):
            self._simulation.set_time_s(at_s)
            act(*arguments)
        return Case(device.energy_j(t0_s, t1_s), made.bounds, edges, others_j, unseen_s(made))

    def _device(self, made: Trial, *, in_step: bool) -> SimulatedDevice:
        meter, waves = made.meter, ()
        if in_step:  # as strong as the step, on for half of each period, at any phase
            t0_s, t1_s = made.bounds.t0_ns / 1e9, made.bounds.t1_ns / 1e9
            phase_s = t0_s + random.Random(made.seed).random() * meter.period_s
            waves = ((meter.period_s, 0.5, 220.0, phase_s, t0_s, t1_s),)
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
                sensor = {key: value for key, value in flaws.items() if key != IN_STEP}
                for window_s in WINDOWS_S:
                    made = (trial(n, window_s, read_every_s=read_every_s, **sensor) for n in range(trials))
                    add(name, window_s, measured(bench.case(one, in_step=IN_STEP in flaws) for one in made))
    return add.rows


def simulated(trials: int, read_every_s: float | None) -> list[dict[str, object]]:
    """Print and return what llem's estimators make of a sensor in pure Python."""
    with table("sensor in Python", trials, read_every_s, (RAW, *NAMES, *STATED)) as add:
        for name, flaws in SENSORS.items():
            for window_s in WINDOWS_S:
                made = (trial(n, window_s, read_every_s=read_every_s, **flaws) for n in range(trials))
                add(name, window_s, measured(map(python_case, made)))
    return add.rows


def python_case(made: Trial) -> Case:
    return Case(made.truth_j, made.bounds, made.edges(), {RAW: raw_difference_j(made)}, unseen_s(made))


def unseen_s(made: Trial) -> float | None:
    seen_s = made.meter.seen_s
    return None if seen_s is None else made.meter.period_s - seen_s


def measured(cases: Iterable[Case]) -> Row:
    """Return, in percent, the p95 of each one's error, and the stated uncertainty and its coverage."""
    errors: dict[str, list[float]] = {}
    stated, covered = [], []
    for case in cases:
        found = estimate(CHANNEL.model_copy(update={"unseen_s": case.unseen_s}), case.edges, case.bounds).all
        figures = case.others_j | {one.estimator: one.energy_j for one in found}
        for name, energy_j in figures.items():
            errors.setdefault(name, []).append(abs(energy_j / case.truth_j - 1))
        for one in found:
            if one.estimator == "guarded_edges":
                stated.append(one.u_j / case.truth_j)
                covered.append(abs(one.energy_j - case.truth_j) <= one.u_j)
    row: Row = {name: p95(values) for name, values in errors.items()}
    row["u"] = 100 * median(stated) if stated else None
    row["held"] = 100 * sum(covered) / len(covered) if covered else None
    return row


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

    def __call__(self, sensor: str, window_s: float, row: Row) -> None:
        """Add a row."""
        self.rows.append({"device": self._device, "sensor": sensor, "window_s": window_s, **row})
        cells = (shown(row.get(name)) for name in self._columns)
        line = " ".join(f"{cell:>{width(name)}}" for cell, name in zip(cells, self._columns, strict=True))
        print(f"{sensor:<36} {window_s:>5g} s {line}", flush=True)


@contextmanager
def table(device: str, trials: int, read_every_s: float | None, columns: tuple[str, ...]) -> Iterator[Table]:
    pace = "at the recorder's pace" if read_every_s is None else f"every {read_every_s * 1000:g} ms"
    print(f"{device}, read {pace}, {trials} trials a row; p95 of |error| in %\n")
    print(f"{'sensor':<36} {'window':>7} " + " ".join(f"{name:>{width(name)}}" for name in columns))
    yield Table(device, columns)
    print()


def width(name: str) -> int:
    return max(len(name), 6)


def p95(values: list[float]) -> float:
    return 100 * sorted(values)[int(0.95 * (len(values) - 1))]


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}" if value < 10 else f"{value:.3g}"


if __name__ == "__main__":
    main()
