"""The engines that llem can measure. A new one is one file and one line here."""

from llem.engines.base import EngineEntry
from llem.engines.transformers import TRANSFORMERS

ENGINES: dict[str, EngineEntry] = {
    "transformers": TRANSFORMERS,
}
"""Engines by name."""

__all__ = ["ENGINES", "EngineEntry"]
