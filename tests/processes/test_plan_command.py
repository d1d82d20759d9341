"""``llem study plan`` and ``llem study run --dry-run``: what a study would do, told before anything is spent."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HEAVY = {"torch", "transformers", "codecarbon", "pynvml", "numpy", "pandas", "sqlite_utils"}

COMMON = """\
dtype: float32
measurement: {guard_s: 0.5, sensors: [rapl]}
"""

STUDY = """\
name: demo
base: common.yaml
profile: quick
model: {config: llama, hidden_size: 64}
seed: 1
cycles: 2
generation: {output_tokens: 16}
gaps: {between_trials: 30, between_cycles: {cool_to_c: 45, at_most_s: 300}}
sweep:
  batch_size: [1, 2, 2, 99]
  prompts.input_tokens: [8, 16]
exclude:
  - {batch_size: 2, prompts.input_tokens: 16}
"""

PLAN = """\
demo: nothing has been run

declared           8  (batch_size 4 × prompts.input_tokens 2)
skipped            4  (2 excluded, 2 invalid)
duplicates         1
experiments        3
trials             6  (3 × 2 cycles)

axes
  batch_size            1, 2, 2, 99
  prompts.input_tokens  8, 16

skipped
  2 × excluded: study.yaml:13:5: exclude: batch_size: 2, prompts.input_tokens: 16
      batch_size=2 input_tokens=16
      batch_size=2 input_tokens=16
  2 × invalid: study.yaml:10:25: batch_size: batch_size (99) is more than prompts.count (8)
      batch_size=99 input_tokens=8
      batch_size=99 input_tokens=16

experiments
  1  {0}  batch_size=1 input_tokens=8
  2  {1}  batch_size=1 input_tokens=16
  3  {2}  batch_size=2 input_tokens=8

order: blocks, seed 1
  cycle 1   3 2 1
  cycle 2   3 1 2
  gap between trials: 30 s
  gap between cycles: cool to 45 °C, at most 5:00 min
"""

METHOD = """\
method
  profile                      quick                               study line 3
  cycles                       2                                   study line 6
  reruns                       2                                   default
  retries                      1                                   default
  gaps.between_trials          30.0                                study line 8
  gaps.between_cycles          {"cool_to_c": 45.0, "at_most_s": 300.0}  study line 8
  limits.start_s               300.0                               default
  limits.load_s                1800.0                              default
  limits.warmup_s              null                                default
  limits.measurement_s         null                                default
  limits.silence_s             900.0                               default
  limits.trial_s               3600.0                              default
  limits.clean_s               60.0                                default
  limits.study_s               null                                default
  limits.energy_kwh            null                                default
  limits.consecutive_failures  5                                   default
  limits.cool_down_s           60.0                                default
  measurement.sensors          ["rapl"]                            base common.yaml line 2
  measurement.warmup_passes    1                                   profile quick
  measurement.warmup_max_s     0.0                                 profile quick
  measurement.soak_max_s       0.0                                 profile quick
  measurement.min_window_s     1.0                                 profile quick
  measurement.min_passes       2                                   profile quick
  measurement.guard_s          0.5                                 base common.yaml line 2
  measurement.bare_idle_s      2.0                                 profile quick
  measurement.phases           false                               profile quick
  measurement.latency_passes   1                                   default
  measurement.count_flops      true                                default
  measurement.isolation        auto                                default
"""


class Desk:
    """A folder with a study in it, and the command line, run there."""

    def __init__(self, lab: Any, place: Path) -> None:
        self.lab = lab
        self.place = place
        self.study = self.write(STUDY)
        (place / "common.yaml").write_text(COMMON)

    def write(self, text: str, name: str = "study.yaml") -> Path:
        path = self.place / name
        path.write_text(text)
        return path

    def llem(self, *arguments: object, code: int = 0, **popen: Any) -> Any:
        session = self.lab.llem(*arguments, code=code, cwd=self.place, **popen)
        assert "Traceback" not in session.err + session.out
        return session

    def plan(self, *options: object, study: str = "study.yaml", code: int = 0, **popen: Any) -> Any:
        return self.llem("study", "plan", study, *options, code=code, **popen)

    def tree(self, *options: object, **popen: Any) -> dict[str, Any]:
        lines = self.plan(*options, "--json", **popen).out.splitlines()
        assert len(lines) == 1
        tree: dict[str, Any] = json.loads(lines[0])
        return tree

    def listing(self) -> dict[str, tuple[int, int]]:
        """Return everything in the folder with its size and time of change."""
        return {
            str(path.relative_to(self.place)): (path.stat().st_size, path.stat().st_mtime_ns)
            for path in (self.place, *self.place.rglob("*"))
        }


@pytest.fixture
def desk(lab: Any, tmp_path: Path) -> Desk:
    place = tmp_path / "desk"
    place.mkdir()
    return Desk(lab, place)


def section(text: str, name: str) -> list[str]:
    """Return the lines below a heading of a plan."""
    lines = text.splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith(name))
    end = lines.index("", begin) if "" in lines[begin:] else len(lines)
    return lines[begin + 1 : end]


def test_a_plan_tells_the_funnel_the_axes_what_is_skipped_and_the_order(desk: Desk) -> None:
    before = desk.listing()
    shown = desk.plan()
    labels = [experiment["label"] for experiment in desk.tree()["experiments"]]
    assert shown.out.startswith(PLAN.format(*labels))
    assert shown.err == ""
    head, _, tail = shown.out.partition("\nmethod\n")
    assert head
    assert [line.split() for line in f"method\n{tail}".split("\n\n")[0].splitlines()] == [
        line.split() for line in METHOD.splitlines()
    ]
    # 6 trials of 3 × 0.5 s guard and idle, and a window of 1 s; 4 gaps of 30 s and one cool-down.
    assert " ".join(" ".join(section(shown.out, "estimate")).split()).startswith(
        "time at least 2:15 min, cooling at most 5:00 min more "
        "(by the settings: guards and shortest windows; starts, loading and warm-up come on top) "
        "energy unknown: no power is known before a trial has run: give earlier studies with --from "
        "disk about 1.32 MB; "
    )
    assert desk.listing() == before, "a plan writes nothing"


def test_a_dry_run_prints_the_same_and_runs_nothing(desk: Desk) -> None:
    before = desk.listing()
    options = ("--cycles", "3", "--set", "dtype=bfloat16")
    planned = desk.plan(*options).out
    dry = desk.llem("study", "run", "study.yaml", "--dry-run", *options)
    assert free_left_out(dry.out) == free_left_out(planned)
    assert dry.err == ""
    assert desk.listing() == before
    assert "trials             9  (3 × 3 cycles)" in dry.out
    as_json = [
        json.loads(desk.llem("study", *words, "--json").out)
        for words in (("run", "study.yaml", "--dry-run"), ("plan", "study.yaml"))
    ]
    for tree in as_json:
        del tree["disk_free_bytes"]
    assert as_json[0] == as_json[1]


def free_left_out(text: str) -> list[str]:
    return [line.partition("; ")[0] if line.startswith("  disk") else line for line in text.splitlines()]


ORDERS = {
    "blocks": ["  cycle 1   3 2 1", "  cycle 2   3 1 2", "  cycle 3   3 2 1"],
    "sequential": ["  1 1 1 2 2 2 3 3 3"],
    "interleave": ["  cycle 1   1 2 3", "  cycle 2   1 2 3", "  cycle 3   1 2 3"],
    "reverse": ["  cycle 1   1 2 3", "  cycle 2   3 2 1", "  cycle 3   1 2 3"],
    "shuffle": ["  3 3 2 3 2 1 1 2 1"],
    "latin_square": ["  cycle 1   3 1 2", "  cycle 2   1 2 3", "  cycle 3   1 3 2"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_each_order_is_a_grid_of_the_experiments_numbers(desk: Desk, order: str) -> None:
    desk.write("name: orders\nmodel: {config: llama}\nseed: 1\ncycles: 3\nsweep: {batch_size: [1, 2, 4]}\n")
    shown = desk.plan("--order", order).out
    assert section(shown, f"order: {order}, seed 1") == ORDERS[order]
    balanced = "  latin_square of 3 experiments is balanced after 6 cycles, or a multiple; this study has 3"
    assert (balanced in shown) == (order == "latin_square")


def test_explain_tells_where_each_value_comes_from(desk: Desk) -> None:
    desk.write(
        """\
        name: origins
        base: common.yaml
        profile: quick
        model: {config: llama, hidden_size: 64}
        cycles: 2
        x-size: &size 8
        prompts:
          input_tokens: *size
        sweep:
          batch_size: [1, 2]
          memory:
            - {}
            - transformers.cache_implementation: static
        """
    )
    options = ("--explain", "--order", "reverse", "--set", "generation.output_tokens=4", "--set", "prompts.seed=7")
    origins = {line.split()[0]: line for line in section(desk.plan(*options).out, "values, and where")}
    expected = {
        "name": "study line 1",
        "profile": "study line 3",
        "cycles": "study line 5",
        "order": "command line",
        "seed": "derived from the design",
        "gaps.between_trials": "default",
        "limits.trial_s": "default",
        "model": "study line 4",
        "engine": "default",
        "dtype": "base common.yaml line 1",
        "batch_size": "sweep batch_size line 10",
        "prompts.count": "default",
        "prompts.input_tokens": "study line 8",
        "prompts.seed": "command line",
        "generation.output_tokens": "command line",
        "measurement.sensors": "base common.yaml line 2",
        "measurement.warmup_passes": "profile quick",
        "measurement.latency_passes": "default",
        "transformers.cache_implementation": "default, sweep memory line 13",
        "transformers.device": "default",
    }
    assert {key: origins[key].rstrip().endswith(f"  {origin}") for key, origin in expected.items()} == dict.fromkeys(
        expected, True
    ), "\n".join(origins.values())
    values = {key: origins[key].split()[1] for key in ("cycles", "order", "generation.output_tokens", "prompts.seed")}
    assert values == {"cycles": "2", "order": "reverse", "generation.output_tokens": "4", "prompts.seed": "7"}


EXPLAINED = {
    "a section given as a whole": (["--set", "generation={output_tokens: 5}"], "generation.output_tokens", [5]),
    "a model given as a whole": (["--set", "model={config: gpt2}"], "model", [{"config": "gpt2", "seed": 0}]),
}


@pytest.mark.parametrize(("options", "key", "values"), EXPLAINED.values(), ids=EXPLAINED)
def test_what_the_command_line_sets_over_a_sweep_is_told_to_come_from_there(
    desk: Desk, options: list[str], key: str, values: list[Any]
) -> None:
    desk.write(
        "name: overruled\nmodel: {config: llama}\n"
        "sweep: {generation.output_tokens: [4, 8], model.hidden_size: [64, 128]}\n"
    )
    (explained,) = [value for value in desk.tree(*options)["values"] if value["key"] == key]
    assert explained == {"key": key, "values": values, "origins": ["command line"]}


def test_a_plan_as_json_is_one_line_with_stable_keys(desk: Desk) -> None:
    tree = desk.tree()
    assert list(tree) == [
        "kind",
        "study_name",
        "study_design_hash",
        "funnel",
        "axes",
        "skipped",
        "experiments",
        "order",
        "values",
        "estimate",
        "disk_free_bytes",
        "warnings",
    ]
    assert tree["kind"] == "plan"
    assert tree["funnel"] == {
        "declared": 8,
        "skipped": {"excluded": 2, "invalid": 2},
        "duplicates": 1,
        "experiments": 3,
        "cycles": 2,
        "trials": 6,
    }
    assert tree["axes"] == [
        {"name": "batch_size", "alternatives": [{"batch_size": size} for size in (1, 2, 2, 99)]},
        {"name": "prompts.input_tokens", "alternatives": [{"prompts.input_tokens": n} for n in (8, 16)]},
    ]
    assert [list(skipped) for skipped in tree["skipped"]] == [["kind", "reason", "points"]] * 2
    assert {"index", "label", "config", "config_hash", "config_summary", "result_stem", "origins"} <= set(
        tree["experiments"][0]
    )
    labels = [experiment["label"] for experiment in tree["experiments"]]
    assert tree["order"] == {
        "kind": "blocks",
        "seed": 1,
        "trials": [f"{labels[index]}_c{cycle}" for index, cycle in ((2, 1), (1, 1), (0, 1), (2, 2), (0, 2), (1, 2))],
    }
    assert [list(value) for value in tree["values"]] == [["key", "values", "origins"]] * len(tree["values"])
    assert tree["estimate"] == {
        "duration_s": 135.0,
        "at_least": True,
        "gaps_s": 120.0,
        "cooling_at_most_s": 300.0,
        "warming_at_most_s": 0.0,
        "energy_j": None,
        "energy_provenance": "none",
        "energy_reason": "no power is known before a trial has run: give earlier studies with --from",
        "disk_bytes": 1_200_000 + 6 * 16_000 + 15 * 1_500,
        "basis": "settings",
        "known_experiments": 0,
    }
    assert tree["warnings"] == []
    assert desk.tree(env={"PYTHONHASHSEED": "7"}) | {"disk_free_bytes": 0} == tree | {"disk_free_bytes": 0}


@pytest.fixture(scope="module")
def measured(module_lab: Any) -> Any:
    """Return a study that ran with a meter of 10 W."""
    study_file = module_lab.write(
        ["ok", "ok_too"],
        model={"window_s": 0.3, "settle_s": 0.1},
        measurement={"warmup_passes": 0, "min_window_s": 0, "min_passes": 1, "guard_s": 0, "sensors": ["rapl"]},
        cycles=2,
    )
    _, study = module_lab.run(study_file, env={"LLEM_ACTING_RECORDER": "meter"})
    return study


def test_an_estimate_from_an_earlier_study_stands_on_its_trials(desk: Desk, measured: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in (measured.root, *measured.root.rglob("*"))}
    desk.write((measured.root / "study.yaml").read_text())
    estimate = desk.tree("--from", measured.root)["estimate"]
    durations = [took_s(measured, trial) for trial in measured.trials()]
    assert estimate["duration_s"] == pytest.approx(sum(durations), abs=1e-3)
    assert estimate["energy_j"] == pytest.approx(10.0 * sum(durations), rel=0.05)
    assert (estimate["energy_provenance"], estimate["basis"], estimate["known_experiments"]) == (
        "counter",
        "earlier trials",
        2,
    )
    assert estimate["at_least"] is False
    shown = desk.plan("--from", measured.root, "--from", measured.root).out
    time_line, energy_line, _ = section(shown, "estimate")
    assert time_line.startswith("  time    about ")
    assert time_line.endswith("(as earlier trials took)")
    assert energy_line.startswith("  energy  about ")
    assert energy_line.endswith("at the mean power of earlier windows")
    assert "~" not in energy_line
    assert {path: path.stat().st_mtime_ns for path in (measured.root, *measured.root.rglob("*"))} == before


def took_s(study: Any, trial: str) -> float:
    """Return how long a trial took: between its phases by the worker's monotonic clock."""
    start, *phases, end = study.events("experiment_running", "phase_entered", "experiment_completed", trial=trial)
    between_s = (phases[-1]["data"]["t_ns"] - phases[0]["data"]["t_ns"]) / 1e9
    return stamp(phases[0]) - stamp(start) + between_s + stamp(end) - stamp(phases[-1])


def stamp(event: dict[str, Any]) -> float:
    from datetime import datetime

    return datetime.fromisoformat(event["recorded_at"]).timestamp()


def test_an_estimate_of_a_larger_study_tells_what_it_does_not_know(desk: Desk, measured: Any) -> None:
    tree = json.loads((measured.root / "study.yaml").read_text())
    tree["sweep"]["batch_size"] = [1]
    tree["sweep"]["model.behaviour"] = ["ok", "ok_too", "another"]
    desk.write(json.dumps(tree))
    line = section(desk.plan("--from", measured.root).out, "estimate")[0]
    assert line.startswith("  time    at least ")
    assert line.endswith("(2 experiments as earlier trials took, the others at least)")


def test_nothing_is_written_where_nothing_can_be_written(desk: Desk) -> None:
    expected = desk.plan().out
    before = desk.listing()
    for path in (*desk.place.iterdir(), desk.place):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        shown = desk.plan("--explain", "--json", env={"TMPDIR": str(desk.place), "HOME": str(desk.place)})
        assert json.loads(shown.out)["funnel"]["trials"] == 6
        assert free_left_out(desk.plan().out) == free_left_out(expected)
        desk.llem("study", "run", "study.yaml", "--dry-run")
    finally:
        desk.place.chmod(0o755)
    assert set(desk.listing()) == set(before)


@pytest.mark.parametrize(
    "words",
    [("plan", "--explain"), ("plan", "--json", "--from", "{earlier}"), ("run", "--dry-run")],
    ids=" ".join,
)
def test_no_heavy_library_is_loaded_to_plan(desk: Desk, measured: Any, words: tuple[str, ...]) -> None:
    command, *options = (word.format(earlier=measured.root) for word in words)
    desk.write(STUDY.replace("cycles: 2", "cycles: 2\ndtype: bfloat16"))  # a rule that asks which GPU there is
    arguments = ["-X", "importtime", "-m", "llem", "study", command, "study.yaml", *options]
    session = desk.lab.popen(sys.executable, *arguments, cwd=desk.place).ended(0)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in session.err.splitlines()}
    assert "llem" in loaded
    assert loaded & HEAVY == set()
    assert desk.lab.survivors() == {}


def test_a_folder_that_is_no_study_gives_no_estimate(desk: Desk) -> None:
    for folder in ("nowhere", "."):
        refused = desk.plan("--from", folder, code=2)
        assert "is no study" in refused.err
        assert refused.out == ""
    assert sorted(path.name for path in desk.place.iterdir()) == ["common.yaml", "study.yaml"]
    (desk.place / "journal.db").write_text("no journal")
    assert "journal.db" in desk.plan("--from", ".", code=3).err


MISTAKES = {
    "no value": (["--set", "batch_size"], "--set batch_size: batch_size: expected dotted.key=value"),
    "no such key": (["--set", "batchsize=2"], "unknown key 'batchsize'; did you mean 'batch_size'?"),
    "no yaml": (["--set", "batch_size=["], "--set batch_size=[: batch_size: is no YAML"),
    "wrong type": (["--set", "batch_size=two"], "command line: batch_size: input should be a valid integer"),
    "no cycle": (["--cycles", "0"], "command line: cycles: input should be greater than 0; found 0"),
    "half a cycle": (["--cycles", "1.5"], "1.5"),
    "no such order": (["--order", "nonsense"], "nonsense"),
    "no such profile": (["--profile", "nonsense"], "nonsense"),
}


@pytest.mark.parametrize(("options", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_on_the_command_line_is_told_and_nothing_is_planned(
    desk: Desk, options: list[str], words: str
) -> None:
    refused = desk.plan(*options, code=2)
    assert refused.out == ""
    assert words in refused.err


def test_several_mistakes_are_told_at_once(desk: Desk) -> None:
    desk.write(STUDY.replace("quick", "swift"))
    refused = desk.plan("--set", "batchsize=2", "--set", "dtype", code=2)
    assert "batchsize" in refused.err
    assert "expected dotted.key=value" in refused.err


def test_where_no_point_can_run_there_is_no_plan(desk: Desk) -> None:
    desk.write(STUDY.replace("[1, 2, 2, 99]", "[98, 99]"))
    refused = desk.plan(code=2)
    assert "study.yaml:10:16: batch_size: batch_size (98) is more than prompts.count (8)" in refused.err
    assert "study.yaml:10:20: batch_size: batch_size (99) is more than prompts.count (8)" in refused.err


def test_where_most_points_are_skipped_the_plan_warns(desk: Desk) -> None:
    desk.write(STUDY.replace("[1, 2, 2, 99]", "[1, 98, 99]"))
    assert section(desk.plan().out, "warnings") == [
        "  4 of 6 grid points are skipped: see the reasons",
        "  study.yaml:13:5: exclude: batch_size: 2, prompts.input_tokens: 16: holds for no grid point",
    ]


MANY = "name: many\nmodel: {config: llama}\ncycles: 60000\nsweep: {batch_size: [1, 2]}\n"


def test_more_trials_than_anybody_means_are_refused_where_nobody_can_be_asked(desk: Desk) -> None:
    desk.write(MANY)
    for words in (("plan",), ("run", "--dry-run"), ("run",)):
        refused = desk.llem("study", words[0], "study.yaml", *words[1:], code=2)
        assert refused.err.startswith("error: The study spans 120,000 trials, more than 100,000. Add --yes")
    assert not (desk.place / "studies").exists()
    shown = desk.plan("--yes").out
    assert "trials       120,000  (2 × 60000 cycles)" in shown
    assert "… 59,980 more rows (--json lists all)" in shown


HUGE = {
    "axes": "sweep:\n" + "".join(f"  model.a{n}: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n" for n in range(12)),
    "a group's own grid": "sweep:\n  g:\n    - {"
    + ", ".join(f"model.a{n}: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" for n in range(12))
    + "}\n",
}


@pytest.mark.parametrize("sweep", HUGE.values(), ids=HUGE)
def test_a_grid_of_a_million_million_points_is_refused_at_once_whoever_says_yes(desk: Desk, sweep: str) -> None:
    desk.write("name: huge\nmodel: {config: llama}\n" + sweep)
    command = f"ulimit -v {1 << 20}; exec {sys.executable} -m llem study plan study.yaml --yes"
    ended = desk.lab.popen("bash", "-c", command, cwd=desk.place)
    assert ended.wait() == 2, ended.err[-500:]
    assert "Traceback" not in ended.err
    assert "1,000,000,000,000 points" in ended.err
    assert ended.err.startswith("error: study.yaml:")


ESCAPES = "\\e]0;pwned\\a\\e[2J"


def test_escape_sequences_in_a_study_cannot_act_on_the_screen(desk: Desk) -> None:
    desk.write(
        f'name: escapes\nmodel: {{config: llama, note: "{ESCAPES}"}}\ncycles: 1\n'
        f'sweep:\n  "group{ESCAPES}": [{{batch_size: 1}}, {{batch_size: 99, "model.note{ESCAPES}": "{ESCAPES}"}}]\n'
    )
    (desk.place / "study.yaml").rename(desk.place / "study\x1b[2J.yaml")
    shown = desk.plan("--explain", "--output", desk.place / "b\x1b[31m", study="study\x1b[2J.yaml")
    assert "1 × invalid" in shown.out
    assert printed(shown.out + shown.err)
    assert printed(desk.plan("--json", study="study\x1b[2J.yaml").out)


def test_escape_sequences_in_a_mistake_cannot_act_on_the_screen(desk: Desk) -> None:
    desk.write(f'name: escapes\nmodel: "org/{ESCAPES}model"\n')
    refused = desk.plan(code=2)
    assert "is no model" in refused.err
    assert printed(refused.err)
    assert printed(desk.plan("--set", "batch\x1b[2J=1", code=2).err)


def printed(text: str) -> bool:
    return all(char.isprintable() for char in text.replace("\n", ""))


EXTREMES = {
    "a window of ages": "measurement: {min_window_s: 1.0e+308}\n",
    "gaps of ages": "gaps: {between_trials: 1.0e+308}\n",
    "a cool-down of ages": "gaps: {between_trials: {cool_to_c: 1, at_most_s: 1.0e+308}}\n",
}


@pytest.mark.parametrize("text", EXTREMES.values(), ids=EXTREMES)
def test_numbers_beyond_all_measure_are_planned_or_refused(desk: Desk, text: str) -> None:
    desk.write(f"name: extreme\nmodel: {{config: llama}}\n{text}")
    session = desk.lab.llem("study", "plan", "study.yaml", "--json", code=None, cwd=desk.place)
    assert "Traceback" not in session.err
    assert session.wait() in (0, 2)


def test_a_file_without_end_is_refused(desk: Desk) -> None:
    command = f"ulimit -v {1 << 20}; exec {sys.executable} -m llem study plan /dev/zero"
    ended = desk.lab.popen("bash", "-c", command, cwd=desk.place)
    assert ended.wait() == 2, ended.err[-500:]
    assert "Traceback" not in ended.err
    assert "/dev/zero" in ended.err


CLOSED = {
    "stdin": ("<&-", 0),
    "stdout": (">&-", 0),
    "stderr": ("2>&-", 0),
    "all": ("<&- >&- 2>&-", 0),
    "a full disk": (">/dev/full", 3),
    "a reader that goes": ("| head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", 141),
}


@pytest.mark.parametrize(("redirection", "code"), CLOSED.values(), ids=CLOSED)
def test_streams_that_are_closed_or_full_are_no_traceback(desk: Desk, redirection: str, code: int) -> None:
    desk.write(STUDY.replace("[8, 16]", str(list(range(1, 100)))))  # more than a pipe holds
    command = f"{sys.executable} -m llem study plan study.yaml --json {redirection}"
    ended = desk.lab.popen("bash", "-c", command, cwd=desk.place)
    found = ended.wait()
    assert "Traceback" not in ended.err, ended.err
    assert "Exception ignored" not in ended.err, ended.err
    assert found == code


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_few_characters_gets_a_plan_all_the_same(desk: Desk, encoding: str) -> None:
    environment = {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0"}
    assert "demo: nothing has been run" in desk.plan("--explain", env=environment).out


# On a terminal.


class Terminal:
    """The command line on a terminal of its own: what it shows, and keys that can be typed."""

    def __init__(self, desk: Desk, *arguments: object) -> None:
        self.leader, follower = pty.openpty()
        self.shown = ""
        # The terminal sends Ctrl-C to the session that it controls, so the command first makes this terminal its own.
        own = "import os, sys; os.setsid(); os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.executable, sys.argv[1:])"
        command = [sys.executable, "-Sc", own, sys.executable, "-m", "llem", *map(str, arguments)]
        environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm", "LLEM_TEST_MARK": desk.lab.mark}
        self.process = subprocess.Popen(
            command,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=desk.place,
            env=environment,
        )
        os.close(follower)

    def read(self, until: str | None = None) -> str:
        """Read until a text is shown, or the end."""
        deadline = time.monotonic() + 60
        while until is None or until not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if not select.select([self.leader], [], [], 1.0)[0]:
                continue
            try:
                data = os.read(self.leader, 65536)
            except OSError:
                data = b""  # nobody holds the other end any more
            if not data:
                assert until is None, f"ended without {until!r}: {self.shown}"
                break
            self.shown += data.decode()
        return self.shown

    def type(self, keys: str) -> None:
        os.write(self.leader, keys.encode())

    def ended(self, code: int) -> str:
        self.read()
        assert self.process.wait(60) == code, self.shown
        assert "Traceback" not in self.shown
        return self.shown

    def close(self) -> None:
        os.close(self.leader)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def terminals(desk: Desk) -> Iterator[Any]:
    """Return a function that runs a command on a terminal of its own."""
    opened: list[Terminal] = []

    def terminal(*arguments: object) -> Terminal:
        opened.append(Terminal(desk, *arguments))
        return opened[-1]

    yield terminal
    for one in opened:
        one.close()


LARGE = (
    "name: large\nmodel: {config: llama}\ncycles: 600\nsweep: {batch_size: [1, 2]}\nmeasurement: {min_window_s: 1}\n"
)
QUESTION = "1,200 trials, at least "
NO = {"no": "n\n", "a mere return": "\n", "anything else": "sure\n", "end of file": "\x04"}


@pytest.mark.parametrize("keys", NO.values(), ids=NO)
def test_a_large_study_that_is_not_agreed_to_runs_nothing(desk: Desk, terminals: Any, keys: str) -> None:
    desk.write(LARGE)
    terminal = terminals("study", "run", "study.yaml")
    shown = terminal.read("[y/N] ")
    assert QUESTION in shown
    assert "Run them? [y/N]" in shown
    terminal.type(keys)
    assert "error: Nothing was run. `llem study plan` shows the whole plan; --yes does not ask." in terminal.ended(2)
    assert not (desk.place / "studies").exists()


def test_ctrl_c_at_the_question_runs_nothing_and_is_no_traceback(desk: Desk, terminals: Any) -> None:
    desk.write(LARGE)
    terminal = terminals("study", "run", "study.yaml")
    terminal.read("[y/N] ")
    terminal.type("\x03")
    terminal.ended(-signal.SIGINT)  # which a shell shows as 130
    assert not (desk.place / "studies").exists()


def test_a_large_study_that_is_agreed_to_goes_on(desk: Desk, terminals: Any) -> None:
    desk.write(LARGE)
    (desk.place / "file").write_text("no folder can be made below it")
    terminal = terminals("study", "run", "study.yaml", "--output", "file/below")
    terminal.read("[y/N] ")
    terminal.type("y\n")
    assert "cannot be created" in terminal.ended(3), "it went on, to the folder that cannot be"


@pytest.mark.parametrize(
    ("study", "options"),
    [(LARGE, ["--yes"]), (LARGE.replace("600", "500"), [])],
    ids=["--yes", "a thousand trials"],
)
def test_what_needs_no_question_is_not_asked(desk: Desk, terminals: Any, study: str, options: list[str]) -> None:
    desk.write(study)
    (desk.place / "file").write_text("no folder can be made below it")
    terminal = terminals("study", "run", "study.yaml", "--output", "file/below", *options)
    assert "[y/N]" not in terminal.ended(3)


def test_a_long_study_of_few_trials_is_asked_about_too(desk: Desk, terminals: Any) -> None:
    desk.write("name: long\nmodel: {config: llama}\ncycles: 2\ngaps: {between_trials: 28800}\n")
    terminal = terminals("study", "run", "study.yaml")
    assert "2 trials, at least 8:00:" in terminal.read("[y/N] ")
    terminal.type("n\n")
    terminal.ended(2)


def test_a_plan_of_too_many_trials_asks_on_a_terminal(desk: Desk, terminals: Any) -> None:
    desk.write(MANY)
    question = "The study spans 120,000 trials, more than 100,000. Plan it all the same? [y/N] "
    terminal = terminals("study", "plan", "study.yaml")
    terminal.read(question)
    terminal.type("n\n")
    assert "Add --yes if that is meant" in terminal.ended(2)
    terminal = terminals("study", "plan", "study.yaml")
    terminal.read(question)
    terminal.type("y\n")
    assert "60000 cycles" in terminal.ended(0)
    assert sorted(path.name for path in desk.place.iterdir()) == ["common.yaml", "study.yaml"]


def test_a_study_whose_output_only_is_a_terminal_is_not_asked_about(desk: Desk) -> None:
    desk.write(LARGE)
    (desk.place / "file").write_text("no folder can be made below it")
    session = desk.llem("study", "run", "study.yaml", "--output", "file/below", code=3)
    assert "[y/N]" not in session.err
