"""The grid of a study: every point becomes an experiment, or is left out with a reason."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from llem.domain.conditions import Condition
from llem.domain.errors import Problem
from llem.domain.events.plan import SkipKind
from llem.domain.spec import ExperimentConfig
from llem.domain.sweep import Alternative, Dimension, NoSectionError, Point, Tree, expand, flat, most_points, overlay
from llem.engines.base import Machine
from llem.study.grammar import Grammar
from llem.study.layers import Document
from llem.study.resolve import Refused, Resolver
from llem.study.sweeps import SweepParser
from llem.study.values import lookup
from llem.study.yaml_source import KeyPath

DEFAULT_ENGINE: str = ExperimentConfig.model_fields["engine"].default


@dataclass(frozen=True, slots=True)
class Declared:
    """A grid point that can run.

    Attributes:
        config: Its configuration.
        origins: Where the values came from that single experiments have: dotted key → origin.
    """

    config: ExperimentConfig
    origins: Mapping[str, str]


class Grid:
    """The grid of a study: its dimensions and conditions, and what becomes of each point.

    Args:
        document: The study.
        grammar: The keys and engines that it may have.
        machine: What the rules of engines may know of this machine.

    Attributes:
        dimensions: What the grid is spanned by.
        problems: What is wrong with how the study spans it.
        experiments: The points that can run, duplicates included.
        skipped: The others: (kind, reason) → what the sweep gives each of them.
        declared: How many points there are in all, known after ``walk``.
    """

    def __init__(self, document: Document, grammar: Grammar, machine: Machine) -> None:
        self._document = document
        self._grammar = grammar
        parser = SweepParser(grammar)
        self.dimensions = parser.dimensions(document.tree)
        self._only = parser.conditions(document.tree, "only")
        self._exclude = parser.conditions(document.tree, "exclude")
        self.problems = [
            document.problem(shown, message, place=place) for (place, message), shown in parser.problems.items()
        ]
        self._commanded = flat(document.commanded)
        self._left_out: Counter[str] = Counter()
        self._base: Tree = {
            key: value
            for key, value in document.tree.items()
            if key in grammar.experiment_keys or key in grammar.engines
        }
        self._spanned = self.dimensions
        if "engine" in document.commanded:
            self._keep_engine(document.commanded["engine"])
        self._resolver = Resolver(document.base_dir, grammar, machine)
        self._origins: dict[int, dict[str, str]] = {}
        self._shared: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._used: set[int] = set()
        self._held: set[int] = set()
        self._wrong: dict[Problem, None] = {}
        self.experiments: list[Declared] = []
        self.skipped: dict[tuple[SkipKind, str], list[Tree]] = {}
        self.declared = 0

    def _keep_engine(self, engine: JsonValue) -> None:
        """Take the engine from the command line: what the study says for other engines does not apply."""
        self._base["engine"] = engine
        kept = [
            Dimension(dimension.name, tuple(c for c in dimension.alternatives if c.engine in (None, engine)))
            for dimension in self.dimensions
        ]
        self._spanned = [dimension for dimension in kept if dimension.alternatives]

    def count(self, enough: int) -> int:
        """Return how many points there are; above ``enough``, perhaps only how many there are at most."""
        most = most_points(self._base, self._spanned, DEFAULT_ENGINE)
        if most > enough:
            return most
        return sum(1 for _ in expand(self._base, self._spanned, DEFAULT_ENGINE))

    def walk(self) -> None:
        """Look at every point: it becomes an experiment, or is skipped with a reason."""
        for point in expand(self._base, self._spanned, DEFAULT_ENGINE):
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
        value_at = lookup(self._grammar, tree)
        wanted = [condition for condition in self._only if condition.holds(value_at)]
        self._held.update(map(id, wanted))
        if self._only and not wanted:
            self._left_out["only"] += 1
            return f"{self._place(('only',))}: only: no condition holds"
        for number, condition in enumerate(self._exclude):
            if condition.holds(value_at):
                self._held.add(id(condition))
                self._left_out["exclude"] += 1
                return f"{self._place(('exclude', number))}: exclude: {condition.text()}"
        return None

    def _place(self, path: KeyPath) -> str:
        return self._document.problem(path, "").describe(self._document.file).partition(": ")[0]

    def _placed(self, path: KeyPath, message: str, point: Point) -> Problem:
        """Place a problem where the value was given: on the command line, in the sweep, or in the base."""
        dotted = ".".join(map(str, path))
        if any(_reaches(key, dotted) for key in self._document.commanded):
            return Problem(dotted, message, file="command line")
        given = [(key, taken.places[key]) for taken in reversed(point.taken) for key in taken.values]
        for key, place in given:
            if _reaches(key, dotted):
                return self._document.problem(path, message, place=(*place, *path[len(key.split(".")) :]))
        for key, place in given:
            if dotted and key.startswith(f"{dotted}."):  # a rule of a whole section, broken by what the sweep gave
                return self._document.problem(path, message, place=place)
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
            origin = self._origin(alternative.places[key])
            for leaf in flat({key: value}):
                if not any(_reaches(key, leaf) for key in self._commanded):
                    origins[leaf] = origin
        return origins

    def _origin(self, place: KeyPath) -> str:
        """Return ``sweep batch_size line 8``, and the layer too where that is not the study file."""
        where = f"experiments[{place[1]}]" if place[0] == "experiments" else f"sweep {place[1]}"
        layer = self._document.given_by(place)
        if layer is None or layer.source is None:
            return f"{where}, {layer.origin}" if layer else where
        line = layer.place(place)
        outer = "" if layer.origin == "study" else f", {layer.origin}"
        return f"{where}{outer}" + (f" line {line[0]}" if line else "")

    def why_nothing(self) -> list[Problem]:
        """Return what to tell of a grid of which no point can run."""
        problems = list(self._wrong)
        for key, number in self._left_out.items():
            whole = "leaves none of the" if number == self.declared else f"leaves out {number} of the"
            problems.append(self._document.problem((key,), f"{whole} {self.declared} grid points"))
        return problems

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
