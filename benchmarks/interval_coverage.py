"""How often stated 95 % intervals cover the truth, over simulated studies of five cycles: no GPU, no clock.

    python benchmarks/interval_coverage.py [--studies N] [--cycles N] [--read-every SECONDS] [--json FILE]

For each sensor and load: the 95th percentile of the study's |error| (of the mean over its cycles, relative to the
truth), the percentage of studies whose interval by Student's t covers the truth, and the percentage of trials whose
own stated uncertainty does. A study's load keeps its profile over the cycles, as an experiment's does; each cycle
begins at another phase of the sensor.
"""

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from simulated_sensor import Pulse, Trial, staggered, trial

from llem.domain.energy import estimate
from llem.domain.sensing import Channel
from llem.domain.statistics import mean_with_interval

CHANNEL = Channel(
    id="simulated", sensor="nvml", device="simulated", boundary="gpu", kind="energy_j", provenance="counter"
)
PART_TIME = CHANNEL.model_copy(update={"unseen_s": 0.075})


def pulse_of(study: int) -> Pulse:
    """Return a load in step with a sensor of 100 ms: of its period, half of it or twice."""
    random_ = random.Random(f"pulse {study}")
    period_s, duty = random_.choice([0.05, 0.1, 0.2]), random_.uniform(0.1, 0.9)
    return Pulse(period_s, duty, phase=random_.random(), sine=random_.random() < 0.2)


ROWS: dict[str, tuple[Channel, Callable[[int, int, float], Trial]]] = {
    "true counter, 1 s": (CHANNEL, lambda _, seed, every: trial(seed, 1.0, read_every_s=every)),
    "true counter, 10 s": (CHANNEL, lambda _, seed, every: trial(seed, 10.0, read_every_s=every)),
    "sum of noisy readings, 10 s": (
        CHANNEL,
        lambda _, seed, every: trial(seed, 10.0, read_every_s=every, summed=True, noise_w=2.0),
    ),
    "part-time 25/100 ms, 4 × 2.5 s": (PART_TIME, lambda _, seed, every: staggered(seed, read_every_s=every)),
    "the same, segments equal to 1 ms": (
        PART_TIME,
        lambda _, seed, every: staggered(seed, read_every_s=every, spread_s=0.001),
    ),
    "the same, load in step": (
        PART_TIME,
        lambda study, seed, every: staggered(seed, read_every_s=every, pulse=pulse_of(study)),
    ),
    "the same, in step, one piece of 10 s": (
        PART_TIME,
        lambda study, seed, every: staggered(
            seed, segments=1, segment_s=10.0, read_every_s=every, pulse=pulse_of(study)
        ),
    ),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--read-every", type=float, default=0.02, help="how often the sensor is read, in seconds")
    parser.add_argument("--json", type=Path, help="write the table to this file")
    arguments = parser.parse_args()
    every_ms = arguments.read_every * 1000
    print(f"{arguments.studies} studies of {arguments.cycles} cycles, read every {every_ms:g} ms\n")
    print(f"{'sensor and load':<38} {'p95 |error|':>12} {'study covers':>13} {'trial covers':>13}")
    rows = []
    for name in ROWS:
        errors, studies, trials = covered(name, arguments.studies, arguments.cycles, arguments.read_every)
        p95 = sorted(errors)[int(0.95 * (len(errors) - 1))]
        rows.append({"row": name, "p95": p95, "studies_cover": studies, "trials_cover": trials})
        print(f"{name:<38} {100 * p95:>10.3f} % {100 * studies:>11.1f} % {100 * trials:>11.1f} %", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


def covered(name: str, studies: int, cycles: int, read_every_s: float) -> tuple[list[float], float, float]:
    """Return each study's |error|, and the shares of studies and of trials whose interval covers the truth."""
    channel, make = ROWS[name]
    errors, studies_held, trials_held = [], 0, 0
    for study in range(studies):
        ratios = []
        for cycle in range(cycles):
            made = make(study, study * cycles + cycle, read_every_s)
            found = estimate(channel, made.edges(), *made.pieces).leading
            ratios.append(found.energy_j / made.truth_j)
            trials_held += abs(found.energy_j - made.truth_j) <= found.u_j
        seen = mean_with_interval(ratios)
        errors.append(abs(fmean(ratios) - 1))
        studies_held += abs(seen.mean - 1) <= seen.half_width
    return errors, studies_held / studies, trials_held / studies / cycles


if __name__ == "__main__":
    main()
