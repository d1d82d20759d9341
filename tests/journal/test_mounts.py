"""Which file system a folder lies on, from the kernel's table."""

from pathlib import Path

import pytest

from llem.journal.mounts import UNKNOWN, Mount, find_mount, mount_of

TABLE = r"""
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro
25 22 0:23 / /dev/shm rw,nosuid shared:5 master:2 - tmpfs tmpfs rw
30 22 0:40 / /home rw,relatime - nfs4 filer:/export/home rw,vers=4.2
31 30 8:3 / /home/ann/fast rw - xfs /dev/nvme0n1p1 rw
32 22 0:41 / /mnt/my\040lab rw - cifs //lab/share\134one rw
33 22 8:2 /srv/studies /bound rw shared:1 - ext4 /dev/sda2 rw
34 30 0:42 /sub /home/bound rw propagate_from:2 - lustre mds@tcp:/fs rw
35 22 0:50 / /covered rw - ext4 /dev/sdc1 rw
36 35 0:51 / /covered rw - fuse.sshfs ann@box: rw
37 22 0:60 / /container rw - overlay overlay rw,lowerdir=/a\040b:/c,upperdir=/d
"""


@pytest.mark.parametrize(
    ("path", "fs_type", "point", "source"),
    [
        ("/", "ext4", "/", "/dev/sda2"),
        ("/studies/a", "ext4", "/", "/dev/sda2"),
        ("/homeless/a", "ext4", "/", "/dev/sda2"),
        ("/home", "nfs4", "/home", "filer:/export/home"),
        ("/home/ann/studies", "nfs4", "/home", "filer:/export/home"),
        ("/home/ann/fast/a", "xfs", "/home/ann/fast", "/dev/nvme0n1p1"),
        ("/home/ann/faster", "nfs4", "/home", "filer:/export/home"),
        ("/mnt/my lab/a", "cifs", "/mnt/my lab", r"//lab/share\one"),
        ("/bound/a", "ext4", "/bound", "/dev/sda2"),
        ("/home/bound/a", "lustre", "/home/bound", "mds@tcp:/fs"),
        ("/covered/a", "fuse.sshfs", "/covered", "ann@box:"),
        ("/container/a", "overlay", "/container", "overlay"),
    ],
)
def test_a_folder_lies_on_what_is_mounted_nearest_above_it(path, fs_type, point, source):
    assert find_mount(TABLE, Path(path)) == Mount(point, fs_type, source)


@pytest.mark.parametrize("table", ["", "garbage", "1 2 3:4 / /home rw shared:1", "1 2 3 / /home - nfs4\n"])
def test_a_table_that_says_nothing_leaves_it_unknown_and_in_the_usual_mode(table):
    found = find_mount(table, Path("/home/ann"))
    assert found == UNKNOWN
    assert found.journal_mode == "wal"


@pytest.mark.parametrize(
    "fs_type",
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "9p",
        "virtiofs",
        "lustre",
        "gpfs",
        "ceph",
        "beegfs",
        "afs",
        "fuse",
        "fuse.sshfs",
    ],
)
def test_where_memory_cannot_be_shared_the_journal_goes_without_a_log(fs_type):
    assert Mount("/", fs_type, "x").journal_mode == "delete"


@pytest.mark.parametrize(
    "fs_type",
    [
        "ext4",
        "xfs",
        "btrfs",
        "zfs",
        "tmpfs",
        "overlay",
        "f2fs",
        "fuseblk",
        "fuse.fuse-overlayfs",
        "nfsd",
        "something_new",
    ],
)
def test_on_a_file_system_of_this_machine_alone_the_journal_has_its_log(fs_type):
    assert Mount("/", fs_type, "x").journal_mode == "wal"


def test_the_folder_of_these_tests_lies_on_something(tmp_path):
    found = mount_of(tmp_path)
    assert found.fs_type is not None
    assert tmp_path.resolve().is_relative_to(found.point)
