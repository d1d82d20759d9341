"""A study as its layers say it: every value can be traced, and every mistake told where it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llem.domain.errors import Problem, StudyFileError
from llem.domain.sweep import Tree, flat
from llem.study.grammar import is_value
from llem.study.yaml_source import REMEDY, KeyPath, Place, YamlSource

OPTIONS = ("command line", "--set ")
MEND_OPTIONS = "Mend the options and try again; nothing was run."


@dataclass(frozen=True)
class Layer:
    """One source of values.

    Attributes:
        origin: What it is called: ``profile quick``, ``base common.yaml``, ``study``, ``command line``.
        tree: Its keys.
        source: Its file; None where it has none.
        notes: What else is known of a value's origin, by its path: the variable that it was taken from.
    """

    origin: str
    tree: Tree
    source: YamlSource | None = None
    notes: Mapping[KeyPath, str] | None = None

    def place(self, path: KeyPath) -> Place | None:
        """Return where the value at ``path`` stands in this layer's file."""
        return self.source.places.get(path) if self.source else None

    def has(self, path: KeyPath) -> bool:
        """Return whether this layer gives the value at ``path``."""
        tree: Any = self.tree
        for part in path:
            inside = part in tree if isinstance(tree, dict) else isinstance(tree, list) and part in range(len(tree))
            if not inside:
                return False
            tree = tree[part]
        return True


@dataclass(frozen=True)
class Document:
    """A study as all of its layers say it.

    Attributes:
        file: The study file, as the user named it.
        base_dir: Folder that relative paths start from.
        layers: Lowest first.
        tree: What they come to, without what the command line says of single experiments.
        commanded: What the command line says of single experiments: dotted key → value. It overrules the sweep.
    """

    file: str
    base_dir: Path
    layers: tuple[Layer, ...]
    tree: Tree
    commanded: Tree

    @property
    def sources(self) -> list[YamlSource]:
        """Return the files: the study's own first, then its base, and so on."""
        return [layer.source for layer in reversed(self.layers) if layer.source]

    def problem(self, path: KeyPath, message: str, *, place: KeyPath | None = None) -> Problem:
        """Return a problem at ``path``, placed at the nearest value that a file holds.

        Args:
            path: The key, as the user knows it.
            message: What was found and expected.
            place: Where to look for its place, if not at ``path``.
        """
        shown, wanted = ".".join(map(str, path)), place or path
        for end in range(len(wanted), 0, -1):
            for layer in reversed(self.layers):
                if layer.has(wanted[:end]):
                    return self._problem_in(layer, shown, message, layer.place(wanted[:end]))
        if wanted and wanted[0] in self.commanded:
            return Problem(shown, message, file="command line")
        return Problem(shown, message, *(self.sources[0].places.get((), (None, None))))

    def given_by(self, path: KeyPath) -> Layer | None:
        """Return the highest layer that gives the value at ``path``; None where none does."""
        return next((layer for layer in reversed(self.layers) if layer.has(path)), None)

    def _problem_in(self, layer: Layer, shown: str, message: str, place: Place | None) -> Problem:
        if layer.source is None:
            return Problem(shown, message, file=layer.origin)
        outer = None if layer.source.file == self.file else layer.source.file
        line, column = place or (None, None)
        return Problem(shown, message, line, column, file=outer)

    def error(self, problems: Sequence[Problem]) -> StudyFileError:
        """Return the error that tells of ``problems``, those of one file in its order."""
        ordered = sorted(problems, key=lambda p: (p.file is not None, p.file or "", p.line or 0, p.column or 0))
        of_options = all((problem.file or "").startswith(OPTIONS) for problem in ordered)
        return StudyFileError(self.file, ordered, remedy=MEND_OPTIONS if of_options else REMEDY)

    def origin(self, path: KeyPath) -> str | None:
        """Return where the value at ``path`` comes from, in words; None where no layer gives it."""
        for layer in reversed(self.layers):
            if layer.has(path):
                return _origin(layer, path)
        return None

    def origins(self) -> dict[str, str]:
        """Return the origin of each dotted key that some layer gives to the whole study."""
        found: dict[str, str] = {}
        for key in flat({key: value for key, value in self.tree.items() if is_value(key)}):
            head, _, rest = key.partition(".")
            origin = self.origin((head, rest) if rest else (head,))
            if origin:
                found[key] = origin
        found.update(dict.fromkeys(flat(self.commanded), "command line"))
        return found


def _origin(layer: Layer, path: KeyPath) -> str:
    place = layer.place(path)
    line = f" line {place[0]}" if place else ""
    note = (layer.notes or {}).get(path)
    return f"{layer.origin}{line}" + (f", {note}" if note else "")
