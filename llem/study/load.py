"""From a study file to checked experiments: every problem at once, each with its place."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from llem.domain.errors import Problem
from llem.domain.spec import (
    ExperimentConfig,
    Generation,
    JsonlPrompts,
    Limits,
    Measurement,
    StudySettings,
    SyntheticPrompts,
)
from llem.domain.sweep import Tree, expand
from llem.engines import ENGINES
from llem.engines.base import EngineError
from llem.engines.prompts import file_sha256, read_texts
from llem.sensors import SENSORS
from llem.study.yaml_source import KeyPath, YamlSource, read_yaml

EXPERIMENT_KEYS = [key for key in ExperimentConfig.model_fields if key != "engine_options"]
SETTINGS_KEYS = [*StudySettings.model_fields, "sweep"]
KNOWN_KEYS: dict[KeyPath, list[str]] = {
    (): [*SETTINGS_KEYS, *EXPERIMENT_KEYS, *ENGINES],
    ("prompts",): sorted({*SyntheticPrompts.model_fields, *JsonlPrompts.model_fields}),
    ("generation",): list(Generation.model_fields),
    ("measurement",): list(Measurement.model_fields),
    ("limits",): list(Limits.model_fields),
    **{(name,): list(engine.options.model_fields) for name, engine in ENGINES.items()},
}


@dataclass(frozen=True)
class LoadedStudy:
    """A study file, checked.

    Attributes:
        settings: What it says beside its experiments.
        experiments: Every point of its grid, duplicates included.
        base_dir: Folder that relative paths start from.
        raw: The file's bytes.
    """

    settings: StudySettings
    experiments: list[ExperimentConfig]
    base_dir: Path
    raw: bytes


def load_study(path: Path) -> LoadedStudy:
    """Return the study in the YAML file at ``path``.

    Raises:
        StudyFileError: It cannot be used; the error holds every problem with its line.
    """
    source = read_yaml(path)
    base_dir = _base_dir(path, source)
    problems = _unknown_keys(source)
    sweep_problems = _bad_sweep_keys(source)
    settings = _settings(source, problems)
    experiments: list[ExperimentConfig] = []
    sweep = source.tree.get("sweep") or {}
    if not sweep_problems and isinstance(sweep, dict) and all(isinstance(axis, list) for axis in sweep.values()):
        base = {key: value for key, value in source.tree.items() if key in EXPERIMENT_KEYS or key in ENGINES}
        experiments = _experiments(base, sweep, base_dir, source, problems)
    problems += sweep_problems
    if settings is None or problems:
        raise source.error(problems)
    return LoadedStudy(settings, experiments, base_dir, source.raw)


def _base_dir(path: Path, source: YamlSource) -> Path:
    folder = path.absolute().parent
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise source.error([Problem("", f"lies in a folder whose name is not UTF-8: {str(folder)!a}")]) from None
    return folder


def _experiments(
    base: Tree, sweep: dict[str, Any], base_dir: Path, source: YamlSource, problems: list[Problem]
) -> list[ExperimentConfig]:
    """Return every point of the grid as a checked configuration; what is wrong goes to ``problems``."""
    experiments = []
    found: dict[Problem, None] = {}  # one mistake in the base shows at every grid point: told once
    try:
        for tree, point in expand(base, sweep):
            try:
                experiments.append(_experiment(tree, base_dir))
            except _Refused as refused:
                found.update(dict.fromkeys(_placed(problem, point, source) for problem in refused.problems))
    except KeyError as error:
        section = str(error.args[0])
        axis = next(key for key in reversed(sweep) if key.startswith(f"{section}."))
        found[source.problem(("sweep", axis), f"{section!r} is no section here, so nothing lies below it")] = None
    problems += found
    return experiments


class _Refused(Exception):  # noqa: N818 - it carries findings within this file and is never raised beyond it
    """A configuration that cannot be used: (path, message) pairs."""

    def __init__(self, problems: Iterable[tuple[KeyPath, str]]) -> None:
        self.problems = list(problems)


def _settings(source: YamlSource, problems: list[Problem]) -> StudySettings | None:
    tree = {key: value for key, value in source.tree.items() if key in StudySettings.model_fields}
    try:
        return StudySettings.model_validate(tree)
    except ValidationError as error:
        problems += [source.problem(*problem) for problem in _explained(error, tree)]
        return None


def _unknown_keys(source: YamlSource) -> list[Problem]:
    known = KNOWN_KEYS[()]
    return [source.problem((key,), _unknown(key, known)) for key in source.tree if key not in known]


def _bad_sweep_keys(source: YamlSource) -> list[Problem]:
    sweep = source.tree.get("sweep")
    if not isinstance(sweep, dict):
        return []
    problems = []
    for key in sweep:
        head, _, rest = key.partition(".")
        section = KNOWN_KEYS.get((head,), [])
        if "" in key.split("."):
            message = "a part between the dots is empty"
        elif head in SETTINGS_KEYS:
            message = f"{head!r} belongs to the whole study and cannot be swept"
        elif head not in KNOWN_KEYS[()]:
            message = _unknown(head, [*EXPERIMENT_KEYS, *ENGINES])
        elif rest and section and rest.partition(".")[0] not in section:
            message = _unknown(rest.partition(".")[0], section)
        else:
            continue
        problems.append(source.problem(("sweep", key), message))
    return problems


def _experiment(tree: Tree, base_dir: Path) -> ExperimentConfig:
    """Return one grid point as a checked configuration, engine options and prompt hash filled in."""
    engine = tree.get("engine", ExperimentConfig.model_fields["engine"].default)
    if not isinstance(engine, str) or engine not in ENGINES:
        raise _Refused([(("engine",), _unknown(engine, list(ENGINES), what="engine"))])
    fields: dict[str, Any] = {key: value for key, value in tree.items() if key not in ENGINES}
    problems: list[tuple[KeyPath, str]] = []
    section = {} if tree.get(engine) is None else tree[engine]
    try:
        options = ENGINES[engine].options.model_validate(section)
        fields["engine_options"] = options.model_dump(mode="json")
    except ValidationError as error:
        problems += [((engine, *path), message) for path, message in _explained(error, section, (engine,))]
    prompts = fields.get("prompts")
    if isinstance(prompts, dict) and "source" not in prompts:
        fields["prompts"] = {"source": "jsonl" if "path" in prompts else "synthetic", **prompts}
    try:
        config = ExperimentConfig.model_validate(fields)
    except ValidationError as error:
        raise _Refused([*problems, *_explained(error, fields)]) from None
    if problems:
        raise _Refused(problems)
    config = _with_prompts_hash(config, base_dir)
    _require_sensors(config)
    found = ENGINES[engine].check(config, base_dir)
    if found:
        raise _Refused((tuple(problem.path.split(".")), problem.message) for problem in found)
    return config


def _with_prompts_hash(config: ExperimentConfig, base_dir: Path) -> ExperimentConfig:
    """Read the prompts once, so that what is wrong with them is told before anything runs."""
    if not isinstance(config.prompts, JsonlPrompts):
        return config
    try:
        texts = read_texts(config.prompts, base_dir)
    except EngineError as error:
        raise _Refused([(("prompts", "path"), f"{error.message} {error.remedy}")]) from None
    if len(texts) < config.batch_size:
        message = f"{len(texts)} prompts cannot fill one batch of {config.batch_size}"
        raise _Refused([(("batch_size",), message)])
    sha256 = file_sha256(base_dir / config.prompts.path)
    return config.model_copy(update={"prompts": config.prompts.model_copy(update={"sha256": sha256})})


def _require_sensors(config: ExperimentConfig) -> None:
    named = () if config.measurement.sensors == "auto" else config.measurement.sensors
    unknown = [name for name in named if name not in SENSORS]
    if unknown:
        raise _Refused((("measurement", "sensors"), _unknown(name, list(SENSORS), what="sensor")) for name in unknown)


def _placed(problem: tuple[KeyPath, str], point: Mapping[str, Any], source: YamlSource) -> Problem:
    """Place a problem at the sweep's key where the sweep gave the value, else where the file has it."""
    path, message = problem
    dotted = ".".join(map(str, path))
    swept = next((key for key in point if dotted == key or dotted.startswith(key + ".")), None)
    return source.problem(path if swept is None else ("sweep", swept), message)


def _explained(error: ValidationError, tree: Any, above: KeyPath = ()) -> Iterable[tuple[KeyPath, str]]:
    """Yield (path in the file, found and expected) for each error of pydantic's."""
    for item in error.errors(include_url=False):
        path = _file_path(item["loc"], tree)
        found = item["input"]
        if item["type"] == "extra_forbidden":
            message = _unknown(str(path[-1]), KNOWN_KEYS.get((*above, *path[:-1]), []))
        elif item["type"] == "missing":
            path, message = (*path, str(item["loc"][-1])), "is missing"
        elif item["type"] == "value_error":
            message = str(item["ctx"]["error"])
        else:
            message = f"{item['msg'][0].lower()}{item['msg'][1:]}; found {_short(found)}"
        yield path, message


def _file_path(loc: tuple[int | str, ...], tree: Any) -> KeyPath:
    """Return the part of pydantic's location that the file knows; the tags of unions are none of its keys."""
    path: list[str | int] = []
    for part in loc:
        inside = part in tree if isinstance(tree, dict) else isinstance(part, int) and isinstance(tree, list)
        if inside:
            path.append(part)
            tree = tree[part]
    return tuple(path)


def _unknown(key: object, known: Iterable[str], *, what: str = "key") -> str:
    names = list(known)
    close = difflib.get_close_matches(str(key), names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(sorted(names))}" if names else ""
    return f"unknown {what} {key!r}" + (f"; {hint}" if hint else "")


def _short(value: object) -> str:
    text = f"a {type(value).__name__}" if isinstance(value, BaseModel) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
