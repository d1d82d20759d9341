"""The benchmark of the estimators runs, and what it prints is what it measured."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "accuracy.py"


def test_the_benchmark_has_every_tool_measure_the_same_windows(tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    command = [sys.executable, str(BENCHMARK), "--trials", "0", "--device-trials", "2", "--json", str(table)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(table.read_text())
    assert {row["window_s"] for row in rows} == {0.5, 1.0, 5.0, 10.0}
    for row in rows:
        assert row["guarded_edges"] < row["raw difference"]
        # CodeCarbon, which llem depends on, reads the same counter at the same two moments.
        assert abs(row["CodeCarbon"] - row["raw difference"]) < 1e-3
    assert len(done.stdout.splitlines()) >= len(rows)
