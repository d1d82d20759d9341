"""An engine that does nothing, and the processes that measure it: what a trial costs beside its measurement.

    python benchmarks/no_op.py PARENT FD HEAR_FD        # a worker that is started anew, as a launcher starts it
    python benchmarks/no_op.py PARENT FD                # a zygote, likewise

They are llem's own, with this engine beside the others. Its passes take microseconds and report the work that the
configuration asks for, so a trial of it is valid, and nearly all of its time is llem's.
"""

import sys
from pathlib import Path

from llem.domain.measured import Flops, Memory, ModelFacts
from llem.domain.model import Value
from llem.domain.spec import ExperimentConfig
from llem.engines import ENGINES
from llem.engines.base import BatchTiming, EngineEntry, PassCount
from llem.lifeline import die_with_parent
from llem.worker import zygote
from llem.worker.attempt import run

FACTS = ModelFacts(
    parameters=1,
    weight_bytes=4,
    dtype="float32",
    attn_implementation=None,
    devices=("cpu",),
    device_names=("none",),
    tokenizer="bytes",
    revision=None,
    weights_sha256=None,
    unknown={"revision": "there is no model", "weights_sha256": "there is no model"},
)


class NoOpOptions(Value):
    """The engine's section of a study: a number that sets experiments apart."""

    n: int = 0


class NoOpEngine:
    """See ``Engine``."""

    def __init__(self, config: ExperimentConfig, base_dir: Path) -> None:
        count = config.prompts.count or config.batch_size
        per_prompt = getattr(config.prompts, "input_tokens", None) or 1
        self._prompts = PassCount(count, count * per_prompt, 0, count)
        self._pass = self._prompts._replace(output_tokens=count * config.generation.output_tokens)

    def load(self) -> None:
        pass

    def prepare(self) -> str:
        return "0" * 64

    def facts(self) -> ModelFacts:
        return FACTS

    def libraries(self) -> dict[str, str]:
        return {}

    def run_pass(self) -> PassCount:
        return self._pass

    def prefill_pass(self) -> PassCount:
        return self._prompts

    def timed_pass(self) -> list[BatchTiming]:
        return []

    def outputs_sha256(self) -> str | None:
        return None

    def count_flops(self) -> Flops:
        return Flops(per_pass=None, source=None, reason="there is no model")

    def synchronize(self) -> None:
        pass

    def reset_peak_memory(self) -> None:
        pass

    def peak_memory(self) -> Memory:
        return Memory(torch_allocated_bytes=None, torch_reserved_bytes=None, rss_bytes=1)


NO_OP = EngineEntry(
    options=NoOpOptions,
    check=lambda config, base_dir, machine: (),
    environment=lambda config, base_dir, answers: {},
    late_variables=frozenset(),
    preload="no_op:preload",
    adapter="no_op:NoOpEngine",
    may_use_gpu=lambda config: False,
    trusts=lambda model, options: iter(()),
)


def preload(config: ExperimentConfig, base_dir: Path) -> None:
    pass


def register() -> None:
    """Have this process know the engine. Not when this is imported: a process of tests must not know it."""
    ENGINES["no_op"] = NO_OP


if __name__ == "__main__":
    register()
    parent, *descriptors = sys.argv[1:]
    if len(descriptors) == 1:
        zygote.main(sys.argv[1:])
    die_with_parent(int(parent))
    run(*map(int, descriptors))
