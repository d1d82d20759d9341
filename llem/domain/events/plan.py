"""Events that hold the plan, so that resume needs nothing but the journal."""

from typing import Literal

from pydantic import JsonValue

from llem.domain.events.base import Event, Sha256
from llem.domain.spec import ExperimentConfig, Limits, OrderKind


class StudyPlanned(Event):
    """A study was planned. Its experiments follow, in the same transaction.

    Attributes:
        study_name: The name that the study file gives.
        study_design_hash: Identity of the ordered experiments and the plan of repetition.
        llem_version: The llem that planned it.
        base_dir: Folder that relative paths in configurations start from: that of the study file.
        cycles: How often each experiment runs.
        order: Kind of order.
        seed: Seed of the order.
        blocks: Per cycle, the experiments' indices in the order in which they run.
        limits: Deadlines.
        declared: Grid points before duplicates were folded into one.
    """

    kind: Literal["study_planned"] = "study_planned"
    v: Literal[1] = 1
    study_name: str
    study_design_hash: Sha256
    llem_version: str
    base_dir: str
    cycles: int
    order: OrderKind
    seed: int
    blocks: list[list[int]]
    limits: Limits
    declared: int


class ExperimentPlanned(Event):
    """An experiment is part of the plan.

    Attributes:
        index: Its place in the study file's order, from 0.
        label: The first digits of its hash, as many as tell the study's experiments apart.
        config: The resolved configuration.
        config_hash: Its identity.
        config_summary: The dimensions that vary in this study.
        result_files: Name of the result file of each cycle.
    """

    kind: Literal["experiment_planned"] = "experiment_planned"
    v: Literal[1] = 1
    index: int
    label: str
    config: ExperimentConfig
    config_hash: Sha256
    config_summary: dict[str, JsonValue]
    result_files: list[str]
