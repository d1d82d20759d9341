"""What a worker measured of one trial: its windows, its work and their times. Energy is not in it."""

from itertools import pairwise
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from llem.domain.model import Value
from llem.domain.statistics import Percentiles

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
        weights_format: The files that its weights come from: ``safetensors``, which hold nothing else, or ``pickle``;
            None for random weights.
        code_sha256: The model's own code that was run: each file's hash; empty where there was none.
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
    weights_format: Literal["safetensors", "pickle"] | None = None
    code_sha256: dict[str, str] = Field(default_factory=dict)
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
