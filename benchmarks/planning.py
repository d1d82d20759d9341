"""What planning costs, as ratios taken in alternation in one run: never an absolute time.

    python benchmarks/planning.py [--json FILE]

- listed: a study that lists 10,000 experiments, loaded and planned for 5 cycles, against a bare YAML load of the same
  file (yaml.CSafeLoader) and a pydantic validation of each of its experiments.
- swept: the same number of experiments from a sweep, against the same floor.
- growth: processor time per experiment at 20,000 experiments over that at 2,000.
- memory: peak memory of a process that plans 100,000 trials (20,000 experiments × 5), in MB, and what of it is there
  before the study is loaded.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from ratios import Report, options, peak_mb

from llem.domain.spec import ExperimentConfig
from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import plan_study

EXPERIMENTS = 10_000
CYCLES = 5
TURNS = 5
HEAD = "name: bench\nmodel: {config: llama, hidden_size: 64}\nprompts: {count: 1000}\n"


def main() -> None:
    """Run the benchmark in a fresh folder, print the table, write JSON if asked."""
    parser = options(__doc__)
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        print(json.dumps(peaks(arguments.peak_of)))
        return
    with tempfile.TemporaryDirectory(prefix="llem-bench-") as folder:
        report = Report("planning")
        for name, values in ratios(Path(folder)).items():
            report.add(name, values)
        for name, megabytes in memory(Path(folder)).items():
            report.add(name, [megabytes], unit="MB")
    report.finish(arguments.json)


def ratios(folder: Path) -> dict[str, list[float]]:
    """Return, turn by turn, what planning took over the floor, and per experiment at ten times the size."""
    listed, swept = folder / "listed.yaml", folder / "swept.yaml"
    listed.write_text(HEAD + "experiments:\n" + "".join(f"  - {entry}\n" for entry in entries()))
    swept.write_text(sweep(EXPERIMENTS))
    small, large = folder / "small.yaml", folder / "large.yaml"
    small.write_text(sweep(2_000))
    large.write_text(sweep(20_000))
    floor = "(YAML + pydantic)"
    listing, sweeping, growth = (
        f"{EXPERIMENTS:,} listed experiments × {CYCLES} planned / {floor}",
        f"{EXPERIMENTS:,} experiments of a sweep × {CYCLES} planned / {floor}",
        "an experiment of 20,000 / one of 2,000",
    )
    found: dict[str, list[float]] = {listing: [], sweeping: [], growth: []}
    for _ in range(TURNS):
        floor_s = seconds(lambda: bare(listed))
        found[listing].append(seconds(lambda: planned(listed)) / floor_s)
        found[sweeping].append(seconds(lambda: planned(swept)) / floor_s)
        found[growth].append(seconds(lambda: planned(large)) / 20_000 / (seconds(lambda: planned(small)) / 2_000))
    return found


def entries() -> list[str]:
    """Return the experiments of the listed study, as YAML."""
    return [
        f"{{batch_size: {n % 100 + 1}, generation: {{output_tokens: {n // 100 + 1}}}, dtype: float16}}"
        for n in range(EXPERIMENTS)
    ]


def sweep(experiments: int) -> str:
    """Return a study that spans so many experiments."""
    sizes, lengths = list(range(1, 101)), list(range(1, experiments // 100 + 1))
    return HEAD + f"dtype: float16\nsweep:\n  batch_size: {sizes}\n  generation.output_tokens: {lengths}\n"


def bare(path: Path) -> None:
    """Read a file and validate each experiment in it: what no planner can do without."""
    tree = yaml.load(path.read_text(), yaml.CSafeLoader)
    shared = {"model": tree["model"], "prompts": {"source": "synthetic", **tree["prompts"]}}
    for entry in tree["experiments"]:
        ExperimentConfig.model_validate({**shared, **entry})


def planned(path: Path) -> None:
    """Load and plan a study."""
    plan_study(load_study(path, [f"cycles={CYCLES}"], machine=UnknownMachine()))


def memory(folder: Path) -> dict[str, float]:
    """Return the peak memory of planning 100,000 trials, and that before the study was loaded."""
    study = folder / "memory.yaml"
    study.write_text(sweep(20_000))
    done = subprocess.run(
        [sys.executable, __file__, "--peak-of", str(study)], capture_output=True, text=True, check=True
    )
    before, after = json.loads(done.stdout)
    return {"peak memory before planning": before, "peak memory with 100,000 trials planned": after}


def peaks(study: Path) -> tuple[float, float]:
    """Return this process's peak memory in MB before and after planning ``study``."""
    before = peak_mb()
    planned(study)
    return before, peak_mb()


def seconds(action: Callable[[], None]) -> float:
    """Return the processor time that ``action`` takes, in seconds."""
    gc.collect()
    started = time.process_time()
    action()
    return time.process_time() - started


if __name__ == "__main__":
    main()
