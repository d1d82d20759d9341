"""From a study's trials to one line per experiment: means over cycles, with their spread."""

from collections.abc import Iterable
from typing import TypeVar

from pydantic import JsonValue

from llem.domain.model import Value
from llem.domain.result import Headline
from llem.domain.sensing import Provenance
from llem.domain.statistics import MeanWithInterval, mean_with_interval
from llem.projections.manifest import ManifestFold, TrialState

T = TypeVar("T")


class ExperimentSummary(Value):
    """One experiment over its completed, valid cycles.

    Attributes:
        config_hash: Its identity.
        config_summary: The dimensions that vary in this study.
        cycles: Cycles that were planned.
        n_valid: Cycles that the figures stand on.
        n_invalid: Completed cycles that a validity code keeps out of every mean.
        provenance: Where the energy comes from; ``none`` where it is unknown or cycles differ.
        boundary: What the energy covers.
        energy_per_output_token_j: ΣE / Σ output tokens, with the interval of the per-cycle values.
        energy_reason: Why the energy is unknown.
        output_tokens_per_s: Mean over cycles.
        ttft_p50_s: Mean over cycles of each cycle's median.
        peak_memory_bytes: Largest over cycles.
    """

    config_hash: str
    config_summary: dict[str, JsonValue]
    cycles: int
    n_valid: int
    n_invalid: int
    provenance: Provenance
    boundary: str | None
    energy_per_output_token_j: MeanWithInterval | None
    energy_reason: str | None
    output_tokens_per_s: MeanWithInterval | None
    ttft_p50_s: MeanWithInterval | None
    peak_memory_bytes: int | None


def summarise(fold: ManifestFold) -> list[ExperimentSummary]:
    """Return one summary per experiment, in the order of the study file."""
    by_experiment: dict[int, list[TrialState]] = {}
    for state in sorted(fold.trials.values(), key=lambda state: (state.index, state.cycle)):
        by_experiment.setdefault(state.index, []).append(state)
    return [_summary(states) for states in by_experiment.values()]


def _summary(states: list[TrialState]) -> ExperimentSummary:
    done = [Headline.model_validate(state.headline) for state in states if state.headline is not None]
    valid = [headline for headline in done if not headline.invalid]
    energy, provenance, boundary, reason = _energy(valid)
    return ExperimentSummary(
        config_hash=states[0].config_hash,
        config_summary=states[0].config_summary,
        cycles=len(states),
        n_valid=len(valid),
        n_invalid=len(done) - len(valid),
        provenance=provenance,
        boundary=boundary,
        energy_per_output_token_j=energy,
        energy_reason=reason,
        output_tokens_per_s=mean_with_interval([headline.output_tokens_per_s for headline in valid]),
        ttft_p50_s=mean_with_interval(_known(headline.ttft_p50_s for headline in valid)),
        peak_memory_bytes=max(_known(headline.peak_memory_bytes for headline in valid), default=None),
    )


def _energy(valid: list[Headline]) -> tuple[MeanWithInterval | None, Provenance, str | None, str | None]:
    """Return energy per output token, provenance, boundary and the reason where the energy is unknown."""
    if not valid:
        return None, "none", None, "no valid cycle"
    sources = {(headline.provenance, headline.boundary) for headline in valid}
    if len(sources) > 1:
        return (
            None,
            "none",
            None,
            "cycles were measured in different ways: "
            + ", ".join(sorted(f"{provenance} ({boundary})" for provenance, boundary in sources)),
        )
    ((provenance, boundary),) = sources
    per_token = _known(headline.energy_per_output_token_j for headline in valid)
    spread = mean_with_interval(per_token)
    if spread is None or len(per_token) < len(valid):
        return (
            None,
            "none",
            boundary,
            next((headline.energy_reason for headline in valid if headline.energy_reason), "no reason was recorded"),
        )
    tokens = sum(headline.output_tokens for headline in valid)
    joules = sum(_known(headline.energy_total_j for headline in valid))
    return spread.model_copy(update={"mean": joules / tokens}), provenance, boundary, None


def _known(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]
