"""Events that hold the plan, so that resume needs nothing but the journal."""

from typing import Literal

from pydantic import Field, JsonValue

from llem.domain.carbon import CarbonFactor
from llem.domain.events.base import Event, FileName, Sha256
from llem.domain.model import Value
from llem.domain.names import OrderKind, ProfileName
from llem.domain.spec import ExperimentConfig, Gaps, Limits

SkipKind = Literal["invalid", "engine_rule", "excluded"]


class SkippedPoints(Value):
    """Grid points that became no experiment, for one reason.

    Attributes:
        kind: ``invalid`` (a value that cannot be), ``engine_rule`` (the engine cannot do it here) or ``excluded`` (by
            ``exclude:`` or ``only:``).
        reason: The reason in words, with its place.
        points: What the sweep gave each of them: dotted key → value.
    """

    kind: SkipKind
    reason: str
    points: tuple[dict[str, JsonValue], ...]


class StudyPlanned(Event):
    """A study was planned. Its experiments follow, in the same transaction.

    Attributes:
        study_name: The name that the study file gives.
        study_design_hash: Identity of the ordered experiments and the plan of repetition.
        llem_version: The llem that planned it.
        base_dir: Folder that relative paths in configurations start from: that of the study file.
        profile: The profile whose defaults applied.
        cycles: How often each experiment runs.
        order: Kind of order.
        seed: Seed of the order.
        gaps: Idle time between trials and between cycles.
        limits: When an attempt, a session or the study is given up.
        reruns: How often a trial is run again whose measurement was spoiled.
        retries: How often a trial is tried again that failed by its environment.
        sequence: The experiments' indices in the order in which their trials run: the n-th time is cycle n.
        declared: Grid points that the study file spans.
        duplicates: Grid points that were the same experiment as an earlier one.
        skipped: Grid points that became no experiment, by reason.
        origins: Where values that hold for the whole study came from: dotted key → origin. What neither this nor an
            experiment's own ``origins`` names is llem's default.
        carbon: What turns the study's joules into grams of CO₂ equivalent; None where it declares nothing.
    """

    kind: Literal["study_planned"] = "study_planned"
    v: Literal[3] = 3
    study_name: str
    study_design_hash: Sha256
    llem_version: str
    base_dir: str
    profile: ProfileName = "standard"
    cycles: int
    order: OrderKind
    seed: int
    gaps: Gaps = Gaps()
    limits: Limits
    reruns: int = 0
    retries: int = 0
    sequence: list[int]
    declared: int
    duplicates: int = 0
    skipped: tuple[SkippedPoints, ...] = ()
    origins: dict[str, str] = Field(default_factory=dict)
    carbon: CarbonFactor | None = None


class StudyExtended(Event):
    """A study got more cycles or experiments. Added experiments follow, in the same transaction.

    Attributes:
        study_design_hash: Identity of the design as it is now.
        llem_version: The llem that planned the extension.
        cycles: How often each experiment runs now.
        limits: When an attempt, a session or the study is given up from now on.
        reruns: How often a trial is run again whose measurement was spoiled, from now on; None leaves it as it was.
        retries: How often a trial is tried again that failed by its environment, from now on; None leaves that as it
            was.
        sequence: The added trials, after all that were planned before.
        added: How many experiments were added.
        summaries: The ``config_summary`` of each experiment planned before, as it reads now that others joined it.
        carbon: What turns joules into grams of CO₂ equivalent from now on, for what was measured before too.
    """

    kind: Literal["study_extended"] = "study_extended"
    v: Literal[2] = 2
    study_design_hash: Sha256
    llem_version: str
    cycles: int
    limits: Limits
    reruns: int | None = None
    retries: int | None = None
    sequence: list[int]
    added: int
    summaries: tuple[dict[str, JsonValue], ...]
    carbon: CarbonFactor | None = None


class ExperimentPlanned(Event):
    """An experiment is part of the plan.

    Attributes:
        index: Its place in the study file's order, from 0.
        label: The first digits of its hash, as many as tell the study's experiments apart.
        config: The resolved configuration.
        config_hash: Its identity.
        config_summary: The dimensions that vary in this study.
        result_stem: What its result files are called, before ``_c{cycle}.json``.
        origins: Where values that the study's ``origins`` do not cover came from: dotted key → origin.
    """

    kind: Literal["experiment_planned"] = "experiment_planned"
    v: Literal[2] = 2
    index: int
    label: FileName
    config: ExperimentConfig
    config_hash: Sha256
    config_summary: dict[str, JsonValue]
    result_stem: FileName
    origins: dict[str, str] = Field(default_factory=dict)
