"""What a study found: each experiment over its valid cycles, and how they compare. A view of the journal."""

from pydantic import JsonValue

from llem.domain.carbon import CarbonFactor, Emissions
from llem.domain.comparisons import Comparison
from llem.domain.model import Value
from llem.domain.sensing import Provenance
from llem.domain.statistics import EnergyMean, MeanWithInterval

STUDY_RESULT_SCHEMA_VERSION = 2


class InvalidCycle(Value):
    """A result that is in no figure.

    Attributes:
        cycle: The cycle, from 1.
        codes: Its validity codes: why it is out.
        attempt: The attempt that gave it.
        ran_again: Whether the trial ran again after it; another result may stand for the cycle.
    """

    cycle: int
    codes: tuple[str, ...]
    attempt: int
    ran_again: bool = False


class ExperimentSummary(Value):
    """One experiment over its completed, valid cycles. A figure that is null has its reason in ``unknown``.

    Attributes:
        config_hash: Its identity.
        config_summary: The dimensions that vary in this study.
        cycles: Cycles that were planned.
        n_valid: Cycles that the figures stand on.
        n_invalid: Completed cycles that a validity code keeps out of every mean.
        invalid_cycles: Which these are, with their codes; and each spoiled result after which a trial ran again.
        provenance: Where the energy comes from; ``none`` where it is unknown or cycles differ.
        boundary: What the energy covers.
        energy_per_output_token_j: ΣE / Σ output tokens, with the interval of the per-cycle values.
        energy_per_token_j: The same for input and output tokens.
        energy_per_request_j: The same for requests.
        energy_above_context_idle_per_request_j: The part above idle power with the model loaded, for requests.
        energy_prefill_per_request_j: The prompts' part, the first output token included, for requests.
        energy_decode_per_request_j: The other output tokens' part, for requests.
        energy_reason: Why the energy is unknown.
        output_tokens_per_s: Mean over cycles.
        ttft_p50_s: Mean over cycles of each cycle's median time to first token, in seconds.
        itl_p50_s: Mean over cycles of each cycle's median inter-token latency, in seconds.
        peak_memory_bytes: Largest over cycles.
        peak_memory_mean_bytes: Mean over cycles.
        unknown: Why a figure is null, by its name.
        carbon: The valid cycles' greenhouse gases; None where the study declares no carbon, or with a reason.
    """

    config_hash: str
    config_summary: dict[str, JsonValue]
    cycles: int
    n_valid: int
    n_invalid: int
    invalid_cycles: tuple[InvalidCycle, ...]
    provenance: Provenance
    boundary: str | None
    energy_per_output_token_j: EnergyMean | None
    energy_per_token_j: EnergyMean | None
    energy_per_request_j: EnergyMean | None
    energy_above_context_idle_per_request_j: EnergyMean | None = None
    energy_prefill_per_request_j: EnergyMean | None = None
    energy_decode_per_request_j: EnergyMean | None = None
    energy_reason: str | None
    output_tokens_per_s: MeanWithInterval | None
    ttft_p50_s: MeanWithInterval | None
    itl_p50_s: MeanWithInterval | None
    peak_memory_bytes: int | None
    peak_memory_mean_bytes: MeanWithInterval | None
    unknown: dict[str, str]
    carbon: Emissions | None = None


class StudyResult(Value):
    """What a study found so far, and the event that this view reflects.

    Attributes:
        schema_version: Form of this file.
        study_name: The study's name.
        study_design_hash: Identity of the ordered experiments and the plan of repetition.
        llem_version: The llem of the last session.
        journal_seq: The last event that is in it …
        journal_hash: … and its hash.
        experiments: In the order of the study.
        comparisons: Each experiment beside the first; empty where none has enough valid cycles.
        carbon: What turns its joules into grams of CO₂ equivalent; None where the study declares nothing.
    """

    schema_version: int = STUDY_RESULT_SCHEMA_VERSION
    study_name: str
    study_design_hash: str
    llem_version: str
    journal_seq: int
    journal_hash: str
    experiments: tuple[ExperimentSummary, ...]
    comparisons: tuple[Comparison, ...]
    carbon: CarbonFactor | None = None
