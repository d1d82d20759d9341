from pathlib import Path

import pytest

from llem.domain.errors import StudyError
from llem.study.folder import create_study_dir, keep_study_files


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


def test_study_and_base_files_are_kept_byte_for_byte_whatever_they_were_called(make, tmp_path):
    folder = create_study_dir(tmp_path, "tiny", make.start)
    keep_study_files(
        folder,
        [("/a/my study.yml", b"\xef\xbb\xbfname: a\r\n"), ("../../common.yaml", b"b: 1"), ("c/study.yaml", b"")],
    )
    kept = {path.name: path.read_bytes() for path in folder.root.iterdir() if path.is_file()}
    assert kept == {"study.yaml": b"\xef\xbb\xbfname: a\r\n", "base_1.yaml": b"b: 1", "base_2.yaml": b""}
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.root.name]


def test_the_files_of_an_extension_are_kept_beside_those_that_the_study_began_with(make, tmp_path):
    folder = create_study_dir(tmp_path, "tiny", make.start)
    keep_study_files(folder, [("a.yaml", b"first"), ("b.yaml", b"its base")])
    keep_study_files(folder, [("a.yaml", b"second"), ("b.yaml", b"other base")], revision=1)
    keep_study_files(folder, [("a.yaml", b"third")], revision=2)
    kept = {path.name: path.read_bytes() for path in folder.root.iterdir() if path.is_file()}
    assert kept == {
        "study.yaml": b"first",
        "base_1.yaml": b"its base",
        "study_1.yaml": b"second",
        "base_1_1.yaml": b"other base",
        "study_2.yaml": b"third",
    }


def test_a_study_file_that_cannot_be_kept_is_a_study_error(make, tmp_path):
    folder = create_study_dir(tmp_path, "tiny", make.start)
    (folder.root / "base_1.yaml").mkdir()
    with pytest.raises(StudyError, match=r"base_1\.yaml cannot be written") as refused:
        keep_study_files(folder, [("a.yaml", b"name: a"), ("b.yaml", b"name: b")])
    assert refused.value.exit_code == 3
