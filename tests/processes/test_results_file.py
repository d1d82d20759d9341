"""``results.json``: there when a session ends, exact, and made again from the journal alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from llem.journal.reader import open_reader

POWERED = "GPU-00000000-sim1-0000-0000-000000000000"  # 50 W, known to the simulated driver alone
CYCLES = 3
CARBON = {"intensity_g_per_kwh": 56.0, "source": "RTE eco2mix, 2025 mean", "pue": 1.2}


def results(study: Any) -> Any:
    return json.loads((study.root / "results.json").read_text())


@pytest.fixture(scope="module")
def ended(module_lab: Any, nvml: Any) -> tuple[Any, Any]:
    """Return a session and its study: one experiment that works for 0.2 s at 50 W, and one for 0.4 s."""
    study_file = module_lab.write(
        model={"devices": [POWERED], "settle_s": 0.1},
        sweep={"model.window_s": [0.2, 0.4]},
        measurement={**MEASUREMENT, "sensors": ["nvml"]},
        cycles=CYCLES,
        carbon=CARBON,
    )
    session, study = module_lab.run(study_file, "--json", env=nvml)
    return session, study


MEASUREMENT = {"guard_s": 0, "latency_passes": 0, "count_flops": False, "min_window_s": 0, "min_passes": 1}


def test_the_results_are_there_when_a_session_ends_and_reflect_its_last_event(ended: Any) -> None:
    _, study = ended
    last = study.events()[-1]
    assert (results(study)["journal_seq"], results(study)["journal_hash"]) == (last["seq"], last["hash"])
    assert sorted(path.name for path in study.root.glob("*.json")) == ["manifest.json", "results.json"]


def test_energy_and_ratio_are_those_of_the_known_power(ended: Any) -> None:
    _, study = ended
    first, second = results(study)["experiments"]
    headlines = [event["data"]["headline"] for event in study.events("experiment_completed")]
    joules = sum(headline["energy_total_j"] for headline in headlines)
    assert joules == pytest.approx(50 * sum(headline["duration_s"] for headline in headlines))
    tokens = headlines[0]["output_tokens"]
    assert first["energy_per_output_token_j"]["mean"] == pytest.approx(50 * 0.2 / tokens, rel=0.1)
    assert first["energy_per_request_j"]["mean"] == pytest.approx(50 * 0.2, rel=0.1)
    assert first["energy_per_output_token_j"]["u_scale"] == pytest.approx(0.05 * 50 * 0.2 / tokens, rel=0.1)
    assert (first["n_valid"], second["n_valid"]) == (CYCLES, CYCLES)
    (comparison,) = results(study)["comparisons"]
    assert comparison["ratio"] == pytest.approx(2, rel=0.05)
    assert comparison["n_cycles"] == CYCLES
    assert (comparison["config_hash"], comparison["reference_hash"]) == (second["config_hash"], first["config_hash"])


def test_the_closing_line_and_status_say_the_same(lab: Any, ended: Any) -> None:
    session, study = ended
    closing = json.loads(session.out.splitlines()[-1])
    status = json.loads(lab.llem("study", "status", study.root, "--json").out)
    assert status["results"] == results(study)
    assert closing.keys() == {"kind", "folder", "status", "exit_code", "experiments", "comparisons", "carbon"}
    assert {key: closing[key] for key in ("experiments", "comparisons", "carbon")}.items() <= results(study).items()
    assert status.items() >= study.manifest().items()


def test_carbon_is_in_the_results_alone_and_follows_from_the_energy(ended: Any) -> None:
    _, study = ended
    assert results(study)["carbon"] == {**CARBON, "country": None}
    for experiment in results(study)["experiments"]:
        carbon, energy = experiment["carbon"], experiment["energy_per_output_token_j"]
        assert carbon["g_per_output_token"]["mean"] == pytest.approx(energy["mean"] / 3.6e6 * 1.2 * 56)
        assert carbon["g_total"] == carbon["energy_total_j"] / 3.6e6 * 1.2 * 56
    (planned,) = study.events("study_planned")
    assert planned["data"]["carbon"] == {**CARBON, "country": None}
    measured = [path.read_text() for path in (study.root / "results").iterdir()]
    assert not any(
        '"carbon"' in text or CARBON["source"] in text for text in [*measured, json.dumps(study.manifest())]
    )


def test_a_study_with_carbon_verifies_and_an_altered_gram_is_found(lab: Any, ended: Any) -> None:
    study = lab.copy(ended[1])
    lab.llem("study", "verify", study.root)
    path: Path = study.root / "results.json"
    path.write_text(path.read_text().replace('"g_total": ', '"g_total": 1', 1))
    assert "experiments[0].carbon.g_total is 1" in lab.llem("study", "verify", study.root, code=3).out


def test_the_screen_shows_the_comparison(lab: Any, ended: Any) -> None:
    shown = lab.llem("study", "status", ended[1].root).out
    assert "Energy per output token beside window_s=0.2" in shown
    assert "J/token ± " in shown
    assert "Carbon as declared, 56 g CO₂eq/kWh (RTE eco2mix, 2025 mean), PUE 1.2:" in shown
    assert "g per output token; " in shown


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[" * 200_000], ids=["lost", "empty", "other", "nested"])
def test_lost_or_garbled_results_are_exported_again(lab: Any, ended: Any, content: bytes | None) -> None:
    study = lab.copy(ended[1])
    path: Path = study.root / "results.json"
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    lab.llem("study", "status", study.root)
    assert path.read_bytes() == before


def test_results_that_are_behind_are_exported_again(lab: Any, ended: Any) -> None:
    study = lab.copy(ended[1])
    path: Path = study.root / "results.json"
    before = path.read_bytes()
    with open_reader(study.root / "journal.db") as reader:
        row = next(reader.rows(4))
    anchor = {"journal_seq": row.seq, "journal_hash": row.hash}
    path.write_text(json.dumps({**json.loads(before), **anchor, "experiments": []}))
    lab.llem("study", "status", study.root)
    assert path.read_bytes() == before


def test_results_that_cannot_be_written_are_a_warning(lab: Any) -> None:
    _, study = lab.run(lab.write(["ok"]))
    (study.root / "results.json").unlink()
    (study.root / "results.json").mkdir()
    session = lab.resume(study)
    assert "warning: results.json could not be written" in session.err
    assert "the journal has it all" in session.err
