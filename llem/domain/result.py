"""What one trial gives: the worker's measurement, the energy figures, and the result file."""

from itertools import pairwise
from typing import Any, Literal

from pydantic import AwareDatetime, Field, JsonValue, SerializerFunctionWrapHandler, model_serializer, model_validator

from llem.domain.device_state import DeviceConditions
from llem.domain.host import Host
from llem.domain.model import Value
from llem.domain.sensing import Channel, Device, Provenance
from llem.domain.spec import ExperimentConfig
from llem.domain.statistics import Percentiles

RESULT_SCHEMA_VERSION = 1
ARITHMETIC = 3
"""By which arithmetic figures are made of edges: 1 interpolated a counter between its steps, 2 used the guards, 3
sums windows in segments, tells phases, loading and bare idle, and finds what spoiled a trial."""
MOST_SEGMENTS = 64
"""More see no more phases of a sensor, and each costs an estimate."""


class Interval(Value):
    """A stretch of time, in nanoseconds of the monotonic clock."""

    start_ns: int
    end_ns: int

    @model_validator(mode="after")
    def _in_order(self) -> "Interval":
        if self.start_ns > self.end_ns:
            raise ValueError("start_ns <= end_ns does not hold")
        return self

    @property
    def duration_s(self) -> float:
        """Return the length in seconds."""
        return (self.end_ns - self.start_ns) / 1e9


class Segment(Value):
    """One of the pieces of a staggered window; each has a guard on both sides, shared with its neighbours."""

    guard_start_ns: int
    t0_ns: int
    t1_ns: int
    guard_end_ns: int
    passes: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> "Segment":
        _require_order(self.guard_start_ns, self.t0_ns, self.t1_ns, self.guard_end_ns)
        return self

    @property
    def duration_s(self) -> float:
        """Return the length in seconds, without the guards."""
        return (self.t1_ns - self.t0_ns) / 1e9


def _require_order(guard_start_ns: int, t0_ns: int, t1_ns: int, guard_end_ns: int) -> None:
    if not guard_start_ns <= t0_ns < t1_ns <= guard_end_ns:
        raise ValueError("guard_start_ns <= t0_ns < t1_ns <= guard_end_ns does not hold")


class Window(Value):
    """The measured window, in nanoseconds of the monotonic clock.

    Attributes:
        t0_ns: Devices synchronised, prompts tokenised: the first pass starts.
        t1_ns: The last pass is over and devices are synchronised.
        guard_start_ns: From here to ``t0_ns`` nothing was submitted, with the model loaded.
        guard_end_ns: From ``t1_ns`` to here likewise.
        anchor_monotonic_ns: A moment on the monotonic clock …
        anchor_utc: … and the same moment in UTC.
        anchor_end_monotonic_ns: A moment after the window on the monotonic clock; None in earlier files …
        anchor_end_utc: … and the same moment in UTC: a step of the wall clock in between shows.
        passes: Whole passes over the workload inside the window.
        segments: The pieces of a staggered window, in order, with idle guards between them; the first begins at
            ``t0_ns``, the last ends at ``t1_ns``. Empty for a window in one piece.
    """

    t0_ns: int
    t1_ns: int
    guard_start_ns: int
    guard_end_ns: int
    anchor_monotonic_ns: int
    anchor_utc: AwareDatetime
    anchor_end_monotonic_ns: int | None = None
    anchor_end_utc: AwareDatetime | None = None
    passes: int = Field(ge=1)
    segments: tuple[Segment, ...] = Field(default=(), max_length=MOST_SEGMENTS)

    @model_validator(mode="after")
    def _in_order(self) -> "Window":
        _require_order(self.guard_start_ns, self.t0_ns, self.t1_ns, self.guard_end_ns)
        if self.segments and not self._holds_its_segments():
            raise ValueError("the segments are not in order, or not those of the window")
        return self

    def _holds_its_segments(self) -> bool:
        first, last = self.segments[0], self.segments[-1]
        return (
            (first.guard_start_ns, first.t0_ns) == (self.guard_start_ns, self.t0_ns)
            and (last.t1_ns, last.guard_end_ns) == (self.t1_ns, self.guard_end_ns)
            and all(
                left.t1_ns <= right.guard_start_ns and left.guard_end_ns <= right.t0_ns
                for left, right in pairwise(self.segments)
            )
            and sum(segment.passes for segment in self.segments) == self.passes
        )

    @property
    def pieces(self) -> tuple[Segment, ...]:
        """Return the segments; the window itself as one where it is in one piece."""
        whole = Segment(
            guard_start_ns=self.guard_start_ns,
            t0_ns=self.t0_ns,
            t1_ns=self.t1_ns,
            guard_end_ns=self.guard_end_ns,
            passes=self.passes,
        )
        return self.segments or (whole,)

    @property
    def duration_s(self) -> float:
        """Return how long the work took, in seconds: guards between segments left out."""
        return sum(piece.t1_ns - piece.t0_ns for piece in self.pieces) / 1e9


class Work(Value):
    """The work in one window, counted from token ids.

    Attributes:
        requests: Requests answered.
        input_tokens: Prompt tokens, padding left out.
        padding_tokens: Padding that filled batches of unequal prompts; computed on, but no work asked for.
        output_tokens: Generated tokens, up to and with the end token where stops are natural.
        asked_output_tokens: Output tokens that the configuration asks for (at most, where stops are natural).
        prompts_sha256: Hash of the prompts' token ids: equal hashes mean equal input.
        outputs_sha256: Hash of the generated token ids of one pass; None where no pass was timed.
    """

    requests: int = Field(ge=1)
    input_tokens: int = Field(ge=1)
    padding_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=1)
    asked_output_tokens: int = Field(ge=1)
    prompts_sha256: str
    outputs_sha256: str | None


class Latency(Value):
    """Latencies in seconds, from passes timed apart from the energy window.

    Attributes:
        ttft_s: Time to first token, per batch.
        itl_s: Inter-token latency: the gap before each later token, per batch and step.
        tpot_s: Time per output token after the first, per batch.
        end_to_end_s: Whole generation, per batch.
        passes: Passes that were timed.
    """

    ttft_s: Percentiles | None
    itl_s: Percentiles | None
    tpot_s: Percentiles | None
    end_to_end_s: Percentiles | None
    passes: int


class Memory(Value):
    """Peak memory in bytes.

    Attributes:
        torch_allocated_bytes: Peak of torch's allocator over all used devices; None on a CPU.
        torch_reserved_bytes: Peak that the allocator held; None on a CPU.
        rss_bytes: Peak resident set of the worker since the model was loaded.
    """

    torch_allocated_bytes: int | None
    torch_reserved_bytes: int | None
    rss_bytes: int | None


class ModelFacts(Value):
    """The model as it was loaded.

    Attributes:
        parameters: Number of parameters.
        weight_bytes: Bytes of parameters and buffers.
        dtype: Data type of the parameters.
        attn_implementation: Attention implementation in use.
        devices: Devices in use: ``cpu``, or GPU UUIDs.
        device_names: Their models.
        tokenizer: ``model`` (its own) or ``bytes`` (byte-level, for a model without one).
        revision: Commit of the hub snapshot.
        weights_sha256: Hash of a local folder's files, or of random weights' configuration and seed.
        unknown: Why ``revision`` or ``weights_sha256`` is None.
    """

    parameters: int
    weight_bytes: int
    dtype: str
    attn_implementation: str | None
    devices: tuple[str, ...] = Field(min_length=1)
    device_names: tuple[str, ...]
    tokenizer: Literal["model", "bytes"]
    revision: str | None
    weights_sha256: str | None
    unknown: dict[str, str] = Field(default_factory=dict)


class Flops(Value):
    """Floating-point operations of one pass: counted, with the source; or None with the reason."""

    per_pass: int | None
    source: str | None
    reason: str | None = None


class WarmUp(Value):
    """The warm-up.

    Attributes:
        repeats: The workload repeated, each time for a whole number of passes.
        converged: Whether over the last repeats their times no longer changed; None where the study does not ask for
            it.
        reason: What still changed, or why it was not looked at.
        passes: How many passes each repeat held.
    """

    repeats: tuple[Interval, ...]
    converged: bool | None
    reason: str | None = None
    passes: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _a_number_for_each(self) -> "WarmUp":
        if self.passes and len(self.passes) != len(self.repeats):
            raise ValueError("there are not as many numbers of passes as repeats")
        return self


class Soak(Value):
    """Work until the devices were steady.

    Attributes:
        interval: When.
        passes: Whole passes in it.
        steady: Whether temperatures and clocks no longer changed; None where none could be read.
        reason: What still changed, or why it is unknown.
    """

    interval: Interval
    passes: int
    steady: bool | None
    reason: str | None = None


class PhaseWindow(Value):
    """A window of prefill-only passes: each request is answered by its first token alone.

    Attributes:
        window: The window.
        requests: Requests answered.
        input_tokens: Prompt tokens, padding left out.
        output_tokens: Generated tokens: one a request.
    """

    window: Window
    requests: int = Field(ge=1)
    input_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)


class Measured(Value):
    """What a worker measured. Energy is not in it: the recorder reads the sensors.

    Attributes:
        window: The window of the whole workload, and its guards.
        load: When the model was loaded; None in earlier files.
        loaded_idle: Idle with the model just loaded, before any work; None where there are no guards.
        warmup_s: Seconds of each of the first ``warmup_passes`` passes.
        warmup: What the warm-up did after them; None in earlier files.
        soak: The soak; None where there was none.
        prefill: The window of prefill alone; None where the study does not ask for phases.
    """

    window: Window
    work: Work
    latency: Latency
    memory: Memory
    model: ModelFacts
    flops: Flops
    load_s: float
    libraries: dict[str, str]
    warmup_s: tuple[float, ...]
    load: Interval | None = None
    loaded_idle: Interval | None = None
    warmup: WarmUp | None = None
    soak: Soak | None = None
    prefill: PhaseWindow | None = None


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
