"""From ``experiments:``, ``sweep:``, ``exclude:`` and ``only:`` to the dimensions and conditions of a grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from pydantic import JsonValue

from llem.domain.conditions import Condition, unusable
from llem.domain.sweep import Alternative, Dimension, Path, Tree
from llem.study.grammar import Found, Grammar, short, unknown

ZIP = "zip"
"""The key of ``sweep:`` that holds axes which move together."""


@dataclass
class SweepParser:
    """Reads ``experiments:``, ``sweep:``, ``exclude:`` and ``only:``; what is wrong is noted, not raised."""

    grammar: Grammar
    problems: list[Found] = field(default_factory=list)

    def dimensions(self, tree: Tree) -> list[Dimension]:
        """Return the dimensions of the grid, the listed experiments first."""
        found = [self._experiments(tree["experiments"])] if "experiments" in tree else []
        sweep = tree.get("sweep")
        if sweep is None:
            sweep = {}
        if not isinstance(sweep, dict):
            self._refuse(("sweep",), f"expected a mapping of keys to lists of values; found {short(sweep)}")
            sweep = {}
        for name, values in sweep.items():
            found += self._swept(name, values)
        return [dimension for dimension in found if dimension.alternatives]

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
        return Dimension("experiments", tuple(alternatives))

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
        return [Dimension(name, tuple(alternatives))]

    def _group(self, name: str, values: JsonValue, path: Path) -> Dimension:
        """Return a group: entries are alternatives, and a list inside an entry is a small grid within it."""
        if isinstance(values, list) and values and not any(isinstance(entry, dict) for entry in values):
            self._refuse(path, unknown(name, [*self.grammar.experiment_keys, *self.grammar.engines]))
            return Dimension(name, ())
        alternatives = [
            self._alternative(choice, {key: (*path, place, key) for key in choice})
            for place, entry in self._entries(values, path)
            for choice in self._grid(entry)
        ]
        return Dimension(name, tuple(alternatives))

    def _grid(self, entry: Tree) -> list[Tree]:
        """Return every combination of the lists in a group's entry."""
        choices: list[list[JsonValue]] = []
        for key, value in entry.items():
            if isinstance(value, list):
                choices.append(value)
            elif isinstance(value, dict) and key in self.grammar.sections:
                choices.append([*self._grid(value)])
            else:
                choices.append([value])
        return [dict(zip(entry, values, strict=True)) for values in product(*choices)]

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
            found.append(Dimension(" + ".join(axes), tuple(alternatives)))
        return found

    def _column(self, key: str, values: JsonValue, path: Path) -> list[JsonValue]:
        problem = self.grammar.key_problem(key)
        if problem:
            self._refuse(path, problem)
        return self._values(values, path)

    def _alternative(self, values: Tree, places: Mapping[str, Path]) -> Alternative:
        heads = [key.partition(".")[0] for key in values]
        for key in values:
            problem = self.grammar.key_problem(key)
            if problem:
                self._refuse(places[key], problem)
            if key in heads and any(other.startswith(f"{key}.") for other in values):
                self._refuse(places[key], f"{key!r} stands here both as a section and with dotted keys: choose one")
        scopes = [name for name in dict.fromkeys(heads) if name in self.grammar.engines]
        sets_engine = "engine" in values
        engine = values["engine"] if sets_engine else (scopes[0] if scopes else None)
        strangers = [name for name in scopes if name != engine]
        if strangers and isinstance(engine, str):
            key = next(key for key in values if key.partition(".")[0] == strangers[0])
            self._refuse(places[key], f"options of {strangers[0]} cannot stand in an experiment of {engine}")
        return Alternative(values, places, engine, sets_engine)

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

    def _refuse(self, path: Path, message: str) -> None:
        if (path, message) not in self.problems:
            self.problems.append((path, message))


def _length(value: object) -> int:
    return len(value) if isinstance(value, Sequence) else 0
