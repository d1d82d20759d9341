"""What one trial gives: the energy figures, what was found of them, and the result file."""

from typing import Any

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer, model_validator

from llem.domain.device_state import DeviceConditions
from llem.domain.host import Host
from llem.domain.measured import Measured
from llem.domain.model import Value
from llem.domain.sensing import Channel, Device, Provenance
from llem.domain.spec import ExperimentConfig

RESULT_SCHEMA_VERSION = 1
ARITHMETIC = 3
"""By which arithmetic figures are made of edges: 1 interpolated a counter between its steps, 2 used the guards, 3
sums windows in segments, tells phases, loading and bare idle, and finds what spoiled a trial."""


class EnergyComponent(Value):
    """The energy of one channel over the window.

    Attributes:
        channel: Where it was read.
        energy_j: Joules, or None with ``reason``.
        u_j: 95 % uncertainty in joules, the board's scale left out.
        estimator: The arithmetic that leads.
        readings: Distinct readings in the window.
        in_total: Whether it is part of ``energy_total_j``.
        reason: Why ``energy_j`` is None.
        estimators: Joules by every arithmetic that applies, by name.
        u_estimators_j: Their 95 % uncertainties, in joules.
        estimators_refused: Why each other arithmetic does not apply, by name.
        power_context_idle_w: Idle power with the model loaded, by the guards; None with ``idle_reason``.
        u_power_context_idle_w: Its 95 % uncertainty, in watts.
        power_idle_before_w: Idle power in the first guard, in watts …
        power_idle_after_w: … and in the last.
        u_idle_drift_w: 95 % uncertainty of the difference of these two, in watts.
        idle_reason: Why ``power_context_idle_w`` is None.
        power_loaded_idle_w: Idle power with the model just loaded, before any work; None with ``loaded_idle_reason``.
        u_power_loaded_idle_w: Its 95 % uncertainty, in watts.
        loaded_idle_reason: Why ``power_loaded_idle_w`` is None.
    """

    channel: Channel
    energy_j: float | None
    u_j: float | None = None
    estimator: str | None = None
    readings: int = 0
    in_total: bool = False
    reason: str | None = None
    estimators: dict[str, float] = Field(default_factory=dict)
    u_estimators_j: dict[str, float] = Field(default_factory=dict)
    estimators_refused: dict[str, str] = Field(default_factory=dict)
    power_context_idle_w: float | None = None
    u_power_context_idle_w: float | None = None
    power_idle_before_w: float | None = None
    power_idle_after_w: float | None = None
    u_idle_drift_w: float | None = None
    idle_reason: str | None = None
    power_loaded_idle_w: float | None = None
    u_power_loaded_idle_w: float | None = None
    loaded_idle_reason: str | None = None


class Figures(Value):
    """Every figure of a trial. A figure that is None has its reason in ``unknown``, and none is ever 0 for unknown.

    Units are in the names: ``_j`` joules, ``_w`` watts, ``_s`` seconds. ``u_`` figures are 95 % uncertainties.
    """

    energy_total_j: float | None = None
    energy_above_context_idle_j: float | None = None
    energy_above_bare_idle_j: float | None = None
    power_mean_w: float | None = None
    power_context_idle_w: float | None = None
    power_bare_idle_w: float | None = None
    energy_per_output_token_j: float | None = None
    energy_per_token_j: float | None = None
    energy_per_request_j: float | None = None
    energy_prefill_j: float | None = None
    energy_decode_j: float | None = None
    energy_load_j: float | None = None
    u_energy_total_j: float | None = None
    u_scale_j: float | None = None
    cross_check_rel: float | None = None
    duration_s: float
    output_tokens_per_s: float
    total_tokens_per_s: float
    requests_per_s: float
    flops: float | None = None
    flops_per_j: float | None = None
    u_energy_above_context_idle_j: float | None = None
    u_power_context_idle_w: float | None = None
    u_energy_above_bare_idle_j: float | None = None
    u_power_bare_idle_w: float | None = None
    u_energy_prefill_j: float | None = None
    u_energy_decode_j: float | None = None
    u_energy_load_j: float | None = None
    energy_prefill_per_input_token_j: float | None = None
    energy_decode_per_output_token_j: float | None = None
    unknown: dict[str, str]

    @model_validator(mode="before")
    @classmethod
    def _lift(cls, data: Any) -> Any:
        """Give the figures that earlier files do not have their reason."""
        if not isinstance(data, dict) or not isinstance(data.get("unknown"), dict):
            return data
        later = {name: NOT_IN_FILE for name in _LATER_FIGURES if name not in data}
        return {**data, "unknown": {**later, **data["unknown"]}}

    @model_validator(mode="after")
    def _every_null_has_its_reason(self) -> "Figures":
        nulls = {name for name in type(self).model_fields if getattr(self, name) is None}
        if nulls != set(self.unknown):
            raise ValueError(f"null figures and reasons differ: {sorted(nulls ^ set(self.unknown))}")
        return self


_LATER_FIGURES = (
    "u_energy_above_context_idle_j",
    "u_power_context_idle_w",
    "u_energy_above_bare_idle_j",
    "u_power_bare_idle_w",
    "u_energy_prefill_j",
    "u_energy_decode_j",
    "u_energy_load_j",
    "energy_prefill_per_input_token_j",
    "energy_decode_per_output_token_j",
)
NOT_IN_FILE = "not in this file: an earlier llem wrote it"


class Finding(Value):
    """A code and what it found: something that spoils a figure, or that its reader must know.

    Attributes:
        code: What it is, as one word that stays the same.
        message: What was found, in words.
        rule: The rule that fired.
        reading: The reading that fired it.
    """

    code: str
    message: str
    rule: str | None = None
    reading: str | None = None


class Headline(Value):
    """The few figures that tables and progress show; the whole lies in the result file.

    Attributes:
        provenance: Where the energy comes from; ``none`` when it is null.
        boundary: What the energy covers.
        energy_reason: Why the energy is null.
        u_energy_total_j: 95 % uncertainty of this trial's energy, in joules; None where none is stated.
        u_scale_j: 95 % uncertainty of the board's scale, in joules; None where none is known.
        input_tokens: Prompt tokens in the window.
        requests: Requests answered in the window.
        energy_above_context_idle_j: The energy above idle power with the model loaded, in joules; may be negative.
        energy_prefill_j: Energy of the prompts' part, in joules.
        energy_decode_j: Energy of the other output tokens, in joules.

    The first journals do not have the last seven. Those that are None are left out of what is written, so that what
    was written before them is written the same again.
    """

    provenance: Provenance
    boundary: str | None
    energy_total_j: float | None
    energy_per_output_token_j: float | None
    energy_reason: str | None
    output_tokens: int
    output_tokens_per_s: float
    duration_s: float
    ttft_p50_s: float | None
    itl_p50_s: float | None
    peak_memory_bytes: int | None
    invalid: tuple[str, ...] = ()
    u_energy_total_j: float | None = None
    u_scale_j: float | None = None
    input_tokens: int | None = None
    requests: int | None = None
    energy_above_context_idle_j: float | None = None
    energy_prefill_j: float | None = None
    energy_decode_j: float | None = None

    @model_serializer(mode="wrap")
    def _without_absent_additions(self, dump: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        written: dict[str, JsonValue] = dump(self)
        fields = type(self).model_fields
        return {name: value for name, value in written.items() if value is not None or fields[name].is_required()}


class RecorderCost(Value):
    """What measuring cost: the recorder's processor time while it recorded this trial.

    Attributes:
        cpu_s: Its processor time, in seconds.
        wall_s: How long it recorded, in seconds.
        edges: How many readings it took.
        devices: How many devices it read; None in earlier files.
    """

    cpu_s: float
    wall_s: float
    edges: int
    devices: int | None = None

    @property
    def cpu_share(self) -> float | None:
        """Return the share of one core that it took; None where it recorded for no time."""
        return self.cpu_s / self.wall_s if self.wall_s > 0 else None


class ExperimentResult(Value):
    """The result file of one trial: every figure, with what it takes to judge and recompute it.

    Attributes:
        journal_seq: The last event before this result …
        journal_hash: … and its hash: an anchor outside the journal, which a lost tail cannot follow.
        arithmetic: Number of the arithmetic that made the figures; files that do not say it were made by the first.
        unrecorded: Why nothing was recorded, where ``samples_file`` is None.
        order_index: The trial's place in the plan's order, from 0; None in earlier files, as the next three.
        seed: Seed of that order.
        baseline_seq: The event with the bare idle power that the figures use; None where they use none.
        check_seq: The event with the sensor check that they use; None where they use none.
        conditions: Under which conditions each used GPU worked; empty in earlier files.
        validity: What makes the figures unfit for averages; empty is valid.
        warnings: What a reader must know.
    """

    schema_version: int = RESULT_SCHEMA_VERSION
    llem_version: str
    study_name: str
    study_design_hash: str
    trial: str
    attempt: int
    session: int
    cycle: int
    config_hash: str
    config_summary: dict[str, JsonValue]
    config: ExperimentConfig
    journal_seq: int
    journal_hash: str
    launcher: str
    cold_because: str | None = None
    boundary: str | None
    provenance: Provenance
    estimator: str | None
    figures: Figures
    components: tuple[EnergyComponent, ...]
    measured: Measured
    host: Host
    devices: tuple[Device, ...]
    recorder: RecorderCost | None
    samples_file: str | None
    samples_sha256: str | None
    unrecorded: str | None = None
    order_index: int | None = None
    seed: int | None = None
    baseline_seq: int | None = None
    check_seq: int | None = None
    arithmetic: int = 1
    conditions: tuple[DeviceConditions, ...] = ()
    validity: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
