"""From a study file to checked experiments: every mistake at once, and a reason for every point left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from llem.domain.conditions import Condition
from llem.domain.errors import InputError, Problem
from llem.domain.events.plan import SkipKind
from llem.domain.spec import ExperimentConfig, StudySettings
from llem.domain.sweep import (
    Alternative,
    Dimension,
    NoSectionError,
    Point,
    Tree,
    expand,
    flat,
    most_points,
    overlay,
)
from llem.engines.base import Machine
from llem.study.grammar import GRAMMAR, Grammar
from llem.study.layers import Document, read_document
from llem.study.machine import ProbedMachine
from llem.study.resolve import Refused, Resolver, explained
from llem.study.sweeps import SweepParser
from llem.study.values import defaults_of, lookup
from llem.study.yaml_source import KeyPath, YamlSource

DEFAULT_ENGINE: str = ExperimentConfig.model_fields["engine"].default
MANY_TRIALS = 100_000
MOST_POINTS = 1_000_000


class ManyTrialsError(InputError):
    """A study spans more trials than anybody runs by mistake; carries their number."""

    def __init__(self, trials: int) -> None:
        super().__init__(
            f"The study spans {trials:,} trials, more than {MANY_TRIALS:,}.",
            remedy="Add --yes if that is meant, or take values out of its sweep.",
        )
        self.trials = trials


@dataclass(frozen=True, slots=True)
class Declared:
    """A grid point that can run.

    Attributes:
        config: Its configuration.
        origins: Where the values came from that single experiments have: dotted key → origin.
    """

    config: ExperimentConfig
    origins: Mapping[str, str]


@dataclass
class LoadedStudy:
    """A study file, checked.

    Attributes:
        settings: What it says beside its experiments.
        base_dir: Folder that relative paths start from.
        sources: Its file and the base files.
        dimensions: What its grid is spanned by.
        origins: Where the values came from that hold for the whole study: dotted key → origin.
        experiments: Every point of its grid that can run, duplicates included.
        skipped: The others: (kind, reason) → what the sweep gives each of them.
        declared: How many points there are in all.
        warnings: What deserves a person's attention.
    """

    settings: StudySettings
    base_dir: Path
    sources: list[YamlSource]
    dimensions: list[Dimension]
    origins: dict[str, str]
    experiments: list[Declared] = field(default_factory=list)
    skipped: dict[tuple[SkipKind, str], list[Tree]] = field(default_factory=dict)
    declared: int = 0
    warnings: list[str] = field(default_factory=list)


def load_study(
    path: Path,
    settings: Sequence[str] = (),
    *,
    many: bool = False,
    base_dir: Path | None = None,
    grammar: Grammar = GRAMMAR,
    machine: Machine | None = None,
) -> LoadedStudy:
    """Return the study in the YAML file at ``path``.

    Args:
        path: The study file.
        settings: ``dotted.key=value`` from the command line, the value in YAML.
        many: Whether more than 100,000 trials are meant.
        base_dir: The folder that relative paths are to start from, if not the study file's own.
        grammar: The keys and engines that a study may have.
        machine: What rules of engines may know of this machine; asked for where a rule needs it, if left out.

    Raises:
        StudyFileError: It cannot be used; the error holds every problem with its line.
        ManyTrialsError: It spans more than 100,000 trials and ``many`` is false.
    """
    document = read_document(path, settings, base_dir=base_dir, grammar=grammar)
    problems = [
        document.problem(*found)
        for layer in document.layers
        if layer.source
        for found in grammar.unknown_keys(layer.tree)
    ]
    checked = _settings(document, grammar, problems)
    grid = _Grid(document, grammar, machine or ProbedMachine())
    problems += grid.problems
    most = grid.most_points()
    if checked is not None:
        _require_sane_size(document, most, checked.cycles, many=many)
    elif most > MANY_TRIALS:
        raise document.error(problems)
    grid.walk()
    if not grid.experiments:
        problems += grid.why_nothing()
    if checked is None or problems:
        raise document.error(list(dict.fromkeys(problems)))
    return LoadedStudy(
        settings=checked,
        base_dir=document.base_dir,
        sources=document.sources,
        dimensions=grid.dimensions,
        origins=document.origins(),
        experiments=grid.experiments,
        skipped=grid.skipped,
        declared=grid.declared,
        warnings=grid.warnings(),
    )


def _settings(document: Document, grammar: Grammar, problems: list[Problem]) -> StudySettings | None:
    tree = {key: value for key, value in document.tree.items() if key in StudySettings.model_fields}
    try:
        return StudySettings.model_validate(tree)
    except ValidationError as error:
        problems += [document.problem(*found) for found in explained(error, tree, grammar)]
        return None


def _require_sane_size(document: Document, points: int, cycles: int, *, many: bool) -> None:
    if points > MOST_POINTS:
        message = f"the grid has {points:,} points; llem plans at most {MOST_POINTS:,}"
        raise document.error([document.problem(("sweep",), message)])
    if points * cycles > MANY_TRIALS and not many:
        raise ManyTrialsError(points * cycles)


class _Grid:
    """The grid of a document: its dimensions and conditions, and what becomes of each point."""

    def __init__(self, document: Document, grammar: Grammar, machine: Machine) -> None:
        self._document = document
        self._grammar = grammar
        parser = SweepParser(grammar)
        self.dimensions = parser.dimensions(document.tree)
        self._only = parser.conditions(document.tree, "only")
        self._exclude = parser.conditions(document.tree, "exclude")
        self.problems = [document.problem(*found) for found in parser.problems]
        self._base: Tree = {
            key: value
            for key, value in document.tree.items()
            if key in grammar.experiment_keys or key in grammar.engines
        }
        self._resolver = Resolver(document.base_dir, grammar, machine)
        self._origins: dict[int, dict[str, str]] = {}
        self._shared: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._used: set[int] = set()
        self._held: set[int] = set()
        self._wrong: dict[Problem, None] = {}
        self.experiments: list[Declared] = []
        self.skipped: dict[tuple[SkipKind, str], list[Tree]] = {}
        self.declared = 0

    def most_points(self) -> int:
        """Return how many points there are at most, without looking at them."""
        return most_points(self._base, self.dimensions, DEFAULT_ENGINE)

    def walk(self) -> None:
        """Look at every point: it becomes an experiment, or is skipped with a reason."""
        for point in expand(self._base, self.dimensions, DEFAULT_ENGINE):
            self.declared += 1
            self._used.update(map(id, point.taken))
            self._settle(point)

    def _settle(self, point: Point) -> None:
        try:
            tree = self._tree(point)
            excluded = self._excluded(tree)
            if excluded:
                self._skip(("excluded", excluded), point)
                return
            config = self._resolver.resolve(tree)
        except Refused as refused:
            problems = [self._placed(*found, point) for found in refused.problems]
            self._wrong.update(dict.fromkeys(problems))
            reason = "; ".join(problem.describe(self._document.file) for problem in problems)
            self._skip((refused.kind, reason), point)
        else:
            self.experiments.append(Declared(config, self._origins_of(point.taken)))

    def _tree(self, point: Point) -> Tree:
        """Return a point's configuration, the command line's word last."""
        sections = self._grammar.sections
        try:
            return overlay(point.over(self._base, sections), self._document.commanded, sections)
        except NoSectionError as error:
            keys = [*self._document.commanded, *(key for taken in point.taken for key in taken.values)]
            below = next(key for key in keys if key.startswith(f"{error.path}."))
            message = f"{error.path!r} is no section here, so nothing lies below it"
            raise Refused("invalid", [(tuple(below.split(".")), message)]) from None

    def _skip(self, why: tuple[SkipKind, str], point: Point) -> None:
        self.skipped.setdefault(why, []).append(point.values)

    def _excluded(self, tree: Tree) -> str | None:
        """Return why a point is left out on purpose; None if it is not."""
        if not self._only and not self._exclude:
            return None
        value_at = lookup(tree, defaults_of(self._grammar, tree))
        wanted = [condition for condition in self._only if condition.holds(value_at)]
        self._held.update(map(id, wanted))
        if self._only and not wanted:
            return f"{self._place(('only',))}: only: no condition holds"
        for number, condition in enumerate(self._exclude):
            if condition.holds(value_at):
                self._held.add(id(condition))
                return f"{self._place(('exclude', number))}: exclude: {condition.text()}"
        return None

    def _place(self, path: KeyPath) -> str:
        return self._document.problem(path, "").describe(self._document.file).partition(": ")[0]

    def _placed(self, path: KeyPath, message: str, point: Point) -> Problem:
        """Place a problem where the value was given: on the command line, in the sweep, or in the base."""
        dotted = ".".join(map(str, path))
        if any(_reaches(key, dotted) for key in self._document.commanded):
            return Problem(dotted, message, file="command line")
        for alternative in reversed(point.taken):
            for key in alternative.values:
                if _reaches(key, dotted):
                    below = path[len(key.split(".")) :]
                    return self._document.problem(path, message, place=(*alternative.places[key], *below))
        return self._document.problem(path, message)

    def _origins_of(self, taken: Sequence[Alternative]) -> dict[str, str]:
        found: dict[str, str] = {}
        for alternative in taken:
            if id(alternative) not in self._origins:
                self._origins[id(alternative)] = self._alternative_origins(alternative)
            found.update(self._origins[id(alternative)])
        return self._shared.setdefault(tuple(found.items()), found)

    def _alternative_origins(self, alternative: Alternative) -> dict[str, str]:
        origins = {}
        for key, value in alternative.values.items():
            place = alternative.places[key]
            line = self._document.line(place)
            where = f"experiments[{place[1]}]" if place[0] == "experiments" else f"sweep {place[1]}"
            for leaf in flat({key: value}):
                if leaf not in self._document.commanded:
                    origins[leaf] = where if line is None else f"{where} line {line}"
        return origins

    def why_nothing(self) -> list[Problem]:
        """Return what to tell of a grid of which no point can run."""
        if self._wrong:
            return list(self._wrong)
        if self.declared:
            key = "exclude" if self._exclude else "only"
            return [self._document.problem((key,), f"leaves none of the {self.declared} grid points")]
        return []

    def warnings(self) -> list[str]:
        """Return what deserves a person's attention."""
        warnings = []
        left_out = self.declared - len(self.experiments)
        if left_out * 2 > self.declared:
            warnings.append(f"{left_out} of {self.declared} grid points are skipped: see the reasons")
        warnings += [
            f"sweep {dimension.name} applies to no experiment: its engine is not among them"
            for dimension in self.dimensions
            if not any(id(alternative) in self._used for alternative in dimension.alternatives)
        ]
        for name, conditions in (("only", self._only), ("exclude", self._exclude)):
            warnings += [
                f"{self._place((name, number))}: {name}: {condition.text()}: holds for no grid point"
                for number, condition in enumerate(conditions)
                if id(condition) not in self._held and not (name == "exclude" and self._shadowed(condition))
            ]
        return warnings

    def _shadowed(self, condition: Condition) -> bool:
        """Return whether an exclusion may only seem unused, since an earlier one took its points."""
        return any(id(other) in self._held for other in self._exclude if other is not condition)


def _reaches(key: str, dotted: str) -> bool:
    """Return whether the value at ``key`` holds what lies at ``dotted``, or lies in it."""
    return dotted == key or dotted.startswith(f"{key}.")
