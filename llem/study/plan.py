"""From checked experiments to the plan: duplicates folded, the order settled, the events that hold it all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from llem.domain.events import ExperimentPlanned, StudyPlanned
from llem.domain.events.plan import SkippedPoints
from llem.domain.identity import (
    Hasher,
    build_config_summary,
    derived_seed,
    result_stem,
    study_design_hash,
    unique_prefix_length,
    varying_keys,
)
from llem.domain.order import n_rows, trial_order
from llem.study.grid import Declared
from llem.study.load import LoadedStudy
from llem.study.resolve import sharing
from llem.study.trust import trusted
from llem.version import __version__


@dataclass(frozen=True)
class StudyPlan:
    """A study, ready to run.

    Attributes:
        study: The plan of repetition, as the journal keeps it.
        experiments: The experiments, as the journal keeps them.
        axes: What the grid is spanned by: its name, and what it gives in each alternative.
        sources: The study file and its base files: (name, content).
        warnings: What deserves a person's attention.
    """

    study: StudyPlanned
    experiments: list[ExperimentPlanned]
    axes: list[tuple[str, list[dict[str, object]]]]
    sources: list[tuple[str, bytes]]
    warnings: list[str]

    @property
    def trials(self) -> int:
        """Return how many trials the study has."""
        return len(self.study.sequence)


def plan_study(loaded: LoadedStudy) -> StudyPlan:
    """Return the plan of a study: equal configurations folded into one experiment, order and seed settled."""
    settings = loaded.settings
    unique: dict[str, Declared] = {}
    hasher = Hasher()
    for declared in loaded.experiments:
        unique.setdefault(hasher(declared.config), declared)
    hashes = list(unique)
    seed = derived_seed(hashes) if settings.seed is None else settings.seed
    study = StudyPlanned(
        study_name=settings.name,
        study_design_hash=study_design_hash(
            hashes, cycles=settings.cycles, order=settings.order, seed=seed, gaps=settings.gaps
        ),
        llem_version=__version__,
        base_dir=str(loaded.base_dir),
        profile=settings.profile,
        cycles=settings.cycles,
        order=settings.order,
        seed=seed,
        gaps=settings.gaps,
        reruns=settings.reruns,
        retries=settings.retries,
        limits=settings.limits,
        carbon=loaded.carbon,
        sequence=trial_order(len(hashes), settings.cycles, settings.order, seed),
        declared=loaded.declared,
        duplicates=len(loaded.experiments) - len(hashes),
        skipped=tuple(
            SkippedPoints(kind=kind, reason=reason, points=tuple(points))
            for (kind, reason), points in loaded.skipped.items()
        ),
        origins={key: origin for key, origin in loaded.origins.items() if key != "seed" or settings.seed is not None},
    )
    return StudyPlan(
        study=study,
        experiments=_planned(hashes, list(unique.values())),
        axes=[
            (dimension.name, [dict(alternative.values) for alternative in dimension.alternatives])
            for dimension in loaded.dimensions
        ],
        sources=[(source.file, source.raw) for source in loaded.sources],
        warnings=[*loaded.warnings, *_order_warnings(study, len(hashes)), *_trusted(unique.values())],
    )


def _planned(hashes: Sequence[str], experiments: Sequence[Declared]) -> list[ExperimentPlanned]:
    chars = unique_prefix_length(hashes)
    varying = varying_keys([declared.config for declared in experiments])
    return [
        sharing(
            ExperimentPlanned(
                index=index,
                label=key[:chars],
                config=declared.config,
                config_hash=key,
                config_summary=build_config_summary(declared.config, varying),
                result_stem=result_stem(declared.config, key[:chars]),
            ),
            origins=declared.origins,
        )
        for index, (key, declared) in enumerate(zip(hashes, experiments, strict=True))
    ]


def _trusted(experiments: Iterable[Declared]) -> list[str]:
    configs = (declared.config for declared in experiments)
    told = (trusted(config.engine, config.model, config.engine_options) for config in configs)
    return list(dict.fromkeys(chain.from_iterable(told)))


def _order_warnings(study: StudyPlanned, experiments: int) -> list[str]:
    rows = n_rows(experiments)
    if study.order != "latin_square" or study.cycles % rows == 0:
        return []
    return [
        f"latin_square of {experiments} experiments is balanced after {rows} cycles, or a multiple; "
        f"this study has {study.cycles}"
    ]
