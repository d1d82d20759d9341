import pytest

from llem.journal.durable import make_folder, write_durably


def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "a.json"
    write_durably(path, b"old and longer")
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_write_that_fails_leaves_what_was_there_and_nothing_beside_it(tmp_path):
    target = tmp_path / "a.json"
    (target / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_durably(target, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_write_into_a_missing_folder_fails_as_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "nowhere" / "a.json", b"new")


def test_a_folder_is_made_with_those_above_it_and_one_that_is_there_is_left_as_it_is(tmp_path):
    folder = tmp_path / "above" / "folder"
    make_folder(folder)
    (folder / "a.json").touch()
    make_folder(folder)
    assert (folder / "a.json").exists()
    with pytest.raises(FileExistsError):
        make_folder(folder / "a.json")
