"""A worker that measures by the real protocol, with an engine that acts: it drives the power of a simulated GPU.

All that it knows of its work stands in the trial's ``model``: ``load_file``, to which it reports what the GPU draws,
and ``device``, the GPU's UUID; the rest is in ``Acts``. No torch, and no work but waiting.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from simulated_gpu import report_load

from llem.domain.measured import Flops, Measured, Memory, ModelFacts
from llem.domain.messages import ResultMessage, WorkerSpec
from llem.engines.base import BatchTiming, PassCount
from llem.lifeline import die_with_parent
from llem.worker.hearing import HearingPipe
from llem.worker.protocol import measure
from llem.worker.windows import wait_until

Stages = Sequence[Sequence[float]]
IN_STEP_NS = 50_000_000
"""What begins so soon after a pass follows it directly, so that passes of a period's length keep step with it.

A busy machine wakes this process late by some of these 50 ms; work that fell out of step in the midst of a segment
would be seen by the sensor in another way from then on.
"""


@dataclass(frozen=True)
class Acts:
    """What the engine acts.

    Attributes:
        load: (seconds, watts) of loading, one after the other.
        prefill: Of a prefill-only pass, and of the begin of each pass.
        decode: Of the rest of each pass.
        idle_w: Power with the model loaded.
        bare_w: Power without it; None leaves the last one.
        clock_jump_s: By so much the wall clock jumps between the window's two anchors.
        slower_s: So much longer the first pass takes, and half of that the second one, and so on.
    """

    load: Stages = ()
    prefill: Stages = ((0.01, 400.0),)
    decode: Stages = ((0.02, 250.0),)
    idle_w: float = 90.0
    bare_w: float | None = None
    clock_jump_s: float = 0.0
    slower_s: float = 0.0


class SimulatedEngine:
    """The port of an engine, on a simulated GPU."""

    def __init__(self, spec: WorkerSpec, acts: Acts, load_file: Path, device: str) -> None:
        self._config = spec.config
        self._acts = acts
        self._load_file = load_file
        self._device = device
        self._drawn_w: float | None = None
        self._until_ns = 0
        self._slower_s = acts.slower_s

    def load(self) -> None:
        self._act(self._acts.load)

    def prepare(self) -> str:
        return "0" * 64

    def facts(self) -> ModelFacts:
        return ModelFacts(
            parameters=1,
            weight_bytes=4,
            dtype="float32",
            attn_implementation=None,
            devices=(self._device,),
            device_names=("simulated",),
            tokenizer="bytes",
            revision=None,
            weights_sha256=None,
            unknown={"revision": "acted", "weights_sha256": "acted"},
        )

    def libraries(self) -> dict[str, str]:
        return {}

    def run_pass(self) -> PassCount:
        self._act([*self._acts.prefill, *self._acts.decode])
        if self._slower_s > 0.001:
            time.sleep(self._slower_s)
            self._slower_s /= 2
            self._until_ns = 0  # the next one is not late
        return self._count(self._config.generation.output_tokens)

    def prefill_pass(self) -> PassCount:
        self._act(self._acts.prefill)
        return self._count(1)

    def timed_pass(self) -> list[BatchTiming]:
        start_ns = time.monotonic_ns()
        self._act(self._acts.prefill)
        first_ns = time.monotonic_ns()
        self._act(self._acts.decode)
        self.synchronize()
        return [BatchTiming(start_ns, (first_ns, time.monotonic_ns()))]

    def outputs_sha256(self) -> str | None:
        return None

    def count_flops(self) -> Flops:
        return Flops(per_pass=None, source=None, reason="acted")

    def synchronize(self) -> None:
        if self._drawn_w is not None:
            self._draw(self._acts.idle_w)
            self._until_ns = 0  # what follows begins when it does, after this

    def reset_peak_memory(self) -> None:
        """There is none."""

    def peak_memory(self) -> Memory:
        return Memory(torch_allocated_bytes=None, torch_reserved_bytes=None, rss_bytes=1_000_000)

    def close(self) -> None:
        """Draw what a GPU without a model draws."""
        if self._acts.bare_w is not None:
            self._draw(self._acts.bare_w)

    def _count(self, output_tokens: int) -> PassCount:
        requests, input_tokens = self._config.prompts.count or 1, 4
        return PassCount(requests, requests * input_tokens, 0, requests * output_tokens)

    def _act(self, stages: Stages) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._until_ns > IN_STEP_NS:
            self._until_ns = now_ns
        for seconds, power_w in stages:
            # For when it is due: a busy machine may wake this process late.
            self._draw(power_w, self._until_ns)
            self._until_ns += round(seconds * 1e9)
        wait_until(self._until_ns)

    def _draw(self, power_w: float, at_ns: int | None = None) -> None:
        if power_w != self._drawn_w:
            self._drawn_w = power_w
            report_load(self._load_file, power_w, at_ns)


def main(arguments: list[str]) -> None:
    parent, descriptor, hearing = arguments
    die_with_parent(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = os.fdopen(int(descriptor), "wb")

    def send(message: BaseModel) -> None:
        pipe.write(message.model_dump_json().encode() + b"\n")
        pipe.flush()

    spec = WorkerSpec.model_validate_json(sys.stdin.buffer.read())
    model: dict[str, Any] = spec.config.model.model_dump()  # type: ignore[union-attr]
    acts = Acts(**{field.name: model[field.name] for field in fields(Acts) if field.name in model})
    engine = SimulatedEngine(spec, acts, Path(model["load_file"]), model["device"])
    measured = measure(engine, spec, send, HearingPipe(int(hearing)))
    engine.close()
    send(ResultMessage(measured=jumped(measured, acts.clock_jump_s)))


def jumped(measured: Measured, by_s: float) -> Measured:
    """Return what was measured as if the wall clock had been set in the window."""
    assert measured.window.anchor_end_utc is not None
    told = measured.window.anchor_end_utc + timedelta(seconds=by_s)
    return measured.model_copy(update={"window": measured.window.model_copy(update={"anchor_end_utc": told})})


if __name__ == "__main__":
    main(sys.argv[1:])
