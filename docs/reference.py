"""Sphinx directives that take reference text from the code itself, so that the two cannot differ.

`llem-fields module:Model`   a table of a model's keys: type, default and meaning
`llem-events`                every kind of event with its data
`llem-help study run`        what the command prints with `--help`
`llem-values module:NAME`    the members of a tuple
`llem-profiles`              what each profile sets, beside llem's defaults
`llem-covers module:Model`   shows nothing; warns of a field that the page does not name
`llem-codes Class`           shows nothing; warns of a code given to `Class(…)` that the page does not name
"""

import ast
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, get_args

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

import llem
from llem.domain.events import AnyEvent
from llem.domain.events.base import ROUTING
from llem.domain.meanings import meanings
from llem.domain.profiles import PROFILES
from llem.domain.spec import ExperimentConfig, StudySettings
from llem.domain.sweep import flat

logger = getLogger(__name__)
Schema = dict[str, Any]
CODE_ARGUMENTS = {"error_type", "code"}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
NAMES = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}


def type_text(schema: Schema, defs: Schema) -> str:
    """Return a JSON Schema as people say it."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        target = defs[name]
        return type_text(target, defs) if target.get("type") != "object" else "mapping"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            parts = [type_text(part, defs) for part in schema[key] if part.get("type") != "null"]
            return " or ".join(dict.fromkeys(parts))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {type_text(schema.get('items', {}), defs)}"
    if schema.get("type") == "object":
        return "mapping"
    bounds = "".join(f" {sign} {schema[key]:g}" for key, sign in BOUNDS.items() if key in schema)
    return NAMES.get(schema.get("type", ""), "any value") + bounds


def default_text(schema: Schema, *, required: bool) -> str:
    """Return a key's default."""
    if required:
        return "required"
    default = schema.get("default")
    if default is None or default in ({}, []):
        return "left out"
    return "its own" if isinstance(default, dict) else f"`{json.dumps(default)}`".replace('"', "")


def cell(text: str) -> str:
    """Return ``text`` for a cell of a Markdown table."""
    return text.replace("|", "\\|")


def fields_table(model: type[BaseModel], drop: set[str], *, defaults: bool) -> list[str]:
    """Return the Markdown table of a model's keys."""
    schema = model.model_json_schema(by_alias=False)
    defs, told = schema.get("$defs", {}), meanings(model)
    heads = ["key", "type", "default", "meaning"] if defaults else ["key", "type", "meaning"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, field in schema["properties"].items():
        if name in drop:
            continue
        if name not in told:
            logger.warning("%s.%s has no meaning in its docstring", model.__name__, name)
        default = [default_text(field, required=name in schema.get("required", ()))] if defaults else []
        row = [f"`{name}`", type_text(field, defs), *default, told.get(name, "")]
        lines.append("| " + " | ".join(map(cell, row)) + " |")
    return lines


class FromCode(SphinxDirective):
    """A directive whose arguments name something in the code."""

    def named(self) -> Any:
        """Return the object that the argument names."""
        try:
            return pkgutil.resolve_name(self.arguments[0])
        except (ImportError, AttributeError) as error:
            raise ExtensionError(f"{self.arguments[0]}: {error}") from error

    def page(self) -> str:
        """Return the text of the page that the directive stands on."""
        return Path(self.env.doc2path(self.env.docname)).read_text(encoding="utf-8")


class MarkdownDirective(FromCode, ABC):
    """A directive whose content is Markdown that it writes itself."""

    @abstractmethod
    def markdown(self) -> list[str]:
        """Return the lines."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed Markdown."""
        container = nodes.container()
        self.state.nested_parse(StringList(self.markdown(), self.get_source_info()[0]), 0, container)
        return container.children


class Fields(MarkdownDirective):
    """A table of a model's keys."""

    required_arguments = 1
    option_spec: ClassVar = {"drop": directives.unchanged, "no-defaults": directives.flag}

    def markdown(self) -> list[str]:
        """Return the table."""
        drop = set(self.options.get("drop", "").split())
        return fields_table(self.named(), drop, defaults="no-defaults" not in self.options)


class Events(MarkdownDirective):
    """Every kind of event."""

    def markdown(self) -> list[str]:
        """Return a paragraph and a table for each kind."""
        lines: list[str] = []
        for event in get_args(get_args(AnyEvent)[0]):
            fields = event.model_fields
            about = inspect.cleandoc(event.__doc__).split("\n\n")[0].replace("\n", " ")
            routed = [f"`{name}`" for name in ("trial", "attempt") if fields[name].is_required()]
            columns = f" Has {' and '.join(routed)}." if routed else ""
            lines += [f"**`{fields['kind'].default}`** (form {fields['v'].default}): {about}{columns}", ""]
            data = [name for name in fields if name not in ROUTING]
            if meanings(event):
                lines += [*fields_table(event, set(ROUTING), defaults=False), ""]
            else:  # its docstring's sentence says it
                lines += [f"Data: {', '.join(f'`{name}`' for name in data)}.", ""]
        return lines


class Values(MarkdownDirective):
    """The members of a tuple, as code."""

    required_arguments = 1

    def markdown(self) -> list[str]:
        """Return one line."""
        return [", ".join(f"`{value}`" for value in self.named()) + "."]


class Profiles(MarkdownDirective):
    """What each profile puts in the place of llem's defaults."""

    def markdown(self) -> list[str]:
        """Return a table with a row per key and a column per profile."""
        profiles = {name: flat(tree) for name, tree in PROFILES.items()}
        keys = dict.fromkeys(key for tree in profiles.values() for key in tree)
        lines = ["| key | " + " | ".join(f"`{name}`" for name in profiles) + " |", "|---" * (len(profiles) + 1) + "|"]
        for key in keys:
            values = [json.dumps(tree.get(key, default_of(key))) for tree in profiles.values()]
            lines.append(f"| `{key}` | " + " | ".join(values) + " |")
        return lines


def default_of(key: str) -> Any:
    """Return llem's default for a dotted key of a study."""
    head, _, rest = key.partition(".")
    model = StudySettings if head in StudySettings.model_fields else ExperimentConfig
    value = model.model_fields[head].default
    return getattr(value, rest) if rest else value


class CommandHelp(SphinxDirective):
    """What a command prints with ``--help``."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Run the command and return what it printed."""
        words = self.arguments[0].split() if self.arguments else []
        done = subprocess.run(
            [sys.executable, "-m", "llem", *words, "--help"],
            env={**os.environ, "COLUMNS": "88", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        text = "\n".join(line.rstrip() for line in done.stdout.splitlines())
        return [nodes.literal_block(text, text, language="text")]


class Covers(FromCode):
    """Warns of what the page does not name, and shows nothing."""

    required_arguments = 1

    def wanted(self) -> Iterator[str]:
        """Yield the names that the page must have."""
        yield from self.named().model_fields

    def run(self) -> list[nodes.Node]:
        """Compare the page with the code."""
        page = self.page()
        for name in self.wanted():
            if f"`{name}`" not in page:
                logger.warning("%s is not named on this page", name, location=self.get_location())
        return []


class Codes(Covers):
    """Warns of a code in the source that the page does not name."""

    final_argument_whitespace = True

    def wanted(self) -> Iterator[str]:
        """Yield every code that the source gives to one of the named classes."""
        classes = set(self.arguments[0].split())
        for path in sorted(Path(llem.__file__).parent.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes:
                    yield from codes(node)


def codes(call: ast.Call) -> Iterator[str]:
    """Yield the code that ``call`` gives as a literal: its first argument, or the one of that name."""
    named = [keyword.value for keyword in call.keywords if keyword.arg in CODE_ARGUMENTS]
    for value in (*call.args[:1], *named):
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("llem-fields", Fields)
    app.add_directive("llem-events", Events)
    app.add_directive("llem-values", Values)
    app.add_directive("llem-profiles", Profiles)
    app.add_directive("llem-help", CommandHelp)
    app.add_directive("llem-covers", Covers)
    app.add_directive("llem-codes", Codes)
    return {"parallel_read_safe": True}
