"""What measuring costs the inference: its throughput beside that without, taken in alternation in one run.

    python benchmarks/measuring_cost.py [--turns N] [--seconds S] [--json FILE]

- recorded: whole passes of a small model while the real recorder process reads a simulated GPU as fast as it reads a
  real one, over the same passes while it stands idle.
- protocol: the measured loop of a trial, over a bare loop of ``model.generate`` with the same arguments.

The GPU is simulated (a library that the real nvidia-ml-py loads), the model runs on the processor: all cores that the
recorder could take are the model's, which is harder than on a GPU host. A ratio of 1 is no cost.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import simulated_gpu

from llem.domain.spec import ExperimentConfig
from llem.domain.statistics import mean_with_interval
from llem.engines.transformers_adapter import TransformersEngine
from llem.study.recording import RecorderClient

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

Pass = Callable[[], object]


def main() -> None:
    """Run both comparisons, print the table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=40, help="pairs of stretches in each comparison")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a stretch")
    parser.add_argument("--json", type=Path, help="write the ratios to this file")
    arguments = parser.parse_args()
    engine = TransformersEngine(CONFIG, Path.cwd())
    engine.load()
    engine.prepare()
    for _ in range(3):
        engine.run_pass()
    ratios = {
        "recorded / not recorded": recorded_ratios(engine, arguments.turns, arguments.seconds),
        "protocol / bare generate": protocol_ratios(engine, arguments.turns, arguments.seconds),
    }
    print(f"{'tokens/s':<28} {'median':>8} {'mean':>8}   95 % interval of the mean")
    for name, values in ratios.items():
        told = mean_with_interval(values)
        half = told.half_width if told and told.half_width is not None else math.nan
        print(f"{name:<28} {statistics.median(values):>8.4f} {statistics.fmean(values):>8.4f}   ± {half:.4f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(ratios, indent=2))


def recorded_ratios(engine: TransformersEngine, turns: int, seconds: float) -> list[float]:
    """Return, turn by turn, passes per second while recorded over those while not."""
    with tempfile.TemporaryDirectory(prefix="llem-cost-") as spare:
        folder = Path(spare)
        library = simulated_gpu.build(folder)
        os.environ["LD_LIBRARY_PATH"] = str(library.parent)
        recorder = RecorderClient(["nvml"], folder / "recorder.log", None)
        if not recorder.report.channels:
            sys.exit(f"the simulated GPU cannot be read: {recorder.report.unavailable}")

        def recorded() -> float:
            recorder.begin(folder / "samples.json.gz")
            rate = passes_per_s(engine.run_pass, seconds)
            recorder.finish()
            return rate

        try:
            return alternated(recorded, lambda: passes_per_s(engine.run_pass, seconds), turns)
        finally:
            recorder.close()


def protocol_ratios(engine: TransformersEngine, turns: int, seconds: float) -> list[float]:
    """Return, turn by turn, passes per second of the measured loop over those of a bare loop."""
    model, batches = engine._model, engine._batches
    tokens = CONFIG.generation.output_tokens

    def bare() -> None:
        for batch in batches:
            model.generate(
                input_ids=batch.ids,
                attention_mask=batch.mask,
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                pad_token_id=0,
            )

    return alternated(lambda: passes_per_s(engine.run_pass, seconds), lambda: passes_per_s(bare, seconds), turns)


def alternated(ours: Callable[[], float], floor: Callable[[], float], turns: int) -> list[float]:
    """Return ``ours`` / ``floor`` of each turn; who goes first changes, so that a drift favours neither."""
    ratios = []
    for turn in range(turns):
        if turn % 2:
            low = floor()
            ratios.append(ours() / low)
        else:
            high = ours()
            ratios.append(high / floor())
    return ratios


def passes_per_s(run_pass: Pass, seconds: float) -> float:
    """Return whole passes per second over at least ``seconds``."""
    start = time.monotonic()
    done = 0
    while True:
        run_pass()
        done += 1
        elapsed = time.monotonic() - start
        if elapsed >= seconds:
            return done / elapsed


if __name__ == "__main__":
    main()
