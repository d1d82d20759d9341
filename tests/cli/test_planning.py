"""Options of the command line as settings of a study, and the disk where it would lie."""

import os

from llem.cli.commands import Changes
from llem.cli.planning import free_bytes


def test_options_with_a_name_of_their_own_come_after_the_settings_and_so_win():
    assert Changes(["cycles=3", "dtype=float32"], cycles=4, order="blocks").settings() == [
        "cycles=3",
        "dtype=float32",
        "cycles=4",
        "order=blocks",
    ]


def test_what_is_not_given_sets_nothing():
    assert Changes().settings() == []
    assert Changes(cycles=0).settings() == ["cycles=0"]


def test_free_space_is_that_of_the_folder_that_is_there_already(tmp_path):
    stat = os.statvfs(tmp_path)
    free = free_bytes(tmp_path / "not" / "there" / "yet")
    assert abs(free - stat.f_bavail * stat.f_frsize) < 10**9
    (tmp_path / "file").write_text("x")
    assert free_bytes(tmp_path / "file" / "below") is not None
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
