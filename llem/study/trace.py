"""Tracing the values of a grid point: where a mistake stands, and where a value came from."""

from collections.abc import Sequence

from llem.domain.errors import Problem
from llem.domain.sweep import Alternative, Point, flat
from llem.study.document import Document
from llem.study.yaml_source import KeyPath

Origins = dict[str, str]


class Tracer:
    """Traces the values of points. What points share is traced once, and stays one object.

    Args:
        document: The study.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._commanded = flat(document.commanded)
        self._origins: dict[int, Origins] = {}
        self._shared: dict[tuple[tuple[str, str], ...], Origins] = {}

    def placed(self, path: KeyPath, message: str, point: Point) -> Problem:
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

    def origins(self, taken: Sequence[Alternative]) -> Origins:
        """Return where the values of a point came from: dotted key → origin."""
        found: Origins = {}
        for alternative in taken:
            if id(alternative) not in self._origins:
                self._origins[id(alternative)] = self._alternative_origins(alternative)
            found.update(self._origins[id(alternative)])
        return self._shared.setdefault(tuple(found.items()), found)

    def _alternative_origins(self, alternative: Alternative) -> Origins:
        origins: Origins = {}
        for key, value in alternative.values.items():
            origin = self._origin(alternative.places[key])
            for leaf in flat({key: value}):
                if not any(_reaches(commanded, leaf) for commanded in self._commanded):
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


def _reaches(key: str, dotted: str) -> bool:
    """Return whether the value at ``key`` holds what lies at ``dotted``, or lies in it."""
    return dotted == key or dotted.startswith(f"{key}.")
