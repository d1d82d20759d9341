"""The port of an engine: load a model, prepare the prompts, run the workload."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from llem.domain.errors import LlemError, Problem
from llem.domain.host import Gpu
from llem.domain.measured import Flops, Memory, ModelFacts
from llem.domain.model import Value
from llem.domain.spec import ExperimentConfig


class EngineError(LlemError):
    """An engine cannot do what the configuration asks.

    Args:
        error_type: What went wrong, as one word that stays the same: it becomes the event's ``error_type``.
        message: What was found.
        remedy: What to do about it.
    """

    def __init__(self, error_type: str, message: str, *, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.error_type = error_type


class PassCount(NamedTuple):
    """What one pass over the workload did, counted from token ids."""

    requests: int
    input_tokens: int
    padding_tokens: int
    output_tokens: int


class BatchTiming(NamedTuple):
    """Monotonic nanoseconds of one batch: submitted, and each token of it complete on the host."""

    start_ns: int
    token_ns: tuple[int, ...]


class Engine(Protocol):
    """An engine with one configuration, in the worker's process."""

    def load(self) -> None:
        """Load the model onto its devices.

        Raises:
            EngineError: It cannot be loaded.
        """

    def prepare(self) -> str:
        """Tokenise the prompts onto the device and return the hash of their ids.

        Raises:
            EngineError: The prompts do not fit the configuration or the model.
        """

    def facts(self) -> ModelFacts:
        """Return the model as it was loaded."""

    def libraries(self) -> dict[str, str]:
        """Return the versions of the libraries that do the work."""

    def run_pass(self) -> PassCount:
        """Generate for every prompt once. Nothing else: this is what is measured."""

    def prefill_pass(self) -> PassCount:
        """Generate one token for every prompt once: the prompts' part of a pass, and the first token.

        It is one token however long the configuration's generation is and whatever would end it.
        """

    def timed_pass(self) -> list[BatchTiming]:
        """Do the same, noting the time of every token. It disturbs the work, so its energy is not used."""

    def outputs_sha256(self) -> str | None:
        """Return the hash of the ids that the last timed pass generated; None if there was none."""

    def count_flops(self) -> Flops:
        """Count the floating-point operations of one pass, by running as much of it as that takes."""

    def synchronize(self) -> None:
        """Wait until the devices have done all that was submitted."""

    def reset_peak_memory(self) -> None:
        """Forget the peaks so far."""

    def peak_memory(self) -> Memory:
        """Return the peaks since they were reset."""


class Machine(Protocol):
    """The machine that a study is planned for, as far as a rule needs to know it."""

    def gpus(self) -> Sequence[Gpu] | None:
        """Return the GPUs that CUDA shows a new process, in CUDA's order.

        Empty where it is known that there is none; None where nothing can be known, so that no rule may refuse.
        """


Answers = Callable[[str, int], bool]
"""Returns whether a host answers on a port, within seconds."""


@dataclass(frozen=True)
class EngineEntry:
    """An engine in the registry: what the parent may know without loading the engine's library.

    Attributes:
        options: The model of the engine's own section in a study.
        check: Returns what cannot work as asked, as far as it can be known before loading; what might work is
            let through. Paths in the problems are those of the study file. The folder is the one that relative
            paths start from. Called for every grid point, so what it looks up is looked up once.
        environment: Returns variables that must be set before the engine's library is imported. It may ask whether
            a host answers.
        late_variables: Variables that are obeyed, too, when they are set after that; of any other that is not known.
        preload: ``module:function`` that imports what a configuration needs, for (configuration, base folder).
            Named, not imported, as the adapter: only workers and zygotes load it, and the engine's library with it.
            It computes nothing, starts no thread and touches no device.
        adapter: ``module:function`` that returns an Engine for (configuration, base folder).
        may_use_gpu: Whether a configuration may put anything on a GPU.
        trusts: Yields what an experiment takes on trust, in words, for (name of the model, the engine's own section).
    """

    options: type[Value]
    check: Callable[[ExperimentConfig, Path, Machine], Sequence[Problem]]
    environment: Callable[[ExperimentConfig, Path, Answers], dict[str, str]]
    late_variables: frozenset[str]
    preload: str
    adapter: str
    may_use_gpu: Callable[[ExperimentConfig], bool]
    trusts: Callable[[str, Mapping[str, object]], Iterator[str]]
