"""``exclude:`` and ``only:``: which points of the grid a study leaves out on purpose."""

from collections import Counter
from collections.abc import Sequence

from llem.domain.conditions import Condition
from llem.domain.errors import Problem
from llem.domain.sweep import Tree
from llem.study.document import Document
from llem.study.grammar import Grammar
from llem.study.values import lookup
from llem.study.yaml_source import KeyPath


class Selection:
    """The conditions of a study, and what they left out so far.

    Args:
        document: The study.
        grammar: The keys and engines that it may have.
        only: Of these conditions one must hold, if there are any.
        exclude: Of these conditions none may hold.
    """

    def __init__(
        self, document: Document, grammar: Grammar, only: Sequence[Condition], exclude: Sequence[Condition]
    ) -> None:
        self._document = document
        self._grammar = grammar
        self._only = only
        self._exclude = exclude
        self._held: set[int] = set()
        self._left_out: Counter[str] = Counter()

    def excluded(self, tree: Tree) -> str | None:
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

    def problems(self, declared: int) -> list[Problem]:
        """Return what the conditions left out of ``declared`` points, as what is wrong where no point is left."""
        problems = []
        for key, number in self._left_out.items():
            whole = "leaves none of the" if number == declared else f"leaves out {number} of the"
            problems.append(self._document.problem((key,), f"{whole} {declared} grid points"))
        return problems

    def unused(self) -> list[str]:
        """Return the conditions that held for no point: a mistyped value, perhaps."""
        return [
            f"{self._place((name, number))}: {name}: {condition.text()}: holds for no grid point"
            for name, conditions in (("only", self._only), ("exclude", self._exclude))
            for number, condition in enumerate(conditions)
            if id(condition) not in self._held and not (name == "exclude" and self._shadowed(condition))
        ]

    def _shadowed(self, condition: Condition) -> bool:
        """Return whether an exclusion may only seem unused, since an earlier one took its points."""
        return any(id(other) in self._held for other in self._exclude if other is not condition)
