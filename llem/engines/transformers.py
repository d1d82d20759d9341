"""The engine ``transformers``: its options, and the environment that it is loaded in."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import JsonValue, model_validator

from llem.domain.model import Value
from llem.domain.spec import ExperimentConfig, Switch
from llem.engines.base import Answers, EngineEntry
from llem.engines.sources import HubModel, model_source
from llem.engines.transformers_rules import check


class TransformersOptions(Value):
    """Options of the engine ``transformers``, named as transformers names them and passed through unchanged.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:N``; ``auto`` takes a GPU where there is one.
        device_map: Spreads the model over devices (``auto``, ``balanced``, a mapping); instead of ``device``.
        attn_implementation: ``eager``, ``sdpa``, ``flash_attention_2``, …; the library's choice where left out.
        quantization_config: A quantisation method's own configuration, with ``quant_method``.
        torch_compile: ``true``, or keyword arguments of ``torch.compile`` (``mode``, ``fullgraph``, …).
        cache_implementation: KV cache (``static``, ``dynamic``, …); the library's choice where left out.
        revision: Branch, tag or commit of a hub model.
        use_safetensors: Refuse pickled weights, which can run code when they are loaded.
        trust_remote_code: Run code that comes with the model.
    """

    device: str = "auto"
    device_map: str | dict[str, str | int] | None = None
    attn_implementation: str | None = None
    quantization_config: dict[str, JsonValue] | None = None
    torch_compile: Switch | dict[str, JsonValue] = False
    cache_implementation: str | None = None
    revision: str | None = None
    use_safetensors: Switch = True
    trust_remote_code: Switch = False

    @model_validator(mode="after")
    def _one_way_to_place_the_model(self) -> "TransformersOptions":
        if self.device_map is not None and self.device != "auto":
            raise ValueError("give 'device' or 'device_map', not both")
        return self


def environment(config: ExperimentConfig, base_dir: Path, answers: Answers) -> dict[str, str]:
    """Return the variables to set before transformers is imported: silence, and no network unless it is needed.

    Nor a thread: where pyarrow is installed, transformers and its libraries may import it, and its allocator would
    start one that tidies up whenever it likes, and that no worker could be forked beside.
    """
    variables = {
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
    }
    on_hub = isinstance(model_source(config, base_dir), HubModel)
    if not on_hub or not hub_reachable({**os.environ, **config.environment}, answers):
        # Without this, a hub id without network hangs for 20 s; with it, only the local cache is asked.
        variables["HF_HUB_OFFLINE"] = "1"
    return variables


def hub_reachable(variables: Mapping[str, str], answers: Answers) -> bool:
    """Return whether the hub answers on its port, or a proxy is configured that might reach it."""
    if variables.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    if any(variables.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    hub = urlsplit(variables.get("HF_ENDPOINT") or "https://huggingface.co")
    return answers(hub.hostname or "", hub.port or (80 if hub.scheme == "http" else 443))


def may_use_gpu(config: ExperimentConfig) -> bool:
    """Return whether a configuration may put anything on a GPU: unless it names the processor as its device."""
    return config.engine_options.get("device") != "cpu"


def trusts(model: str, options: Mapping[str, object]) -> Iterator[str]:
    """Yield what is taken on trust: a model's own code, and weights in a form that can hold code."""
    if options.get("trust_remote_code"):
        yield (
            f"transformers.trust_remote_code: code that comes with {model} will run with all your rights; "
            "what was run is recorded by its hashes"
        )
    if options.get("use_safetensors") is False:
        yield (
            f"transformers.use_safetensors: false: the weights of {model} are unpickled, which can run code; torch "
            "refuses what it knows to be more than tensors"
        )


TRANSFORMERS = EngineEntry(
    options=TransformersOptions,
    check=check,
    environment=environment,
    late_variables=frozenset({"CUDA_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM"}),
    preload="llem.engines.transformers_preload:preload",
    adapter="llem.engines.transformers_adapter:TransformersEngine",
    may_use_gpu=may_use_gpu,
    trusts=trusts,
)
