import json

import pytest

from llem.domain.events import PhaseEntered, SessionEnded
from llem.exports.manifest import EXPORT_EVERY_S, ManifestExporter, export_manifest
from llem.projections.manifest import ManifestFold


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class Study:
    """A study that goes on event by event, with an exporter looking on."""

    def __init__(self, make, path):
        self.chain, self.fold = make.chain(), ManifestFold()
        self.path, self.warnings, self.clock = path, [], Clock()
        self.exporter = ManifestExporter(path, self.warnings.append, self.clock)
        for event in make.plan():
            self.fold.apply(self.chain.append(event))

    def happens(self):
        event = PhaseEntered(trial="e0_c1", attempt=1, phase="load", t_ns=1)
        self.fold.apply(self.chain.append(event))
        self.exporter.update(self.fold)

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


def test_a_fold_without_a_plan_exports_nothing(tmp_path):
    export_manifest(ManifestFold(), tmp_path / "manifest.json")
    assert list(tmp_path.iterdir()) == []


def test_the_first_change_is_exported_at_once(study):
    study.happens()
    assert study.exported_seq == study.fold.seq


def test_a_thousand_events_in_a_second_make_one_export(study):
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


def test_an_export_is_never_older_than_a_second_while_time_ticks(study):
    for _ in range(50):
        study.happens()
        held_back = study.fold.seq
        for _ in range(2):
            study.clock.now_s += 0.5
            study.exporter.tick()
        assert study.exported_seq >= held_back


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
