"""Where a model comes from: a local folder, a hub id, or a configuration with random weights."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from llem.domain.spec import ExperimentConfig, ModelConfig

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")


@dataclass(frozen=True)
class LocalModel:
    """A folder on this machine; it may turn out not to be there."""

    path: Path


@dataclass(frozen=True)
class HubModel:
    """A model on the hub, or in its local cache."""

    name: str


def model_source(config: ExperimentConfig, base_dir: Path) -> LocalModel | HubModel | ModelConfig:
    """Return where the model of ``config`` comes from.

    A string is a local folder if one is there, or if it looks like a path (``./x``, ``../x``, ``/x``, ``~/x``,
    ``a/b/c``); otherwise a hub id.
    """
    model = config.model
    if isinstance(model, ModelConfig):
        return model
    return LocalModel(base_dir / os.path.expanduser(model)) if is_local(model, base_dir) else HubModel(model)


def is_local(model: str, base_dir: Path) -> bool:
    """Return whether a model's name means a folder, relative to ``base_dir``, and not a hub id."""
    looks_like_path = model.startswith((".", "/", "~")) or not HUB_ID.match(model)
    # os.path, since it takes a name that no system can open for what it is: nothing there.
    return looks_like_path or os.path.isdir(os.path.join(base_dir, os.path.expanduser(model)))
