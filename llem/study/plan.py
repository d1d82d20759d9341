"""From checked experiments to the events that hold the plan."""

from llem.domain.events import ExperimentPlanned, StudyPlanned
from llem.domain.identity import (
    build_config_summary,
    config_hash,
    derived_seed,
    result_stem,
    study_design_hash,
    unique_prefix_length,
    varying_keys,
)
from llem.domain.order import trial_order
from llem.domain.spec import ExperimentConfig
from llem.study.load import LoadedStudy
from llem.version import __version__


def plan_study(study: LoadedStudy) -> tuple[StudyPlanned, list[ExperimentPlanned]]:
    """Return the plan of ``study``: equal configurations folded into one experiment, order and seed settled."""
    settings = study.settings
    unique: dict[str, ExperimentConfig] = {}
    for config in study.experiments:
        unique.setdefault(config_hash(config), config)
    hashes, configs = list(unique), list(unique.values())
    seed = derived_seed(hashes) if settings.seed is None else settings.seed
    chars = unique_prefix_length(hashes)
    varying = varying_keys(configs)
    planned = StudyPlanned(
        study_name=settings.name,
        study_design_hash=study_design_hash(
            hashes, cycles=settings.cycles, order=settings.order, seed=seed, gaps=settings.gaps
        ),
        llem_version=__version__,
        base_dir=str(study.base_dir),
        profile=settings.profile,
        cycles=settings.cycles,
        order=settings.order,
        seed=seed,
        gaps=settings.gaps,
        limits=settings.limits,
        sequence=trial_order(len(configs), settings.cycles, settings.order, seed),
        declared=len(study.experiments),
        duplicates=len(study.experiments) - len(configs),
    )
    experiments = [
        ExperimentPlanned(
            index=index,
            label=key[:chars],
            config=config,
            config_hash=key,
            config_summary=build_config_summary(config, varying),
            result_stem=result_stem(config, key[:chars]),
        )
        for index, (key, config) in enumerate(zip(hashes, configs, strict=True))
    ]
    return planned, experiments
