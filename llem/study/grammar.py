"""The keys that a study file may have."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from llem.domain.spec import (
    Carbon,
    ExperimentConfig,
    Gaps,
    Generation,
    JsonlPrompts,
    Limits,
    Measurement,
    StudySettings,
    SyntheticPrompts,
)
from llem.domain.sweep import Path
from llem.engines import ENGINES
from llem.engines.base import EngineEntry

STRUCTURE_KEYS = ("base", "experiments", "sweep", "exclude", "only")
STUDY_KEYS = (*StudySettings.model_fields, *STRUCTURE_KEYS)
OPEN_KEYS = ("model", "environment")
"""Keys of an experiment below which there may be any name."""
NOTE_PREFIX = "x-"
"""Keys at the top that begin so are the author's own: a home for YAML anchors."""

Found = tuple[Path, str]
"""Something wrong: where it stands, as keys and places in lists, and what was found and expected."""


class Grammar:
    """The keys of study files, for one set of engines.

    Args:
        engines: Engines by name.
    """

    def __init__(self, engines: Mapping[str, EngineEntry] = ENGINES) -> None:
        self.engines = engines
        self.experiment_keys = [key for key in ExperimentConfig.model_fields if key != "engine_options"]
        self.sections = frozenset({"prompts", "generation", "measurement", *engines})
        """The keys of an experiment whose mappings merge key by key."""
        self.keys: dict[Path, list[str]] = {
            (): [*STUDY_KEYS, *self.experiment_keys, *engines],
            ("prompts",): sorted({*SyntheticPrompts.model_fields, *JsonlPrompts.model_fields} - {"sha256"}),
            ("generation",): list(Generation.model_fields),
            ("measurement",): list(Measurement.model_fields),
            ("limits",): list(Limits.model_fields),
            ("gaps",): list(Gaps.model_fields),
            ("carbon",): list(Carbon.model_fields),
            **{(name,): list(engine.options.model_fields) for name, engine in engines.items()},
        }
        """The known keys below each section; () is the top of the file."""

    def is_axis(self, name: str) -> bool:
        """Return whether a key of ``sweep:`` is a key of an experiment, and not the name of a group."""
        head, dot, _ = name.partition(".")
        return bool(dot) or head in self.experiment_keys or head in self.engines or head in STUDY_KEYS

    def unknown_keys(self, tree: Mapping[str, Any]) -> list[Found]:
        """Return the keys at the top of a file that no study has."""
        known = self.keys[()]
        return [
            ((key,), self._unknown_at_top(key))
            for key in tree
            if key not in known and not key.startswith(NOTE_PREFIX)
        ]

    def _unknown_at_top(self, key: str) -> str:
        head, dot, rest = key.partition(".")
        if dot and (head,) in self.keys:
            return f"dotted keys are for sweeps and lists of experiments: write {head}: {{{rest}: …}}"
        return unknown(key, self.keys[()])

    def key_problem(self, key: str) -> str | None:
        """Return why an experiment cannot have the dotted ``key``; None if it can."""
        head, _, rest = key.partition(".")
        section = self.keys.get((head,), [])
        if "" in key.split("."):
            return "a part between the dots is empty"
        if head in STUDY_KEYS:
            return f"{head!r} belongs to the whole study, so no experiment can have its own"
        if head not in self.experiment_keys and head not in self.engines:
            return unknown(head, [*self.experiment_keys, *self.engines])
        if rest and head not in OPEN_KEYS and not section:
            return f"{head!r} is no section, so nothing lies below it"
        if rest and section and rest.partition(".")[0] not in section:
            return unknown(rest.partition(".")[0], section)
        return None

    def setting_problem(self, key: str) -> str | None:
        """Return why the command line cannot set the dotted ``key``; None if it can."""
        head, _, rest = key.partition(".")
        if head == "base":
            return "a base is named in the study file"
        if head == "sweep":
            return self.key_problem(rest) if rest and self.is_axis(rest) else None
        if head in STUDY_KEYS and not (rest and (head,) not in self.keys):
            section = self.keys.get((head,), [])
            return unknown(rest, section) if rest and rest not in section else None
        return self.key_problem(key)

    def sets_study(self, key: str) -> bool:
        """Return whether a dotted key belongs to the whole study."""
        return key.partition(".")[0] in STUDY_KEYS


GRAMMAR = Grammar()


def is_value(key: str) -> bool:
    """Return whether a key at the top of a file holds a value, and not structure or the author's notes."""
    return key not in STRUCTURE_KEYS and not key.startswith(NOTE_PREFIX)


def unknown(key: object, known: Iterable[str], *, what: str = "key") -> str:
    """Return the message about a key that is not known, with the nearest one that is."""
    names = list(known)
    close = difflib.get_close_matches(str(key), names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(sorted(names))}" if names else ""
    return f"unknown {what} {key!r}" + (f"; {hint}" if hint else "")


def short(value: object) -> str:
    """Return what was found, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
