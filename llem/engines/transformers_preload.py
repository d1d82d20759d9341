"""What transformers must import for a configuration, before anything is loaded. In workers and zygotes only."""

import contextlib
import json
from pathlib import Path

import huggingface_hub
import transformers

import llem.engines.transformers_adapter  # noqa: F401 - and torch, and all else that every model needs
from llem.domain.spec import ExperimentConfig, ModelConfig
from llem.engines.sources import HubModel, LocalModel, model_source
from llem.engines.transformers import TransformersOptions


def preload(config: ExperimentConfig, base_dir: Path) -> None:
    """Import the modules of the model's own class and of its tokenizer, as far as its files tell them.

    What cannot be imported, or is not known yet, is left to loading: that tells what is wrong.
    """
    with contextlib.suppress(ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError):
        architecture = transformers.CONFIG_MAPPING[_model_type(config, base_dir) or ""]
        _ = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[architecture]
        _ = transformers.TOKENIZER_MAPPING[architecture]


def _model_type(config: ExperimentConfig, base_dir: Path) -> str | None:
    source = model_source(config, base_dir)
    if isinstance(source, ModelConfig):
        return source.config
    file = source.path / "config.json" if isinstance(source, LocalModel) else _cached(source, config)
    found: str | None = json.loads(file.read_text())["model_type"] if file else None
    return found


def _cached(source: HubModel, config: ExperimentConfig) -> Path | None:
    """Return a hub model's configuration in the local cache, if it is there. Asks no network."""
    revision = TransformersOptions.model_validate(config.engine_options).revision
    found = huggingface_hub.try_to_load_from_cache(source.name, "config.json", revision=revision)
    return Path(found) if isinstance(found, str) else None
