"""Every effective value of a planned study, and where each came from."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, JsonValue

from llem.domain.events import ExperimentPlanned, StudyPlanned
from llem.domain.identity import canonical_json
from llem.domain.model import Value
from llem.domain.sweep import Tree, flat
from llem.study.plan import StudyPlan

DEFAULT = "default"
FILLED_IN = {"prompts.source": "implied by the other keys", "prompts.sha256": "read from the file"}
"""Keys that llem fills in where the study leaves them out."""
OF_COUNTRY = "implied by carbon.country"
SECTIONS = ("prompts", "generation", "measurement", "environment")


Origins = dict[str, dict[str, None]]
"""Dotted key → its origins, each once and in order."""


class Explained(Value):
    """One dotted key of a study.

    Attributes:
        key: The key, as a study file writes it.
        values: Its values over the study's experiments, each once; one value for what holds for the whole study.
        origins: Where they came from, each once.
    """

    key: str
    values: tuple[JsonValue, ...]
    origins: tuple[str, ...]


def explain(plan: StudyPlan) -> list[Explained]:
    """Return every key of the study and of its experiments with its effective values and their origins."""
    return [*_of_study(plan.study), *_of_experiments(plan.study.origins, plan.experiments)]


def _of_study(study: StudyPlanned) -> list[Explained]:
    seed_origin = study.origins.get("seed", "derived from the design")
    gaps = {f"gaps.{key}": value for key, value in study.gaps.model_dump(mode="json").items()}
    limits = {f"limits.{key}": value for key, value in study.limits.model_dump(mode="json").items()}
    carbon: Tree = {"carbon": None if study.carbon is None else study.carbon.model_dump(mode="json")}
    values: dict[str, JsonValue] = {
        "name": study.study_name,
        "profile": study.profile,
        "cycles": study.cycles,
        "order": study.order,
        "seed": study.seed,
        "reruns": study.reruns,
        "retries": study.retries,
        **gaps,
        **limits,
        **flat(carbon),
    }
    origins = {**study.origins, "seed": seed_origin}
    if study.carbon is not None and study.carbon.country is not None:
        origins |= dict.fromkeys(("carbon.intensity_g_per_kwh", "carbon.source"), OF_COUNTRY)
    return [
        Explained(key=key, values=(value,), origins=(origins.get(key, DEFAULT),)) for key, value in values.items()
    ]


def _of_experiments(shared: Mapping[str, str], experiments: Sequence[ExperimentPlanned]) -> list[Explained]:
    values: dict[str, dict[str, JsonValue]] = {}
    for name in ("model", "engine", "dtype", "batch_size", *SECTIONS):
        for tree in _distinct(getattr(planned.config, name) for planned in experiments):
            for key, value in flat({name: tree}).items():
                values.setdefault(key, {})[canonical_json(value)] = value
    for engine in dict.fromkeys(planned.config.engine for planned in experiments):
        options = (planned.config.engine_options for planned in experiments if planned.config.engine == engine)
        for tree in _distinct(options):
            for key, value in flat({engine: tree}).items():
                values.setdefault(key, {})[canonical_json(value)] = value
    groups = _alike(_distinct(planned.origins for planned in experiments))
    return [
        Explained(key=key, values=tuple(found.values()), origins=_origins(key, groups, shared))
        for key, found in values.items()
    ]


def _alike(own: Iterable[Mapping[str, str]]) -> list[Origins]:
    """Return the origins of experiments that were given the same keys, joined: they are many, such groups few."""
    groups: dict[tuple[str, ...], Origins] = {}
    for origins in own:
        group = groups.setdefault(tuple(origins), {key: {} for key in origins})
        for key, origin in origins.items():
            group[key][origin] = None
    return list(groups.values())


def _origins(key: str, groups: Iterable[Origins], shared: Mapping[str, str]) -> tuple[str, ...]:
    """Return the origins of a key over all experiments, those of keys above and below it included."""
    found: dict[str, None] = {}
    below = f"{key}."
    common = [origin for other, origin in shared.items() if _holds(other, key) or other.startswith(below)]
    for group in groups:
        own = [origin for other, origins in group.items() if _holds(other, key) for origin in origins]
        parts = [origin for other, origins in group.items() if other.startswith(below) for origin in origins]
        found.update(dict.fromkeys([*(own or common), *parts] or [FILLED_IN.get(key, DEFAULT)]))
    return tuple(found)


def _holds(other: str, key: str) -> bool:
    return other == key or key.startswith(f"{other}.")


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Return each object once, models as JSON trees: experiments share the sections in which they do not differ."""
    objects = {id(value): value for value in values}.values()
    return [value.model_dump(mode="json") if isinstance(value, BaseModel) else value for value in objects]
