"""benchmarks/gpu_check.sh on the GPU of this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a check that went through: doctor, study, audit and recomputation."""
    folder = tmp_path_factory.mktemp("gpu")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([ROOT / "benchmarks" / "gpu_check.sh", folder], env=environment, check=True, timeout=1800)
    return folder


def results(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in folder.glob("gpu-check_*/results/*.json")]


@pytest.mark.gpu
def test_every_trial_has_a_measured_energy_of_its_gpu(checked: Path) -> None:
    found = results(checked)
    assert len(found) == 6
    for result in found:
        assert (result["boundary"], result["provenance"] in {"counter", "sampled"}) == ("gpu", True)
        assert 0 < result["figures"]["u_energy_total_j"] < 0.1 * result["figures"]["energy_total_j"]


@pytest.mark.gpu
def test_power_lies_between_idle_and_the_limit_of_the_board(checked: Path) -> None:
    for result in results(checked):
        (used,) = (gpu for gpu in result["devices"] if gpu["id"] in result["measured"]["model"]["devices"])
        power_w = result["figures"]["power_mean_w"]
        assert 5 < result["figures"]["power_context_idle_w"] < power_w < 1.1 * used["facts"]["power_limit_w"]


@pytest.mark.gpu
def test_the_second_sensor_agrees_with_the_first_within_the_scale_of_a_board(checked: Path) -> None:
    for result in results(checked):
        assert abs(result["figures"]["cross_check_rel"]) < 0.05


@pytest.mark.gpu
def test_larger_batches_take_less_energy_a_token(checked: Path) -> None:
    by_batch: dict[int, list[float]] = {}
    for result in results(checked):
        energy_j = result["figures"]["energy_per_output_token_j"]
        by_batch.setdefault(result["config"]["batch_size"], []).append(energy_j)
    assert max(by_batch[8]) < min(by_batch[1])
