"""How far each estimator is from a known truth, on a simulated sensor: no GPU, no clock, the same every time.

    python benchmarks/accuracy.py [--trials N] [--read-every SECONDS] [--json FILE]

Each row is one sensor and one length of window, under a step of 80 → 300 → 80 W between guards of 0.7 s. The columns
are the 95th percentile of |error| over the trials, relative to the truth: the raw difference of the counter's
readings next to the window's ends, and llem's estimators. `u` is the median 95 % uncertainty that `guarded_edges`
states, and `held` the percentage of trials in which it covers the truth. A dash: the estimator did not apply in any
trial.
"""

import argparse
import json
from pathlib import Path
from statistics import median

from simulated_sensor import Trial, trial

from llem.domain.energy import estimate
from llem.domain.sensing import Channel

NAMES = ("guarded_edges", "inner_ticks", "interpolated_counter")
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


def main() -> None:
    """Print the table; write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--read-every", type=float, default=0.05, help="how often the sensor is read, in seconds")
    parser.add_argument("--json", type=Path, help="write the table to this file")
    arguments = parser.parse_args()
    columns = ("raw difference", *NAMES, "u", "held")
    print(f"read every {arguments.read_every * 1000:g} ms, {arguments.trials} trials a row; p95 of |error| in %\n")
    print(f"{'sensor':<36} {'window':>7} " + " ".join(f"{name:>20}" for name in columns))
    rows = []
    for name, flaws in SENSORS.items():
        for window_s in WINDOWS_S:
            trials = [trial(n, window_s, read_every_s=arguments.read_every, **flaws) for n in range(arguments.trials)]
            row = measured(trials)
            rows.append({"sensor": name, "window_s": window_s, **row})
            cells = (shown(row[column]) for column in columns)
            print(f"{name:<36} {window_s:>5g} s " + " ".join(f"{cell:>20}" for cell in cells))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


def measured(trials: list[Trial]) -> dict[str, float | None]:
    """Return, in percent, the p95 of each estimator's error, and the stated uncertainty and its coverage."""
    errors: dict[str, list[float]] = {"raw difference": [], **{name: [] for name in NAMES}}
    stated, covered = [], []
    seen_s = trials[0].meter.seen_s
    channel = CHANNEL.model_copy(update={"unseen_s": seen_s and trials[0].meter.period_s - seen_s})
    for made in trials:
        truth_j = made.truth_j
        errors["raw difference"].append(abs(raw_difference_j(made) / truth_j - 1))
        for found in estimate(channel, made.edges(), made.bounds).all:
            errors[found.estimator].append(abs(found.energy_j / truth_j - 1))
            if found.estimator == "guarded_edges":
                stated.append(found.u_j / truth_j)
                covered.append(abs(found.energy_j - truth_j) <= found.u_j)
    row: dict[str, float | None] = {name: p95(values) for name, values in errors.items()}
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


def p95(values: list[float]) -> float | None:
    return 100 * sorted(values)[int(0.95 * (len(values) - 1))] if values else None


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
