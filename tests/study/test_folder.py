from pathlib import Path

import pytest

from llem.domain.errors import StudyError
from llem.study.folder import create_study_dir, keep_study_file


def test_a_study_folder_is_named_by_study_and_time_and_holds_its_parts(make, tmp_path):
    folder = create_study_dir(tmp_path / "deep" / "studies", "tiny", make.start)
    assert folder.root == tmp_path / "deep" / "studies" / "tiny_2026-01-02T03-04-05"
    assert sorted(path.name for path in folder.root.iterdir()) == ["logs", "results", "samples"]
    assert {folder.logs, folder.results, folder.samples} == set(folder.root.iterdir())


def test_two_studies_of_one_name_in_one_second_never_share_a_folder(make, tmp_path):
    first = create_study_dir(tmp_path, "tiny", make.start)
    (first.results / "mine.json").write_text("{}")
    with pytest.raises(StudyError, match="is there already") as refused:
        create_study_dir(tmp_path, "tiny", make.start)
    assert refused.value.exit_code == 3
    assert (first.results / "mine.json").exists()


@pytest.mark.parametrize("output", ["a file", "below a file"])
def test_an_output_folder_that_is_a_file_is_a_study_error_that_says_so(make, tmp_path, output):
    file = tmp_path / "taken"
    file.write_text("something")
    with pytest.raises(StudyError, match="cannot be created") as refused:
        create_study_dir(file if output == "a file" else file / "below", "tiny", make.start)
    assert refused.value.exit_code == 3
    assert "another study" not in str(refused.value)
    assert "--output" in refused.value.remedy
    assert file.read_text() == "something"


def test_an_output_folder_that_may_not_be_written_is_a_study_error(make):
    with pytest.raises(StudyError, match=r"/proc/llem/tiny_2026-01-02T03-04-05 cannot be created"):
        create_study_dir(Path("/proc/llem"), "tiny", make.start)


def test_the_study_file_is_kept_byte_for_byte(make, tmp_path):
    folder = create_study_dir(tmp_path, "tiny", make.start)
    keep_study_file(folder, b"\xef\xbb\xbfname: a\r\n")
    assert folder.study_file.read_bytes() == b"\xef\xbb\xbfname: a\r\n"


def test_a_study_file_that_cannot_be_kept_is_a_study_error(make, tmp_path):
    folder = create_study_dir(tmp_path, "tiny", make.start)
    folder.study_file.mkdir()
    with pytest.raises(StudyError, match="cannot be written"):
        keep_study_file(folder, b"name: a")
