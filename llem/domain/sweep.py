"""A sweep: dimensions of alternatives, crossed and laid over a base configuration without touching it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import product
from math import inf, prod

from pydantic import JsonValue

Tree = dict[str, JsonValue]
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One choice within a dimension: values that move together.

    Attributes:
        values: Dotted key or section → value; empty for the base as it is.
        places: Where the study file gives each of them.
        engine: The engine that the values name or belong to; None where they suit any.
        sets_engine: Whether one of the values is the engine itself.
    """

    values: Mapping[str, JsonValue]
    places: Mapping[str, Path] = field(default_factory=dict)
    engine: JsonValue = None
    sets_engine: bool = False


@dataclass(frozen=True, slots=True)
class Dimension:
    """Alternatives of which each point takes one: an axis, a group, zipped axes, or the listed experiments."""

    name: str
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the grid.

    Attributes:
        engine: Its engine.
        taken: The alternative that it takes in each dimension that applies to it.
    """

    engine: JsonValue
    taken: tuple[Alternative, ...]

    @property
    def values(self) -> Tree:
        """Return what the sweep gives this point: dotted key → value."""
        return {key: value for alternative in self.taken for key, value in flat(alternative.values).items()}

    def over(self, base: Mapping[str, JsonValue], sections: Collection[str]) -> Tree:
        """Return the configuration, before it is checked: the base with the point's values laid over it.

        Raises:
            NoSectionError: A key lies below a value that is no mapping.
        """
        tree: Tree = dict(base)
        for alternative in self.taken:
            tree = overlay(tree, alternative.values, sections)
        tree["engine"] = self.engine
        return tree


class NoSectionError(Exception):
    """A key lies below a value that is no mapping; carries the dotted path of that value."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def with_value(tree: Mapping[str, JsonValue], key: str, value: JsonValue) -> Tree:
    """Return ``tree`` with the dotted ``key`` set to ``value``; ``tree`` and its branches stay as they are.

    Only the branches on the way to the key are new, so variants may share the rest. An empty section (null) is a
    section.

    Raises:
        NoSectionError: A part of ``key`` lies below a value that is no mapping.
    """
    head, _, rest = key.partition(".")
    if not rest:
        return {**tree, head: value}
    branch = tree.get(head)
    if branch is None:
        branch = {}
    if not isinstance(branch, dict):
        raise NoSectionError(head)
    try:
        return {**tree, head: with_value(branch, rest, value)}
    except NoSectionError as error:
        raise NoSectionError(f"{head}.{error.path}") from None


def overlay(tree: Mapping[str, JsonValue], changes: Mapping[str, JsonValue], sections: Collection[str]) -> Tree:
    """Return ``tree`` with ``changes`` laid over it, neither of them touched.

    Sections merge key by key, other values are replaced. Prompts of another source replace those before: no key of a
    file of texts suits random ids.

    Args:
        tree: A configuration.
        changes: Dotted key or section → value.
        sections: The keys whose mappings merge.

    Raises:
        NoSectionError: A dotted key lies below a value that is no mapping.
    """
    result: Tree = dict(tree)
    for key, value in changes.items():
        before = result.get(key)
        if key in sections and isinstance(value, dict) and isinstance(before, dict) and _merge(key, before, value):
            result[key] = {**before, **value}
        else:
            result = with_value(result, key, value)
    return result


def _merge(key: str, before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> bool:
    return key != "prompts" or source_of(after) in (None, source_of(before) or "synthetic")


def source_of(prompts: Mapping[str, JsonValue]) -> JsonValue:
    """Return the source that a section of prompts names or implies; None where it leaves that open."""
    return prompts.get("source", "jsonl" if "path" in prompts else None)


def flat(changes: Mapping[str, JsonValue]) -> Tree:
    """Return ``changes`` with the keys of its sections dotted; a model and the mapping of one option stay whole."""
    keys: Tree = {}
    for key, value in changes.items():
        if isinstance(value, dict) and key != "model" and "." not in key:
            keys.update({f"{key}.{part}": item for part, item in value.items()})
        else:
            keys[key] = value
    return keys


def expand(base: Mapping[str, JsonValue], dimensions: Sequence[Dimension], default_engine: str) -> Iterator[Point]:
    """Yield every point of the grid, the last dimension fastest; without dimensions the base is the only point.

    Points stand in the order in which the dimensions name their choices, whatever their engines are.

    An alternative of one engine applies to that engine's points only. Where the base names no engine, such
    alternatives imply theirs; an alternative that sets the engine overrules the base.
    """
    engines = _engines(base, dimensions, default_engine)
    by_engine = [_of_engine(engine, base, dimensions, default_engine) for engine in engines]
    for _, point in by_engine[0] if len(by_engine) == 1 else merge(*by_engine, key=lambda found: found[0]):
        yield point


def most_points(base: Mapping[str, JsonValue], dimensions: Sequence[Dimension], default_engine: str) -> int:
    """Return how many points ``expand`` yields at most, without expanding: exact where no engine is swept."""
    engines = _engines(base, dimensions, default_engine)
    return sum(prod(len(choices) for choices in _choices(dimensions, engine)) for engine in engines)


def count_points(
    base: Mapping[str, JsonValue], dimensions: Sequence[Dimension], default_engine: str, *, enough: int
) -> int:
    """Return how many points ``expand`` yields; above ``enough``, perhaps only how many it yields at most."""
    most = most_points(base, dimensions, default_engine)
    if most > enough or len(_engines(base, dimensions, default_engine)) == 1:
        return most
    return sum(1 for _ in expand(base, dimensions, default_engine))


def _engines(base: Mapping[str, JsonValue], dimensions: Sequence[Dimension], default_engine: str) -> list[JsonValue]:
    """Return the engines that points can have, in the order in which the study names them."""
    engines: list[JsonValue] = [base.get("engine", default_engine)]
    for dimension in dimensions:
        for alternative in dimension.alternatives:
            may_choose = alternative.sets_engine or "engine" not in base
            if alternative.engine is not None and may_choose and alternative.engine not in engines:
                engines.append(alternative.engine)
    return engines


Choice = tuple[float, Alternative | None]
"""A place in a dimension, and what stands there; nothing, after all others, where the dimension does not apply."""


def _of_engine(
    engine: JsonValue, base: Mapping[str, JsonValue], dimensions: Sequence[Dimension], default_engine: str
) -> Iterator[tuple[tuple[float, ...], Point]]:
    """Yield the points of one engine, each with its places in the dimensions."""
    for choices in product(*_choices(dimensions, engine)):
        taken = tuple(choice for _, choice in choices if choice is not None)
        if _belongs(taken, engine, base, dimensions, default_engine):
            yield tuple(place for place, _ in choices), Point(engine, taken)


def _choices(dimensions: Sequence[Dimension], engine: JsonValue) -> list[list[Choice]]:
    """Return each dimension's choices for an engine; a dimension that only speaks to others does not apply."""
    found: list[list[Choice]] = []
    for dimension in dimensions:
        choices: list[Choice] = [
            (place, choice) for place, choice in enumerate(dimension.alternatives) if choice.engine in (None, engine)
        ]
        if not choices and not any(choice.sets_engine for choice in dimension.alternatives):
            choices = [(inf, None)]
        found.append(choices)
    return found


def _belongs(
    taken: Sequence[Alternative],
    engine: JsonValue,
    base: Mapping[str, JsonValue],
    dimensions: Sequence[Dimension],
    default_engine: str,
) -> bool:
    """Return whether a combination of choices is one of ``engine``'s own."""
    if "engine" in base:
        return base["engine"] == engine or any(choice.sets_engine for choice in taken)
    if any(choice.engine is not None for choice in taken):
        return True
    implied = any(all(choice.engine is not None for choice in dimension.alternatives) for dimension in dimensions)
    return engine == default_engine and not implied
