"""From a study's trials to what it found: figures over cycles with their spread, and comparisons."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from llem.domain.carbon import CarbonFactor, Emissions, emissions
from llem.domain.comparisons import Candidate, compare_with_first
from llem.domain.model import Value
from llem.domain.result import Headline
from llem.domain.sensing import Provenance
from llem.domain.statistics import EnergyMean, EnergyOfCycle, energy_mean, mean_with_interval
from llem.domain.study_result import ExperimentSummary, InvalidCycle, StudyResult
from llem.projections.manifest import ManifestFold
from llem.projections.trials import TrialState

T = TypeVar("T")

NO_VALID_CYCLE = "no valid cycle"
NOT_STORED = "the journal is of an earlier llem, which did not store the count"
WORK: Mapping[str, Callable[[Headline], int | None]] = {
    "energy_per_output_token_j": lambda headline: headline.output_tokens,
    "energy_per_token_j": lambda headline: (
        None if headline.input_tokens is None else headline.input_tokens + headline.output_tokens
    ),
    "energy_per_request_j": lambda headline: headline.requests,
}
"""What each energy figure divides by."""
PARTS: Mapping[str, Callable[[Headline], float | None]] = {
    "energy_above_context_idle_per_request_j": lambda headline: headline.energy_above_context_idle_j,
    "energy_prefill_per_request_j": lambda headline: headline.energy_prefill_j,
    "energy_decode_per_request_j": lambda headline: headline.energy_decode_j,
}
"""Parts of the energy that are given per request."""
NO_PART = "not known in every valid cycle: the result files say why"


def study_result(fold: ManifestFold) -> StudyResult | None:
    """Return what the study of ``fold`` found; None while no plan has been recorded."""
    if fold.study is None:
        return None
    factor = _factor(fold)
    summaries, candidates = [], []
    for experiment in _experiments(fold):  # one at a time: the typed headlines of all trials would fill the memory
        summaries.append(_summary(experiment, factor))
        candidates.append(_candidate(experiment, summaries[-1]))
    return StudyResult(
        study_name=fold.study["study_name"],
        study_design_hash=fold.study["study_design_hash"],
        llem_version=fold.version,
        journal_seq=fold.seq,
        journal_hash=fold.hash,
        experiments=tuple(summaries),
        comparisons=compare_with_first(candidates),
        carbon=factor,
    )


def _factor(fold: ManifestFold) -> CarbonFactor | None:
    declared = (fold.study or {}).get("carbon")
    return None if declared is None else CarbonFactor.model_validate(declared)


@dataclass(frozen=True)
class _Experiment:
    """The trials of one experiment by cycle, and the headlines of those that are completed."""

    states: list[TrialState]
    done: dict[int, Headline]

    @property
    def valid(self) -> dict[int, Headline]:
        return {cycle: headline for cycle, headline in self.done.items() if not headline.invalid}


@dataclass(frozen=True)
class _Source:
    """Where the energy of all valid cycles comes from, or why they have none in common."""

    provenance: Provenance = "none"
    boundary: str | None = None
    reason: str | None = None


def _experiments(fold: ManifestFold) -> Iterator[_Experiment]:
    by_index: dict[int, list[TrialState]] = {}
    for state in sorted(fold.trials.values(), key=lambda state: (state.index, state.cycle)):
        by_index.setdefault(state.index, []).append(state)
    return (_Experiment(states, _done(states)) for states in by_index.values())


def _done(states: Iterable[TrialState]) -> dict[int, Headline]:
    return {state.cycle: Headline.model_validate(state.headline) for state in states if state.headline is not None}


def _summary(experiment: _Experiment, factor: CarbonFactor | None) -> ExperimentSummary:
    first, valid = experiment.states[0], list(experiment.valid.values())
    source = _source(valid)
    energies = valid if source.reason is None else []
    memory = _known(headline.peak_memory_bytes for headline in valid)
    energy = {name: energy_mean(_energies(energies, work)) for name, work in WORK.items()}
    figures: dict[str, Value | int | None] = {
        **energy,
        **{name: energy_mean(_parts(energies, part)) for name, part in PARTS.items()},
        "output_tokens_per_s": mean_with_interval([headline.output_tokens_per_s for headline in valid]),
        "ttft_p50_s": mean_with_interval(_known(headline.ttft_p50_s for headline in valid)),
        "itl_p50_s": mean_with_interval(_known(headline.itl_p50_s for headline in valid)),
        "peak_memory_bytes": max(memory, default=None),
        "peak_memory_mean_bytes": mean_with_interval(memory),
    }
    if factor is not None:  # a study that declares no carbon lacks nothing
        figures["carbon"] = _carbon(factor, energy["energy_per_output_token_j"], energies, source)
    return ExperimentSummary.model_validate(
        {
            "config_hash": first.config_hash,
            "config_summary": first.config_summary,
            "cycles": len(experiment.states),
            "n_valid": len(valid),
            "n_invalid": len(experiment.done) - len(valid),
            "invalid_cycles": tuple(one for state in experiment.states for one in _invalid(state)),
            "provenance": source.provenance,
            "boundary": source.boundary,
            "energy_reason": source.reason,
            **figures,
            "unknown": {name: _reason(name, source, valid) for name, figure in figures.items() if figure is None},
        }
    )


def _invalid(state: TrialState) -> Iterator[InvalidCycle]:
    """Yield the results of a trial that are in no figure, the first one first."""
    for kept in state.superseded:
        codes = Headline.model_validate(kept.headline).invalid
        yield InvalidCycle(cycle=state.cycle, codes=codes, attempt=kept.attempt, ran_again=True)
    if state.invalid:
        yield InvalidCycle(cycle=state.cycle, codes=state.invalid, attempt=state.attempts)


def _source(valid: list[Headline]) -> _Source:
    if not valid:
        return _Source(reason=NO_VALID_CYCLE)
    sources = {(headline.provenance, headline.boundary) for headline in valid}
    if len(sources) > 1:
        told = ", ".join(sorted(f"{provenance} ({boundary})" for provenance, boundary in sources))
        return _Source(reason=f"cycles were measured in different ways: {told}")
    ((provenance, boundary),) = sources
    if any(headline.energy_total_j is None for headline in valid):
        reasons = (headline.energy_reason for headline in valid if headline.energy_reason)
        return _Source(boundary=boundary, reason=next(reasons, "no reason was recorded"))
    return _Source(provenance, boundary)


def _carbon(
    factor: CarbonFactor, per_output_token: EnergyMean | None, valid: list[Headline], source: _Source
) -> Emissions | None:
    if per_output_token is None:
        return None
    energies_j = _known(headline.energy_total_j for headline in valid)
    return emissions(factor, per_output_token, energies_j, provenance=source.provenance, boundary=source.boundary)


def _energies(valid: list[Headline], work: Callable[[Headline], int | None]) -> list[EnergyOfCycle]:
    """Return the energy of each cycle for its work; nothing where the work of any cycle is unknown."""
    found = [
        EnergyOfCycle(headline.energy_total_j, units, headline.u_energy_total_j, headline.u_scale_j)
        for headline in valid
        if headline.energy_total_j is not None and (units := work(headline))
    ]
    return found if len(found) == len(valid) else []


def _parts(valid: list[Headline], part: Callable[[Headline], float | None]) -> list[EnergyOfCycle]:
    """Return a part of the energy of each cycle for its requests; nothing where it is unknown in any cycle.

    The board's scale is a share of the part as of the whole. The trials' own uncertainty of it is in their results.
    """
    found = []
    for headline in valid:
        part_j, total_j = part(headline), headline.energy_total_j
        if part_j is None or not total_j or not headline.requests:
            return []
        scale = None if headline.u_scale_j is None else abs(headline.u_scale_j * part_j / total_j)
        found.append(EnergyOfCycle(part_j, headline.requests, None, scale))
    return found


def _reason(name: str, source: _Source, valid: list[Headline]) -> str:
    """Return why a figure is null."""
    if name in WORK or name == "carbon":
        return source.reason or NOT_STORED
    if name in PARTS:
        return source.reason or NO_PART
    return "no cycle measured it" if valid else NO_VALID_CYCLE


def _candidate(experiment: _Experiment, summary: ExperimentSummary) -> Candidate:
    by_cycle = {
        cycle: headline.energy_total_j / headline.output_tokens
        for cycle, headline in experiment.valid.items()
        if headline.energy_total_j is not None and headline.output_tokens
    }
    return Candidate(summary.config_hash, summary.provenance, summary.boundary, by_cycle)


def _known(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]
