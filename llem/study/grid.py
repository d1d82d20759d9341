"""The grid of a study: every point becomes an experiment, or is left out with a reason."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from llem.domain.errors import Problem
from llem.domain.events.plan import SkipKind
from llem.domain.spec import ExperimentConfig
from llem.domain.sweep import Dimension, NoSectionError, Point, Tree, count_points, expand, overlay
from llem.engines.base import Machine
from llem.study.document import Document
from llem.study.grammar import Grammar
from llem.study.resolve import Refused, Resolver
from llem.study.selection import Selection
from llem.study.sweeps import SweepParser
from llem.study.trace import Tracer

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
        only, exclude = (parser.conditions(document.tree, name) for name in ("only", "exclude"))
        self._selection = Selection(document, grammar, only, exclude)
        self.problems = [
            document.problem(shown, message, place=place) for (place, message), shown in parser.problems.items()
        ]
        self._base: Tree = {
            key: value
            for key, value in document.tree.items()
            if key in grammar.experiment_keys or key in grammar.engines
        }
        self._spanned = self.dimensions
        if "engine" in document.commanded:
            self._keep_engine(document.commanded["engine"])
        self._resolver = Resolver(document.base_dir, grammar, machine)
        self._tracer = Tracer(document)
        self._used: set[int] = set()
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
        return count_points(self._base, self._spanned, DEFAULT_ENGINE, enough=enough)

    def walk(self) -> None:
        """Look at every point: it becomes an experiment, or is skipped with a reason."""
        for point in expand(self._base, self._spanned, DEFAULT_ENGINE):
            self.declared += 1
            self._used.update(map(id, point.taken))
            self._settle(point)

    def _settle(self, point: Point) -> None:
        try:
            tree = self._tree(point)
            excluded = self._selection.excluded(tree)
            if excluded:
                self._skip(("excluded", excluded), point)
                return
            config = self._resolver.resolve(tree)
        except Refused as refused:
            problems = [self._tracer.placed(*found, point) for found in refused.problems]
            self._wrong.update(dict.fromkeys(problems))
            reason = "; ".join(problem.describe(self._document.file) for problem in problems)
            self._skip((refused.kind, reason), point)
        else:
            self.experiments.append(Declared(config, self._tracer.origins(point.taken)))

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

    def why_nothing(self) -> list[Problem]:
        """Return what to tell of a grid of which no point can run."""
        return [*self._wrong, *self._selection.problems(self.declared)]

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
        return warnings + self._selection.unused()
