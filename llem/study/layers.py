"""Reading a study's layers: profile, base files, the study file and the command line, laid over each other."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from llem.domain.errors import Problem, StudyFileError
from llem.domain.profiles import PROFILES
from llem.domain.sweep import NoSectionError, Tree, overlay
from llem.study.document import Document, Layer
from llem.study.grammar import GRAMMAR, Grammar
from llem.study.references import read_references
from llem.study.yaml_source import REMEDY, YamlSource, read_value, read_yaml

MERGING_SETTINGS = frozenset({"limits", "gaps", "carbon", "sweep"})
"""Keys of the whole study whose mappings merge key by key when one layer lies over another."""

MAX_BASES = 20
MAX_SHOWN = 200


def read_document(
    path: Path, settings: Sequence[str] = (), *, base_dir: Path | None = None, grammar: Grammar = GRAMMAR
) -> Document:
    """Return the study in the file at ``path``, its base files and the command line laid over each other.

    Args:
        path: The study file.
        settings: ``dotted.key=value`` from the command line, the value in YAML; the last one wins.
        base_dir: The folder that relative paths are to start from, if not the study file's own.
        grammar: The keys that a study may have.

    Raises:
        StudyFileError: A file cannot be read, a base file leads back to itself, or a setting is no setting.
    """
    folder = _utf8_folder(path)
    target = folder if base_dir is None else base_dir
    files, problems = _read_chain(path, target, grammar)
    commanded, of_study = _commanded(settings, grammar, problems)
    layers = [*reversed(files), Layer("command line", of_study)]
    profile = _merged(layers, grammar).get("profile")
    if isinstance(profile, str) and profile in PROFILES:
        layers.insert(0, Layer(f"profile {profile}", PROFILES[profile]))
    document = Document(str(path), target, tuple(layers), _merged(layers, grammar), commanded)
    if problems:
        raise document.error(problems)
    return document


def _merged(layers: Sequence[Layer], grammar: Grammar) -> Tree:
    tree: Tree = {}
    for layer in layers:
        below, own = tree.get("sweep"), layer.tree.get("sweep")
        # A dotted key at the top is no key of a study: it is told as such, and must not be taken apart here.
        keys = {key: value for key, value in layer.tree.items() if "." not in key}
        tree = overlay(tree, keys, grammar.sections | MERGING_SETTINGS)
        if isinstance(own, dict) and isinstance(below, dict):  # null takes an inherited axis away
            gone = [axis for axis, values in own.items() if values is None and axis in below]
            tree["sweep"] = {axis: values for axis, values in {**below, **own}.items() if axis not in gone}
    return tree


def _utf8_folder(path: Path) -> Path:
    folder = path.absolute().parent
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        problem = Problem("", f"lies in a folder whose name is not UTF-8: {str(folder)!a}")
        raise StudyFileError(str(path), [problem], remedy=REMEDY) from None
    return folder


def _read_chain(path: Path, target: Path, grammar: Grammar) -> tuple[list[Layer], list[Problem]]:
    """Return the study's layer, its base's, and so on; what is wrong with references goes to the problems."""
    layers: list[Layer] = []
    problems: list[Problem] = []
    seen: list[Path] = []
    for source in _chain(path, seen, grammar):
        outer = None if source.file == str(path) else source.file
        tree, notes, found = read_references(source, seen[-1].parent, target, grammar)
        problems += [Problem(p.path, p.message, p.line, p.column, file=outer) for p in found]
        origin = "study" if outer is None else f"base {source.file}"
        layers.append(Layer(origin, {key: value for key, value in tree.items() if key != "base"}, source, notes))
    return layers, problems


def _chain(path: Path, seen: list[Path], grammar: Grammar) -> Iterator[YamlSource]:
    """Yield the study's file and each base that the one before names; ``seen`` gets their full paths."""
    next_path: Path | None = path
    while next_path is not None:
        seen.append(next_path.absolute())
        source = read_yaml(next_path)
        yield source
        next_path = _base_of(source, seen, grammar)


def _base_of(source: YamlSource, seen: list[Path], grammar: Grammar) -> Path | None:
    if "base" not in source.tree:
        return None
    folder = seen[-1].parent
    tree, _, problems = read_references(source, folder, folder, grammar)
    base = tree["base"]
    own = [problem for problem in problems if problem.path == "base"]
    if own:
        raise StudyFileError(source.file, own, remedy=REMEDY)

    def problem(message: str) -> StudyFileError:
        place = source.places.get(("base",), (None, None))
        return StudyFileError(source.file, [Problem("base", message, *place)], remedy=REMEDY)

    if not isinstance(base, str) or not base:
        raise problem(f"expected the path of a YAML file; found {base!r}")
    shown = Path(source.file).parent / os.path.expanduser(base)
    # os.path, since it takes a name that no system can open for what it is: nothing there.
    if not os.path.isfile(shown):
        raise problem(f"there is no file {shown if len(base) <= MAX_SHOWN else base[:MAX_SHOWN] + '…'!s}")
    if any(os.path.samefile(shown, path) for path in seen):
        raise problem(f"{base} leads back to itself: {' → '.join(path.name for path in seen)} → {shown.name}")
    if len(seen) > MAX_BASES:
        raise problem(f"the chain of base files is longer than {MAX_BASES}")
    return shown


def _commanded(settings: Sequence[str], grammar: Grammar, problems: list[Problem]) -> tuple[Tree, Tree]:
    """Return what the command line says of single experiments, and of the study as a whole."""
    experiments: Tree = {}
    study: Tree = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        try:
            if not equals:
                raise ValueError("expected dotted.key=value")
            if message := grammar.setting_problem(key):
                raise ValueError(message)
            value = read_value(text)
            if key.startswith("sweep."):
                sweep = study.get("sweep")
                study["sweep"] = {**(sweep if isinstance(sweep, dict) else {}), key.removeprefix("sweep."): value}
            elif grammar.sets_study(key):
                study = overlay(study, {key: value}, MERGING_SETTINGS)
            else:
                experiments.pop(key, None)  # the last word on a key comes last, also against its section
                experiments[key] = value
        except (ValueError, NoSectionError) as error:
            problems.append(Problem(key, str(error), file=f"--set {setting}"))
    return experiments, study
