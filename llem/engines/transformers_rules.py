"""What the engine ``transformers`` knows to be impossible before it loads anything."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from llem.domain.errors import Problem
from llem.domain.host import Gpu
from llem.domain.spec import ExperimentConfig, ModelConfig
from llem.engines.architecture import UNKNOWN, Architecture, architecture_of, keeps_every_token, quant_method
from llem.engines.base import Machine
from llem.engines.installed import installed, torch_accelerator
from llem.engines.sources import HubModel, LocalModel, model_source

CUDA_DEVICE = re.compile(r"cuda(?::(0|[1-9][0-9]{0,8}))?")
BFLOAT16_CAPABILITY = (8, 0)
GIB = 2**30
SMALLEST_GPU_BYTES = GIB
"""No GPU that torch still supports has less: a KV cache below this is never a reason to ask the machine."""

QUANTISERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "aqlm": (("aqlm", "aqlm[gpu,cpu]"),),
    "auto-round": (("auto_round", "auto-round"),),
    "awq": (("gptqmodel", "gptqmodel"),),
    "bitsandbytes": (("bitsandbytes", "bitsandbytes"),),
    "compressed-tensors": (("compressed_tensors", "compressed-tensors"),),
    "eetq": (("kernels", "kernels"),),
    "fp_quant": (("fp_quant", "fp_quant"),),
    "fouroversix": (("fouroversix", "fouroversix --no-build-isolation"),),
    "gptq": (("optimum", "optimum"), ("gptqmodel", "gptqmodel")),
    "higgs": (("flute", "flute-kernel"), ("fast_hadamard_transform", "fast_hadamard_transform")),
    "hqq": (("hqq", "hqq"),),
    "nvfp4": (("kernels", "kernels"),),
    "quanto": (("optimum.quanto", "optimum-quanto"),),
    "quark": (("quark", "amd-quark"),),
    "spqr": (("spqr_quant", "spqr_quant[gpu]"),),
    "torchao": (("torchao", "torchao"),),
    "vptq": (("vptq", "vptq"),),
}
"""Modules without which the quantiser's ``validate_environment`` fails in transformers 5.0 to 5.23, and what installs
each. Left out are methods that need none (``bitnet``) or go on without (``fp8``, ``mxfp4``, ``gguf``, ``metal``), and
``fbgemm_fp8``, whose need depends on the GPU."""

FLASH_ATTENTION = {
    "flash_attention_2": ("flash_attn", "flash-attn --no-build-isolation"),
    "flash_attention_3": ("flash_attn_interface", "flash-attn-3"),
    "flash_attention_4": ("flash_attn", "flash-attn-4"),
}
OTHER_FLASH_ATTENTION = ("kernels", "torch_npu", "torch_mlu", "torch_musa")
"""Packages with which transformers finds flash attention elsewhere: in the hub's kernels, on other accelerators."""

SPREAD_OVER_GPUS = ("auto", "balanced", "balanced_low_0", "sequential")


class Point(NamedTuple):
    """One grid point and what is known around it."""

    config: ExperimentConfig
    source: LocalModel | HubModel | ModelConfig
    options: Mapping[str, JsonValue]
    architecture: Architecture
    machine: Machine


Rule = Callable[[Point], Iterator[Problem]]


def check(config: ExperimentConfig, base_dir: Path, machine: Machine) -> Sequence[Problem]:
    """Return what cannot work as asked: a model, GPU or package is missing, a context or memory is too small.

    The machine is asked only where an answer could refuse something.
    """
    source = model_source(config, base_dir)
    options = config.engine_options  # validated when the study was read: a dict of the options' own names
    architecture = architecture_of(source, str(options.get("revision") or "main"))
    if isinstance(source, LocalModel) and architecture is None:
        found = "it has no config.json" if os.path.isdir(source.path) else "there is no such folder"
        return [Problem("model", f"{source.path} is no model: {found}. Expected a folder, a hub id or 'config:'")]
    point = Point(config, source, options, architecture or UNKNOWN, machine)
    return [problem for rule in RULES for problem in rule(point)]


def options_of_trained_weights(point: Point) -> Iterator[Problem]:
    """Yield the options that need a model of its own weights."""
    if not isinstance(point.source, ModelConfig):
        return
    if point.options.get("quantization_config"):
        yield Problem("transformers.quantization_config", "random weights cannot be quantised: give a model")
    if point.options.get("device_map"):
        yield Problem("transformers.device_map", "random weights are made on one device: use 'device'")


def device_not_there(point: Point) -> Iterator[Problem]:
    """Yield a ``cuda`` device that is not there. What other devices torch knows is torch's business."""
    word = point.options.get("device")
    if not isinstance(word, str) or word.partition(":")[0] != "cuda":
        return
    place = "transformers.device"
    cuda = CUDA_DEVICE.fullmatch(word)
    if cuda is None:
        yield Problem(place, f"torch knows no device {word!r}: use 'cpu', 'cuda' or 'cuda:N'")
        return
    accelerator = torch_accelerator()
    if accelerator == "hip":
        return  # ROCm's GPUs call themselves cuda too, and the machine does not know them
    gpus = point.machine.gpus()
    if gpus is not None and int(cuda[1] or 0) >= len(gpus):
        shown = f"shows {_numbered(len(gpus), 'GPU')}" if gpus else "shows no GPU"
        mend = "check CUDA_VISIBLE_DEVICES and `llem doctor`, or use another device"
        yield Problem(place, f"{word} is not there: this machine {shown}; {mend}")
    elif accelerator in ("none", "xpu"):
        yield Problem(place, f"{word} is not there: the installed torch is built without CUDA; install one with it")


def bfloat16_emulated(point: Point) -> Iterator[Problem]:
    """Yield ``bfloat16`` on a GPU that has no such arithmetic: below compute capability 8.0.

    torch runs it there all the same, emulated in float32 (``including_emulation`` of ``is_bf16_supported``), slower
    than float16: the energy would be that of another arithmetic than the study names.
    """
    if point.config.dtype != "bfloat16":
        return
    gpu = _gpu(point)
    if gpu is None or gpu.compute_capability is None or gpu.compute_capability >= BFLOAT16_CAPABILITY:
        return
    has = ".".join(map(str, gpu.compute_capability))
    found = f"bfloat16 needs compute capability 8.0; {gpu.name} has {has}, where torch would only emulate it"
    yield Problem("dtype", f"{found}: use float16 or float32")


def quantiser_missing(point: Point) -> Iterator[Problem]:
    """Yield a quantisation method whose package is not installed, asked for or the checkpoint's own."""
    if isinstance(point.source, ModelConfig):
        return
    asked = point.options.get("quantization_config")
    if isinstance(asked, dict):
        method = quant_method(asked)
        key = next((key for key in ("load_in_4bit", "load_in_8bit") if asked.get(key)), "quant_method")
        place = f"transformers.quantization_config.{key}"
    else:
        method, place = point.architecture.quant_method, "model"
    for module, package in QUANTISERS.get(method or "", ()):
        if not installed(module):
            yield Problem(place, f"{method} needs {module}, which is not installed here: `pip install {package}`")


def flash_attention_missing(point: Point) -> Iterator[Problem]:
    """Yield flash attention on a machine that is known to have no GPU, or without its package."""
    name = point.options.get("attn_implementation")
    if name is None or name not in FLASH_ATTENTION:
        return
    if torch_accelerator() == "xpu" or any(map(installed, OTHER_FLASH_ATTENTION)):
        return
    place = "transformers.attn_implementation"
    gpus = point.machine.gpus()
    if gpus is not None and not gpus and torch_accelerator() != "hip":
        yield Problem(place, f"{name} needs a GPU, and this machine shows none: use 'sdpa' or 'eager'")
        return
    module, package = FLASH_ATTENTION[str(name)]
    if not installed(module):
        message = f"{name} needs {module}, which is not installed here: `pip install {package}`"
        yield Problem(place, f"{message}, or `pip install kernels` to have it from the hub")


def context_too_short(point: Point) -> Iterator[Problem]:
    """Yield a prompt and output that are longer together than the model's context; texts of their own length may fit.

    The worker refuses the same once the model is loaded. Batches do not enter: positions are counted per sequence.
    """
    input_tokens = point.config.prompts.input_tokens
    limit = point.architecture.context_tokens
    if input_tokens is None or limit is None:
        return
    output_tokens = point.config.generation.output_tokens
    if input_tokens + output_tokens > limit:
        longer = "prompts.input_tokens" if input_tokens >= output_tokens else "generation.output_tokens"
        asked = f"{input_tokens} input and {output_tokens} output tokens"
        needed = f"need {input_tokens + output_tokens} positions; the model has {limit}"
        yield Problem(longer, f"{asked} {needed}: lower one of them")


def kv_cache_too_large(point: Point) -> Iterator[Problem]:
    """Yield a batch whose KV cache alone is larger than all the memory that it may lie in.

    bytes = batch size × (input + output − 1) tokens × layers × 2 × key-value heads × head size × bytes per value. The
    last token is generated and never cached. Values have 4 bytes in float32, else 2; in 2 where the data type is the
    checkpoint's and it does not say, or the model is quantised. Weights, activations and the memory that others use
    are left out, so only the impossible is refused. The memory is that of the one GPU on which the model lies, or of
    all with a ``device_map`` that spreads it; a mapping may place layers anywhere and is let through.
    """
    config, per_token = point.config, point.architecture.cached_values_per_token
    input_tokens = config.prompts.input_tokens
    if per_token is None or input_tokens is None:
        return
    tokens = input_tokens + config.generation.output_tokens
    needed = config.batch_size * (tokens - 1) * per_token * _bytes_per_value(point)
    if needed <= SMALLEST_GPU_BYTES or not keeps_every_token(point.options.get("cache_implementation")):
        return
    gpus = _gpus(point)
    sizes = [gpu.memory_bytes for gpu in gpus if gpu.memory_bytes is not None]
    if not gpus or len(sizes) < len(gpus) or needed <= sum(sizes):
        return
    where = f"{gpus[0].name} has" if len(gpus) == 1 else f"{_numbered(len(gpus), 'GPU')} have together"
    sequences = f"the KV cache of {_numbered(config.batch_size, 'sequence')} of {tokens} tokens"
    message = f"{sequences} needs {_gib(needed)}; {where} {_gib(sum(sizes))}"
    yield Problem("batch_size", f"{message}: lower batch_size or the tokens of a sequence")


RULES: tuple[Rule, ...] = (
    options_of_trained_weights,
    device_not_there,
    bfloat16_emulated,
    quantiser_missing,
    flash_attention_missing,
    context_too_short,
    kv_cache_too_large,
)


def _gpus(point: Point) -> Sequence[Gpu]:
    """Return the GPUs over which the model is spread, or the one on which it lies; empty where that is unknown."""
    spread = point.options.get("device_map")
    if spread is None:
        gpu = _gpu(point)
        return [] if gpu is None else [gpu]
    if spread not in SPREAD_OVER_GPUS or torch_accelerator() != "cuda":
        return []
    return point.machine.gpus() or []


def _gpu(point: Point) -> Gpu | None:
    """Return the one GPU on which the model lies; None where there is none, or it cannot be known."""
    word = point.options.get("device") or "auto"
    accelerator = torch_accelerator()
    if point.options.get("device_map") is not None or accelerator == "hip":
        return None
    cuda = CUDA_DEVICE.fullmatch(str(word))
    if cuda is None and (word != "auto" or accelerator != "cuda"):
        return None  # `auto` takes a GPU only where torch is built for one
    index = int(cuda[1] or 0) if cuda else 0
    gpus = point.machine.gpus() or []
    return gpus[index] if index < len(gpus) else None


def _bytes_per_value(point: Point) -> int:
    dtype = point.config.dtype
    if point.options.get("quantization_config") or point.architecture.quant_method:
        return 2
    if dtype == "auto":
        dtype_name = "float32" if isinstance(point.source, ModelConfig) else point.architecture.dtype
        return 4 if dtype_name == "float32" else 2
    return 4 if dtype == "float32" else 2


def _gib(size_bytes: int) -> str:
    return f"{min(size_bytes, 2**80) / GIB:,.1f} GiB"  # a study may ask for more than a float can say


def _numbered(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
