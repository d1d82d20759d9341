"""Importing what an attempt will need, before anything of it is measured."""

import gc
import pkgutil
from pathlib import Path

from llem.domain.spec import ExperimentConfig
from llem.engines import ENGINES


def preload(config: ExperimentConfig, base_dir: Path) -> None:
    """Import what an attempt at ``config`` will need; nothing is computed and no thread is left by that.

    Every worker does this before it loads a model, and a zygote before it forks one, for which nothing is left to do:
    so the time of loading means the same for both. What has been imported by then is for ever, and the collector
    of garbage does not look at it again: a collection within a window takes the same time in both, and writes to none
    of the memory that forked workers share.
    """
    pkgutil.resolve_name(ENGINES[config.engine].preload)(config, base_dir)
    gc.collect()
    gc.freeze()
