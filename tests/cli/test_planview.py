"""A plan on screens of any width, of studies of any size, with values of any kind."""

import json
import re

import pytest

from llem.cli.planview import bytes_text, gap_text, plan_json, show_plan
from llem.domain.spec import CoolDown
from llem.study.estimate import estimate
from llem.study.load import load_study
from llem.study.plan import plan_study

HEAD = "name: tiny\nmodel: {config: llama}\nseed: 1\n"
STYLE = re.compile(r"\x1b\[[0-9;]*m")
ESCAPES = "\\e]0;pwned\\a\\e[2J\\e[31m\\r\\b\\x9b31m\\u202e"


@pytest.fixture
def planned(tmp_path):
    """Return a function from a study's text to its plan."""

    def of(text="", head=HEAD):
        (tmp_path / "study.yaml").write_text(head + text)
        return plan_study(load_study(tmp_path / "study.yaml", many=True))

    return of


@pytest.fixture
def shown(capsys, monkeypatch):
    """Return a function from a plan to the lines on a screen of some width; in a pipe where no width is given."""

    def of(plan, *, width=None, every_value=False, expected=None, free_bytes=10**9):
        monkeypatch.setenv("TERM", "xterm")
        if width is not None:
            monkeypatch.setenv("FORCE_COLOR", "1")
            monkeypatch.setenv("COLUMNS", str(width))
        show_plan(plan, expected or estimate(plan), free_bytes=free_bytes, every_value=every_value)
        captured = capsys.readouterr()
        assert captured.err == ""
        return STYLE.sub("", captured.out).splitlines()

    return of


def below(lines, heading):
    """Return the lines of a section."""
    start = next(place for place, line in enumerate(lines) if line.startswith(heading)) + 1
    return lines[start : lines.index("", start) if "" in lines[start:] else len(lines)]


STUDY = (
    "cycles: 2\norder: interleave\n"
    "sweep: {batch_size: [1, 2, 99], transformers.attn_implementation: [eager, sdpa], generation.seed: [0, 1]}\n"
)


@pytest.mark.parametrize("width", [140, 100, 80, 60, 40, 20])
@pytest.mark.parametrize("every_value", [False, True], ids=["", "explained"])
def test_no_line_is_wider_than_the_screen_and_nothing_is_lost(planned, shown, width, every_value):
    plan = planned(STUDY)
    lines = shown(plan, width=width, every_value=every_value)
    assert [line for line in lines if len(line) > width] == []
    wide = shown(plan, width=1000, every_value=every_value)
    order = next(place for place, line in enumerate(wide) if line.startswith("order"))
    after = wide.index("", order)
    assert squeezed(lines).startswith(squeezed(wide[:order])), "the same words, in more lines"
    assert squeezed(lines).endswith(squeezed(wide[after:]))


def squeezed(lines):
    return "".join("".join(line.split()) for line in lines)


@pytest.mark.parametrize(("width", "cells"), [(140, 12), (60, 10), (40, 4), (30, 1)])
def test_a_row_of_the_order_fits_the_screen_and_tells_how_much_it_leaves_out(planned, shown, width, cells):
    sizes = list(range(1, 13))
    plan = planned(f"cycles: 2\norder: interleave\nprompts: {{count: 12}}\nsweep: {{batch_size: {sizes}}}\n")
    row = " ".join(f"{number:>2}" for number in sizes[:cells])
    more = f" … {12 - cells} more" if cells < 12 else ""
    lines = below(shown(plan, width=width), "order: interleave, seed 1")
    assert lines == [f"  cycle 1   {row}{more}", f"  cycle 2   {row}{more}"]


def test_an_order_without_cycles_fills_rows_of_the_screen(planned, shown):
    plan = planned("cycles: 4\norder: sequential\nsweep: {batch_size: [1, 2, 4]}\n")
    assert below(shown(plan, width=40), "order: sequential") == ["  1 1 1 1 2 2", "  2 2 3 3 3 3"]


def test_a_plan_of_many_experiments_and_cycles_is_short_and_tells_what_it_leaves_out(planned, shown):
    plan = planned(
        f"cycles: 50\norder: interleave\nsweep: {{prompts.seed: {list(range(60))}, generation.seed: [1, 2]}}\n"
    )
    lines = shown(plan)
    assert len(lines) < 120
    assert lines[2] == "declared         120  (prompts.seed 60 × generation.seed 2)"
    assert lines[6] == "trials         6,000  (120 × 50 cycles)"
    listed = [line for line in lines if re.match(r"  +\d+  [0-9a-f]{8}  ", line)]
    assert len(listed) == 40
    assert "  … 80 more (--json lists all)" in lines
    rows = below(lines, "order: interleave")
    assert len(rows) == 21
    assert rows[0].endswith(" … 92 more")
    assert rows[-1] == "  … 30 more rows (--json lists all)"
    axes = below(lines, "axes")
    assert "… 20 more" in " ".join(axes)


def test_many_skipped_points_are_counted_and_a_few_shown(planned, shown):
    plan = planned("sweep: {batch_size: [1, 99], prompts.seed: [1, 2, 3, 4, 5, 6, 7]}\n")
    lines = shown(plan, width=400)
    start = lines.index("skipped")
    assert lines[start + 1].startswith("  7 × invalid: ")
    assert lines[start + 2 : start + 8] == [
        *(f"      batch_size=99 seed={seed}" for seed in range(1, 6)),
        "      … 2 more (--json lists all)",
    ]
    assert "warnings" not in lines, "half of the points is not more than half"


def test_a_study_without_a_sweep_has_neither_axes_nor_skipped_points(planned, shown):
    lines = shown(planned("cycles: 1\n"))
    assert [line for line in lines if not line.startswith(" ") and line] == [
        "tiny: nothing has been run",
        "declared           1",
        "skipped            0",
        "duplicates         0",
        "experiments        1",
        "trials             1  (1 × 1 cycle)",
        "experiments",
        "order: blocks, seed 1",
        "method",
        "estimate",
    ]


def test_a_long_value_is_shown_and_stays_in_its_place(planned, shown):
    long = "x" * 3000
    plan = planned(head=f"name: tiny\nmodel: {{config: llama, note: {long}}}\ncycles: 1\n")
    lines = shown(plan, width=100, every_value=True)
    assert max(map(len, lines)) <= 100
    assert "x" * 60 in squeezed(lines)
    assert any(line.startswith("  engine ") for line in lines)
    assert len(lines) < 200


def test_a_group_s_alternatives_tell_their_keys_and_an_axis_its_values_alone(planned, shown):
    plan = planned(
        "sweep:\n  batch_size: [1, 2]\n  memory: [{}, {dtype: float32, batch_size: 4}]\n"
        "  zip: {prompts.seed: [1, 2], generation.seed: [3, 4]}\n"
    )
    assert below(shown(plan), "axes") == [
        "  batch_size                      1, 2",
        "  memory                          {}, {dtype: float32, batch_size: 4}",
        "  prompts.seed + generation.seed  "
        "{prompts.seed: 1, generation.seed: 3}, {prompts.seed: 2, generation.seed: 4}",
    ]


def test_nothing_unprintable_reaches_the_screen(planned, shown):
    plan = planned(
        head=f'name: tiny\nmodel: {{config: llama, "note{ESCAPES}": "{ESCAPES}"}}\n',
        text="cycles: 1\nsweep:\n"
        f'  "group{ESCAPES}": [{{"model.a{ESCAPES}": "{ESCAPES}"}}, {{batch_size: 99, "model.b{ESCAPES}": 1}}]\n',
    )
    for width in (None, 80, 20):
        lines = shown(plan, width=width, every_value=True)
        assert [line for line in lines if not line.isprintable()] == []
        assert any("group" in line for line in lines)
    assert plan_json(plan, estimate(plan), free_bytes=None).isprintable()


def test_markup_in_a_value_is_shown_as_it_stands(planned, shown):
    plan = planned(head='name: tiny\nmodel: {config: llama, note: "[bold]x[/bold] [link=http://a]"}\ncycles: 1\n')
    assert "[bold]x[/bold] [link=http://a]" in "\n".join(shown(plan, every_value=True))


GAPS = {
    "none": ("", []),
    "between trials": ("gaps: {between_trials: 90}\n", ["  gap between trials: 90 s"]),
    "between cycles": (
        "gaps: {between_cycles: {cool_to_c: 45.5, at_most_s: 90}}\n",
        ["  gap between cycles: cool to 45.5 °C, at most 1:30 min"],
    ),
    "none between cycles": (
        "gaps: {between_trials: 5, between_cycles: 0}\n",
        ["  gap between trials: 5 s", "  gap between cycles: 0 s"],
    ),
}


@pytest.mark.parametrize(("text", "lines"), GAPS.values(), ids=GAPS)
def test_gaps_are_told_with_the_order(planned, shown, text, lines):
    plan = planned(f"cycles: 1\n{text}")
    assert below(shown(plan), "order: blocks") == ["  cycle 1   1", *lines]


def test_a_gap_in_words():
    assert gap_text(0.5) == "0.5 s"
    assert gap_text(CoolDown(cool_to_c=40, at_most_s=3700)) == "cool to 40 °C, at most 1:01:40 h"


ESTIMATES = {
    "by the settings": (
        {},
        "time at least 24 s, warm-up and soak at most 3:00 min more "
        "(by the settings: guards and shortest windows; starts, loading and warm-up come on top)",
        "energy unknown: no power is known before a trial has run: give earlier studies with --from",
    ),
    "as earlier trials took": (
        {
            "duration_s": 7200.0,
            "at_least": False,
            "warming_at_most_s": 0.0,
            "energy_j": 3.6e6,
            "energy_provenance": "counter",
            "energy_reason": None,
            "basis": "earlier trials",
            "known_experiments": 1,
        },
        "time about 2:00:00 h (as earlier trials took)",
        "energy about 3.60 MJ (1 kWh) at the mean power of earlier windows",
    ),
    "modelled, and cooling": (
        {
            "cooling_at_most_s": 90.0,
            "warming_at_most_s": 720.0,
            "energy_j": 1.5,
            "energy_provenance": "modelled",
            "energy_reason": None,
            "basis": "both",
            "known_experiments": 1,
        },
        "time at least 24 s, warm-up and soak at most 12:00 min more, cooling at most 1:30 min more "
        "(1 experiment as earlier trials took, the others at least)",
        "energy about ~1.50 J (4.17e-07 kWh) at the mean power of earlier windows",
    ),
}


@pytest.mark.parametrize(("changes", "time", "energy"), ESTIMATES.values(), ids=ESTIMATES)
def test_an_estimate_says_what_it_stands_on_and_marks_what_is_modelled(planned, shown, changes, time, energy):
    plan = planned("cycles: 1\n")
    expected = estimate(plan).model_copy(update=changes)
    lines = below(shown(plan, width=200, expected=expected), "estimate")
    assert [" ".join(line.split()) for line in lines] == [time, energy, "disk about 1.25 MB; 1 GB free"]
    unknown = below(shown(plan, width=200, expected=expected, free_bytes=None), "estimate")
    assert unknown[-1] == "  disk    about 1.25 MB"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (83_198_271_488, "83.2 GB"),
        (2.5e15, "2,500 TB"),
        (999_900, "1 MB"),
    ],
)
def test_sizes_in_words(size, text):
    assert bytes_text(size) == text


def test_a_plan_as_json_says_what_the_screen_says(planned):
    plan = planned(STUDY)
    tree = json.loads(plan_json(plan, estimate(plan), free_bytes=None))
    assert tree["funnel"] == {
        "declared": 12,
        "skipped": {"invalid": 4},
        "duplicates": 0,
        "experiments": 8,
        "cycles": 2,
        "trials": 16,
    }
    assert tree["disk_free_bytes"] is None
    assert tree["order"]["trials"] == [
        f"{experiment['label']}_c{cycle}" for cycle in (1, 2) for experiment in tree["experiments"]
    ]
    assert [point["batch_size"] for point in tree["skipped"][0]["points"]] == [99] * 4


def test_a_plan_as_json_holds_every_experiment_and_skipped_point(planned):
    plan = planned(f"cycles: 1\nsweep: {{prompts.seed: {list(range(100))}, batch_size: [1, 99]}}\n")
    tree = json.loads(plan_json(plan, estimate(plan), free_bytes=None))
    assert (len(tree["experiments"]), len(tree["order"]["trials"]), len(tree["skipped"][0]["points"])) == (100,) * 3
