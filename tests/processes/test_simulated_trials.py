"""Whole trials on a simulated GPU whose true power is known: what they state is true, or they say that it is not.

All of it is real but the GPU and the work: the parent, the recorder with nvidia-ml-py, the worker's protocol.
"""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from simulated_gpu import SimulatedDevice, write_script

ROOT = Path(__file__).parents[2]
GPU = "GPU-00000000-sim0-0000-0000-000000000000"
WINDOW_S = 1.5
AT_ONCE = 3
BARE_W, IDLE_W = 60.0, 90.0
MEASURED = {
    "sensors": ["nvml"],
    "warmup_passes": 0,
    "min_window_s": WINDOW_S,
    "min_passes": 1,
    "guard_s": 0.7,
    "latency_passes": 0,
    "count_flops": False,
}


@dataclass(frozen=True)
class Simulated:
    """A study of one experiment on one simulated GPU, and the GPU's true power."""

    study: Any
    device: SimulatedDevice
    origin_ns: int
    verified: dict[str, Any]

    @property
    def result(self) -> dict[str, Any]:
        return dict(self.study.result(self.study.trials()[0]))

    @property
    def figures(self) -> dict[str, Any]:
        return dict(self.result["figures"])

    def codes(self, part: str) -> set[str]:
        return {finding["code"] for finding in self.result[part]}

    def true_j(self, start_ns: int, end_ns: int) -> float:
        return self.device.energy_between_ns(start_ns, end_ns, origin_ns=self.origin_ns)

    def window_j(self, window: dict[str, Any] | None = None) -> float:
        """Return the true energy of the work, without the guards between its segments."""
        window = window or self.result["measured"]["window"]
        return sum(self.true_j(piece["t0_ns"], piece["t1_ns"]) for piece in window["segments"] or [window])


@pytest.fixture(scope="module")
def simulate(module_lab: Any, nvml: dict[str, str]) -> Callable[..., Simulated]:
    """Return a function that runs a study on a simulated GPU, verifies it, and returns what came of it."""
    path = os.pathsep.join([str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])

    def run(
        flaws: dict[str, Any] | None = None,
        acts: dict[str, Any] | None = None,
        measurement: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        meanwhile: Callable[[Any, Any], None] = lambda session, study: None,
        **changes: Any,
    ) -> Simulated:
        name, origin_ns = uuid.uuid4().hex[:8], time.monotonic_ns()
        given = {"levels": ((0.0, IDLE_W, 0.0),), "capability": "8.9", "power_average_s": 1.0, **(flaws or {})}
        device = SimulatedDevice(load_file=module_lab.place / f"{name}.load", **given)
        script = write_script(module_lab.place / f"{name}.gpu", device, origin_ns=origin_ns)
        study_file = module_lab.write(
            model={"load_file": str(device.load_file), "device": GPU, "idle_w": IDLE_W, **(acts or {})},
            measurement={**MEASURED, **(measurement or {})},
            **changes,
        )
        environment = {
            **nvml,
            "LLEM_SIMULATED_GPU": str(script),
            "LLEM_ACTING_WORKER": str(Path(__file__).parent / "workers" / "simulated_worker.py"),
            "PYTHONPATH": path,
            **(env or {}),
        }
        session, study = module_lab.start(study_file, env=environment)
        meanwhile(session, study)
        session.ended(0)
        verified = json.loads(module_lab.llem("study", "verify", study.root, "--json", code=None).out)
        return Simulated(study, device, origin_ns, verified)

    return run


def within(found: float, truth: float, *u: float) -> bool:
    return abs(found - truth) <= sum(u)


# A trial by the whole protocol, on a counter that is a true integral.

WARM_AFTER_S = 12.0
STEADY_S = 2.0


@pytest.fixture(scope="module")
def whole(simulate: Any) -> Simulated:
    """Return a trial with all parts of the protocol, on a GPU that warms up for some time."""
    return simulate(
        {
            "levels": ((0.0, BARE_W, 0.0),),
            "temperatures": ((0.0, 35.0), (WARM_AFTER_S, 70.0)),
            "clocks": (("sm", 0.0, 1500.0),),
            "noise_w": 0.2,
        },
        {"load": ((0.3, 150.0), (0.2, 110.0)), "bare_w": BARE_W, "slower_s": 0.2},
        {"warmup_max_s": 8, "soak_max_s": 20, "bare_idle_s": 1.5, "phases": True, "warmup_passes": 1},
        {"LLEM_STEADY_S": str(STEADY_S), "LLEM_CHECK": "1.5:0"},
    )


def test_a_whole_trial_is_valid_and_every_figure_recomputed(whole: Simulated) -> None:
    assert whole.codes("validity") == set()
    print(whole.result["warnings"], whole.result["figures"])
    assert whole.verified["findings"] == []
