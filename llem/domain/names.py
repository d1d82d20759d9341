"""Names that studies and their folders use, for whoever needs no more of them than the name."""

from typing import Literal

OrderKind = Literal["blocks", "sequential", "interleave", "reverse", "shuffle", "latin_square"]
ProfileName = Literal["quick", "standard", "publish"]

DEFAULT_ENGINE = "transformers"

SAMPLES_ENDING = ".json.gz"
"""How a file of raw edges ends."""
