import os

import pytest

from llem.domain.errors import StudyError
from llem.journal.journal import Journal
from llem.study.disk import LAST_TRIALS, LEAST_BYTES, StudyDisk, require_room, room_at
from llem.study.folder import StudyFolder

HUGE_BYTES = 1 << 43
REMEDY = "Choose another one."


@pytest.fixture
def folder(tmp_path):
    made = StudyFolder(tmp_path)
    made.make_parts()
    return made


@pytest.fixture
def disk(folder):
    with Journal(folder.journal) as journal:
        yield StudyDisk(folder, journal)


def sparse(path, size=HUGE_BYTES):
    """Make a file that is as large as no disk and takes no space."""
    path.touch()
    os.truncate(path, size)
    return path


def test_what_a_disk_has_room_for_is_let_through(tmp_path):
    require_room(tmp_path, "this study", 1, 1, remedy=REMEDY)


def test_a_margin_and_what_is_never_left_to_others_come_on_top(tmp_path):
    free = room_at(tmp_path).free_bytes
    told = rf"The disk of {tmp_path} has [\d,.]+ MB free, and this study needs [\d,.]+ MB\."
    with pytest.raises(StudyError, match=told) as error:
        require_room(tmp_path, "this study", free * 0.9, 1, remedy=REMEDY)
    assert error.value.remedy == REMEDY
    assert LEAST_BYTES > 1e7


def test_files_are_counted_where_a_file_system_has_a_number_of_them(tmp_path):
    if room_at(tmp_path).files is None:
        require_room(tmp_path, "this study", 1, 10**12, remedy=REMEDY)
        return
    with pytest.raises(StudyError, match=r"more files, and this study needs 3,000,000,000,016\."):
        require_room(tmp_path, "this study", 1, 10**12, remedy=REMEDY)


def test_a_folder_that_does_not_exist_yet_is_asked_for_where_it_will_lie(tmp_path):
    assert room_at(tmp_path / "not" / "yet").free_bytes == pytest.approx(room_at(tmp_path).free_bytes, rel=0.1)


def test_the_next_trial_may_need_as_much_as_any_of_the_last_ones(disk, folder):
    disk.require_room()
    disk.took([sparse(folder.logs / "loud.log"), folder.logs / "missing.log"])
    for _ in range(LAST_TRIALS):
        with pytest.raises(StudyError, match="and the next trial needs 13,194,139"):
            disk.require_room()
        disk.took([])
    disk.require_room()


def test_an_export_is_written_beside_the_one_before_it(disk, folder):
    sparse(folder.manifest)
    with pytest.raises(StudyError, match="and the next trial needs 13,194,139"):
        disk.require_room()


@pytest.mark.parametrize("part", ["results", "samples", "logs"])
def test_a_part_of_the_folder_that_is_gone_is_found_before_anything_is_measured(disk, folder, part):
    (folder.root / part).rmdir()
    with pytest.raises(StudyError, match=f"/{part} cannot be written: its folder is gone"):
        disk.require_room()
