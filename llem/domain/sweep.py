"""The Cartesian grid of a sweep, laid over a base configuration without touching it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from pydantic import JsonValue

Tree = dict[str, JsonValue]


def with_value(tree: Mapping[str, JsonValue], key: str, value: JsonValue) -> Tree:
    """Return ``tree`` with the dotted ``key`` set to ``value``; ``tree`` and its branches stay as they are.

    Only the branches on the way to the key are new, so variants may share the rest.

    Raises:
        KeyError: A part of ``key`` lies below a value that is no mapping; the error holds that part.
    """
    head, _, rest = key.partition(".")
    if not rest:
        return {**tree, head: value}
    branch = tree.get(head, {})
    if not isinstance(branch, dict):
        raise KeyError(head)
    try:
        return {**tree, head: with_value(branch, rest, value)}
    except KeyError as error:
        raise KeyError(f"{head}.{error.args[0]}") from None


def expand(base: Mapping[str, JsonValue], axes: Mapping[str, Sequence[JsonValue]]) -> Iterator[tuple[Tree, Tree]]:
    """Yield (configuration, the axes' values in it) for every point of the grid, the last axis fastest.

    Without axes the base itself is the only point.
    """
    keys = list(axes)
    for values in product(*(axes[key] for key in keys)):
        point = dict(zip(keys, values, strict=True))
        tree: Tree = dict(base)
        for key, value in point.items():
            tree = with_value(tree, key, value)
        yield tree, point
