"""Numbers and names that the documentation takes from the code by hand."""

import json
import re
from pathlib import Path

import pytest

from llem.cli.planning import ASK_DURATION_S, ASK_TRIALS
from llem.cli.planview import plan_json
from llem.domain.order import n_rows
from llem.domain.spec import STUDY_NAME_PATTERN, OrderKind
from llem.engines.transformers_rules import RULES
from llem.study.estimate import estimate
from llem.study.grammar import NOTE_PREFIX, STRUCTURE_KEYS
from llem.study.layers import MAX_BASES, MERGING_SETTINGS
from llem.study.load import MANY_TRIALS, MOST_POINTS, MOST_TRIALS, load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import plan_study
from llem.study.references import ALLOWED
from llem.study.yaml_source import MAX_BYTES, MAX_DEPTH, MAX_NODES

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def table_below(text: str, head: str) -> list[list[str]]:
    """Return the cells of the table whose first line is ``head``, that line and the rule below it left out."""
    _, _, below = text.partition(f"{head}\n")
    assert below, f"no table begins with {head}"
    rows = below.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_limits_of_size_are_those_of_the_code():
    told = dict(table_below(page("study-reference.md"), "| what | at most |"))
    assert list(told.values()) == [
        f"{MAX_BYTES:,} bytes",
        f"{MAX_NODES:,}",
        f"{MAX_DEPTH} levels",
        f"{MAX_BASES}",
        f"{MOST_POINTS:,}",
        f"{MANY_TRIALS:,}",
        f"{MOST_TRIALS:,}",
    ]


def test_every_key_that_shapes_the_grid_has_its_row():
    told = [row[0].strip("`…") for row in table_below(page("study-reference.md"), "| key | type | meaning |")]
    assert sorted(told) == sorted([*STRUCTURE_KEYS, NOTE_PREFIX])


def test_every_place_of_a_variable_is_named():
    assert "It may stand in " + "`base`, `model` and\n`prompts.path`" in page("study-reference.md")
    assert ALLOWED == ("base", "model", "prompts.path")


def test_the_settings_that_merge_are_named():
    assert all(f"`{name}`" in page("sweeps.md").partition("### How layers meet")[2] for name in MERGING_SETTINGS)


def test_the_pattern_of_names_is_the_one_that_is_described():
    assert STUDY_NAME_PATTERN == r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


def test_every_order_has_its_row():
    told = [row[0].strip("`") for row in table_below(page("orders.md"), "| order | what it does | what it is for |")]
    assert sorted(told) == sorted(OrderKind.__args__)


def test_the_cycles_that_balance_a_williams_design_are_those_of_the_code():
    text = page("orders.md")
    experiments, cycles = (
        re.search(rf"^\| {name} \|(.+)\|$", text, re.MULTILINE) for name in ("experiments", "cycles")
    )
    pairs = zip(experiments[1].split("|"), cycles[1].split("|"), strict=True)
    told = {int(experiment): int(cycle) for experiment, cycle in pairs}
    assert told == {number: n_rows(number) for number in range(2, 10)}


def test_as_many_engine_rules_are_told_as_there_are():
    rows = table_below(page("sweeps.md"), "| a grid point is left out where | checked by |")
    assert len(rows) == len(RULES) + 1  # and the model that is not there


def test_the_questions_are_those_of_the_code():
    text = page("command-line.md")
    assert f"more than {MANY_TRIALS:,} trials" in text
    assert (
        f"more than {ASK_TRIALS:,} trials, or the [estimate](plan.md#estimate) is over {ASK_DURATION_S // 3600} h"
        in text
    )


@pytest.fixture
def tree(tmp_path):
    """Return a plan as JSON."""
    study = tmp_path / "study.yaml"
    study.write_text("name: tiny\nmodel: {config: llama}\nsweep: {batch_size: [1, 0]}\n", encoding="utf-8")
    plan = plan_study(load_study(study, machine=UnknownMachine()))
    return json.loads(plan_json(plan, estimate(plan), free_bytes=1))


def test_every_key_of_a_plan_in_json_is_told(tree):
    told = page("command-line.md").partition("### `llem study plan --json`")[2]
    assert [row[0].strip("`") for row in table_below(told, "| key | content |")] == list(tree)
    for key in ("funnel", "order"):
        _, _, meaning = told.partition(f"\n`{key}`\n: ")
        named = meaning.partition("\n\n")[0]
        assert [part for part in tree[key] if f"`{part}`" not in named] == []
