"""A study to start from: commented, and running as it stands, without a download."""

import json
import re
from pathlib import Path

from llem.domain.spec import STUDY_NAME_PATTERN
from llem.study.yaml_source import read_value

SCHEMA_FILE = "study.schema.json"

SMALL_LLAMA = """\
model:                     # your own: `model: ./folder` (as seen from this file), or a hub id
  config: llama            # an architecture that transformers knows; random weights, so nothing is downloaded
  hidden_size: 256         # this and what follows are the architecture's own keys
  intermediate_size: 688
  num_hidden_layers: 4
  num_attention_heads: 8
  num_key_value_heads: 4
  vocab_size: 512
  max_position_embeddings: 1024
"""

GIVEN_MODEL = """\
# A local folder (as seen from this file) or a hub id, which is downloaded when a trial loads it.
model: {model}
"""

ENGINE_AXES = {"transformers": "  transformers.attn_implementation: [eager, sdpa]   # an option of the engine\n"}
"""Engine → the line of the sweep that shows how its own options are swept."""

STUDY = """\
# yaml-language-server: $schema={schema_file}
# The line above is for editors, which complete and check: `llem schema > {schema_file}` makes the file here.
#
# A study: every combination under `sweep` is one experiment, and each is measured `cycles` times.

# Names the study and its folder: letters, digits, dot, dash and underscore.
name: {name}

{model}
engine: {engine}
dtype: auto                # the model's own; or float32, float16, bfloat16

prompts:                   # your own texts: {{path: prompts.jsonl, field: text, count: 8}}
  source: synthetic        # random token ids: exact lengths, no file
  count: 8                 # at least the largest batch_size
  input_tokens: 96

generation:
  output_tokens: 32        # exactly; with `stop: natural` at most

# A first look: 3 cycles, short windows. For figures to publish: `profile: publish`.
profile: quick

sweep:                     # any key of an experiment, dotted, with a list of values
  batch_size: [1, 8]
{engine_axis}"""


def starter_study(path: Path, *, engine: str, model: str | None) -> str:
    """Return the text of a study to start from.

    Args:
        path: The file that it is for: names the study.
        engine: The engine that measures it.
        model: A local folder or a hub id; a small model from a configuration where left out.
    """
    return STUDY.format(
        schema_file=SCHEMA_FILE,
        name=_written(_study_name(path)),
        model=SMALL_LLAMA if model is None else GIVEN_MODEL.format(model=_written(model)),
        engine=_written(engine),
        engine_axis=ENGINE_AXES.get(engine, ""),
    )


def _study_name(path: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("._-")[:100]
    return name if re.match(STUDY_NAME_PATTERN, name) else "study"


def _written(text: str) -> str:
    """Return a text as YAML writes it, in quotes where it would not be read as that text without."""
    try:
        plain = read_value(text) == text
    except ValueError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)
