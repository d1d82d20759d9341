"""The studies in ``examples/``: each can be planned as it stands, and its words about itself are true."""

import shutil
from pathlib import Path

import pytest

from llem.study.load import load_study
from llem.study.machine import UnknownMachine
from llem.study.plan import plan_study

EXAMPLES = Path(__file__).parents[2] / "examples"

# Experiments, trials, profile, order.
GIVES = {
    "architectures.yaml": (3, 18, "quick", "latin_square"),
    "gpu_check.yaml": (2, 6, "standard", "blocks"),
    "grammar.yaml": (8, 24, "quick", "blocks"),
    "isolation.yaml": (2, 40, "quick", "latin_square"),
    "local_model/study.yaml": (2, 4, "quick", "blocks"),
    "publish.yaml": (4, 32, "publish", "latin_square"),
    "quickstart.yaml": (4, 12, "quick", "blocks"),
}


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """Return a function from an example's name to its plan; the model folder that one of them makes is there."""
    monkeypatch.delenv("MODEL", raising=False)
    copy = Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))
    folder = copy / "local_model" / "tiny-llama"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    return lambda name: plan_study(load_study(copy / name, machine=UnknownMachine()))


def test_every_example_is_in_the_table():
    assert sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yaml")) == sorted(GIVES)


@pytest.mark.parametrize("name", GIVES)
def test_an_example_gives_what_it_says_without_a_warning(planned, name):
    plan = planned(name)
    study = plan.study
    assert (len(plan.experiments), plan.trials, study.profile, study.order) == GIVES[name]
    assert plan.warnings == []
    assert study.duplicates == 0
    assert {skipped.kind for skipped in study.skipped} <= {"excluded"}


def test_the_quickstart_measures_what_the_readme_shows(planned):
    plan = planned("quickstart.yaml")
    assert [planned.config_hash[:8] for planned in plan.experiments] == [
        "f975fb57",
        "700676db",
        "99030933",
        "7bb5a95a",
    ]


def test_the_study_to_publish_has_whole_latin_squares_and_long_windows(planned):
    plan = planned("publish.yaml")
    assert plan.study.cycles % len(plan.experiments) == 0
    measurements = {planned.config.measurement for planned in plan.experiments}
    assert {(m.min_window_s, m.min_passes, m.warmup_passes, m.guard_s) for m in measurements} == {(60.0, 5, 5, 0.7)}
