"""A journal of any size in the shape of a real study, written in seconds: what the benchmarks of replay read."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from llem.domain.events import ExperimentPlanned, SessionStarted, StudyPlanned
from llem.domain.host import Host
from llem.domain.identity import config_hash
from llem.domain.result import Headline
from llem.domain.row import chain_hash
from llem.domain.sensing import SensorReport
from llem.domain.spec import ExperimentConfig, Limits
from llem.journal.journal import INSERT, Journal
from llem.projections.manifest import trial_id

CYCLES = 10
PHASES = ("load", "prepare", "loaded_idle", "count_flops", "warmup", "measure", "latency", "teardown")
"""The phases of a trial with the usual settings: with its start and its result, ten events."""

HEADLINE = Headline(
    provenance="modelled",
    boundary="cpu+ram",
    energy_total_j=2.29908890658297,
    energy_per_output_token_j=0.015125584911730064,
    energy_reason=None,
    output_tokens=152,
    output_tokens_per_s=1472.6291003310635,
    duration_s=0.103216757,
    ttft_p50_s=0.001786071,
    itl_p50_s=0.0004840915,
    peak_memory_bytes=377782272,
    input_tokens=2400,
    requests=24,
)


def fill(path: Path, events: int, phases: tuple[str, ...] = PHASES) -> None:
    """Write a journal of some ``events`` events: every trial of the study is completed at its first attempt.

    Args:
        path: The journal, which must not exist.
        events: How many events its trials have; the plan comes on top.
        phases: The phases that each trial enters.
    """
    experiments = events // ((len(phases) + 2) * CYCLES)
    study, *planned = plan(experiments, CYCLES)
    host = Host(
        name="box",
        boot_id="boot",
        kernel="6.1",
        cpu="a processor",
        cpus=2,
        memory_bytes=1 << 34,
        python="3.11.7",
        packages={},
        environment={},
    )
    started = SessionStarted(command="run", llem_version="0", pid=1, host=host, sensors=SensorReport())
    with Journal(path) as journal:
        journal.append_all([study, *planned, started])
        seq, last_hash = journal.head
    # Through a connection of its own: to build and check a model per event would take minutes.
    connection = sqlite3.connect(path)
    with connection:
        connection.executemany(INSERT, _trials(planned, phases, seq, last_hash))
    connection.close()


def plan(experiments: int, cycles: int) -> tuple[StudyPlanned, *tuple[ExperimentPlanned, ...]]:
    """Return the events that plan a study: of the whole, then of each experiment."""
    study = StudyPlanned(
        study_name="bench",
        study_design_hash="0" * 64,
        llem_version="0",
        base_dir=".",
        cycles=cycles,
        order="interleave",
        seed=0,
        sequence=list(range(experiments)) * cycles,
        limits=Limits(),
        declared=experiments,
    )
    return study, *map(_planned, range(experiments))


def _planned(index: int) -> ExperimentPlanned:
    config = ExperimentConfig(model="some/model", batch_size=1, engine_options={"n": index})
    key = config_hash(config)
    return ExperimentPlanned(
        index=index,
        label=key[:12],
        config=config,
        config_hash=key,
        config_summary={"transformers.n": index, "dtype": "float16"},
        result_stem=f"model_transformers_{key[:12]}",
    )


def _trials(
    planned: Sequence[ExperimentPlanned], phases: tuple[str, ...], seq: int, last_hash: str
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of all trials, chained to the event ``seq`` whose hash is ``last_hash``."""
    headline = json.dumps(HEADLINE.model_dump(mode="json"), separators=(",", ":"))
    for cycle in range(1, CYCLES + 1):
        for experiment in planned:
            trial = trial_id(experiment.label, cycle)
            sha256 = hashlib.sha256(trial.encode()).hexdigest()
            named = f'"result_sha256":"{sha256}","samples_file":"{trial}_a1.json.gz","samples_sha256":"{sha256}"'
            for kind, data in (
                ("experiment_running", f'{{"log_file":"logs/{trial}_a1.log","launcher":"local"}}'),
                *(("phase_entered", f'{{"phase":"{phase}","t_ns":{13191221572874 + seq}}}') for phase in phases),
                (
                    "experiment_completed",
                    f'{{"result_file":"{experiment.result_stem}_c{cycle}.json",{named},"headline":{headline}}}',
                ),
            ):
                seq += 1
                stored = (seq, "2026-01-02T03:04:05.000006Z", 1, kind, 1, trial, 1, data, last_hash)
                last_hash = chain_hash(*stored)
                yield (*stored, last_hash)
