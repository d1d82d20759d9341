"""The benchmark of the estimators runs, and what it prints is what it measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "accuracy.py"


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Return the rows of a small table, and the text that was printed."""
    table = tmp_path_factory.mktemp("accuracy") / "table.json"
    command = [sys.executable, str(BENCHMARK), "--trials", "0", "--device-trials", "5", "--json", str(table)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(table.read_text()), done.stdout


def test_the_benchmark_has_every_tool_measure_the_same_windows(printed):
    rows, text = printed
    assert {row["window_s"] for row in rows} == {0.5, 1.0, 5.0, 10.0}
    for row in rows:
        ours = "guarded_edges" if row["segments"] == 1 else "stratified_edges"
        if row["segments"] > 1 or "in step" not in row["sensor"]:  # that misleads everything that reads one piece
            assert row[ours] < row["raw difference"]
        # CodeCarbon, which llem depends on, reads the same counter at the same two moments.
        assert abs(row["CodeCarbon"] - row["raw difference"]) < 1e-3
    assert len(text.splitlines()) >= len(rows)


def test_the_benchmark_shows_what_segments_and_cycles_do_for_work_in_step_with_the_sensor(printed):
    rows, _ = printed
    whole, cut, mean = (row for row in rows if "in step" in row["sensor"] and row["window_s"] == 10.0)
    assert whole["guarded_edges"] > 10
    assert cut["segments"] == 4
    assert cut["stratified_edges"] < 2
    assert mean["cycles"] == 5
    assert mean["stratified_edges"] < 0.5
    # Other tools have no segments: theirs is the same work in one piece.
    assert cut["raw difference"] == whole["raw difference"]
