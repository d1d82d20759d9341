"""References in a study file: paths that start from its folder, and variables of the environment.

Both may stand only where a path or a model's name stands, so that no other setting can depend on the machine unseen.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from llem.domain.errors import Problem
from llem.domain.redaction import is_named_like_a_secret, without_tokens
from llem.domain.sweep import Tree
from llem.engines.sources import is_local
from llem.study.grammar import NOTE_PREFIX, Grammar
from llem.study.yaml_source import KeyPath, YamlSource

VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<default>[^}]*))?\}")
ALLOWED = ("base", "model", "prompts.path")


def read_references(
    source: YamlSource, folder: Path, target: Path, grammar: Grammar, environment: Mapping[str, str] = os.environ
) -> tuple[Tree, dict[KeyPath, str], list[Problem]]:
    """Return a file's tree with its references resolved.

    Args:
        source: The file.
        folder: The file's folder: relative paths in it start from here.
        target: The folder that they are to start from.
        grammar: The keys that a study may have.
        environment: The variables.

    Returns:
        The tree, a note for each value that a variable gave, and what is wrong.
    """
    resolver = _Resolver(source, folder, target, grammar, environment)
    # The author's own keys are taken as they are: what is merged from them is resolved where it stands then.
    tree = {key: v if key.startswith(NOTE_PREFIX) else resolver.resolve(v, (key,)) for key, v in source.tree.items()}
    return tree, resolver.notes, resolver.problems


class _Resolver:
    def __init__(
        self, source: YamlSource, folder: Path, target: Path, grammar: Grammar, environment: Mapping[str, str]
    ) -> None:
        self._source = source
        self._folder = folder
        self._target = target
        self._grammar = grammar
        self._environment = environment
        self.notes: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []

    def resolve(self, value: Any, path: KeyPath) -> JsonValue:
        if isinstance(value, dict):
            return {key: self.resolve(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, (*path, place)) for place, item in enumerate(value)]
        if not isinstance(value, str):
            unchanged: JsonValue = value
            return unchanged
        key = experiment_key(path, self._grammar)
        if VARIABLE.search(value):
            if key not in ALLOWED:
                self._refuse(path, f"a variable may stand in {', '.join(ALLOWED)} only; found {value!r}")
                return value
            value = VARIABLE.sub(lambda found: self._value(found, path), value)
        return self._rebased(key, value)

    def _value(self, found: re.Match[str], path: KeyPath) -> str:
        name, default = found["name"], found["default"]
        if default is not None and default.startswith("-"):
            self._refuse(path, f"write ${{{name}:{default[1:]}}}, without the dash after the colon")
        given = self._environment.get(name)
        if is_named_like_a_secret(name) or without_tokens(given or "") != (given or ""):
            self._refuse(path, f"{name} looks like a secret, and what a study says is recorded: use another variable")
            return found[0]
        if given is not None:
            self.notes[path] = f"${{{name}}} from the environment"
            return given
        if default is None:
            self._refuse(path, f"the environment has no {name}: set it, or give a default: ${{{name}:default}}")
            return found[0]
        self.notes[path] = f"default of ${{{name}}}"
        return default

    def _rebased(self, key: str, value: str) -> str:
        """Return a path of this file as seen from the target folder."""
        if key == "prompts.path":
            value = os.path.expanduser(value)
        relative = key == "prompts.path" or (key == "model" and is_local(value, self._folder))
        # A name with a null byte is told by who opens it.
        if not relative or self._folder == self._target or value.startswith(("/", "~")) or not value or "\0" in value:
            return value
        here = self._folder / value
        seen = os.path.relpath(here, self._target)
        # A folder that is gone, or a link, has no way up to where the file lies.
        if not os.path.isdir(self._target) or os.path.realpath(self._target / seen) != os.path.realpath(here):
            return str(here)
        return seen if seen.startswith(os.pardir) else os.path.join(os.curdir, seen)

    def _refuse(self, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(".".join(map(str, path)), message, *self._source.places.get(path, (None, None))))


def experiment_key(path: KeyPath, grammar: Grammar) -> str:
    """Return the dotted key of an experiment that the value at ``path`` of a study file is given to."""
    names = [part for part in path if isinstance(part, str)]
    if names[0] in ("experiments", "exclude", "only"):
        names = names[1:]
    elif names[0] == "sweep":
        names = names[1:] if len(names) > 1 and grammar.is_axis(names[1]) else names[2:]
    return ".".join(names)
