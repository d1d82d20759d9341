"""A model's architecture, read from its configuration as transformers would, without loading transformers."""

import json
import os
import stat
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from pydantic import JsonValue

from llem.domain.spec import ModelConfig
from llem.engines.sources import HubModel, LocalModel

Keys = Mapping[str, JsonValue]

CONTEXT_KEYS = {
    "codegen": "n_positions",
    "ctrl": "n_positions",
    "dbrx": "max_seq_len",
    "gpt2": "n_positions",
    "gpt_bigcode": "n_positions",
    "gptj": "n_positions",
    "openai-gpt": "n_positions",
    "rwkv": "context_length",
}
"""What these architectures call ``max_position_embeddings``: the ``attribute_map`` of their configurations.

Names that no architecture of transformers maps (``n_ctx``, ``seq_length``, ``max_sequence_length``) limit nothing: a
bloom model with ``seq_length: 2048`` generates beyond it.
"""

MULTI_HEAD = frozenset({"gpt2", "gpt_neox", "opt"})
"""Decoders that keep a key and a value of every token for every attention head, in every layer."""

GROUPED_QUERY = frozenset({"granite", "llama", "mistral", "mixtral", "olmo2", "phi3", "qwen2", "qwen3", "qwen3_moe"})
"""The same for ``num_key_value_heads`` heads, unless a window is on."""

KEEP_EVERY_TOKEN = MULTI_HEAD | GROUPED_QUERY

FORGETTING = ("sliding_window", "attention_chunk_size", "kv_sharing_modes", "per_layer_config")
"""Keys by which transformers gives some layers a smaller cache, or none, whatever the architecture."""

OTHER_PARTS = frozenset({"decoder", "generator", "text_encoder"})
"""Where a model of several parts may also keep its text configuration; which part counts is the library's to say."""


class Architecture(NamedTuple):
    """What can be known of a model without loading it; None is unknown.

    Attributes:
        context_tokens: Positions of one sequence, prompt and output together.
        cached_values_per_token: Numbers that the KV cache keeps of each token of a sequence.
        quant_method: How the checkpoint's weights are quantised; None also where they are not.
        dtype: The checkpoint's own data type.
    """

    context_tokens: int | None = None
    cached_values_per_token: int | None = None
    quant_method: str | None = None
    dtype: str | None = None


UNKNOWN = Architecture()


def architecture_of(source: LocalModel | HubModel | ModelConfig, revision: str) -> Architecture | None:
    """Return what the model's configuration says; None where it is not on this machine. No network is asked.

    A hub model's configuration is looked for in the hub's local cache, in ``revision``. Of a model made from a
    configuration, only the keys that the study gives are known.
    """
    if isinstance(source, ModelConfig):
        return _architecture({**source.options, "model_type": source.config})
    folder = os.fspath(source.path) if isinstance(source, LocalModel) else _snapshot(source.name, revision)
    try:
        found = os.stat(f"{folder}/config.json")
    except (OSError, ValueError):  # ValueError: a name that no system can open
        return None
    return _read(folder, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def quant_method(quantization_config: Keys) -> str | None:
    """Return the method that transformers takes from a ``quantization_config``, whose bitsandbytes has switches."""
    if quantization_config.get("load_in_4bit") or quantization_config.get("load_in_8bit"):
        return "bitsandbytes"
    method = quantization_config.get("quant_method")
    return method.removesuffix("_4bit").removesuffix("_8bit") if isinstance(method, str) else None


def keeps_every_token(cache_implementation: JsonValue) -> bool:
    """Return whether this kind of KV cache holds all of a sequence in the GPU's memory, in the model's data type."""
    return cache_implementation in (None, "dynamic", "static")


def _snapshot(name: str, revision: str) -> str:
    """Return the folder in which the hub's local cache has ``revision`` if at all, as huggingface_hub lays it out."""
    cache = _hub_cache()
    try:
        return _referred(cache, name, revision)
    except (OSError, ValueError):
        return f"{cache}/models--{name.replace('/', '--')}/snapshots/{revision}"  # a commit is its own name


@lru_cache(maxsize=256)  # an error is not kept: the reference may come later
def _referred(cache: str, name: str, revision: str) -> str:
    """Return the folder to which a branch or tag refers. Raises OSError or ValueError where there is no such one."""
    model = f"{cache}/models--{name.replace('/', '--')}"
    with open(f"{model}/refs/{revision}", encoding="ascii") as file:
        return f"{model}/snapshots/{file.read(64).strip()}"


def _hub_cache() -> str:
    """Return where huggingface_hub keeps its files: the variables that it reads, in its order."""
    folder = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if not folder:
        home = os.environ.get("HF_HOME")
        folder = f"{home}/hub" if home else f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface/hub"
    return os.path.expandvars(os.path.expanduser(folder))


@lru_cache(maxsize=256)
def _read(folder: str, mtime_ns: int) -> Architecture:
    """Return what the configuration in ``folder`` says. ``mtime_ns`` makes a changed file be read anew."""
    found = _architecture(_json_object(f"{folder}/config.json"))
    generation = _json_object(f"{folder}/generation_config.json")
    caches_all = generation.get("use_cache") is not False
    if caches_all and keeps_every_token(generation.get("cache_implementation")):
        return found
    return found._replace(cached_values_per_token=None)


def _json_object(path: str) -> Keys:
    """Return the object in a JSON file; empty where there is none, which is the library's to report."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _architecture(keys: Keys) -> Architecture:
    if not OTHER_PARTS.isdisjoint(keys):
        return UNKNOWN
    text = keys.get("text_config")
    if isinstance(text, dict):
        keys = {**{key: keys[key] for key in ("quantization_config", "dtype", "torch_dtype") if key in keys}, **text}
    quantised = keys.get("quantization_config")
    dtype = keys.get("dtype", keys.get("torch_dtype"))
    return Architecture(
        context_tokens=_context_tokens(keys),
        cached_values_per_token=_cached_values_per_token(keys),
        quant_method=quant_method(quantised) if isinstance(quantised, dict) else None,
        dtype=dtype if isinstance(dtype, str) else None,
    )


def _context_tokens(keys: Keys) -> int | None:
    alias = CONTEXT_KEYS.get(str(keys.get("model_type")))
    own = 0 if alias is None else _count(keys, alias) or 0
    return max(own, _count(keys, "max_position_embeddings") or 0) or None


def _cached_values_per_token(keys: Keys) -> int | None:
    """Return layers × 2 (a key and a value) × key-value heads × head size.

    None where a key is missing, where the architecture is none of those that are known to keep every token in every
    layer (others share, compress or forget), or where a window lets this one forget.
    """
    model_type = str(keys.get("model_type"))
    if model_type not in KEEP_EVERY_TOKEN or keys.get("use_cache") is False or _forgets(keys):
        return None
    layers = _count(keys, "num_hidden_layers") or _count(keys, "n_layer")
    heads = _count(keys, "num_attention_heads") or _count(keys, "n_head")
    kv_heads = heads if model_type in MULTI_HEAD else _count(keys, "num_key_value_heads")
    head_size = _head_size(keys, heads)
    if layers is None or kv_heads is None or head_size is None:
        return None
    return layers * 2 * kv_heads * head_size


def _forgets(keys: Keys) -> bool:
    """Return whether a layer may keep fewer tokens than the sequence has."""
    layer_types = keys.get("layer_types")
    if isinstance(layer_types, list) and any(kind != "full_attention" for kind in layer_types):
        return True
    if str(keys["model_type"]).startswith("qwen") and not keys.get("use_sliding_window"):
        keys = {**keys, "sliding_window": None}  # theirs counts only with the switch
    if keys["model_type"] == "mistral" and "sliding_window" not in keys:
        return True  # the library's own default is a window
    return any(keys.get(key) is not None for key in FORGETTING)


def _head_size(keys: Keys, heads: int | None) -> int | None:
    if keys.get("head_dim") is not None or keys["model_type"] in ("qwen3", "qwen3_moe"):  # theirs is never derived
        return _count(keys, "head_dim")
    hidden = _count(keys, "hidden_size") or _count(keys, "n_embd")
    return None if hidden is None or heads is None else hidden // heads


def _count(keys: Keys, name: str) -> int | None:
    value = keys.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
