"""The engine ``transformers``, in the worker's process. Imported by workers only."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers.generation.streamers import BaseStreamer

from llem.domain.measured import Flops, Memory, ModelFacts
from llem.domain.spec import ExperimentConfig, SyntheticPrompts
from llem.engines.base import BatchTiming, EngineError, PassCount
from llem.engines.prompts import byte_ids, cut_to, read_texts, synthetic_ids
from llem.engines.transformers import TransformersOptions
from llem.engines.transformers_load import load_model, load_tokenizer, model_facts

ATTENTION = (
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_fused_attention_overrideable",
)
"""Torch's fused attention. Its own counter knows some of them, and none whose queries share their keys' heads."""
PROC_STATUS = Path("/proc/self/status")
PROC_CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Batch:
    """Prompts that are generated together, padded on the left: ids and mask of shape (batch, longest)."""

    ids: torch.Tensor
    mask: torch.Tensor
    input_tokens: int
    padding_tokens: int


class TransformersEngine:
    """Any causal language model of transformers; see ``llem.engines.base.Engine`` for the contract."""

    def __init__(self, config: ExperimentConfig, base_dir: Path) -> None:
        self._config = config
        self._base_dir = base_dir
        self._options = TransformersOptions.model_validate(config.engine_options)
        self._model: Any = None
        self._tokenizer: Any = None
        self._batches: list[Batch] = []
        self._cuda: list[torch.device] = []
        self._outputs: list[list[list[int]]] = []

    def load(self) -> None:
        """Load model and tokenizer."""
        self._model = load_model(self._config, self._options, self._base_dir)
        self._tokenizer = load_tokenizer(self._config, self._options, self._base_dir)
        self._cuda = sorted({p.device for p in self._model.parameters() if p.device.type == "cuda"}, key=str)
        self.synchronize()

    def facts(self) -> ModelFacts:
        """Return the model as it was loaded."""
        own = self._tokenizer is not None
        return model_facts(self._model, self._config, self._base_dir, own_tokenizer=own)

    def libraries(self) -> dict[str, str]:
        """Return the versions of the libraries that do the work."""
        versions = {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        }
        if torch.version.cuda:
            versions["cuda"] = torch.version.cuda
        return versions

    def prepare(self) -> str:
        """Tokenise the prompts onto the device, in batches, and return the hash of their ids."""
        ids = self._prompt_ids()
        size = self._config.batch_size
        if len(ids) < size:
            raise EngineError(
                "PromptsTooFew",
                f"{len(ids)} prompts cannot fill one batch of {size}.",
                remedy="Raise prompts.count or lower batch_size.",
            )
        self._require_context(max(map(len, ids)))
        self._batches = [self._batch(ids[start : start + size]) for start in range(0, len(ids), size)]
        return _ids_sha256(ids)

    def run_pass(self) -> PassCount:
        """Generate for every prompt once."""
        return self._pass(self._config.generation.output_tokens)

    def prefill_pass(self) -> PassCount:
        """Generate one token for every prompt once."""
        return self._pass(1)

    def _pass(self, new_tokens: int) -> PassCount:
        torch.manual_seed(self._config.generation.seed)  # every pass samples the same tokens: equal work
        counts = [self._count(batch, self._generate(batch, new_tokens)) for batch in self._batches]
        return PassCount(*map(sum, zip(*counts, strict=True)))

    def timed_pass(self) -> list[BatchTiming]:
        """Generate for every prompt once, noting when each token was complete."""
        torch.manual_seed(self._config.generation.seed)
        timings = []
        self._outputs = []
        for batch in self._batches:
            clock = _TokenClock()
            self.synchronize()
            start_ns = time.monotonic_ns()
            output = self._generate(batch, self._config.generation.output_tokens, streamer=clock)
            self._outputs.append(output[:, batch.ids.shape[1] :].tolist())
            timings.append(BatchTiming(start_ns, tuple(clock.token_ns)))
        return timings

    def outputs_sha256(self) -> str | None:
        """Return the hash of the ids that the last timed pass generated; None if there was none."""
        rows = [row for batch in self._outputs for row in batch]
        return _ids_sha256(rows) if rows else None

    def count_flops(self) -> Flops:
        """Count a pass by torch's counter of matrix and attention operations; equal shapes are counted once.

        Where it fails the operations are unknown: it is no part of what is measured. What is wrong with the model
        itself shows in the warm-up.
        """
        if self._options.torch_compile is not False:
            return Flops(per_pass=None, source=None, reason="torch's counter does not see into compiled code")
        try:
            total = sum(times * self._flops_of(batch) for batch, times in self._batches_to_count())
        except Exception as error:  # noqa: BLE001 - it meets every operation of every model
            told = f"torch's counter failed: {type(error).__name__}: {error}"
            return Flops(per_pass=None, source=None, reason=told[:300])
        if total == 0:
            return Flops(per_pass=None, source=None, reason="torch's counter knows none of this model's operations")
        source = (
            f"torch.utils.flop_counter of torch {torch.__version__}: matrix products and attention, padding included"
        )
        return Flops(per_pass=total, source=source)

    def _flops_of(self, batch: Batch) -> int:
        attention = {
            getattr(torch.ops.aten, name): attention_flops for name in ATTENTION if hasattr(torch.ops.aten, name)
        }
        with FlopCounterMode(display=False, custom_mapping=attention) as counter:
            torch.manual_seed(self._config.generation.seed)
            self._generate(batch, self._config.generation.output_tokens)
        return int(counter.get_total_flops())

    def _batches_to_count(self) -> list[tuple[Batch, int]]:
        """Return the batches whose operations differ, with how often each stands for itself and its equals."""
        if self._config.generation.stop == "natural":
            return [(batch, 1) for batch in self._batches]
        shapes = Counter(batch.ids.shape for batch in self._batches)
        first = {batch.ids.shape: batch for batch in reversed(self._batches)}
        return [(first[shape], times) for shape, times in shapes.items()]

    def synchronize(self) -> None:
        """Wait until every used GPU has done all that was submitted."""
        for device in self._cuda:
            torch.cuda.synchronize(device)

    def reset_peak_memory(self) -> None:
        """Forget the peaks so far; the model itself stays in them."""
        for device in self._cuda:
            torch.cuda.reset_peak_memory_stats(device)
        try:
            PROC_CLEAR_REFS.write_text("5")  # resets VmHWM: proc(5)
        except OSError:
            pass  # the peak then covers loading too, which only a hardened kernel enforces

    def peak_memory(self) -> Memory:
        """Return the peaks since they were reset."""
        allocated = [torch.cuda.max_memory_allocated(device) for device in self._cuda]
        reserved = [torch.cuda.max_memory_reserved(device) for device in self._cuda]
        return Memory(
            torch_allocated_bytes=sum(allocated) if self._cuda else None,
            torch_reserved_bytes=sum(reserved) if self._cuda else None,
            rss_bytes=_peak_rss_bytes(),
        )

    def _prompt_ids(self) -> list[list[int]]:
        prompts = self._config.prompts
        vocabulary = int(self._model.config.get_text_config().vocab_size)
        if isinstance(prompts, SyntheticPrompts):
            return synthetic_ids(prompts, vocabulary)
        texts = read_texts(prompts, self._base_dir)
        encoded = (
            [byte_ids(text, vocabulary) for text in texts]
            if self._tokenizer is None
            else [self._tokenizer(text)["input_ids"] for text in texts]
        )
        return [cut_to(ids, prompts.input_tokens, number) for number, ids in enumerate(encoded, start=1)]

    def _require_context(self, longest: int) -> None:
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        needed = longest + self._config.generation.output_tokens
        if limit is not None and needed > limit:
            raise EngineError(
                "ContextTooLong",
                f"{longest} input and {self._config.generation.output_tokens} output tokens need {needed} positions; "
                f"the model has {limit}.",
                remedy="Lower prompts.input_tokens or generation.output_tokens.",
            )

    def _batch(self, rows: Sequence[list[int]]) -> Batch:
        longest = max(map(len, rows))
        padding = self._padding_id()
        ids = [[padding] * (longest - len(row)) + row for row in rows]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        device = self._model.device
        tokens = sum(map(len, rows))
        return Batch(
            torch.tensor(ids, device=device),
            torch.tensor(mask, device=device),
            input_tokens=tokens,
            padding_tokens=longest * len(rows) - tokens,
        )

    def _padding_id(self) -> int:
        tokenizer_id = None if self._tokenizer is None else self._tokenizer.pad_token_id
        candidates = (tokenizer_id, self._model.config.get_text_config().pad_token_id, *self._end_ids())
        return next((candidate for candidate in candidates if candidate is not None), 0)

    def _end_ids(self) -> list[int]:
        ends = self._model.generation_config.eos_token_id
        return [] if ends is None else ends if isinstance(ends, list) else [ends]

    def _generate(self, batch: Batch, new_tokens: int, streamer: BaseStreamer | None = None) -> torch.Tensor:
        asked = self._config.generation
        keywords: dict[str, Any] = {
            "max_new_tokens": new_tokens,
            "do_sample": asked.do_sample,
            "num_beams": 1,
            "pad_token_id": self._padding_id(),
            "streamer": streamer,
        }
        if asked.stop == "forced":
            keywords["min_new_tokens"] = new_tokens
        for name in ("temperature", "top_k", "top_p"):
            if getattr(asked, name) is not None:
                keywords[name] = getattr(asked, name)
        if self._options.cache_implementation is not None:
            keywords["cache_implementation"] = self._options.cache_implementation
        with torch.inference_mode():
            output: torch.Tensor = self._model.generate(input_ids=batch.ids, attention_mask=batch.mask, **keywords)
        return output

    def _count(self, batch: Batch, output: torch.Tensor) -> PassCount:
        generated = output[:, batch.ids.shape[1] :]
        if self._config.generation.stop == "forced" or not self._end_ids():
            tokens = generated.numel()
        else:
            ends = torch.isin(generated, torch.tensor(self._end_ids(), device=generated.device))
            # A row counts up to and with its first end token; what follows is padding.
            tokens = int(((ends.cumsum(dim=1) - ends.int()) == 0).sum())
        return PassCount(generated.shape[0], batch.input_tokens, batch.padding_tokens, tokens)


class _TokenClock(BaseStreamer):
    """Notes when each generated token of a batch reached the host."""

    def __init__(self) -> None:
        self.token_ns: list[int] = []
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        if self._prompt_seen:
            self.token_ns.append(time.monotonic_ns())
        self._prompt_seen = True  # generate hands the prompt over first

    def end(self) -> None:
        """The last token has been handed over already."""


def attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Return the floating-point operations of one call of fused attention.

    Two products of matrices for each head of the queries, ``query · keyᵀ`` and ``scores · value``, two operations for
    each of their terms; what a causal mask leaves out is counted too, as torch's own counter does.

    Args:
        query: Its shape: (batch, heads, queries, head size).
        key: Its shape: (batch, heads or a divisor of that, keys, head size).
        value: Its shape, likewise.
    """
    batch, heads, queries, size = query
    return 2 * batch * heads * queries * key[2] * (size + value[3])


def _ids_sha256(rows: Sequence[Sequence[int]]) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _peak_rss_bytes() -> int | None:
    for line in PROC_STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
