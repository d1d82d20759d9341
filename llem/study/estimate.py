"""What a planned study will take: time, energy and disk, from its settings and from studies that were run before."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Literal

from llem.domain.events import ExperimentPlanned
from llem.domain.model import Value
from llem.domain.sensing import Provenance
from llem.domain.spec import CoolDown, ExperimentConfig, Gap
from llem.journal.reader import open_reader
from llem.projections.history import HistoryFold, TrialCost
from llem.projections.manifest import ManifestFold
from llem.study.chain import checked
from llem.study.folder import PARTS, StudyFolder
from llem.study.plan import StudyPlan

TRIAL_BYTES = 16_000
"""Result file, events, manifest entry and log of one trial, as studies of this version leave them."""
RECORDED_BYTES_PER_S = 1_500
"""Raw edges of one device that is read every 20 ms, compressed."""
JOURNAL_BYTES = 1_200_000
"""A journal and its pre-sized log, before any trial."""

Basis = Literal["settings", "earlier trials", "both"]


class Estimate(Value):
    """What a study will take.

    Attributes:
        duration_s: Time of all trials and of the gaps that last a fixed time.
        at_least: Whether trials without an earlier one like them are in it, of which only the least is known: guards
            and shortest windows as a metered trial has them, without start, loading, warm-up, soak and passes longer
            than a window.
        gaps_s: The part of it that is fixed gaps.
        cooling_at_most_s: What cool-downs may add.
        warming_at_most_s: What warm-up and soak may add in trials without an earlier one like them.
        energy_j: Energy of all trials at the mean power that earlier windows had; None where unknown.
        energy_provenance: Where the earlier figures came from.
        energy_reason: Why it is unknown.
        disk_bytes: What the study's folder will hold.
        basis: What the estimate stands on.
        known_experiments: Experiments of which earlier trials were found.
    """

    duration_s: float
    at_least: bool
    gaps_s: float
    cooling_at_most_s: float
    warming_at_most_s: float
    energy_j: float | None
    energy_provenance: Provenance
    energy_reason: str | None
    disk_bytes: int
    basis: Basis
    known_experiments: int


def estimate(plan: StudyPlan, earlier: Sequence[Path] = ()) -> Estimate:
    """Return what ``plan`` will take.

    An experiment that ran before takes as long as its trials took on average; another one takes its shortest window
    and what earlier trials took beside theirs, or what the settings say where there are none.

    Args:
        plan: The plan.
        earlier: Folders of studies that were run before.

    Raises:
        InputError: One of the folders is no study.
        JournalError: One of the journals cannot be read.
    """
    history = HistoryFold()
    earlier = list({folder.resolve(): folder for folder in earlier}.values())
    for folder in earlier:
        with open_reader(StudyFolder(folder).journal) as reader:
            history.apply_all(checked(reader.rows()))
    every = [cost for costs in history.trials.values() for cost in costs]
    overhead_s = median(cost.overhead_s for cost in every) if every else None
    known = [history.trials.get(planned.config_hash, []) for planned in plan.experiments]
    durations_s = [
        fmean(cost.duration_s for cost in costs) if costs else least_duration_s(planned.config, overhead_s)
        for planned, costs in zip(plan.experiments, known, strict=True)
    ]
    new = [planned.config.measurement for planned, costs in zip(plan.experiments, known, strict=True) if not costs]
    warming_s = [method.warmup_max_s + method.soak_max_s for method in new]
    fixed_s, cooling_s = _gaps(plan)
    running_s = sum(durations_s) * plan.study.cycles
    energy_j, provenance, reason = _energy(plan.experiments, known, durations_s, every)
    found = sum(bool(costs) for costs in known)
    return Estimate(
        duration_s=running_s + fixed_s,
        at_least=found < len(known),
        gaps_s=fixed_s,
        cooling_at_most_s=cooling_s,
        warming_at_most_s=plan.study.cycles * sum(warming_s),
        energy_j=None if energy_j is None else energy_j * plan.study.cycles,
        energy_provenance=provenance,
        energy_reason=reason,
        disk_bytes=_disk_bytes(plan.trials, running_s, earlier, len(every)),
        basis="settings" if not every else "earlier trials" if found == len(known) else "both",
        known_experiments=found,
    )


def least_duration_s(config: ExperimentConfig, overhead_s: float | None) -> float:
    """Return the least time of a trial in seconds: its shortest windows, and what stands around them.

    Args:
        config: The experiment.
        overhead_s: What earlier trials took beside the window of the whole workload; if None, guards, the idle
            loaded model (as long as a guard) and the window of prefill alone, where there is one.
    """
    method = config.measurement
    if overhead_s is not None:
        return overhead_s + method.min_window_s
    windows = 2 if method.phases and config.generation.output_tokens > 1 else 1
    return (1 + 2 * windows) * method.guard_s + windows * method.min_window_s


def bytes_left_to_write(folder: StudyFolder, fold: ManifestFold, more: int = 0) -> int:
    """Return what the trials that are left will write, if they are like those that have run.

    Args:
        folder: The study's folder.
        fold: The study.
        more: How many trials are about to be added.
    """
    left = len(fold.trials) - fold.count("completed") + more
    begun = len(fold.trials) - fold.count("pending")
    return left * TRIAL_BYTES if not begun else round(_held_bytes([folder.root]) / begun * left)


def _gaps(plan: StudyPlan) -> tuple[float, float]:
    """Return the seconds of all fixed gaps, and what cool-downs may take at most."""
    gaps, trials, cycles = plan.study.gaps, plan.trials, plan.study.cycles
    boundaries = cycles - 1 if gaps.between_cycles is not None else 0
    between_trials, between_cycles = gaps.between_trials, gaps.between_cycles
    counted: list[tuple[Gap | None, int]] = [(between_trials, trials - 1 - boundaries), (between_cycles, boundaries)]
    fixed_s = sum(gap * number for gap, number in counted if isinstance(gap, float))
    cooling_s = sum(gap.at_most_s * number for gap, number in counted if isinstance(gap, CoolDown))
    return fixed_s, cooling_s


def _energy(
    experiments: Sequence[ExperimentPlanned],
    known: Sequence[Sequence[TrialCost]],
    durations_s: Sequence[float],
    every: Sequence[TrialCost],
) -> tuple[float | None, Provenance, str | None]:
    """Return the joules of one cycle at the mean power of earlier windows, their provenance, or why unknown."""
    if not every:
        return None, "none", "no power is known before a trial has run: give earlier studies with --from"
    every = [cost for cost in every if not cost.headline.invalid]
    with_energy = [cost.headline for cost in every if cost.headline.energy_total_j is not None]
    sources = {(headline.provenance, headline.boundary) for headline in with_energy}
    overall_w = _power_w(every)
    if overall_w is None:
        return None, "none", "the earlier trials have no energy"
    if len(sources) > 1:
        return None, "none", "the earlier trials were measured in different ways"
    ((provenance, _),) = sources
    powers_w = [_power_w(costs) or overall_w for costs in known]
    return sum(power * duration for power, duration in zip(powers_w, durations_s, strict=True)), provenance, None


def _power_w(costs: Iterable[TrialCost]) -> float | None:
    powers = [
        cost.headline.energy_total_j / cost.headline.duration_s
        for cost in costs
        if cost.headline.energy_total_j is not None and cost.headline.duration_s > 0 and not cost.headline.invalid
    ]
    return fmean(powers) if powers else None


def _disk_bytes(trials: int, running_s: float, earlier: Sequence[Path], earlier_trials: int) -> int:
    if not earlier_trials:
        return round(JOURNAL_BYTES + trials * TRIAL_BYTES + running_s * RECORDED_BYTES_PER_S)
    return round(_held_bytes(earlier) / earlier_trials * trials)


def _held_bytes(folders: Sequence[Path]) -> int:
    """Return what studies hold: their journals and all files in their parts."""
    files = [path for folder in folders for part in PARTS for path in (folder / part).rglob("*") if path.is_file()]
    journals = [StudyFolder(folder).journal for folder in folders]
    return sum(path.stat().st_size for path in (*files, *journals))
