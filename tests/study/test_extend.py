import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.errors import StudyFileError
from llem.domain.events import ExperimentPlanned, StudyExtended
from llem.domain.identity import study_design_hash
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold
from llem.study.extend import MOST_PAIRS, Change, Revision, StudyDiffersError, compare
from llem.study.load import load_study
from llem.study.plan import plan_study

HEAD = "name: tiny\nmodel: {config: llama, hidden_size: 64}\n"
STUDY = "cycles: 2\norder: sequential\nsweep: {batch_size: [1, 2]}\n"
ADD = "Add --extend to add this to the study, or resume without --study to go on as planned."
INSTEAD = "Resume without --study to go on as planned, or start a new study: llem study run"


@pytest.fixture
def planned(tmp_path):
    """Return a function from a study's text to its plan."""

    def of(text=STUDY, head=HEAD, folder=tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / "study.yaml").write_text(head + text)
        return plan_study(load_study(folder / "study.yaml"))

    return of


def diff_of(before, after):
    return compare(before.study, before.experiments, after)


def named(lines, *plans):
    """Return lines of a diff with the labels of experiments replaced by what tells them apart."""
    labels = {one.label: f"<{one.config.batch_size}>" for plan in plans for one in plan.experiments}
    return [" ".join(labels.get(word.rstrip(":"), word) for word in line.split(" ")) for line in lines]


DIFFERENCES = {
    "nothing": (STUDY, [], []),
    "comments, the order of keys, and 2.0 for 2": (
        "# the same\nsweep: {batch_size: [1, 2]}\nmeasurement: {min_window_s: 10}\norder: sequential\ncycles: 2\n",
        [],
        [],
    ),
    "the order of experiments": (STUDY.replace("[1, 2]", "[2, 1]"), [], []),
    "an experiment twice": (STUDY.replace("[1, 2]", "[1, 2, 1]"), [], []),
    "an experiment more": (STUDY.replace("[1, 2]", "[1, 2, 4]"), ["+ <4> batch_size=4"], []),
    "an experiment less": (
        STUDY.replace("[1, 2]", "[1]"),
        ["- <2> batch_size=2"],
        ["1 planned experiment would be taken away"],
    ),
    "an experiment for another": (
        STUDY.replace("[1, 2]", "[1, 4]"),
        ["~ <2> batch_size=2: batch_size: 2 → 4"],
        ["1 planned experiment would be another"],
    ),
    "more cycles": (STUDY.replace("cycles: 2", "cycles: 3"), ["~ cycles: 2 → 3"], []),
    "fewer cycles": (
        STUDY.replace("cycles: 2", "cycles: 1"),
        ["~ cycles: 2 → 1"],
        ["cycles can grow, not shrink"],
    ),
    "reruns": (STUDY + "reruns: 5\n", ["~ reruns: 2 → 5"], []),
    "retries": (STUDY + "retries: 3\n", ["~ retries: 1 → 3"], []),
    "limits": (
        STUDY + "limits: {trial_s: 60, study_s: 600, silence_s: null}\n",
        ["~ limits.silence_s: 900 → null", "~ limits.trial_s: 3600 → 60", "~ limits.study_s: null → 600"],
        [],
    ),
    "carbon": (
        STUDY + "carbon: {intensity_g_per_kwh: 56, source: RTE, pue: 1.2}\n",
        [
            "~ carbon.intensity_g_per_kwh: null → 56",
            "~ carbon.source: null → RTE",
            "~ carbon.pue: null → 1.2",
        ],
        [],
    ),
    "order": (
        STUDY.replace("sequential", "reverse"),
        ["~ order: sequential → reverse"],
        ["order cannot change"],
    ),
    "a cool-down": (
        STUDY + "gaps: {between_trials: {cool_to_c: 45, at_most_s: 9}}\n",
        ['~ gaps.between_trials: 0 → {"at_most_s":9,"cool_to_c":45}'],
        ["gaps.between_trials cannot change"],
    ),
    "what all experiments share": (
        STUDY + "dtype: float32\nprompts: {input_tokens: 64}\n",
        [
            "~ <1> batch_size=1: dtype: auto → float32; prompts.input_tokens: 128 → 64",
            "~ <2> batch_size=2: dtype: auto → float32; prompts.input_tokens: 128 → 64",
        ],
        ["2 planned experiments would not be the same"],
    ),
    "an option of the engine": (
        STUDY + "transformers: {attn_implementation: eager}\n",
        [
            "~ <1> batch_size=1: transformers.attn_implementation: null → eager",
            "~ <2> batch_size=2: transformers.attn_implementation: null → eager",
        ],
        ["2 planned experiments would not be the same"],
    ),
    "a profile that changes the method": (
        STUDY + "profile: quick\n",
        [
            f"~ <{size}> batch_size={size}: measurement.warmup_passes: 2 → 1; measurement.warmup_max_s: 60 → 0; "
            "measurement.soak_max_s: 120 → 0; measurement.min_window_s: 10 → 1; measurement.min_passes: 3 → 2; "
            "measurement.bare_idle_s: 5 → 2; measurement.phases: true → false"
            for size in (1, 2)
        ],
        ["2 planned experiments would not be the same"],
    ),
}


@pytest.mark.parametrize(("text", "lines", "obstacles"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_a_difference_is_told_in_lines_and_with_what_stands_against_it(planned, text, lines, obstacles):
    before, after = planned(), planned(text)
    diff = diff_of(before, after)
    assert named(diff.lines(), before, after) == lines
    assert bool(diff) == bool(lines)
    found = diff.obstacles()
    assert len(found) == len(obstacles)
    assert [text for text, wanted in zip(found, obstacles, strict=True) if not text.startswith(wanted[:9])] == []


def test_obstacles_are_told_in_words_one_experiment_or_two(planned):
    before = planned()
    assert diff_of(before, planned(STUDY.replace("[1, 2]", "[1]"))).obstacles() == [
        "1 planned experiment would be taken away"
    ]
    assert diff_of(
        planned(STUDY + "seed: 1\n"), planned("cycles: 1\nseed: 2\nsweep: {batch_size: [1, 2]}\n")
    ).obstacles() == [
        "order cannot change",
        "seed cannot change",
        "cycles can grow, not shrink",
    ]
    assert (
        diff_of(
            before, planned(STUDY, head="name: other\nmodel: {config: gpt2, n_embd: 8}\ndtype: float32\n")
        ).obstacles()[0]
        == "name cannot change"
    )


def test_a_seed_differs_only_where_the_file_names_another(planned):
    seeded = planned(STUDY + "seed: 5\n")
    assert not diff_of(seeded, planned(STUDY + "seed: 5\n"))
    assert not diff_of(seeded, planned(STUDY))
    assert diff_of(seeded, planned(STUDY + "seed: 6\n")).settings == (Change("seed", 5, 6),)
    derived = planned()
    assert not diff_of(derived, planned(STUDY.replace("[1, 2]", "[1, 2, 4]"))).settings
    assert not diff_of(derived, planned(STUDY.replace("[1, 2]", "[1, 2, 4]") + "seed:\n")).settings


def test_an_experiment_is_paired_with_the_one_that_is_most_like_it(planned):
    before = planned("sweep: {batch_size: [1, 2]}\n")
    after = planned(
        "experiments:\n  - {batch_size: 2, dtype: float32, prompts.seed: 3}\n  - {batch_size: 1, dtype: float32}\n"
    )
    diff = diff_of(before, after)
    assert named(diff.lines(), before, after) == [
        "~ <1> batch_size=1: dtype: auto → float32",
        "~ <2> batch_size=2: dtype: auto → float32; prompts.seed: 0 → 3",
    ]
    assert (diff.removed, diff.added) == ((), ())


def test_what_is_another_experiment_altogether_is_no_changed_one(planned):
    before = planned("sweep: {batch_size: [1]}\n")
    after = planned(
        "dtype: float32\nbatch_size: 4\nprompts: {count: 4, input_tokens: 5, seed: 1}\n"
        "generation: {output_tokens: 9, seed: 1}\n"
        "measurement: {sensors: [], warmup_passes: 0, min_window_s: 1, min_passes: 1, guard_s: 0}\n",
    )
    assert named(diff_of(before, after).lines(), before, after) == [
        "- <1> model=llama-random engine=transformers dtype=auto",
        "+ <4> model=llama-random engine=transformers dtype=float32",
    ]


def test_a_diff_of_thousands_is_told_at_once_and_in_few_lines(planned):
    seeds = list(range(600))
    before = planned(f"sweep: {{prompts.seed: {seeds}}}\n")
    after = planned(f"dtype: float32\nsweep: {{prompts.seed: {seeds}}}\n")
    assert len(before.experiments) * len(after.experiments) > MOST_PAIRS
    lines = diff_of(before, after).lines()
    assert len(lines) == 82
    assert lines[40] == lines[81] == "  … 560 more"


def revised(before, file, make, **options):
    """Return the extension of a plan by a file, None where nothing differs, and the rows of both in a journal."""
    chain = make.chain()
    for event in (before.study, *before.experiments):
        chain.append(event)
    extension = Revision(file, **options).against(Path("folder"), PlanFold().apply_all(chain.rows))
    for event in extension.events if extension else ():
        chain.append(event)
    return extension, chain


def test_a_file_that_differs_in_nothing_is_no_extension(planned, make, tmp_path):
    extension, _ = revised(planned(), tmp_path / "study.yaml", make, extend=True)
    assert extension is None


def test_a_difference_is_refused_unless_it_may_and_can_be_an_extension(planned, make, tmp_path):
    before = planned()
    file = tmp_path / "study.yaml"
    file.write_text(HEAD + STUDY.replace("cycles: 2", "cycles: 3"))
    with pytest.raises(StudyDiffersError) as refused:
        revised(before, file, make)
    assert str(refused.value) == f"The study in folder is not what this file says:\n  ~ cycles: 2 → 3\n{ADD}"
    assert refused.value.exit_code == 2
    file.write_text(HEAD + STUDY.replace("cycles: 2", "cycles: 1"))
    with pytest.raises(StudyDiffersError) as refused:
        revised(before, file, make, extend=True)
    assert str(refused.value) == (
        "The study in folder cannot be extended by this file:\n  ~ cycles: 2 → 1\n"
        f"That is no extension: cycles can grow, not shrink. {INSTEAD}"
    )
    file.write_text("name: [")
    with pytest.raises(StudyFileError):
        revised(before, file, make, extend=True)


def test_an_extension_is_one_event_and_the_experiments_that_join(planned, make, tmp_path):
    before = planned()
    file = tmp_path / "study.yaml"
    file.write_text(HEAD + STUDY.replace("[1, 2]", "[4, 1, 2]").replace("cycles: 2", "cycles: 3"))
    extension, chain = revised(before, file, make, extend=True)
    event, joined = extension.events
    assert extension.sources == [(str(file), file.read_bytes())]
    assert extension.number == 1
    assert isinstance(event, StudyExtended)
    assert isinstance(joined, ExperimentPlanned)
    assert (event.cycles, event.added, event.sequence) == (3, 1, [0, 1, 2, 2, 2])
    assert event.summaries == ({"batch_size": 1}, {"batch_size": 2})
    assert (joined.index, joined.config.batch_size, joined.config_summary) == (2, 4, {"batch_size": 4})
    assert joined.config_hash.startswith(joined.label)
    assert joined.result_stem == f"llama-random_transformers_auto_{joined.label}"
    assert joined.origins == {"batch_size": "sweep batch_size line 5"}
    plan = PlanFold().apply_all(chain.rows)
    assert event.study_design_hash == study_design_hash(
        [one.config_hash for one in plan.experiments.values()],
        cycles=3,
        order="sequential",
        seed=before.study.seed,
        gaps=before.study.gaps,
    )


ORDERS = ["blocks", "sequential", "interleave", "reverse", "shuffle", "latin_square"]


@pytest.mark.parametrize("order", ORDERS)
def test_an_extended_study_has_every_trial_once_and_becomes_what_its_file_says(planned, make, tmp_path, order):
    text = f"cycles: {{}}\norder: {order}\nseed: 3\nsweep: {{{{batch_size: {{}}}}}}\n"
    before = planned(text.format(2, [1, 2, 4]))
    file = tmp_path / "study.yaml"
    file.write_text(HEAD + text.format(5, [1, 2, 4, 8]))
    extension, chain = revised(before, file, make, extend=True)
    plan = PlanFold().apply_all(chain.rows)
    assert plan.study.sequence == [*before.study.sequence, *extension.events[0].sequence]
    assert Counter(plan.study.sequence) == dict.fromkeys(range(4), 5)
    wanted = plan_study(load_study(file))
    assert plan.study.study_design_hash == wanted.study.study_design_hash
    assert not compare(plan.study, list(plan.experiments.values()), wanted)
    assert [e.config_summary for e in plan.experiments.values()] == [e.config_summary for e in wanted.experiments]
    manifest = ManifestFold().apply_all(chain.rows).manifest()
    assert manifest.total_experiments == len({entry.trial for entry in manifest.experiments}) == 20


@pytest.mark.parametrize("order", ["blocks", "interleave", "reverse", "latin_square"])
def test_cycles_that_are_added_are_those_that_the_study_would_have_had(planned, make, tmp_path, order):
    text = f"cycles: {{}}\norder: {order}\nsweep: {{{{batch_size: [1, 2, 4]}}}}\n"
    before = planned(text.format(2))
    file = tmp_path / "study.yaml"
    file.write_text(HEAD + text.format(7))
    extension, chain = revised(before, file, make, extend=True)
    assert len(extension.events) == 1
    assert PlanFold().apply_all(chain.rows).study.sequence == plan_study(load_study(file)).study.sequence


SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=5, unique=True)


@given(
    before=SIZES,
    after=SIZES,
    grown=st.booleans(),
    cycles=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    order=st.sampled_from(ORDERS),
)
def test_what_may_be_an_extension_becomes_the_study_of_its_file(
    make, tmp_path_factory, before, after, grown, cycles, order
):
    if grown:
        after, cycles = list(dict.fromkeys([*after, *before])), (min(cycles), max(cycles))
    file = tmp_path_factory.mktemp("study") / "study.yaml"

    def plan(sizes, cycles):
        sweep = f"sweep: {{batch_size: {sizes}}}\n"
        file.write_text(f"{HEAD}cycles: {cycles}\norder: {order}\nmeasurement: {{guard_s: 0}}\n{sweep}")
        return plan_study(load_study(file))

    planned, wanted = plan(before, cycles[0]), plan(after, cycles[1])
    diff = diff_of(planned, wanted)
    assert len(diff.removed) + len(diff.changed) == len({*before} - {*after})
    assert len(diff.added) + len(diff.changed) == len({*after} - {*before})
    assert bool(diff) == ({*before} != {*after} or cycles[0] != cycles[1])
    can = {*before} <= {*after} and cycles[0] <= cycles[1]
    assert (diff.obstacles() == []) == can
    if not can:
        with pytest.raises(StudyDiffersError):
            revised(planned, file, make, extend=True)
        return
    _, chain = revised(planned, file, make, extend=True)
    fold = PlanFold().apply_all(chain.rows)
    assert [one.config.batch_size for one in fold.experiments.values()][: len(before)] == before
    assert {one.config.batch_size for one in fold.experiments.values()} == {*after}
    assert list(fold.experiments) == [one.index for one in fold.experiments.values()] == list(range(len(after)))
    assert fold.study.sequence[: len(planned.study.sequence)] == planned.study.sequence
    assert Counter(fold.study.sequence) == dict.fromkeys(range(len(after)), cycles[1])
    assert len({one.label for one in fold.experiments.values()}) == len(after)
    assert not compare(fold.study, list(fold.experiments.values()), wanted)
    for number in range(1, len(chain.rows) + 1):
        manifest = ManifestFold().apply_all(chain.rows[:number]).manifest()
        assert manifest.pending == manifest.total_experiments == len(manifest.experiments)
    assert manifest.total_experiments == len(after) * cycles[1]


def test_extending_twice_is_extending_once(planned, make, tmp_path):
    file = tmp_path / "study.yaml"
    before = planned()
    chain = make.chain()
    for event in (before.study, *before.experiments):
        chain.append(event)
    for cycles, sizes in ((2, [1, 2, 4]), (3, [1, 2, 4]), (3, [1, 2, 4, 8])):
        file.write_text(HEAD + STUDY.replace("2\n", f"{cycles}\n", 1).replace("[1, 2]", str(sizes)))
        extension = Revision(file, extend=True).against(Path("folder"), PlanFold().apply_all(chain.rows))
        for event in extension.events:
            chain.append(event)
    assert extension.number == 3
    plan = PlanFold().apply_all(chain.rows)
    assert Counter(plan.study.sequence) == dict.fromkeys(range(4), 3)
    assert plan.study.sequence == [0, 0, 1, 1, 2, 2, 0, 1, 2, 3, 3, 3]
    assert not compare(plan.study, list(plan.experiments.values()), plan_study(load_study(file)))


def test_limits_alone_are_an_extension_without_a_trial(planned, make, tmp_path):
    before = planned()
    file = tmp_path / "study.yaml"
    file.write_text(HEAD + STUDY + "limits: {study_s: 60}\n")
    (event,) = revised(before, file, make, extend=True)[0].events
    assert (event.sequence, event.added, event.limits.study_s, event.cycles) == ([], 0, 60.0, 2)
    assert event.study_design_hash == before.study.study_design_hash


def test_reruns_may_change_and_hold_from_then_on(planned, make, tmp_path):
    before = planned()
    file = tmp_path / "study.yaml"
    file.write_text(HEAD + STUDY + "reruns: 0\n")
    (event,) = revised(before, file, make, extend=True)[0].events
    assert (event.sequence, event.reruns) == ([], 0)
    assert event.study_design_hash == before.study.study_design_hash
    chain = make.chain()
    for one in (before.study, *before.experiments, event):
        chain.append(one)
    assert PlanFold().apply_all(chain.rows).study.reruns == 0


def test_an_extension_that_does_not_speak_of_reruns_leaves_them(planned, make, tmp_path):
    before = planned(STUDY + "reruns: 7\n")
    file = tmp_path / "study.yaml"
    file.write_text(HEAD + STUDY + "reruns: 7\nlimits: {study_s: 60}\n")
    (event,) = revised(before, file, make, extend=True)[0].events
    chain = make.chain()
    for one in (before.study, *before.experiments, event.model_copy(update={"reruns": None})):
        chain.append(one)
    assert PlanFold().apply_all(chain.rows).study.reruns == 7


@pytest.fixture
def carbons(planned, make, tmp_path):
    """Return a function that compares a study with a file of another carbon: (extension, warnings)."""

    def of(before, after, *, extend, more=""):
        file, warnings = tmp_path / "file.yaml", []
        chain = make.chain()
        plan = planned(STUDY + before)
        for event in (plan.study, *plan.experiments):
            chain.append(event)
        file.write_text(HEAD + STUDY + after + more)
        revision = Revision(file, extend=extend, warn=warnings.append)
        return revision.against(Path("folder"), PlanFold().apply_all(chain.rows)), warnings

    return of


RTE, OWN = (f"carbon: {{intensity_g_per_kwh: {number}, source: RTE, pue: 1.2}}\n" for number in (56, 30))


def test_another_carbon_alone_is_told_and_the_study_goes_on_with_its_own(carbons):
    extension, (warning,) = carbons(RTE, OWN, extend=False)
    assert extension is None
    assert warning == (
        "the file declares another carbon (~ carbon.intensity_g_per_kwh: 56 → 30): the study keeps its own; "
        "add --extend to take the file's"
    )
    assert carbons(RTE, RTE, extend=False) == (None, [])


@pytest.mark.parametrize(("before", "after"), [(RTE, OWN), ("", OWN), (RTE, "")], ids=["another", "one", "none"])
def test_another_carbon_is_an_extension_without_a_trial_that_changes_no_design(carbons, make, before, after):
    extension, warnings = carbons(before, after, extend=True)
    (event,) = extension.events
    assert (event.sequence, event.added, warnings) == ([], 0, [])
    assert event.carbon == (None if not after else event.carbon.model_copy(update={"intensity_g_per_kwh": 30.0}))


def test_another_carbon_beside_another_difference_is_told_with_it(carbons):
    with pytest.raises(
        StudyDiffersError, match=r"~ limits.trial_s: 3600 → 90\n  ~ carbon.intensity_g_per_kwh: 56 → 30"
    ):
        carbons(RTE, OWN, extend=False, more="limits: {trial_s: 90}\n")


def test_labels_of_before_stay_and_new_ones_are_told_from_them(planned, make, tmp_path):
    before = planned()
    short = [
        one.model_copy(update={"label": one.config_hash[:9], "result_stem": f"x_{one.config_hash[:9]}"})
        for one in before.experiments
    ]
    chain = make.chain()
    for event in (before.study, *short):
        chain.append(event)
    file = tmp_path / "study.yaml"
    file.write_text(HEAD + STUDY.replace("[1, 2]", "[1, 2, 4]"))
    _, joined = Revision(file, extend=True).against(Path("folder"), PlanFold().apply_all(chain.rows)).events
    assert joined.label == joined.config_hash[:9]


def test_a_file_elsewhere_speaks_of_the_same_prompts_if_their_content_is_the_same(planned, make, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    text = "cycles: 1\nprompts: {source: jsonl, path: prompts.jsonl}\n"
    for folder in (here, there):
        folder.mkdir()
        (folder / "prompts.jsonl").write_text('{"text": "hello"}\n')
    before = planned(text, folder=here)
    planned(text, folder=there)
    assert revised(before, there / "study.yaml", make)[0] is None
    (there / "prompts.jsonl").write_text('{"text": "good bye"}\n')
    with pytest.raises(StudyDiffersError) as refused:
        revised(before, there / "study.yaml", make, extend=True)
    (changed,) = refused.value.diff.changed
    assert {change.key for change in changed[1]} == {"prompts.sha256", "prompts.path"}


def test_what_the_command_line_sets_belongs_to_the_revision(planned, make, tmp_path):
    before = planned()
    told = []
    extension, _ = revised(
        before,
        tmp_path / "study.yaml",
        make,
        extend=True,
        settings=["cycles=4"],
        tell=lambda plan: told.append(plan.trials),
    )
    assert extension.events[0].sequence == [0, 0, 1, 1]
    assert told == [8], "whoever looks on is told the whole plan of the file"


PROMPTS = "cycles: 1\nprompts: {source: jsonl, path: prompts.jsonl}\n"


def write_prompts(folder, text="hello"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompts.jsonl").write_text(f'{{"text": "{text}"}}\n')
    return folder


def test_a_study_whose_first_folder_is_gone_is_compared_with_a_file_elsewhere(planned, make, tmp_path):
    here, there = write_prompts(tmp_path / "here"), write_prompts(tmp_path / "there")
    before = planned(PROMPTS, folder=here)
    shutil.rmtree(here)
    (there / "study.yaml").write_text(HEAD + PROMPTS)
    assert revised(before, there / "study.yaml", make)[0] is None


def test_a_study_in_a_folder_behind_a_link_is_compared_with_a_file_elsewhere(planned, make, tmp_path):
    write_prompts(tmp_path / "deep" / "real")
    there = write_prompts(tmp_path / "there")
    link = tmp_path / "link"
    link.symlink_to("deep/real")
    before = planned(PROMPTS, folder=link)
    (there / "study.yaml").write_text(HEAD + PROMPTS)
    assert revised(before, there / "study.yaml", make)[0] is None


def test_a_base_file_s_prompts_are_found_from_a_study_in_a_folder_behind_a_link(tmp_path):
    common = write_prompts(tmp_path / "common")
    (common / "base.yaml").write_text(HEAD + PROMPTS)
    (tmp_path / "deep" / "real").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to("deep/real")
    (link / "study.yaml").write_text(f"base: {common / 'base.yaml'}\n")
    (experiment,) = plan_study(load_study(link / "study.yaml")).experiments
    assert (link / experiment.config.prompts.path).read_text() == '{"text": "hello"}\n'
