"""Code of a model, or within its weights, runs only where the study asks for it, and is then recorded."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.model

MAKE = """
import os, sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM

class Runs:
    def __reduce__(self):
        return os.system, (f"touch {sys.argv[1]}/unpickled",)

config = LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
                     num_key_value_heads=2, vocab_size=300, max_position_embeddings=128)
model = LlamaForCausalLM(config)
model.save_pretrained("coded")
for folder, weights in (("pickled", model.state_dict()), ("evil", {"x": Runs()})):
    config.save_pretrained(folder)
    torch.save(weights, f"{folder}/pytorch_model.bin")
"""
CODE = """from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
from .own_helper import NAME
class TinyConfig(LlamaConfig):
    model_type = NAME
class TinyModel(LlamaForCausalLM):
    config_class = TinyConfig
Path({mark!r}).touch()
"""
HELPER = 'NAME = "tiny-own"\n'
CELLS = {
    "pickled, not asked for": {"model": "./pickled"},
    "pickled": {"model": "./pickled", "transformers.use_safetensors": False},
    "evil, not asked for": {"model": "./evil"},
    "evil": {"model": "./evil", "transformers.use_safetensors": False},
    "coded, not asked for": {"model": "./coded"},
}
TRUSTED = {"model": "./coded", "transformers.trust_remote_code": True}


@pytest.fixture(scope="module")
def models(module_lab: Any) -> Path:
    """Make models that bring code of their own and pickled weights; return the folder in which that leaves marks."""
    place: Path = module_lab.place
    marks = place / "marks"
    marks.mkdir()
    subprocess.run([sys.executable, "-c", MAKE, str(marks)], cwd=place, check=True, capture_output=True)
    (place / "coded" / "modeling_tiny.py").write_text(CODE.format(mark=str(marks / "imported")))
    (place / "coded" / "own_helper.py").write_text(HELPER)
    config = json.loads((place / "coded" / "config.json").read_text())
    own = {"AutoConfig": "modeling_tiny.TinyConfig", "AutoModelForCausalLM": "modeling_tiny.TinyModel"}
    (place / "coded" / "config.json").write_text(json.dumps({**config, "model_type": "tiny-own", "auto_map": own}))
    return marks


def study(lab: Any, models: Path, name: str, cells: list[dict[str, object]]) -> Path:
    tree = {
        "name": name,
        "model": "./coded",
        "prompts": {"count": 1, "input_tokens": 4},
        "generation": {"output_tokens": 2},
        "measurement": {
            **{"sensors": [], "warmup_passes": 0, "warmup_max_s": 0, "soak_max_s": 0, "min_window_s": 0},
            **{"min_passes": 1, "guard_s": 0, "bare_idle_s": 0, "phases": False, "count_flops": False},
        },
        "cycles": 1,
        "order": "sequential",
        "sweep": {"cell": cells},
    }
    path: Path = lab.place / f"{name}.yaml"
    path.write_text(json.dumps(tree))
    return path


def offline(lab: Any) -> dict[str, str]:
    return {"HF_MODULES_CACHE": str(lab.place / "modules"), "HF_HUB_OFFLINE": "1"}


def run(lab: Any, path: Path, code: int) -> tuple[Any, Any]:
    session = lab.llem("study", "run", path, "--output", lab.output, code=code, env=offline(lab))
    return session, lab.study_of(session)


def test_nothing_runs_that_was_not_asked_for_and_no_weights_run_code_at_all(module_lab: Any, models: Path) -> None:
    path = study(module_lab, models, "careful", list(CELLS.values()))
    session, done = run(module_lab, path, 1)
    ended = dict(zip(CELLS, (done.terminal(trial)[-1] for trial in done.trials()), strict=True))
    types = {cell: event["data"].get("error_type") for cell, event in ended.items()}
    assert types == {
        "pickled, not asked for": "ModelNotLoaded",
        "pickled": None,
        "evil, not asked for": "ModelNotLoaded",
        "evil": "WeightsRefused",
        "coded, not asked for": "RemoteCodeRefused",
    }
    assert list(models.iterdir()) == []
    facts = done.result(ended["pickled"]["trial"])["measured"]["model"]
    assert (facts["weights_format"], facts["code_sha256"]) == ("pickle", {})
    assert "warning: transformers.use_safetensors: false: the weights of ./pickled" in session.err


def test_code_that_was_asked_for_is_told_before_it_runs_and_recorded(module_lab: Any, models: Path) -> None:
    path = study(module_lab, models, "trusting", [TRUSTED])
    warning = "transformers.trust_remote_code: code that comes with ./coded will run with all your rights"
    planned = module_lab.llem("study", "plan", path)
    assert warning in planned.out
    assert not (models / "imported").exists()
    session, done = run(module_lab, path, 0)
    assert f"warning: {warning}" in session.err
    assert session.err.index(warning) < session.err.index("[1/1]")
    assert (models / "imported").exists()
    facts = done.result(done.trials()[0])["measured"]["model"]
    files = {Path(name).name: sha256 for name, sha256 in facts["code_sha256"].items()}
    sources = [module_lab.place / "coded" / name for name in ("modeling_tiny.py", "own_helper.py")]
    assert files == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sources}
    assert facts["weights_format"] == "safetensors"
    (done.root / "results" / done.events("experiment_completed")[0]["data"]["result_file"]).unlink()
    assert warning in module_lab.llem("study", "resume", done.root, env=offline(module_lab)).err
    assert module_lab.llem("study", "verify", done.root).out.endswith("nothing found wrong\n")
