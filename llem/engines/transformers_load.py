"""Loading a model with transformers. Imported by workers only."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.quantizers.auto import AutoQuantizationConfig

from llem.domain.identity import canonical_json
from llem.domain.measured import ModelFacts
from llem.domain.spec import ExperimentConfig, ModelConfig
from llem.engines.base import EngineError
from llem.engines.devices import gpu_name
from llem.engines.sources import HubModel, LocalModel, model_source
from llem.engines.transformers import TransformersOptions

WEIGHTS_HASH_LIMIT_BYTES = 2 * 2**30
WEIGHT_FILES = ("*.safetensors", "*.bin", "config.json")


def choose_device(options: TransformersOptions) -> torch.device:
    """Return the device that the options name.

    Raises:
        EngineError: It is not there.
    """
    if options.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(options.device)
    except RuntimeError:
        raise EngineError(
            "DeviceUnknown", f"torch knows no device {options.device!r}.", remedy="Use cpu, cuda or cuda:N."
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(
            "DeviceUnavailable",
            f"The study asks for {options.device}; torch sees {torch.cuda.device_count()} CUDA devices.",
            remedy="Use another device, check CUDA_VISIBLE_DEVICES, and see `llem doctor`.",
        )
    return device


def load_model(config: ExperimentConfig, options: TransformersOptions, base_dir: Path) -> Any:
    """Return the model of ``config`` on its devices, ready to generate.

    Raises:
        EngineError: It is not there, its architecture is unknown, or a device is missing.
    """
    source = model_source(config, base_dir)
    model = (
        _random_model(config, options, source)
        if isinstance(source, ModelConfig)
        else _pretrained_model(config, options, source)
    )
    model.eval()
    if options.torch_compile is not False:
        keywords: dict[str, Any] = {} if options.torch_compile is True else dict(options.torch_compile)
        model.forward = torch.compile(model.forward, **keywords)
    return model


def _torch_dtype(config: ExperimentConfig) -> Any:
    return "auto" if config.dtype == "auto" else getattr(torch, config.dtype)


def _random_model(config: ExperimentConfig, options: TransformersOptions, source: ModelConfig) -> Any:
    try:
        architecture = AutoConfig.for_model(source.config, **source.options)
    except (ValueError, KeyError) as error:
        raise EngineError(
            "UnknownArchitecture",
            f"transformers {transformers.__version__} cannot build {source.config!r}: {_first_line(error)[:150]}",
            remedy="Use a model_type of transformers, such as llama, gpt2 or qwen3, and its own keys.",
        ) from error
    dtype = torch.get_default_dtype() if config.dtype == "auto" else getattr(torch, config.dtype)
    torch.manual_seed(source.seed)
    keywords = {} if options.attn_implementation is None else {"attn_implementation": options.attn_implementation}
    with choose_device(options):  # straight onto the device: a large model never passes through host memory
        return AutoModelForCausalLM.from_config(architecture, dtype=dtype, **keywords)


def _pretrained_model(config: ExperimentConfig, options: TransformersOptions, source: LocalModel | HubModel) -> Any:
    name = str(source.path) if isinstance(source, LocalModel) else source.name
    keywords: dict[str, Any] = {
        "dtype": _torch_dtype(config),
        "device_map": options.device_map or {"": choose_device(options)},
        "attn_implementation": options.attn_implementation,
        "revision": options.revision or "main",
        "trust_remote_code": options.trust_remote_code,
        "use_safetensors": options.use_safetensors,
    }
    if options.quantization_config is not None:
        keywords["quantization_config"] = AutoQuantizationConfig.from_dict(dict(options.quantization_config))
    try:
        return AutoModelForCausalLM.from_pretrained(name, **keywords)
    except (OSError, ValueError) as error:
        raise _load_error(name, source, error) from error
    except Exception as error:
        # Named, not imported: what unpickles has no place in llem.
        if type(error).__name__ != "UnpicklingError":
            raise
        raise EngineError(
            "WeightsRefused",
            f"The pickled weights of {name} hold more than tensors, which would run code of theirs when loaded.",
            remedy="Use weights in safetensors, from whom you trust.",
        ) from None


def _load_error(name: str, source: LocalModel | HubModel, error: Exception) -> EngineError:
    text = _first_line(error)
    if "trust_remote_code" in str(error):
        return EngineError(
            "RemoteCodeRefused",
            f"{name} brings code of its own: {text}",
            remedy="If you trust it, set transformers.trust_remote_code: true.",
        )
    if isinstance(source, HubModel) and isinstance(error, OSError):
        return EngineError(
            "ModelNotAvailable",
            f"{name} is not in the local cache and could not be had from the hub: {text}",
            remedy=f"Download it where there is network with `hf download {name}`, or give a local folder. "
            "A gated model also needs `hf auth login`.",
        )
    return EngineError(
        "ModelNotLoaded",
        f"{name} cannot be loaded: {text}",
        remedy="Check the folder's files; pickled weights need transformers.use_safetensors: false.",
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def load_tokenizer(config: ExperimentConfig, options: TransformersOptions, base_dir: Path) -> Any:
    """Return the model's own tokenizer; None where it has none."""
    source = model_source(config, base_dir)
    if isinstance(source, ModelConfig):
        return None
    name = str(source.path) if isinstance(source, LocalModel) else source.name
    if isinstance(source, LocalModel) and not any(source.path.glob("tokenizer*")):
        return None
    return AutoTokenizer.from_pretrained(
        name, revision=options.revision or "main", trust_remote_code=options.trust_remote_code
    )


def model_facts(model: Any, config: ExperimentConfig, base_dir: Path, *, own_tokenizer: bool) -> ModelFacts:
    """Return the facts of a loaded model: size, devices and identity."""
    parameters = list(model.parameters())
    tensors = [*parameters, *model.buffers()]
    devices = sorted({tensor.device for tensor in tensors}, key=str)
    source = model_source(config, base_dir)
    safetensors = TransformersOptions.model_validate(config.engine_options).use_safetensors
    revision = getattr(model.config, "_commit_hash", None)
    weights_sha256, why_not = _weights_sha256(source, devices)
    unknown = {}
    if revision is None:
        unknown["revision"] = "the model does not come from the hub"
    if weights_sha256 is None:
        unknown["weights_sha256"] = why_not
    return ModelFacts(
        parameters=sum(parameter.numel() for parameter in parameters),
        weight_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        dtype=str(next(iter(parameters)).dtype).removeprefix("torch."),
        attn_implementation=getattr(model.config, "_attn_implementation", None),
        devices=tuple(_device_id(device) for device in devices),
        device_names=tuple(_device_name(device) for device in devices),
        tokenizer="model" if own_tokenizer else "bytes",
        revision=revision,
        weights_sha256=weights_sha256,
        weights_format=None if isinstance(source, ModelConfig) else "safetensors" if safetensors else "pickle",
        code_sha256=_code_sha256(),
        unknown=unknown,
    )


def _code_sha256() -> dict[str, str]:
    """Return the hash of each file of a model's own code that this process has imported."""
    package = "transformers_modules."
    files = {
        name.removeprefix(package).replace(".", "/"): Path(module.__file__)
        for name, module in sys.modules.items()
        if name.startswith(package) and module.__file__
    }
    # The packages around them are made of empty files.
    found = {f"{name}.py": file.read_bytes() for name, file in sorted(files.items()) if file.stat().st_size}
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


def _device_id(device: torch.device) -> str:
    """Return a GPU's lasting name, so that the right sensor is read whatever CUDA_VISIBLE_DEVICES says."""
    if device.type == "cuda":
        return gpu_name(str(torch.cuda.get_device_properties(device).uuid), rocm=torch.version.hip is not None)
    return str(device)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _weights_sha256(
    source: LocalModel | HubModel | ModelConfig, devices: list[torch.device]
) -> tuple[str | None, str]:
    """Return the identity of the weights, or None and the reason."""
    digest = hashlib.sha256()
    if isinstance(source, ModelConfig):
        # Random weights are settled by configuration, seed, torch and the kind of device that drew them.
        tree = {
            **source.model_dump(mode="json"),
            "torch": torch.__version__,
            "on": sorted({d.type for d in devices}),
        }
        digest.update(canonical_json(tree).encode())
        return digest.hexdigest(), ""
    if isinstance(source, HubModel):
        return None, "the revision names the weights of a hub model"
    files = sorted({file for pattern in WEIGHT_FILES for file in source.path.glob(pattern)})
    if sum(file.stat().st_size for file in files) > WEIGHTS_HASH_LIMIT_BYTES:
        return None, "the weights are larger than 2 GiB, and hashing them would delay every trial"
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest(), ""
