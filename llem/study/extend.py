"""A changed study file against the plan of a study that has run: what differs, and the extension it may become."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llem.domain.errors import InputError
from llem.domain.events import Event, ExperimentPlanned, StudyExtended, StudyPlanned
from llem.domain.identity import (
    build_config_summary,
    canonical_json,
    result_stem,
    study_design_hash,
    summary_text,
    unique_prefix_length,
    varying_keys,
)
from llem.domain.order import extension, trial_order
from llem.domain.spec import ExperimentConfig
from llem.domain.sweep import Tree, flat
from llem.projections.plan import PlanFold
from llem.study.load import load_study
from llem.study.plan import StudyPlan, plan_study
from llem.version import __version__

FIXED = ("name", "order", "seed", "gaps.between_trials", "gaps.between_cycles")
"""Settings of the whole study that an extension leaves as they are."""
CARBON = "carbon."
MOST_PAIRS = 20_000
"""Beyond so many comparisons, experiments are told as gone and come: nobody reads that many pairs."""
AS_DECLARED = "the study keeps its own; add --extend to take the file's"
MOST_SHOWN = 40
ALIKE = 0.25
"""An experiment counts as a changed form of another one if no more than this share of its keys differs."""


@dataclass(frozen=True)
class Change:
    """One key that differs: before is the study as it was planned, after the file."""

    key: str
    before: Any
    after: Any

    def text(self) -> str:
        """Return ``key: before → after``."""
        return f"{self.key}: {_shown(self.before)} → {_shown(self.after)}"


@dataclass(frozen=True)
class StudyDiff:
    """What differs between a study as it was planned and a study file.

    Attributes:
        settings: What differs for the whole study.
        changed: Experiments whose counterpart in the file is another one: the planned one, and the differing keys.
        removed: Planned experiments without a counterpart.
        added: Experiments that only the file has.
        skipped: Why grid points of the file became no experiment: on this machine, planned ones may be among them.
    """

    settings: tuple[Change, ...]
    changed: tuple[tuple[ExperimentPlanned, tuple[Change, ...]], ...]
    removed: tuple[ExperimentPlanned, ...]
    added: tuple[ExperimentPlanned, ...]
    skipped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return bool(self.settings or self.changed or self.removed or self.added)

    @property
    def carbon_alone(self) -> bool:
        """Return whether nothing differs but the last step from joules to carbon: what is measured is the same."""
        others = self.changed or self.removed or self.added
        return bool(self) and not others and all(change.key.startswith(CARBON) for change in self.settings)

    def lines(self) -> list[str]:
        """Return the differences in words: ``~`` changed, ``-`` only planned, ``+`` only in the file."""
        changed = [
            f"~ {planned.label} {summary_text(planned.config_summary)}: {'; '.join(c.text() for c in changes)}"
            for planned, changes in self.changed
        ]
        removed = [f"- {planned.label} {summary_text(planned.config_summary)}" for planned in self.removed]
        added = [f"+ {planned.label} {summary_text(planned.config_summary)}" for planned in self.added]
        lines = [f"~ {change.text()}" for change in self.settings]
        for group in (changed, removed, added):
            lines += group[:MOST_SHOWN]
            lines += [f"  … {len(group) - MOST_SHOWN:,} more"] if len(group) > MOST_SHOWN else []
        if self.removed:
            lines += [f"  skipped in the file: {reason}" for reason in self.skipped[:MOST_SHOWN]]
        return lines

    def obstacles(self) -> list[str]:
        """Return why this cannot become an extension; empty if it can."""
        found = [f"{c.key} cannot change" for c in self.settings if c.key in FIXED]
        found += [f"{c.key} can grow, not shrink" for c in self.settings if c.key == "cycles" and c.after < c.before]
        if self.changed:
            found.append(f"{_experiments(len(self.changed))} would not be the same")
        if self.removed:
            found.append(f"{_experiments(len(self.removed))} would be taken away")
        return found


class StudyDiffersError(InputError):
    """A study file is not that of the study which it was given for; carries the difference."""

    def __init__(self, root: Path, diff: StudyDiff, *, asked_to_extend: bool) -> None:
        self.diff = diff
        obstacles = diff.obstacles()
        if obstacles:
            remedy = (
                f"That is no extension: {'; '.join(obstacles)}. Resume without --study to go on as planned, or start "
                "a new study: llem study run"
            )
        else:
            remedy = "Add --extend to add this to the study, or resume without --study to go on as planned."
        what = "cannot be extended by this file" if asked_to_extend else "is not what this file says"
        lines = "\n".join(f"  {line}" for line in diff.lines())
        super().__init__(f"The study in {root} {what}:\n{lines}\n", remedy=remedy)

    def __str__(self) -> str:
        return f"{self.message}{self.remedy}"


@dataclass(frozen=True)
class Extension:
    """What a study is extended by.

    Attributes:
        events: The events that say so.
        sources: The study file and its base files: (name, content).
        number: The how many-th extension of the study it is.
    """

    events: list[Event]
    sources: list[tuple[str, bytes]]
    number: int


@dataclass(frozen=True)
class Revision:
    """A study file that a study is resumed with.

    Attributes:
        file: The file.
        settings: ``dotted.key=value`` from the command line.
        extend: Whether the study may get what only the file has.
        many: Whether more than 100,000 trials are meant.
        tell: Is told the file's plan, before it is compared.
        warn: Is told what differs where the study goes on all the same.
        agree: Is told how many trials would be added, before they are; may raise to leave the study as it is.
    """

    file: Path
    settings: Sequence[str] = ()
    extend: bool = False
    many: bool = False
    tell: Callable[[StudyPlan], None] = lambda plan: None
    warn: Callable[[str], None] = lambda text: None
    agree: Callable[[int], None] = lambda trials: None

    def against(self, root: Path, plan: PlanFold) -> "Extension | None":
        """Return what the study in ``root`` is to be extended by; None if nothing that is measured differs.

        Raises:
            StudyDiffersError: The file differs, and may not or cannot be an extension.
            StudyFileError: The file cannot be used.
        """
        assert plan.study is not None
        loaded = load_study(self.file, self.settings, many=self.many, base_dir=Path(plan.study.base_dir))
        wanted = plan_study(loaded)
        self.tell(wanted)
        diff = compare(plan.study, list(plan.experiments.values()), wanted)
        if not diff:
            return None
        if diff.carbon_alone and not self.extend:
            self.warn(f"the file declares another carbon ({'; '.join(diff.lines())}): {AS_DECLARED}")
            return None
        if not self.extend or diff.obstacles():
            raise StudyDiffersError(root, diff, asked_to_extend=self.extend)
        event, joining = _extension(plan.study, list(plan.experiments.values()), wanted, diff.added)
        self.agree(len(event.sequence))
        return Extension([event, *joining], wanted.sources, plan.extensions + 1)


def compare(study: StudyPlanned, experiments: Sequence[ExperimentPlanned], wanted: StudyPlan) -> StudyDiff:
    """Return what differs between a study as it was planned and the plan of a file.

    A seed that the file does not name does not differ: it was derived from the experiments.
    """
    before = {planned.config_hash: planned for planned in experiments}
    after = {planned.config_hash: planned for planned in wanted.experiments}
    removed = [planned for key, planned in before.items() if key not in after]
    added = [planned for key, planned in after.items() if key not in before]
    changed = _pairs(removed, added)
    left = {id(old) for old, _, _ in changed}
    came = {id(new) for _, new, _ in changed}
    return StudyDiff(
        settings=tuple(_changes(_settings(study, wanted.study), _settings(wanted.study, wanted.study))),
        changed=tuple((old, tuple(changes)) for old, _, changes in changed),
        removed=tuple(planned for planned in removed if id(planned) not in left),
        added=tuple(planned for planned in added if id(planned) not in came),
        skipped=tuple(skipped.reason for skipped in wanted.study.skipped),
    )


def _settings(study: StudyPlanned, wanted: StudyPlanned) -> Tree:
    tree: Tree = {"name": study.study_name, "cycles": study.cycles, "order": study.order}
    tree |= {"reruns": study.reruns, "retries": study.retries}
    if "seed" in wanted.origins:
        tree["seed"] = study.seed
    sections = {"gaps": study.gaps.model_dump(mode="json"), "limits": study.limits.model_dump(mode="json")}
    if study.carbon is not None:
        sections["carbon"] = study.carbon.model_dump(mode="json")
    return {
        **tree,
        **{f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()},
    }


def _pairs(
    removed: Sequence[ExperimentPlanned], added: Sequence[ExperimentPlanned]
) -> list[tuple[ExperimentPlanned, ExperimentPlanned, list[Change]]]:
    """Return each removed experiment with the added one that is most like it, where one is like it at all."""
    if not removed or len(removed) * len(added) > MOST_PAIRS:
        return []
    trees = {id(planned): _tree(planned.config) for planned in (*removed, *added)}
    free = list(added)
    pairs = []
    for old in removed:
        ranked = [(_changes(trees[id(old)], trees[id(new)]), new) for new in free]
        changes, new = min(ranked, key=lambda ranked: len(ranked[0]), default=([], old))
        if changes and len(changes) <= ALIKE * len(trees[id(old)]):
            pairs.append((old, new, changes))
            free = [other for other in free if other is not new]
    return pairs


def _tree(config: ExperimentConfig) -> Tree:
    tree = config.model_dump(mode="json")
    tree[config.engine] = tree.pop("engine_options")
    if isinstance(tree["model"], dict):
        tree |= {f"model.{key}": value for key, value in tree.pop("model").items()}
    return flat(tree)


def _changes(before: Tree, after: Tree) -> list[Change]:
    keys = dict.fromkeys([*before, *after])
    pairs = [(key, before.get(key), after.get(key)) for key in keys]
    return [Change(key, old, new) for key, old, new in pairs if canonical_json(old) != canonical_json(new)]


def _extension(
    study: StudyPlanned,
    experiments: Sequence[ExperimentPlanned],
    wanted: StudyPlan,
    added: Sequence[ExperimentPlanned],
) -> tuple[StudyExtended, list[ExperimentPlanned]]:
    """Return the event that extends a study, and those of the experiments that join it."""
    every = [*experiments, *added]
    hashes = [planned.config_hash for planned in every]
    varying = varying_keys([planned.config for planned in every])
    chars = max(unique_prefix_length(hashes), *(len(planned.label) for planned in experiments))
    order = trial_order(len(every), wanted.study.cycles, study.order, study.seed)
    summaries = [build_config_summary(planned.config, varying) for planned in every]
    event = StudyExtended(
        study_design_hash=study_design_hash(
            hashes, cycles=wanted.study.cycles, order=study.order, seed=study.seed, gaps=study.gaps
        ),
        llem_version=__version__,
        cycles=wanted.study.cycles,
        limits=wanted.study.limits,
        reruns=wanted.study.reruns,
        retries=wanted.study.retries,
        carbon=wanted.study.carbon,
        sequence=extension(order, study.sequence),
        added=len(added),
        summaries=tuple(summaries[: len(experiments)]),
    )
    joining = [
        planned.model_copy(
            update={
                "index": index,
                "label": planned.config_hash[:chars],
                "config_summary": summaries[index],
                "result_stem": result_stem(planned.config, planned.config_hash[:chars]),
            }
        )
        for index, planned in enumerate(added, start=len(experiments))
    ]
    return event, joining


def _experiments(number: int) -> str:
    return f"{number} planned experiment{'' if number == 1 else 's'}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)
