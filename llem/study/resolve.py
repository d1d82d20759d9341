"""From a point of the grid to a checked configuration, or the reason why there is none."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from llem.domain.events.plan import SkipKind
from llem.domain.spec import ExperimentConfig, JsonlPrompts
from llem.domain.sweep import Tree, source_of
from llem.engines.base import EngineError, Machine
from llem.engines.prompts import file_sha256, read_texts
from llem.sensors import SENSORS
from llem.study.grammar import STUDY_KEYS, Found, Grammar, short, unknown
from llem.study.yaml_source import KeyPath

M = TypeVar("M", bound=BaseModel)

SHARED = ("model", "prompts", "generation", "measurement")


class Refused(Exception):  # noqa: N818 - it carries findings from one file to the next and is never shown
    """A configuration that cannot be: of what kind the reason is, and (path, message) for each problem."""

    def __init__(self, kind: SkipKind, problems: Iterable[Found]) -> None:
        self.kind: SkipKind = kind
        self.problems = list(problems)


class Resolver:
    """Checks points. Sections that points share are checked once and stay one object, however many points there are.

    Args:
        base_dir: Folder that relative paths start from.
        grammar: The keys and engines.
        machine: What the rules of engines may know of this machine.
    """

    def __init__(self, base_dir: Path, grammar: Grammar, machine: Machine) -> None:
        self._base_dir = base_dir
        self._grammar = grammar
        self._machine = machine
        self._checked: dict[tuple[str, str], Any] = {}

    def resolve(self, tree: Tree) -> ExperimentConfig:
        """Return a point as a checked configuration, engine options and the hash of the prompts filled in.

        Raises:
            Refused: It cannot be.
        """
        engine = tree.get("engine")
        if not isinstance(engine, str) or engine not in self._grammar.engines:
            names = list(self._grammar.engines)
            raise Refused("invalid", [(("engine",), unknown(engine, names, what="engine"))])
        fields: dict[str, Any] = {key: value for key, value in tree.items() if key not in self._grammar.engines}
        problems: list[Found] = []
        try:
            fields["engine_options"] = self._options(engine, tree.get(engine))
        except ValidationError as error:
            section = tree.get(engine)
            problems += [((engine, *path), message) for path, message in self._explained(error, section, (engine,))]
        config = self._config(fields, problems)
        found = self._grammar.engines[engine].check(config, self._base_dir, self._machine)
        if found:
            raise Refused("engine_rule", ((tuple(problem.path.split(".")), problem.message) for problem in found))
        return config

    def _options(self, engine: str, section: JsonValue) -> Any:
        key = (engine, json.dumps(section))
        if key not in self._checked:
            options = self._grammar.engines[engine].options.model_validate({} if section is None else section)
            self._checked[key] = options.model_dump(mode="json")
        return self._checked[key]

    def _config(self, fields: dict[str, Any], problems: list[Found]) -> ExperimentConfig:
        for name in (*SHARED[1:], "environment"):
            if fields.get(name, ...) is None:
                del fields[name]  # an empty section is one that says nothing
        prompts = fields.get("prompts")
        if isinstance(prompts, dict) and "source" not in prompts:
            fields["prompts"] = {"source": source_of(prompts) or "synthetic", **prompts}
        keys = {name: (name, json.dumps(fields[name])) for name in SHARED if isinstance(fields.get(name), dict)}
        known = {name: self._checked[key] for name, key in keys.items() if key in self._checked}
        try:
            config = ExperimentConfig.model_validate({**fields, **known})
        except ValidationError as error:
            raise Refused("invalid", [*problems, *self._explained(error, fields)]) from None
        if problems:
            raise Refused("invalid", problems)
        if "prompts" not in known:
            config = self._with_prompts_hash(config)
        self._require_prompts(config)
        self._require_sensors(config)
        self._checked.update({key: getattr(config, name) for name, key in keys.items()})
        variables = json.dumps(config.environment)
        environment = self._checked.setdefault(("environment", variables), config.environment)
        return sharing(config, engine_options=fields["engine_options"], environment=environment)

    def _with_prompts_hash(self, config: ExperimentConfig) -> ExperimentConfig:
        """Read the prompts once, so that what is wrong with them is told before anything runs."""
        if not isinstance(config.prompts, JsonlPrompts):
            return config
        if config.prompts.sha256 is not None:
            raise Refused("invalid", [(("prompts", "sha256"), "is filled in by llem: leave it out")])
        try:
            texts = read_texts(config.prompts, self._base_dir)
        except EngineError as error:
            raise Refused("invalid", [(("prompts", "path"), f"{error.message} {error.remedy}")]) from None
        sha256 = file_sha256(self._base_dir / config.prompts.path)
        prompts = config.prompts.model_copy(update={"sha256": sha256})
        self._checked["texts", prompts.model_dump_json()] = len(texts)
        return config.model_copy(update={"prompts": prompts})

    def _require_prompts(self, config: ExperimentConfig) -> None:
        if not isinstance(config.prompts, JsonlPrompts) or config.prompts.count is not None:
            return  # a count that is given was checked against the batch with the rest
        texts = self._checked["texts", config.prompts.model_dump_json()]
        if texts < config.batch_size:
            message = f"{texts} prompts cannot fill one batch of {config.batch_size}"
            raise Refused("invalid", [(("batch_size",), message)])

    def _require_sensors(self, config: ExperimentConfig) -> None:
        named = () if config.measurement.sensors == "auto" else config.measurement.sensors
        strangers = [name for name in named if name not in SENSORS]
        if strangers:
            known = list(SENSORS)
            path: KeyPath = ("measurement", "sensors")
            raise Refused("invalid", [(path, unknown(name, known, what="sensor")) for name in strangers])

    def _explained(self, error: ValidationError, tree: Any, above: KeyPath = ()) -> Iterable[Found]:
        return explained(error, tree, self._grammar, above)


def sharing(value: M, **shared: Any) -> M:
    """Return a copy of a checked value that holds the objects in ``shared`` themselves, and one set of field names.

    A hundred thousand experiments fit into memory since pydantic's own copy of each is not kept.
    """
    cls = type(value)
    fields = {name: getattr(value, name) for name in cls.model_fields}
    return cls.model_construct(_fields_set=_FIELDS.setdefault(cls, set(fields)), **fields | shared)


_FIELDS: dict[type[BaseModel], set[str]] = {}


def explained(error: ValidationError, tree: Any, grammar: Grammar, above: KeyPath = ()) -> Iterable[Found]:
    """Yield (path in the file, found and expected) for each error of pydantic's.

    Args:
        error: What pydantic found.
        tree: The value that it was given.
        grammar: The known keys.
        above: Where ``tree`` stands in the file.
    """
    for item in error.errors(include_url=False):
        path = _file_path(item["loc"], tree)
        found = item["input"]
        if item["type"] == "extra_forbidden":
            key, known = str(path[-1]), grammar.keys.get((*above, *path[:-1]), [])
            message = f"{key!r} does not go with the other keys here" if key in known else unknown(key, known)
        elif item["type"] == "missing":
            path, message = (*path, str(item["loc"][-1])), "is missing"
        elif item["type"] == "value_error":
            message = str(item["ctx"]["error"])
            named = message.partition(" ")[0]
            if not path and (named in STUDY_KEYS or grammar.key_problem(named) is None):
                # A rule between keys begins with the first of them.
                path = tuple(named.split("."))
        else:
            shown = f"a {type(found).__name__}" if isinstance(found, BaseModel) else short(found)
            message = f"{item['msg'][0].lower()}{item['msg'][1:]}; found {shown}"
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
