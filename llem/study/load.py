"""From a study file to checked experiments: every mistake at once, and a reason for every point left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from llem.domain.carbon import CarbonFactor
from llem.domain.deadlines import too_short
from llem.domain.errors import InputError, Problem
from llem.domain.events.plan import SkipKind
from llem.domain.spec import StudySettings
from llem.domain.sweep import Dimension, Tree
from llem.engines.base import Machine
from llem.study.carbon import NoIntensity, carbon_factor
from llem.study.document import Document
from llem.study.grammar import GRAMMAR, Grammar
from llem.study.grid import Declared, Grid
from llem.study.layers import read_document
from llem.study.machine import ProbedMachine
from llem.study.resolve import explained
from llem.study.sweeps import MOST_POINTS
from llem.study.yaml_source import YamlSource

MANY_TRIALS = 100_000
MOST_TRIALS = 10_000_000


class ManyTrialsError(InputError):
    """A study spans more trials than anybody runs by mistake; carries their number."""

    def __init__(self, trials: int) -> None:
        super().__init__(
            f"The study spans {trials:,} trials, more than {MANY_TRIALS:,}.",
            remedy="Add --yes if that is meant, or take values out of its sweep.",
        )
        self.trials = trials


@dataclass
class LoadedStudy:
    """A study file, checked.

    Attributes:
        settings: What it says beside its experiments.
        base_dir: Folder that relative paths start from.
        sources: Its file and the base files.
        dimensions: What its grid is spanned by.
        origins: Where the values came from that hold for the whole study: dotted key → origin.
        experiments: Every point of its grid that can run, duplicates included.
        skipped: The others: (kind, reason) → what the sweep gives each of them.
        declared: How many points there are in all.
        carbon: The declared carbon intensity as a number with its source; None where none is declared.
        warnings: What deserves a person's attention.
    """

    settings: StudySettings
    base_dir: Path
    sources: list[YamlSource]
    dimensions: list[Dimension]
    origins: dict[str, str]
    experiments: list[Declared] = field(default_factory=list)
    skipped: dict[tuple[SkipKind, str], list[Tree]] = field(default_factory=dict)
    declared: int = 0
    carbon: CarbonFactor | None = None
    warnings: list[str] = field(default_factory=list)


def load_study(
    path: Path,
    settings: Sequence[str] = (),
    *,
    many: bool = False,
    base_dir: Path | None = None,
    grammar: Grammar = GRAMMAR,
    machine: Machine | None = None,
) -> LoadedStudy:
    """Return the study in the YAML file at ``path``.

    Args:
        path: The study file.
        settings: ``dotted.key=value`` from the command line, the value in YAML.
        many: Whether more than 100,000 trials are meant.
        base_dir: The folder that relative paths are to start from, if not the study file's own.
        grammar: The keys and engines that a study may have.
        machine: What rules of engines may know of this machine; asked for where a rule needs it, if left out.

    Raises:
        StudyFileError: It cannot be used; the error holds every problem with its line.
        ManyTrialsError: It spans more than 100,000 trials and ``many`` is false.
    """
    document = read_document(path, settings, base_dir=base_dir, grammar=grammar)
    problems = [
        document.problem(*found)
        for layer in document.layers
        if layer.source
        for found in grammar.unknown_keys(layer.tree)
    ]
    checked = _settings(document, grammar, problems)
    carbon = _carbon(document, checked, problems)
    grid = Grid(document, grammar, machine or ProbedMachine())
    problems += grid.problems
    most = grid.count(MOST_POINTS)
    if checked is not None:
        _require_sane_size(document, most, checked.cycles, many=many)
    elif most > MANY_TRIALS:
        raise document.error(problems)
    grid.walk()
    if not grid.experiments:
        problems += grid.why_nothing()
    if checked is not None:
        problems += _short_limits(document, checked, grid.experiments)
    if checked is None or problems:
        raise document.error(list(dict.fromkeys(problems)))
    return LoadedStudy(
        settings=checked,
        base_dir=document.base_dir,
        sources=document.sources,
        dimensions=grid.dimensions,
        origins=document.origins(),
        experiments=grid.experiments,
        skipped=grid.skipped,
        declared=grid.declared,
        carbon=carbon,
        warnings=grid.warnings(),
    )


def _settings(document: Document, grammar: Grammar, problems: list[Problem]) -> StudySettings | None:
    tree = {key: value for key, value in document.tree.items() if key in StudySettings.model_fields}
    try:
        return StudySettings.model_validate(tree)
    except ValidationError as error:
        problems += [document.problem(*found) for found in explained(error, tree, grammar)]
        return None


def _carbon(document: Document, settings: StudySettings | None, problems: list[Problem]) -> CarbonFactor | None:
    if settings is None or settings.carbon is None:
        return None
    try:
        return carbon_factor(settings.carbon)
    except NoIntensity as error:
        problems.append(document.problem(*error.found))
        return None


def _short_limits(document: Document, settings: StudySettings, experiments: Sequence[Declared]) -> list[Problem]:
    """Return the limits that no trial of some experiment can keep, each once."""
    methods = {id(declared.config.measurement): declared.config.measurement for declared in experiments}
    found = {limit: why for method in methods.values() for limit, why in too_short(settings.limits, method)}
    return [
        # Where the limit is llem's own, the study's window is what is too long for it.
        document.problem(path, why, place=path if document.given_by(path) else ("measurement", "min_window_s"))
        for limit, why in found.items()
        for path in [("limits", limit)]
    ]


def _require_sane_size(document: Document, points: int, cycles: int, *, many: bool) -> None:
    if points > MOST_POINTS:
        message = f"the grid has {points:,} points; llem plans at most {MOST_POINTS:,}"
        raise document.error([document.problem(("sweep",), message)])
    if points * cycles > MOST_TRIALS:
        message = (
            f"{points:,} grid points × {cycles:,} cycles are too many; llem plans at most {MOST_TRIALS:,} trials"
        )
        raise document.error([document.problem(("cycles",), message)])
    if points * cycles > MANY_TRIALS and not many:
        raise ManyTrialsError(points * cycles)
