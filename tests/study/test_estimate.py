from datetime import UTC, datetime, timedelta

import pytest

from llem.domain.errors import InputError
from llem.domain.events import ExperimentCompleted, ExperimentRunning
from llem.journal.journal import Journal
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.study.estimate import TRIAL_BYTES, bytes_left_to_write, estimate
from llem.study.folder import StudyFolder
from llem.study.load import load_study
from llem.study.plan import plan_study

HEAD = "name: tiny\nmodel: {config: llama}\ncycles: 2\n"
UNKNOWN = "no power is known before a trial has run: give earlier studies with --from"
DIFFERENT = "the earlier trials were measured in different ways"


@pytest.fixture
def planned(tmp_path):
    """Return a function from a study's text to its plan."""

    def of(text="", head=HEAD):
        (tmp_path / "study.yaml").write_text(head + text)
        return plan_study(load_study(tmp_path / "study.yaml"))

    return of


@pytest.fixture
def ran(make, tmp_path):
    """Return a function that makes the folder of a study whose trials took so many seconds, with these headlines."""

    def of(plan, trials, name="earlier"):
        folder = tmp_path / name
        (folder / "results").mkdir(parents=True)
        now = [datetime(2026, 1, 1, tzinfo=UTC)]
        with Journal(folder / "journal.db", now=lambda: now[0]) as journal:
            journal.append_all([plan.study, *plan.experiments])
            for number, (index, seconds, headline) in enumerate(trials, start=1):
                about = {"trial": f"{plan.experiments[index].label}_c{number}", "attempt": 1}
                journal.append(ExperimentRunning(**about, log_file="logs/x.log", launcher="local"))
                now[0] += timedelta(seconds=seconds)
                done = make.headline(**headline)
                journal.append(ExperimentCompleted(**about, result_file="r", result_sha256=make.sha, headline=done))
            journal.seal()
        return folder

    return of


@pytest.mark.parametrize(("more", "left"), [(0, 2), (4, 6)])
def test_what_is_left_of_a_study_takes_what_its_trials_took_so_far(planned, ran, more, left):
    plan = planned("sweep: {batch_size: [1, 2]}\n")
    folder = StudyFolder(ran(plan, [(0, 5, headline()), (1, 5, headline())]))
    (folder.results / "r").write_bytes(bytes(1_000_000))
    held = 1_000_000 + folder.journal.stat().st_size
    fold = ManifestFold()
    with open_reader(folder.journal) as reader:
        fold.apply_all(reader.rows())
    assert bytes_left_to_write(folder, fold, more) == held // 2 * left


def test_what_is_left_of_a_study_that_measured_nothing_is_taken_from_studies_before_it(planned, ran):
    plan = planned()
    folder = StudyFolder(ran(plan, []))
    fold = ManifestFold()
    with open_reader(folder.journal) as reader:
        fold.apply_all(reader.rows())
    assert bytes_left_to_write(folder, fold) == plan.trials * TRIAL_BYTES


def headline(energy_j=20.0, duration_s=2.0, **changes):
    return {"energy_total_j": energy_j, "duration_s": duration_s, **changes}


def test_by_the_settings_a_trial_takes_guards_and_its_shortest_window(planned):
    settings = "{guard_s: 0.5, min_window_s: 6.5, phases: false}"
    found = estimate(planned(f"measurement: {settings}\nsweep: {{batch_size: [1, 2]}}\n"))
    assert found.model_dump() == {
        "duration_s": 4 * (3 * 0.5 + 6.5),
        "at_least": True,
        "gaps_s": 0.0,
        "cooling_at_most_s": 0.0,
        "warming_at_most_s": 4 * (60.0 + 120.0),
        "energy_j": None,
        "energy_provenance": "none",
        "energy_reason": UNKNOWN,
        "disk_bytes": 1_200_000 + 4 * 16_000 + 32 * 1_500,
        "basis": "settings",
        "known_experiments": 0,
    }


@pytest.mark.parametrize(("output_tokens", "windows"), [(2, 2), (1, 1)])
def test_prefill_alone_is_a_second_window_unless_there_is_nothing_else(planned, output_tokens, windows):
    generation = f"generation: {{output_tokens: {output_tokens}}}\n"
    plan = planned("measurement: {guard_s: 0.5, min_window_s: 6}\n" + generation)
    assert estimate(plan).duration_s == 2 * (0.5 + windows * (2 * 0.5 + 6.0))


def test_each_experiment_has_its_own_window(planned):
    plan = planned("measurement: {guard_s: 0, phases: false}\nsweep: {measurement.min_window_s: [1, 10]}\n")
    assert estimate(plan).duration_s == 2 * (1.0 + 10.0)


GAPS = {
    "none": ("", 0.0, 0.0),
    "between trials": ("gaps: {between_trials: 10}\n", 50.0, 0.0),
    "between cycles as between trials": ("gaps: {between_trials: 10, between_cycles: null}\n", 50.0, 0.0),
    "both": ("gaps: {between_trials: 10, between_cycles: 60}\n", 4 * 10.0 + 60.0, 0.0),
    "none between cycles": ("gaps: {between_trials: 10, between_cycles: 0}\n", 40.0, 0.0),
    "cooling between trials": ("gaps: {between_trials: {cool_to_c: 45, at_most_s: 100}}\n", 0.0, 500.0),
    "cooling between cycles": (
        "gaps: {between_trials: 10, between_cycles: {cool_to_c: 45, at_most_s: 100}}\n",
        40.0,
        100.0,
    ),
    "cooling between trials, time between cycles": (
        "gaps: {between_trials: {cool_to_c: 45, at_most_s: 100}, between_cycles: 7}\n",
        7.0,
        400.0,
    ),
    "sequential": ("order: sequential\ngaps: {between_trials: 10}\n", 50.0, 0.0),
}


@pytest.mark.parametrize(("gaps", "fixed_s", "cooling_s"), GAPS.values(), ids=GAPS)
def test_gaps_stand_before_every_trial_but_the_first(planned, gaps, fixed_s, cooling_s):
    found = estimate(planned(f"measurement: {{guard_s: 0, phases: false}}\nsweep: {{batch_size: [1, 2, 4]}}\n{gaps}"))
    assert (found.gaps_s, found.cooling_at_most_s) == (fixed_s, cooling_s)
    assert found.duration_s == 6 * 10.0 + fixed_s


def test_one_trial_alone_waits_for_nothing(planned):
    plan = planned("gaps: {between_trials: 10, between_cycles: 60}\n", head=HEAD.replace("2", "1"))
    assert estimate(plan).gaps_s == 0.0


def test_an_experiment_that_ran_before_takes_what_its_trials_took_on_average(planned, ran):
    plan = planned("sweep: {batch_size: [1, 2]}\n")
    folder = ran(plan, [(0, 10, headline(20)), (0, 20, headline(40)), (1, 5, headline(60))])
    found = estimate(plan, [folder])
    assert found.duration_s == 2 * (15.0 + 5.0)
    # 10 W and 20 W in the first experiment's windows, 30 W in the second's.
    assert found.energy_j == pytest.approx(2 * (15.0 * 15.0 + 30.0 * 5.0))
    assert (found.energy_provenance, found.energy_reason) == ("counter", None)
    assert (found.at_least, found.basis, found.known_experiments) == (False, "earlier trials", 2)


def test_an_experiment_that_is_new_takes_its_window_and_what_others_took_beside_theirs(planned, ran):
    earlier = planned("sweep: {batch_size: [1, 2]}\n")
    folder = ran(earlier, [(0, 10, headline(20)), (0, 12, headline(20)), (1, 30, headline(60))])
    found = estimate(planned("sweep: {batch_size: [1, 4]}\nmeasurement: {min_window_s: 10}\n"), [folder])
    # Beside their windows of 2 s: 8, 10 and 28 s.
    assert found.duration_s == 2 * (11.0 + (10.0 + 10.0))
    assert (found.at_least, found.basis, found.known_experiments) == (True, "both", 1)
    # The new one at the mean power of all earlier windows: 10, 10 and 30 W.
    assert found.energy_j == pytest.approx(2 * (11.0 * 10.0 + 20.0 * 50 / 3))


def test_only_what_is_measured_alike_is_the_same_experiment(planned, ran):
    folder = ran(planned(), [(0, 10, headline())])
    assert estimate(planned("measurement: {warmup_passes: 0}\n"), [folder]).known_experiments == 0
    assert estimate(planned("limits: {trial_s: 50}\n"), [folder]).known_experiments == 1


def test_modelled_energy_stays_marked_as_modelled(planned, ran):
    plan = planned()
    folder = ran(plan, [(0, 10, headline(provenance="modelled", boundary="cpu+ram"))])
    assert estimate(plan, [folder]).energy_provenance == "modelled"


def without_energy():
    return headline(None, provenance="none", boundary=None, energy_reason="no sensor")


SOURCES = {
    "of different kinds": ([headline(), headline(provenance="modelled")], DIFFERENT),
    "of different boundaries": ([headline(), headline(boundary="gpu+cpu")], DIFFERENT),
    "of which none has any": ([without_energy()] * 2, "the earlier trials have no energy"),
}


def test_a_trial_without_energy_leaves_those_with_one_to_speak(planned, ran):
    plan = planned()
    known = estimate(plan, [ran(plan, [(0, 10, headline()), (0, 10, headline())], "known")])
    partly = estimate(plan, [ran(plan, [(0, 10, headline()), (0, 10, without_energy())], "partly")])
    assert (partly.energy_j, partly.energy_provenance) == (known.energy_j, "counter")


def test_the_energy_of_a_spoiled_trial_is_in_no_estimate(planned, ran):
    plan = planned()
    spoiled = headline(9000.0, invalid=("idle_drift",))
    found = estimate(plan, [ran(plan, [(0, 10, headline(20.0)), (0, 10, spoiled)])])
    assert found.energy_j == pytest.approx(2 * 10 * 20.0 / 2.0)
    only = estimate(plan, [ran(plan, [(0, 10, spoiled)], name="spoiled")])
    assert (only.energy_j, only.energy_reason) == (None, "the earlier trials have no energy")
    assert only.duration_s == pytest.approx(20.0)


@pytest.mark.parametrize(("headlines", "reason"), SOURCES.values(), ids=SOURCES)
def test_energies_that_do_not_add_up_give_none(planned, ran, headlines, reason):
    plan = planned()
    found = estimate(plan, [ran(plan, [(0, 10, one) for one in headlines])])
    assert (found.energy_j, found.energy_provenance, found.energy_reason) == (None, "none", reason)
    assert found.duration_s == 20.0


def test_a_study_that_has_not_completed_a_trial_gives_nothing(planned, ran):
    plan = planned()
    assert estimate(plan, [ran(plan, [])]) == estimate(plan)


def test_several_studies_are_taken_together_and_one_named_twice_weighs_no_more(planned, ran):
    plan = planned()
    one, two = ran(plan, [(0, 10, headline())], "one"), ran(plan, [(0, 20, headline())], "two")
    assert estimate(plan, [one, two]).duration_s == 2 * 15.0
    assert estimate(plan, [one, one]) == estimate(plan, [one])
    assert estimate(plan, [one, one, two]).duration_s == 2 * 15.0


def test_disk_is_what_an_earlier_trial_left(planned, ran):
    plan = planned()
    folder = ran(plan, [(0, 10, headline()), (0, 10, headline())])
    (folder / "results" / "r.json").write_bytes(b"x" * 50_000)
    journal = (folder / "journal.db").stat().st_size
    assert estimate(plan, [folder]).disk_bytes == 50_000 + journal
    assert estimate(planned(head=HEAD.replace("2", "4")), [folder]).disk_bytes == 2 * (50_000 + journal)


def test_a_folder_that_is_no_study_is_refused(planned, tmp_path):
    with pytest.raises(InputError, match="is no study"):
        estimate(planned(), [tmp_path])


def test_nothing_is_written_to_an_earlier_study(planned, ran):
    plan = planned()
    folder = ran(plan, [(0, 10, headline())])
    before = {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}
    estimate(plan, [folder])
    assert {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")} == before
