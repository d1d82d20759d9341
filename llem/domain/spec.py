"""What a user may ask for: one experiment's configuration, and the plan of repetition around it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from llem.domain.model import Value
from llem.domain.names import DEFAULT_ENGINE, OrderKind, ProfileName
from llem.domain.redaction import is_named_like_a_secret, without_tokens

DType = Literal["auto", "float32", "float16", "bfloat16"]

# Strict, so that `yes` or "4" is told as a mistake and not taken for a number.
Integer = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, gt=0)]
CountOrZero = Annotated[int, Field(strict=True, ge=0)]
Deadline = Annotated[float, Field(strict=True, gt=0)]
# Nothing waits for thirty years; a number beyond that is a slip, and sums of such numbers have no end.
Seconds = Annotated[float, Field(strict=True, gt=0, le=1e9)]
SecondsOrZero = Annotated[float, Field(strict=True, ge=0, le=1e9)]
Switch = Annotated[bool, Field(strict=True)]

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _require_variables(variables: dict[str, str]) -> dict[str, str]:
    for name, value in variables.items():
        if not VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a variable: letters, digits and underscores")
        if name.upper().startswith("LLEM_"):
            raise ValueError(f"{name!r} is llem's own")
        if is_named_like_a_secret(name) or without_tokens(value) != value:
            raise ValueError(
                f"{name!r} looks like a secret, and the values here are recorded in the journal and in every result: "
                "set it in the environment of llem itself, which workers inherit"
            )
        if "\0" in value:
            raise ValueError(f"the value of {name!r} holds a NUL, which no variable can")
    return variables


Variables = Annotated[dict[str, Annotated[str, Field(strict=True)]], AfterValidator(_require_variables)]

STUDY_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


class ModelConfig(BaseModel):
    """A model from a configuration, with random weights: no download, any architecture and size.

    Every key beside ``config`` and ``seed`` is passed to the architecture's configuration unchanged.

    Attributes:
        config: The architecture as transformers names it (``llama``, ``gpt2``, ``qwen3``, …).
        seed: Seed of the random weights.
    """

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())
    __pydantic_extra__: dict[str, JsonValue]

    config: str = Field(min_length=1)
    seed: Integer = 0

    @property
    def options(self) -> dict[str, JsonValue]:
        """Return the architecture's own keys, as the study gives them."""
        return dict(self.__pydantic_extra__ or {})


class SyntheticPrompts(Value):
    """Random token ids: exact lengths, no file. Not a proxy for text where operand values matter.

    Attributes:
        count: Prompts per pass.
        input_tokens: Tokens of each prompt.
        seed: Seed of the ids.
    """

    source: Literal["synthetic"] = "synthetic"
    count: Count = 8
    input_tokens: Count = 128
    seed: Integer = 0


class JsonlPrompts(Value):
    """Text prompts from a JSON-lines file.

    Attributes:
        path: The file; relative to the study file.
        field: The key that holds the text.
        count: How many lines to use; all where left out.
        order: ``file``, or ``shuffled`` by ``seed``.
        seed: Seed of ``shuffled``.
        input_tokens: Cut every prompt to exactly this many tokens (a shorter prompt is an error, so
            that the work is the same in every cell); the text's own length where left out.
        sha256: Content hash of the file, filled in when the study is planned and checked by the worker.
    """

    source: Literal["jsonl"]
    path: str = Field(min_length=1)
    field: str = Field(default="text", min_length=1)
    count: Count | None = None
    order: Literal["file", "shuffled"] = "file"
    seed: Integer = 0
    input_tokens: Count | None = None
    sha256: str | None = None


Prompts = Annotated[SyntheticPrompts | JsonlPrompts, Field(discriminator="source")]


class Generation(Value):
    """What each request generates. Sampling options are named as transformers names them.

    Attributes:
        output_tokens: New tokens per request: exactly, or at most with ``stop: natural``.
        stop: ``forced`` generates exactly ``output_tokens``; ``natural`` lets the model end earlier.
        do_sample: Sample instead of greedy decoding.
        temperature: Sampling temperature; the engine's own default where left out.
        top_k: Sample among the k most likely tokens.
        top_p: Sample among the most likely tokens that together reach this probability.
        seed: Seed of the sampling.
    """

    output_tokens: Count = 64
    stop: Literal["forced", "natural"] = "forced"
    do_sample: Switch = False
    temperature: Annotated[float, Field(strict=True, gt=0)] | None = None
    top_k: Count | None = None
    top_p: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    seed: Integer = 0

    @model_validator(mode="after")
    def _sampling_options_need_sampling(self) -> "Generation":
        given = [name for name in ("temperature", "top_k", "top_p") if getattr(self, name) is not None]
        if given and not self.do_sample:
            raise ValueError(f"{' and '.join(given)} would have no effect without 'do_sample: true'")
        return self


class Measurement(Value):
    """How one trial is measured.

    Attributes:
        sensors: Sensors to read, by name; ``auto`` takes every one that works here.
        warmup_passes: Whole passes over the workload before the window opens, at least.
        warmup_max_s: Warm up on until time and power no longer change, at most this long; with 0 it ends after
            ``warmup_passes``.
        soak_max_s: Work on until the devices' temperatures and clocks no longer change, at most this long; 0 leaves
            it out.
        min_window_s: The window repeats the workload for at least this long.
        min_passes: The window holds at least this many whole passes.
        guard_s: Idle time before and after the window, with the model loaded; longer where a sensor needs it.
        bare_idle_s: Idle time that is measured before a session's first worker starts, and again after drift; 0
            leaves the baseline out.
        phases: Measure windows of prefill alone too, and tell prefill and decode apart.
        latency_passes: Passes timed token by token after the window, where the timing cannot disturb it.
        count_flops: Count floating-point operations in one extra pass before the warm-up.
        isolation: How a worker's process is started. ``auto``: forked from a clean process that has imported the
            libraries, in milliseconds; anew where that cannot be. ``exec``: always anew, in seconds.
    """

    sensors: Literal["auto"] | tuple[str, ...] = "auto"
    warmup_passes: CountOrZero = 2
    warmup_max_s: SecondsOrZero = 60.0
    soak_max_s: SecondsOrZero = 120.0
    min_window_s: SecondsOrZero = 10.0
    min_passes: Count = 3
    guard_s: SecondsOrZero = 0.7
    bare_idle_s: SecondsOrZero = 5.0
    phases: Switch = True
    latency_passes: CountOrZero = 1
    count_flops: Switch = True
    isolation: Literal["auto", "exec"] = "auto"


class ExperimentConfig(Value):
    """One resolved experiment: all that can change what is measured.

    Attributes:
        model: A local folder (relative to the study file), a hub id, or a configuration with random weights.
        engine: The engine's name.
        dtype: Data type of weights and arithmetic; ``auto`` is the checkpoint's own.
        batch_size: Requests that are generated together.
        prompts: Where the input comes from.
        generation: What each request generates.
        measurement: How the trial is measured.
        environment: Variables that the worker's process gets beside those of llem's own. They are recorded, so none
            may hold a secret.
        engine_options: The engine's own section, validated by the engine's options model, defaults filled in.
    """

    model: ModelConfig | Annotated[str, Field(min_length=1)]
    engine: str = DEFAULT_ENGINE
    dtype: DType = "auto"
    batch_size: Count = 1
    prompts: Prompts = SyntheticPrompts()
    generation: Generation = Generation()
    measurement: Measurement = Measurement()
    environment: Variables = Field(default_factory=dict)
    engine_options: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _prompts_fill_a_batch(self) -> "ExperimentConfig":
        if self.prompts.count is not None and self.prompts.count < self.batch_size:
            raise ValueError(f"batch_size ({self.batch_size}) is more than prompts.count ({self.prompts.count})")
        return self

    @property
    def model_name(self) -> str:
        """Return a short name for people and file names: the last part of a path or id."""
        if isinstance(self.model, ModelConfig):
            return f"{self.model.config}-random"
        return self.model.rstrip("/").rsplit("/", 1)[-1] or "model"


class Limits(Value):
    """When an attempt, a session or a study is given up. Seconds are by the monotonic clock; null is no such limit.

    Attributes:
        start_s: Until the worker's first phase: starting Python and importing the engine's libraries.
        load_s: Until the model is loaded and the prompts are prepared, a download included.
        warmup_s: From there to the window: the loaded idle, the counting of operations, warm-up and soak.
        measurement_s: The window, that of prefill, the timed passes, and until the result is there.
        silence_s: Without any message of the worker, once the model is loaded: one pass, or a guard, at most.
        trial_s: The whole attempt.
        clean_s: Before an attempt, until what an earlier one left on the GPUs is gone; with null nobody looks.
        study_s: A session that takes longer is ended; what is left stays pending and can be resumed.
        energy_kwh: A session ends when the study's windows have taken this much measured energy; what is left stays
            pending and can be resumed.
        consecutive_failures: After so many trials in a row that failed by their environment, the session cools down
            and then tries one trial more; if that fails too, the rest is skipped.
        cool_down_s: How long it cools down.
    """

    start_s: Deadline | None = 300.0
    load_s: Deadline | None = 1800.0
    warmup_s: Deadline | None = None
    measurement_s: Deadline | None = None
    silence_s: Deadline | None = 900.0
    trial_s: Deadline = 3600.0
    clean_s: Deadline | None = 60.0
    study_s: Deadline | None = None
    energy_kwh: Annotated[float, Field(strict=True, gt=0)] | None = None
    consecutive_failures: Count | None = 5
    cool_down_s: SecondsOrZero = 60.0


class CoolDown(Value):
    """A gap that ends when the devices are cool.

    Attributes:
        cool_to_c: Go on when the hottest device is at or below this temperature, in degrees Celsius.
        at_most_s: Go on after this long all the same.
    """

    cool_to_c: Annotated[float, Field(strict=True, gt=0, le=120)]
    at_most_s: Seconds


Gap = SecondsOrZero | CoolDown


class Gaps(Value):
    """Idle time between trials, no process of the study running on the devices. Each gap is recorded as it was.

    Attributes:
        between_trials: Seconds before every trial but a session's first, or until the devices are cool.
        between_cycles: The same where a new cycle begins, instead of ``between_trials``; only for an order that
            runs cycle after cycle. As between trials where left out.
    """

    between_trials: Gap = 0.0
    between_cycles: Gap | None = None


class Carbon(Value):
    """How joules become grams of CO₂ equivalent, as a last step: no measured figure changes, no country is guessed.

    Attributes:
        intensity_g_per_kwh: Grams of CO₂ equivalent per kWh of electricity; needs ``source``.
        source: Where the intensity is from.
        country: Instead of an intensity: a country (ISO 3166-1 alpha-3, such as ``FRA``), for the yearly mean in the
            data of the installed CodeCarbon.
        pue: Power usage effectiveness of the data centre: its energy / the energy of its machines. With 1 the figure
            covers the boundary of the energy alone.
    """

    intensity_g_per_kwh: Annotated[float, Field(strict=True, ge=0, le=10_000)] | None = None
    source: Annotated[str, Field(min_length=1)] | None = None
    country: Annotated[str, Field(min_length=1)] | None = None
    pue: Annotated[float, Field(strict=True, ge=1, le=10)] = 1.0

    @model_validator(mode="after")
    def _one_intensity_with_its_source(self) -> "Carbon":
        if (self.intensity_g_per_kwh is None) == (self.country is None):
            raise ValueError("needs either intensity_g_per_kwh, with its source, or country")
        if (self.intensity_g_per_kwh is None) != (self.source is None):
            raise ValueError("intensity_g_per_kwh needs its source, and a country has one already")
        return self


class Repetition(Value):
    """The plan of repetition.

    Attributes:
        cycles: How often each experiment is run.
        order: ``blocks`` (each cycle runs every experiment once, in an order drawn anew), ``interleave`` (each
            cycle in the order of the study), ``reverse`` (every other cycle backwards), ``latin_square`` (Williams
            design: each experiment follows each other one equally often), ``sequential`` (all cycles of one
            experiment, then the next) or ``shuffle`` (all trials in one drawn order).
        seed: Seed of the order; derived from the design where left out.
        gaps: Idle time between trials and between cycles.
        reruns: How often a trial is run again whose measurement was spoiled by something that may be gone next time.
    """

    cycles: Count = 5
    order: OrderKind = "blocks"
    seed: Integer | None = None
    gaps: Gaps = Gaps()
    reruns: CountOrZero = 2

    @model_validator(mode="after")
    def _cycles_to_pause_between(self) -> "Repetition":
        if self.gaps.between_cycles is not None and self.order not in CYCLE_AFTER_CYCLE:
            raise ValueError(
                f"order {self.order!r} does not run cycle after cycle, so gaps.between_cycles would have no effect: "
                "use gaps.between_trials"
            )
        return self


CYCLE_AFTER_CYCLE: tuple[OrderKind, ...] = ("blocks", "interleave", "reverse", "latin_square")
"""Orders in which every cycle is over before the next begins."""


class StudySettings(Repetition):
    """What a study says beside its experiments.

    Attributes:
        name: Names the study and its folder: letters, digits, dot, dash and underscore.
        profile: Defaults of method and repetition together: ``quick``, ``standard`` or ``publish``.
        limits: When an attempt, a session or the study is given up.
        retries: How often a trial is tried again, directly after, that failed by its environment.
        carbon: How joules become grams of CO₂ equivalent; where left out, there is no figure of carbon.
    """

    name: str = Field(pattern=STUDY_NAME_PATTERN)
    profile: ProfileName = "standard"
    limits: Limits = Limits()
    retries: CountOrZero = 1
    carbon: Carbon | None = None
