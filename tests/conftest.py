"""Shared by all tests: builders of valid values, and hypothesis' profile."""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from simulated_gpu import SimulatedDevice, build, write_script

from llem.domain.events import Event, ExperimentPlanned, StudyPlanned
from llem.domain.host import Host
from llem.domain.identity import config_hash, study_design_hash
from llem.domain.measured import Flops, Latency, Measured, Memory, ModelFacts, Window, Work
from llem.domain.order import trial_order
from llem.domain.result import Headline
from llem.domain.row import GENESIS, Row, chain_hash
from llem.domain.sensing import Channel
from llem.domain.spec import ExperimentConfig, Gaps, Limits

settings.register_profile(
    "llem", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# HYPOTHESIS_PROFILE=long pytest tests/study/test_fuzz.py
settings.register_profile("long", parent=settings.get_profile("llem"), max_examples=6000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "llem"))

# The processes that tests start by the hundred would each compile all of llem anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest_plugins = ["distribution", "lab", "small_disk"]

SHA = "a" * 64
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Chain:
    """The rows of a journal in memory: numbered, stamped and chained as the journal does it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.session = 1

    def append(self, event: Event) -> Row:
        seq = len(self.rows) + 1
        stored = (
            seq,
            f"{START + timedelta(seconds=seq):%Y-%m-%dT%H:%M:%S.%fZ}",
            self.session,
            event.kind,
            event.v,
            event.trial,
            event.attempt,
            json.dumps(event.data(), separators=(",", ":"), ensure_ascii=False, allow_nan=False),
            self.rows[-1].hash if self.rows else GENESIS,
        )
        row = Row(*stored, chain_hash(*stored))
        self.rows.append(row)
        return row

    def append_all(self, events: Iterable[Event]) -> list[Row]:
        return [self.append(event) for event in events]


class Builders:
    """Valid values, in which a test names only what it is about."""

    sha = SHA
    start = START

    def chain(self) -> Chain:
        return Chain()

    def config(self, **changes: Any) -> ExperimentConfig:
        return ExperimentConfig.model_validate({"model": {"config": "llama", "hidden_size": 64}, **changes})

    def window(self, t0_s: float = 10.0, t1_s: float = 22.0, **changes: Any) -> Window:
        t0_ns, t1_ns = round(t0_s * 1e9), round(t1_s * 1e9)
        fields: dict[str, Any] = {
            "t0_ns": t0_ns,
            "t1_ns": t1_ns,
            "guard_start_ns": t0_ns,
            "guard_end_ns": t1_ns,
            "anchor_monotonic_ns": t0_ns,
            "anchor_utc": START,
            "passes": 3,
        }
        return Window.model_validate({**fields, **changes})

    def work(self, **changes: Any) -> Work:
        fields: dict[str, Any] = {
            "requests": 24,
            "input_tokens": 2400,
            "padding_tokens": 0,
            "output_tokens": 600,
            "asked_output_tokens": 600,
            "prompts_sha256": SHA,
            "outputs_sha256": SHA,
        }
        return Work.model_validate({**fields, **changes})

    def measured(self, *, devices: tuple[str, ...] = ("cpu",), **changes: Any) -> Measured:
        model = ModelFacts(
            parameters=1000,
            weight_bytes=4000,
            dtype="float32",
            attn_implementation="sdpa",
            devices=devices,
            device_names=devices,
            tokenizer="bytes",
            revision=None,
            weights_sha256=None,
            unknown={"revision": "no hub", "weights_sha256": "not asked"},
        )
        fields: dict[str, Any] = {
            "window": self.window(),
            "work": self.work(),
            "latency": Latency(ttft_s=None, itl_s=None, tpot_s=None, end_to_end_s=None, passes=0),
            "memory": Memory(torch_allocated_bytes=None, torch_reserved_bytes=None, rss_bytes=5000),
            "model": model,
            "flops": Flops(per_pass=100, source="counted"),
            "load_s": 1.5,
            "libraries": {"torch": "2.13.0"},
            "warmup_s": (0.5, 0.25),
        }
        return Measured.model_validate({**fields, **changes})

    def headline(self, **changes: Any) -> Headline:
        fields: dict[str, Any] = {
            "provenance": "counter",
            "boundary": "gpu",
            "energy_total_j": 120.0,
            "energy_per_output_token_j": 0.2,
            "energy_reason": None,
            "output_tokens": 600,
            "output_tokens_per_s": 50.0,
            "duration_s": 12.0,
            "ttft_p50_s": 0.01,
            "itl_p50_s": 0.002,
            "peak_memory_bytes": 5000,
        }
        return Headline.model_validate({**fields, **changes})

    def host(self) -> Host:
        return Host(
            name="box",
            boot_id="boot",
            kernel="6.1",
            cpu="a processor",
            cpus=2,
            memory_bytes=1 << 34,
            python="3.11.7",
            packages={"torch": "2.13.0"},
            environment={},
        )

    def channel(self, **changes: Any) -> Channel:
        fields: dict[str, Any] = {
            "id": "nvml/GPU-1/energy",
            "sensor": "nvml",
            "device": "GPU-1",
            "boundary": "gpu",
            "kind": "energy_j",
            "provenance": "counter",
        }
        return Channel.model_validate({**fields, **changes})

    def plan(self, experiments: int = 2, cycles: int = 2) -> list[StudyPlanned | ExperimentPlanned]:
        """Return the events that plan experiments which differ in their batch size."""
        configs = [self.config(batch_size=size) for size in range(1, experiments + 1)]
        hashes = [config_hash(config) for config in configs]
        study = StudyPlanned(
            study_name="tiny",
            study_design_hash=study_design_hash(hashes, cycles=cycles, order="blocks", seed=7, gaps=Gaps()),
            llem_version="0.0.1",
            base_dir="/studies",
            cycles=cycles,
            order="blocks",
            seed=7,
            sequence=trial_order(experiments, cycles, "blocks", 7),
            limits=Limits(),
            declared=experiments,
        )
        planned = [
            ExperimentPlanned(
                index=index,
                label=f"e{index}",
                config=config,
                config_hash=key,
                config_summary={"batch_size": config.batch_size},
                result_stem=f"e{index}",
            )
            for index, (config, key) in enumerate(zip(configs, hashes, strict=True))
        ]
        return [study, *planned]


@pytest.fixture(scope="session")
def make() -> Builders:
    """Return builders of valid values."""
    return Builders()


@pytest.fixture(scope="session")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment in which a process finds the simulated driver, with the GPUs that it has by itself."""
    folder = tmp_path_factory.mktemp("driver")
    build(folder)
    return {"LD_LIBRARY_PATH": str(folder)}


@pytest.fixture
def nvml_of(nvml: dict[str, str], tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return what makes the environment of a process whose driver has the given devices.

    Their times count from when it is called, unless the setting ``origin_ns`` says otherwise.
    """

    def environment(*devices: SimulatedDevice, **script: Any) -> dict[str, str]:
        path = tmp_path / f"{uuid.uuid4().hex[:8]}.gpu"
        write_script(path, *devices, **{"origin_ns": time.monotonic_ns(), **script})
        return {**nvml, "LLEM_SIMULATED_GPU": str(path)}

    return environment
