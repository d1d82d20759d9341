"""From ``experiments:``, ``sweep:``, ``exclude:`` and ``only:`` to the dimensions and conditions of a grid."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

from pydantic import JsonValue

from llem.domain.conditions import Condition, unusable
from llem.domain.sweep import Alternative, Dimension, Path, Tree
from llem.study.grammar import Found, Grammar, short, unknown

ZIP = "zip"
"""The key of ``sweep:`` that holds axes which move together."""
MOST_POINTS = 1_000_000
"""More points than this no study has."""


@dataclass
class SweepParser:
    """Reads ``experiments:``, ``sweep:``, ``exclude:`` and ``only:``; what is wrong is noted, not raised."""

    grammar: Grammar
    problems: dict[Found, Path] = field(default_factory=dict)
    """What is wrong and where, each once → the path to show."""
    _refused: int = 0

    def dimensions(self, tree: Tree) -> list[Dimension]:
        """Return the dimensions of the grid, the listed experiments first."""
        sweep = tree.get("sweep")
        if sweep is None:
            sweep = {}
        if not isinstance(sweep, dict):
            self._refuse(("sweep",), f"expected a mapping of keys to lists of values; found {short(sweep)}")
            sweep = {}
        sizes = [self._size(values) for values in sweep.values()]
        if sum(sizes) > MOST_POINTS:  # looked at before anything is made of it
            self._refuse(("sweep",), f"the grid has {prod(sizes):,} points; llem plans at most {MOST_POINTS:,}")
            return []
        found = [self._experiments(tree["experiments"])] if "experiments" in tree else []
        for name, values in sweep.items():
            found += self._swept(name, values)
        return [dimension for dimension in found if dimension.alternatives]

    def _size(self, values: JsonValue) -> int:
        """Return how many alternatives the values of an axis or a group come to, without making them."""
        return sum(self._entry_size(entry) for entry in values) if isinstance(values, list) else 1

    def _entry_size(self, entry: JsonValue) -> int:
        if not isinstance(entry, dict):
            return 1
        return prod(
            len(value) if isinstance(value, list) else self._entry_size(value) if key in self.grammar.sections else 1
            for key, value in entry.items()
        )

    def conditions(self, tree: Tree, name: str) -> list[Condition]:
        """Return the conditions of ``exclude`` or ``only``."""
        listed = tree.get(name)
        if listed is None:
            return []
        if not isinstance(listed, list):
            self._refuse((name,), f"expected a list of conditions; found {short(listed)}")
            return []
        conditions = []
        for place, terms in enumerate(listed):
            if not isinstance(terms, dict) or not terms:
                self._refuse(
                    (name, place), f"expected keys with the values that they must have; found {short(terms)}"
                )
                continue
            for key, wanted in terms.items():
                problem = self.grammar.key_problem(key) or unusable(wanted)
                if problem:
                    self._refuse((name, place, key), problem)
            conditions.append(Condition(terms))
        return conditions

    def _experiments(self, listed: JsonValue) -> Dimension:
        """Return the listed experiments as a dimension: values are taken as they stand."""
        path: Path = ("experiments",)
        alternatives = [
            self._alternative(entry, {key: (*path, place, key) for key in entry})
            for place, entry in self._entries(listed, path)
        ]
        return Dimension("experiments", _usable(alternatives))

    def _swept(self, name: str, values: JsonValue) -> list[Dimension]:
        path: Path = ("sweep", name)
        if name == ZIP:
            return self._zips(values, path)
        if not self.grammar.is_axis(name):
            return [self._group(name, values, path)]
        problem = self.grammar.key_problem(name)
        if problem:
            self._refuse(path, problem)
            return []
        listed = self._values(values, path)
        alternatives = [self._alternative({name: value}, {name: (*path, n)}) for n, value in enumerate(listed)]
        return [Dimension(name, _usable(alternatives))]

    def _group(self, name: str, values: JsonValue, path: Path) -> Dimension:
        """Return a group: entries are alternatives, and a list inside an entry is a small grid within it."""
        if isinstance(values, list) and values and not any(isinstance(entry, dict) for entry in values):
            self._refuse(path, unknown(name, [*self.grammar.experiment_keys, *self.grammar.engines]))
            return Dimension(name, ())
        alternatives = [
            self._alternative(choice, {key: (*path, place, key) for key in choice})
            for place, entry in self._entries(values, path)
            for choice in self._grid(entry, (*path, place))
        ]
        return Dimension(name, _usable(alternatives))

    def _grid(self, entry: Tree, path: Path) -> list[Tree]:
        """Return every combination of the lists in a group's entry."""
        choices = [self._choices(key, value, (*path, key)) for key, value in entry.items()]
        return [dict(zip(entry, values, strict=True)) for values in product(*choices)]

    def _choices(self, key: str, value: JsonValue, path: Path) -> Sequence[JsonValue]:
        if isinstance(value, list):
            return self._values(value, path)
        if isinstance(value, dict) and key in self.grammar.sections:
            return self._grid(value, path)
        return [value]

    def _zips(self, values: JsonValue, path: Path) -> list[Dimension]:
        """Return zipped axes: one mapping of axes that move together, or a list of such mappings."""
        listed = [values] if isinstance(values, dict) else values
        places: list[Path] = [path] if isinstance(values, dict) else [(*path, n) for n in range(_length(listed))]
        found = []
        if not isinstance(listed, list) or not listed:
            self._refuse(path, f"expected axes that move together, as a mapping; found {short(values)}")
            return []
        for axes, place in zip(listed, places, strict=True):
            if not isinstance(axes, dict) or not axes:
                self._refuse(place, f"expected axes that move together, as a mapping; found {short(axes)}")
                continue
            columns = {key: self._column(key, values, (*place, key)) for key, values in axes.items()}
            if not all(columns.values()):
                continue  # told already
            lengths = {key: len(column) for key, column in columns.items()}
            if len(set(lengths.values())) > 1:
                told = ", ".join(f"{key} has {length}" for key, length in lengths.items())
                self._refuse(place, f"axes that move together need as many values each: {told}")
                continue
            alternatives = [
                self._alternative(
                    {key: column[n] for key, column in columns.items()}, {key: (*place, key, n) for key in columns}
                )
                for n in range(min(lengths.values()))
            ]
            found.append(Dimension(" + ".join(axes), _usable(alternatives)))
        return found

    def _column(self, key: str, values: JsonValue, path: Path) -> list[JsonValue]:
        problem = self.grammar.key_problem(key)
        if problem:
            self._refuse(path, problem)
            return []
        return self._values(values, path)

    def _alternative(self, values: Tree, places: Mapping[str, Path]) -> Alternative | None:
        """Return values as an alternative; None where they cannot be one, which is told."""
        before = self._refused
        for key, value in values.items():
            self._check_key(key, value, values, places[key])
        heads = [key.partition(".")[0] for key in values]
        scopes = [name for name in dict.fromkeys(heads) if name in self.grammar.engines]
        sets_engine = "engine" in values
        engine = values["engine"] if sets_engine else (scopes[0] if scopes else None)
        strangers = [name for name in scopes if name != engine]
        if strangers and isinstance(engine, str):
            key = next(key for key in values if key.partition(".")[0] == strangers[0])
            self._refuse(places[key], f"options of {strangers[0]} cannot stand in an experiment of {engine}")
        return Alternative(values, places, engine, sets_engine) if self._refused == before else None

    def _check_key(self, key: str, value: JsonValue, among: Tree, path: Path) -> None:
        problem = self.grammar.key_problem(key)
        if problem:
            self._refuse(path, problem)
        elif isinstance(value, dict) and key in self.grammar.sections:
            for part in value:
                problem = self.grammar.key_problem(f"{key}.{part}")
                if problem:
                    self._refuse((*path, part), problem)
        elif key == "engine" and not isinstance(value, str):
            self._refuse(path, unknown(value, list(self.grammar.engines), what="engine"), shown=("engine",))
        if any(other.startswith(f"{key}.") for other in among):
            self._refuse(path, f"{key!r} stands here both as a section and with dotted keys: choose one")

    def _entries(self, listed: JsonValue, path: Path) -> list[tuple[int, Tree]]:
        entries = []
        for place, entry in enumerate(self._values(listed, path, what="mappings")):
            if isinstance(entry, dict):
                entries.append((place, entry))
            else:
                self._refuse(
                    (*path, place), f"expected a mapping of keys to values, {{}} for none; found {short(entry)}"
                )
        return entries

    def _values(self, values: JsonValue, path: Path, *, what: str = "values") -> list[JsonValue]:
        if not isinstance(values, list):
            self._refuse(path, f"expected a list of {what}; found {short(values)}")
            return []
        if not values:
            self._refuse(path, f"expected a list of {what}; an empty one leaves no experiment")
        return values

    def _refuse(self, path: Path, message: str, *, shown: Path | None = None) -> None:
        self._refused += 1
        self.problems.setdefault((path, message), shown or path)


def _usable(alternatives: Iterable[Alternative | None]) -> tuple[Alternative, ...]:
    return tuple(alternative for alternative in alternatives if alternative is not None)


def _length(value: object) -> int:
    return len(value) if isinstance(value, Sequence) else 0
