"""What measuring costs the inference: its throughput beside that without, taken in alternation in one run.

    python benchmarks/measuring_cost.py [--turns N] [--seconds S] [--threads N] [--gpu] [--json FILE]

- recorded: whole passes of a small model while the real recorder process reads a simulated GPU as fast as it reads a
  real one, over the same passes while it stands idle.
- protocol: the measured window of a trial (`measured_window`: counting, progress to the parent), over a bare loop of
  ``model.generate`` with the same arguments.

The GPU is simulated (a library that the real nvidia-ml-py loads) and the model runs on the processor. By default it
has every core but one: beside a GPU the recorder finds a core that the inference does not need. With all of them as
``--threads`` each moment of the recorder is taken from the model. With ``--gpu`` the model works on the machine's own
GPU and the recorder reads that one. A ratio of 1 is no cost; the bar is 0.995.

Throughput is tokens per second. On a machine with other load its single ratios vary by more than what is looked for;
tokens per processor second of the model's own process vary less. They leave out what the recorder takes of a core
that the model needs, so its share of one core stands below the table: the most that it can take of one. Means are of
the ratios' logarithms (a slow stretch counts as much above the line as below it). Take as many turns as their
intervals need to be narrow: only a mean whose whole interval is below the bar misses it, and then this leaves with 1.
"""

import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import simulated_gpu
import torch
from ratios import Report, options

from llem.domain.result import RecorderCost
from llem.domain.spec import ExperimentConfig
from llem.domain.statistics import Z_975, mean_with_interval
from llem.engines.transformers_adapter import TransformersEngine
from llem.study.recording import RecorderClient
from llem.worker.voice import Voice
from llem.worker.windows import WindowPlan, measured_window

CONFIG = ExperimentConfig.model_validate(
    {
        "model": {
            "config": "llama",
            "hidden_size": 256,
            "intermediate_size": 688,
            "num_hidden_layers": 4,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "vocab_size": 512,
            "max_position_embeddings": 1024,
        },
        "batch_size": 4,
        "prompts": {"source": "synthetic", "count": 4, "input_tokens": 64},
        "generation": {"output_tokens": 32},
    }
)

# A board whose every call answers, drawing what one draws at work.
GPU = simulated_gpu.SimulatedDevice(
    levels=((0.0, 300.0, 0.0),),
    noise_w=2.0,
    temperatures=((0.0, 60.0),),
    clocks=(("sm", 0.0, 1700.0), ("mem", 0.0, 2600.0)),
    power_limit_w=700.0,
    memory_bytes=80 << 30,
    persistence=True,
    mig=False,
)
BAR = 0.995
CLOCKS = {"wall": "/ s", "processor": "/ processor s"}


class Rate(NamedTuple):
    """Passes per second of either clock, or how two rates compare."""

    wall: float
    processor: float


def main() -> None:
    """Run both comparisons, print the table, write JSON if asked."""
    parser = options(__doc__)
    parser.add_argument("--turns", type=int, default=200, help="pairs of stretches in each comparison")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a stretch")
    threads = max(1, len(os.sched_getaffinity(0)) - 1)
    parser.add_argument("--threads", type=int, default=threads, help="threads of the model")
    parser.add_argument("--gpu", action="store_true", help="work on and read the machine's own GPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    engine = TransformersEngine(CONFIG, Path.cwd())
    engine.load()
    engine.prepare()
    for _ in range(3):
        engine.run_pass()
    share, recorded = recorded_turns(engine, arguments.turns, arguments.seconds, simulated=not arguments.gpu)
    turns = {
        "recorded / not recorded": recorded,
        "protocol / bare generate": protocol_turns(engine, arguments.turns, arguments.seconds),
    }
    print(f"{arguments.turns} turns of {arguments.seconds:g} s each, model on {arguments.threads} threads\n")
    print(f"{'':<26} {'tokens':<14} {'mean':>7} {'95 % interval':>17} {'median':>8} {'95 % interval':>17}")
    report, rows = Report("what measuring costs"), []
    for name, ratios in turns.items():
        for clock in Rate._fields:
            values = [getattr(ratio, clock) for ratio in ratios]
            report.add(f"{name}, tokens {CLOCKS[clock]}", values, at_least=BAR)
            row = summary(values)
            rows.append({"compared": name, "clock": clock, **row})
            (mean, *of_mean), (median, *of_median) = row["mean"], row["median"]
            figures = f"{mean:>7.4f} {shown(of_mean):>17} {median:>8.4f} {shown(of_median):>17}"
            print(f"{name:<26} {CLOCKS[clock]:<14} {figures}")
    print(f"\nthe recorder took {share:.2%} of one core")
    if arguments.json:
        settings = {name: getattr(arguments, name) for name in ("turns", "seconds", "threads", "gpu")}
        told = {**report.as_json(), "settings": settings, "recorder_core": share, "intervals": rows}
        arguments.json.write_text(json.dumps(told, indent=2))
    sys.exit(any(row["mean"][2] < BAR for row in rows))


def shown(interval: Sequence[float]) -> str:
    return " … ".join(f"{end:.4f}" for end in interval)


def summary(ratios: list[float]) -> dict[str, tuple[float, float, float]]:
    """Return mean and median, each with the ends of its 95 % interval: by Student's t on logarithms, and by ranks."""
    told = mean_with_interval([math.log(ratio) for ratio in ratios])
    assert told is not None
    half = math.nan if told.half_width is None else told.half_width
    ranked, n = sorted(ratios), len(ratios)
    low = max(0, math.floor(n / 2 - Z_975 * math.sqrt(n) / 2) - 1)
    return {
        "mean": (math.exp(told.mean), math.exp(told.mean - half), math.exp(told.mean + half)),
        "median": (statistics.median(ratios), ranked[low], ranked[n - 1 - low]),
    }


def recorded_turns(
    engine: TransformersEngine, turns: int, seconds: float, *, simulated: bool
) -> tuple[float, list[Rate]]:
    """Return the recorder's share of one core, and turn by turn passes while recorded over those while not."""
    with tempfile.TemporaryDirectory(prefix="llem-cost-") as spare:
        folder = Path(spare)
        if simulated:
            script = simulated_gpu.write_script(folder / "script", GPU)
            library = simulated_gpu.build(folder)
            os.environ |= {"LD_LIBRARY_PATH": str(library.parent), "LLEM_SIMULATED_GPU": str(script)}
        recorder = RecorderClient(["nvml"], folder / "recorder.log", None)
        if not recorder.report.channels:
            sys.exit(f"no GPU can be read: {recorder.report.unavailable}")
        costs: list[RecorderCost] = []

        def recorded() -> Rate:
            recorder.begin(folder / "samples.json.gz")
            rate = repeated(engine.run_pass, seconds)
            costs.append(recorder.finish().cost)
            return rate

        try:
            ratios = alternated(recorded, lambda: repeated(engine.run_pass, seconds), turns)
        finally:
            recorder.close()
    return math.fsum(cost.cpu_s for cost in costs) / math.fsum(cost.wall_s for cost in costs), ratios


def protocol_turns(engine: TransformersEngine, turns: int, seconds: float) -> list[Rate]:
    """Return, turn by turn, passes of a measured window over those of a bare loop."""
    model, batches = engine._model, engine._batches
    tokens = CONFIG.generation.output_tokens
    plan = WindowPlan(min_s=seconds, min_passes=1, guard_s=0.0)

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                model.generate(
                    input_ids=batch.ids,
                    attention_mask=batch.mask,
                    max_new_tokens=tokens,
                    min_new_tokens=tokens,
                    do_sample=False,
                    num_beams=1,
                    pad_token_id=0,
                )

    with open(os.devnull, "wb", buffering=0) as parent:

        def measured() -> Rate:
            voice = Voice(lambda message: parent.write(message.model_dump_json().encode() + b"\n"))
            start_s = time.process_time()
            window, _ = measured_window(engine, engine.run_pass, plan, voice)
            return Rate(window.passes / window.duration_s, window.passes / (time.process_time() - start_s))

        return alternated(measured, lambda: repeated(bare, seconds), turns)


def alternated(ours: Callable[[], Rate], floor: Callable[[], Rate], turns: int) -> list[Rate]:
    """Return ``ours`` / ``floor`` of each turn; who goes first changes, so that a drift favours neither."""
    ratios = []
    for turn in range(turns):
        if turn % 2:
            low = floor()
            high = ours()
        else:
            high = ours()
            low = floor()
        ratios.append(Rate(high.wall / low.wall, high.processor / low.processor))
    return ratios


def repeated(run_pass: Callable[[], object], seconds: float) -> Rate:
    """Return the rate of whole passes over at least ``seconds``."""
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    done = 0
    while True:
        run_pass()
        done += 1
        elapsed_s = time.monotonic() - start_s
        if elapsed_s >= seconds:
            return Rate(done / elapsed_s, done / (time.process_time() - start_cpu_s))


if __name__ == "__main__":
    main()
