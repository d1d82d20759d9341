"""Reading YAML safely, with the place of every value."""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llem.domain.errors import Problem, StudyFileError
from llem.domain.redaction import without_tokens

MAX_BYTES = 1_000_000
MAX_NODES = 200_000
MAX_DEPTH = 50
REMEDY = "Mend the file and try again; nothing was run."

MAX_DIGITS = 100
STR = "tag:yaml.org,2002:str"
BOOL = "tag:yaml.org,2002:bool"
NULL = "tag:yaml.org,2002:null"
INT = "tag:yaml.org,2002:int"
FLOAT = "tag:yaml.org,2002:float"
MERGE = "tag:yaml.org,2002:merge"
NO_JSON = {
    "tag:yaml.org,2002:timestamp": "a date is no value of a study: put it in quotes",
    **dict.fromkeys(
        (f"tag:yaml.org,2002:{kind}" for kind in ("binary", "set", "omap", "pairs")),
        "no value of a study is of this kind",
    ),
}

Place = tuple[int, int]
KeyPath = tuple[str | int, ...]

# The C loader is several times faster and knows the same marks; it is missing where PyYAML had no libyaml.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class YamlSource:
    """A YAML file's content, and where each value stands.

    Attributes:
        file: The file, as the user named it.
        raw: Its bytes.
        tree: The top-level mapping.
        places: Line and column, from 1, of each value by its path of keys and list positions.
    """

    file: str
    raw: bytes
    tree: dict[str, Any]
    places: dict[KeyPath, Place] = field(default_factory=dict)


class _RefusedError(Exception):
    """The file cannot be used; carries the place, where there is one."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.place = (line, column)


def read_yaml(path: Path) -> YamlSource:
    """Return the mapping in the YAML file at ``path``.

    Raises:
        StudyFileError: It cannot be read, is no YAML, or is no mapping; keys that stand twice, numbers that JSON
            cannot say, aliases that contain themselves or unfold without end, and files over a megabyte are refused.
    """
    file = str(path)
    walker = _Walker()
    try:
        raw = _read(path)
        _require_no_token(raw)
        tree = _parse(raw, walker, what="a study, such as examples/quickstart.yaml")
        if not isinstance(tree, dict):
            kind = "sequence" if isinstance(tree, list) else "scalar"
            raise _RefusedError(f"holds a {kind}; expected a mapping of keys to values", *walker.places[()])
    except _RefusedError as error:
        raise StudyFileError(file, [Problem("", str(error), *error.place)], remedy=REMEDY) from None
    if walker.problems:
        raise StudyFileError(file, walker.problems, remedy=REMEDY)
    return YamlSource(file, raw, tree, walker.places)


def read_value(text: str) -> Any:
    """Return the value that ``text`` means in YAML.

    Raises:
        ValueError: It is no YAML, or no value that a study can hold.
    """
    walker = _Walker()
    try:
        raw = text.encode("utf-8", "surrogateescape")
        _require_no_token(raw)
        value = _parse(raw, walker, what="a value; write null for none")
    except _RefusedError as error:
        raise ValueError(str(error)) from None
    if walker.problems:
        raise ValueError(walker.problems[0].message)
    return value


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            raw = file.read(MAX_BYTES + 1)  # no more: a pipe or a device has no size, and may have no end
    except (OSError, ValueError) as error:  # ValueError: a name that no system can open
        raise _RefusedError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(raw) > MAX_BYTES:
        found = f"{size:,}" if size > MAX_BYTES else f"more than {MAX_BYTES:,}"
        raise _RefusedError(f"has {found} bytes; a study file may have {MAX_BYTES:,}")
    return raw


def _require_no_token(raw: bytes) -> None:
    """Refuse a file that holds a token, in a comment too: it is kept as it stands, and what it says is recorded."""
    text = raw.decode("utf-8", "replace")
    clean = without_tokens(text)
    if clean != text:
        begins = next((at for at, (one, other) in enumerate(zip(clean, text, strict=False)) if one != other), 0)
        line, column = text.count("\n", 0, begins) + 1, begins - text.rfind("\n", 0, begins)
        raise _RefusedError(
            "holds what looks like a token or a password, and a study's file is kept with its results: set it in the "
            "environment of llem itself, such as HF_TOKEN, which workers inherit",
            line,
            column,
        )


def _parse(raw: bytes, walker: "_Walker", *, what: str) -> Any:
    """Return the value that ``raw`` holds; nothing is built from nodes in which ``walker`` finds problems."""
    try:
        text = raw.decode("utf-8")
        _require_flat(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise _RefusedError(f"is empty; expected {what}")
        walker.walk(node, (), ())
        tree = {} if walker.problems else loader.construct_document(node)
    except UnicodeDecodeError as error:
        raise _RefusedError(f"is not UTF-8 text: byte {error.start} is 0x{raw[error.start]:02x}") from None
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark) if error.problem_mark else (None, None)
        raise _RefusedError(f"is no YAML: {error.problem or error.context}", *place) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _RefusedError(f"is no YAML: {' '.join(str(error).split())}") from None
    return tree


def _require_flat(text: str) -> None:
    """Refuse text that nests too deeply. Reading by events needs no recursion, which such text would exhaust."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _RefusedError(f"nests deeper than {MAX_DEPTH} levels", *_place(event.start_mark))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _place(mark: Any) -> Place:
    return mark.line + 1, mark.column + 1


class _Walker:
    """Notes the place of every value and finds what YAML itself would let pass."""

    def __init__(self) -> None:
        self.places: dict[KeyPath, Place] = {}
        self.problems: list[Problem] = []
        self._nodes = 0

    def walk(self, node: yaml.Node, path: KeyPath, above: tuple[int, ...]) -> None:
        """Walk ``node`` at ``path``; ``above`` are the ids of the nodes that contain it."""
        self._nodes += 1
        if self._nodes == MAX_NODES:
            self._refuse(node, path, f"the file unfolds to more than {MAX_NODES:,} values")
        if self._nodes >= MAX_NODES:
            return
        self.places.setdefault(path, _place(node.start_mark))
        if id(node) in above:
            self._refuse(node, path, "an alias contains itself")
            return
        if len(above) > MAX_DEPTH:  # aliases may nest what is written flat
            self._refuse(node, path, f"nests deeper than {MAX_DEPTH} levels")
            self._nodes = MAX_NODES
            return
        if node.tag in NO_JSON:
            self._refuse(node, path, NO_JSON[node.tag])
        elif not _fits_its_tag(node):
            self._refuse(node, path, f"the tag !!{node.tag.rpartition(':')[2]} does not fit this value")
        elif isinstance(node, yaml.ScalarNode):
            self._check_number(node, path)
        elif isinstance(node, yaml.MappingNode):
            self._walk_mapping(node, path, (*above, id(node)))
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self.walk(item, (*path, number), (*above, id(node)))

    def _check_number(self, node: yaml.ScalarNode, path: KeyPath) -> None:
        if node.tag == FLOAT and not _finite(node.value):
            self._refuse(node, path, f"a number must be finite; found {node.value[:MAX_DIGITS]}")
        elif node.tag in (INT, FLOAT) and len(node.value) > MAX_DIGITS:
            self._refuse(node, path, f"a number has {len(node.value):,} digits; at most {MAX_DIGITS} are taken")

    def _walk_mapping(self, node: yaml.MappingNode, path: KeyPath, above: tuple[int, ...]) -> None:
        first_lines: dict[str, int] = {}
        merged = [value for key, value in node.value if key.tag == MERGE]
        for key, value in node.value:
            if key.tag == MERGE:
                continue
            if key.tag != STR or not isinstance(key, yaml.ScalarNode):
                self._refuse(key, path, f"the key {getattr(key, 'value', key.id)!r} is no text: put it in quotes")
            elif key.value in first_lines:
                line = first_lines[key.value]
                self._refuse(key, (*path, key.value), f"stands twice; the first is on line {line}")
            else:
                first_lines[key.value] = key.start_mark.line + 1
                self.places.setdefault((*path, key.value), _place(key.start_mark))
                self.walk(value, (*path, key.value), above)
        for value in merged:  # last: a key of the mapping's own overrides a merged one, and so does its place
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                self.walk(source, path, above)

    def _refuse(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(".".join(map(str, path)), message, *_place(node.start_mark)))


def _fits_its_tag(node: yaml.Node) -> bool:
    """Return whether a value tagged as a number, a truth or a text can be one. Other tags are YAML's to refuse."""
    if not isinstance(node, yaml.ScalarNode):
        return node.tag not in (STR, INT, FLOAT, BOOL, NULL)
    if node.tag not in (INT, FLOAT, BOOL, NULL):
        return True
    meant = _RESOLVER.resolve(yaml.ScalarNode, node.value, (True, False))
    return meant == node.tag or (node.tag == FLOAT and (meant == INT or _is_float(node.value)))


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_RESOLVER: Any = yaml.resolver.Resolver()


def _finite(text: str) -> bool:
    if text.strip("+-").lower() in (".inf", ".nan"):
        return False
    try:
        parts = [float(part) for part in text.replace("_", "").split(":")]  # 1:30.5 is base 60
        return math.isfinite(sum(part * 60.0**place for place, part in enumerate(reversed(parts))))
    except ValueError:
        return True  # no number at all, which YAML itself will say
    except OverflowError:
        return False
