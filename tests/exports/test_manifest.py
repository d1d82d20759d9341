import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llem.domain.events import (
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentRunning,
    ExperimentSkipped,
    PhaseEntered,
    SessionEnded,
    StudyExtended,
)
from llem.domain.spec import Limits
from llem.exports.manifest import EXPORT_EVERY_S, MOST_SHARE, TICK_S, ManifestExporter, ManifestFile, export_manifest
from llem.projections.manifest import ManifestFold
from llem.study.supervise import LATEST_TICK_S


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class SlowDisk:
    """A clock by which every write of a file took so long."""

    def __init__(self, clock, path, slow_s):
        self.clock, self.path, self.slow_s = clock, path, slow_s
        self.written_ns = self.mtime_ns

    @property
    def mtime_ns(self):
        return self.path.stat().st_mtime_ns if self.path.exists() else None

    def __call__(self):
        if self.mtime_ns != self.written_ns:
            self.written_ns = self.mtime_ns
            self.clock.now_s += self.slow_s
        return self.clock.now_s


class Study:
    """A study that goes on event by event, with an exporter looking on."""

    def __init__(self, make, path):
        self.chain, self.fold = make.chain(), ManifestFold()
        self.path, self.warnings, self.clock = path, [], Clock()
        self.exporter = ManifestExporter(path, self.warnings.append, self.clock)
        for event in make.plan():
            self.fold.apply(self.chain.append(event))

    def happens(self, event=None):
        row = self.chain.append(event or ExperimentSkipped(trial="e0_c1", reason="does not fit"))
        self.fold.apply(row)
        self.exporter.update(row, self.fold)

    @property
    def exported_seq(self):
        return json.loads(self.path.read_bytes())["journal_seq"]


@pytest.fixture
def study(make, tmp_path):
    return Study(make, tmp_path / "manifest.json")


def test_the_exported_manifest_is_that_of_the_fold_and_nothing_lies_beside_it(study):
    export_manifest(study.fold, study.path)
    assert type(study.fold.manifest()).model_validate_json(study.path.read_bytes()) == study.fold.manifest()
    assert [file.name for file in study.path.parent.iterdir()] == ["manifest.json"]


ABOUT = {"attempt": 1, "result_file": "é.json", "result_sha256": "a" * 64}
HAPPENINGS = {
    "running": lambda make, trial: ExperimentRunning(trial=trial, attempt=1, log_file="l", launcher="x"),
    "completed": lambda make, trial: ExperimentCompleted(trial=trial, **ABOUT, headline=make.headline(requests=7)),
    "failed": lambda make, trial: ExperimentFailed(
        trial=trial, attempt=1, error_type="E", error_message='é"\n\u2028' * 9, phase="load"
    ),
    "skipped": lambda make, trial: ExperimentSkipped(trial=trial, reason="does not fit"),
    "session": lambda make, trial: SessionEnded(reason="interrupted"),
}
TO_THE_FILE = {
    "nothing": lambda path: None,
    "deleted": lambda path: path.unlink(),
    "replaced": lambda path: (path.unlink(), path.write_bytes(b"{}")),
    "changed in place": lambda path: path.write_bytes(path.read_bytes().replace(b"pending", b"PENDING")),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:300]),
}


@settings(max_examples=25)
@given(st.data())
def test_a_file_kept_current_is_byte_by_byte_that_of_the_whole_manifest(make, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("study") / "manifest.json"
    chain, fold, file = make.chain(), ManifestFold(), ManifestFile(path)
    for event in make.plan(data.draw(st.integers(0, 3)), 2):
        fold.apply(chain.append(event))
    for _ in range(data.draw(st.integers(1, 6))):
        for _ in range(data.draw(st.integers(0, 4)) if fold.trials else 0):
            happening = HAPPENINGS[data.draw(st.sampled_from(list(HAPPENINGS)))]
            row = chain.append(happening(make, data.draw(st.sampled_from(list(fold.trials)))))
            fold.apply(row)
            file.saw(row)
        file.write(fold)
        assert path.read_bytes() == fold.manifest().model_dump_json(indent=2).encode() + b"\n"
        TO_THE_FILE[data.draw(st.sampled_from(list(TO_THE_FILE)))](path)


def test_only_the_entries_of_changed_trials_are_made_anew(study):
    file = ManifestFile(study.path)
    assert file.write(study.fold)
    study.path.write_bytes(b"{}")
    assert file.write(study.fold), "what somebody changed was taken for what was written"
    row = study.chain.append(ExperimentSkipped(trial="e1_c2", reason="does not fit"))
    study.fold.apply(row)
    file.saw(row)
    assert not file.write(study.fold)


def test_a_write_that_failed_is_made_up_for_by_the_next_one(study):
    file = ManifestFile(study.path)
    file.write(study.fold)
    row = study.chain.append(ExperimentSkipped(trial="e1_c2", reason="does not fit"))
    study.fold.apply(row)
    file.saw(row)
    study.path.unlink()
    study.path.mkdir()
    with pytest.raises(OSError):
        file.write(study.fold)
    assert [one.name for one in study.path.parent.iterdir()] == ["manifest.json"]
    study.path.rmdir()
    file.write(study.fold)
    assert study.path.read_bytes() == study.fold.manifest().model_dump_json(indent=2).encode() + b"\n"


def test_an_extension_renames_entries_that_no_event_of_their_own_changed(study):
    file = ManifestFile(study.path)
    file.write(study.fold)
    summaries = [{"batch_size": 1, "new": "é\n"}, {}]
    more = {
        "llem_version": "0.1",
        "cycles": 2,
        "limits": Limits(),
        "sequence": [],
        "added": 0,
        "summaries": summaries,
    }
    row = study.chain.append(StudyExtended(study_design_hash="b" * 64, **more))
    study.fold.apply(row)
    file.saw(row)
    file.write(study.fold)
    assert study.path.read_bytes() == study.fold.manifest().model_dump_json(indent=2).encode() + b"\n"
    found = {str(entry["config_summary"]) for entry in json.loads(study.path.read_bytes())["experiments"]}
    assert found == set(map(str, summaries))


def test_a_fold_without_a_plan_exports_nothing(tmp_path):
    export_manifest(ManifestFold(), tmp_path / "manifest.json")
    assert list(tmp_path.iterdir()) == []


def test_the_first_change_is_exported_at_once(study):
    study.happens()
    assert study.exported_seq == study.fold.seq


def test_a_thousand_events_within_half_a_second_make_one_export(study):
    study.happens()
    before = study.path.stat().st_mtime_ns, study.path.stat().st_ino
    for _ in range(1000):
        study.happens()
        study.clock.now_s += EXPORT_EVERY_S / 2000
    assert (study.path.stat().st_mtime_ns, study.path.stat().st_ino) == before


def test_what_was_held_back_is_exported_when_its_time_has_come_without_a_further_event(study):
    study.happens()
    study.happens()
    assert study.exported_seq == study.fold.seq - 1
    study.clock.now_s += EXPORT_EVERY_S
    study.exporter.tick()
    assert study.exported_seq == study.fold.seq


@settings(max_examples=10)
@given(st.lists(st.floats(0.0, TICK_S), min_size=1, max_size=40))
def test_no_change_is_held_back_for_longer_than_from_tick_to_tick(make, tmp_path_factory, pauses_s):
    study, since_s = Study(make, tmp_path_factory.mktemp("study") / "manifest.json"), None
    for pause_s in pauses_s:
        study.happens()
        if study.exported_seq == study.fold.seq:
            since_s = None
        elif since_s is None:
            since_s = study.clock.now_s
        study.clock.now_s += pause_s
        study.exporter.tick()
        if study.exported_seq == study.fold.seq:
            since_s = None
        assert since_s is None or study.clock.now_s - since_s <= TICK_S


def test_a_session_ticks_as_often_as_the_export_counts_on():
    assert LATEST_TICK_S <= TICK_S


def test_an_event_that_changes_no_entry_causes_no_export_and_the_next_one_has_it(study):
    study.happens()
    inode = study.path.stat().st_ino
    for phase in ("load", "measure"):
        study.clock.now_s += 10
        study.happens(PhaseEntered(trial="e0_c1", attempt=1, phase=phase, t_ns=1))
        study.exporter.tick()
    assert study.path.stat().st_ino == inode
    study.happens()
    assert study.exported_seq == study.fold.seq


def test_writing_takes_no_more_than_its_share_of_the_time_where_the_disk_is_slow(study):
    slow_s, began_s, writes = 2.0, study.clock.now_s, 0
    study.exporter = ManifestExporter(study.path, study.warnings.append, SlowDisk(study.clock, study.path, slow_s))
    while (passed_s := study.clock.now_s - began_s) < 300:
        study.happens()
        writes += study.exported_seq == study.fold.seq
        study.clock.now_s += 0.1
    assert 0.8 * MOST_SHARE < slow_s * writes / passed_s < 1.2 * MOST_SHARE


def test_nothing_is_written_while_nothing_changes(study):
    study.happens()
    inode = study.path.stat().st_ino
    study.clock.now_s += 10
    study.exporter.tick()
    assert study.path.stat().st_ino == inode


def test_the_manifest_is_exactly_current_at_the_end(study):
    study.happens()
    study.fold.apply(study.chain.append(SessionEnded(reason="interrupted")))
    study.exporter.export_now(study.fold)
    assert study.exported_seq == study.fold.seq


def test_an_export_that_fails_warns_once_and_never_raises(study):
    study.path.mkdir()
    for _ in range(5):
        study.happens()
        study.clock.now_s += 10
        study.exporter.tick()
    (warning,) = study.warnings
    assert "manifest.json could not be written" in warning
    assert "the journal has it all" in warning


def test_an_export_that_failed_is_made_up_for_without_a_further_event(study):
    study.path.mkdir()
    study.happens()
    study.path.rmdir()
    study.clock.now_s += 1
    study.exporter.tick()
    assert study.exported_seq == study.fold.seq


def test_a_failure_after_a_success_warns_again(study):
    for _ in range(2):
        study.path.mkdir()
        study.happens()
        study.path.rmdir()
        study.clock.now_s += 1
        study.happens()
        study.clock.now_s += 1
        study.path.unlink()
    assert len(study.warnings) == 2


def test_a_failed_export_leaves_nothing_half_written(study):
    study.path.mkdir()
    study.happens()
    assert [file.name for file in study.path.parent.iterdir()] == ["manifest.json"]
