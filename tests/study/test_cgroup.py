"""What the kernel counts of its out-of-memory killer, in trees that look like those of machines and containers."""

import pytest

from llem.study.cgroup import KillWatch, MemoryGroup

V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
GIB = 1 << 30


class Tree:
    """A system's files, as far as they tell of memory."""

    def __init__(self, root, cgroup, mounts, files):
        self.root = root
        for path, content in {
            "proc/self/cgroup": cgroup,
            "proc/self/mountinfo": "\n".join(["22 1 8:1 / / rw - ext4 /dev/sda1 rw", "nonsense", *mounts]),
            "proc/meminfo": "MemTotal:       67108864 kB\nMemFree: 1 kB\n",
            **files,
        }.items():
            self.write(path, content)

    def write(self, path, content):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def group(self):
        return MemoryGroup.own(self.root)


def counts(kills):
    return f"low 0\nhigh 0\nmax 12\noom 5\noom_kill {kills}\noom_group_kill 0\n"


@pytest.fixture
def tree(tmp_path):
    return lambda *arguments: Tree(tmp_path, *arguments)


@pytest.mark.parametrize(
    ("cgroup", "mount", "counter"),
    [
        ("0::/user.slice/job", V2, "/sys/fs/cgroup/user.slice/job/memory.events"),
        ("0::/", V2, "/sys/fs/cgroup/memory.events"),  # a container with a name space of its own
        ("4:cpu,memory:/job\n0::/", V1.format(root="/"), "/sys/fs/cgroup/memory/job/memory.oom_control"),
        # A container without: the name is the host's, and what is mounted is that cgroup.
        ("4:memory:/docker/abc", V1.format(root="/docker/abc"), "/sys/fs/cgroup/memory/memory.oom_control"),
        ("4:memory:/docker/abc", V1.format(root="/elsewhere"), "/sys/fs/cgroup/memory/memory.oom_control"),
    ],
    ids=["v2", "v2 in a container", "v1", "v1 in a container", "v1, another part mounted"],
)
def test_the_counter_of_the_own_cgroup_is_found(tree, cgroup, mount, counter):
    found = tree(cgroup, [mount], {counter.lstrip("/"): counts(3)}).group()
    assert (str(found.counter), found.kills()) == (counter, 3)


def test_where_both_versions_are_mounted_the_one_that_counts_memory_is_taken(tree):
    mounts = [V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified "), V1.format(root="/")]
    files = {
        "sys/fs/cgroup/unified/cgroup.procs": "1\n",
        "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
    }
    assert tree("4:memory:/\n0::/", mounts, files).group().kills() == 4


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"": "max", "/job": "max"}, 64 * GIB),
        ({"": "max", "/job": str(8 * GIB)}, 8 * GIB),
        ({"": str(4 * GIB), "/job": str(8 * GIB)}, 4 * GIB),
        ({"": "max", "/job": "9223372036854771712"}, 64 * GIB),
        ({}, 64 * GIB),
    ],
)
def test_the_least_limit_above_it_or_the_machine_holds(tree, limits, most):
    files = {f"sys/fs/cgroup{folder}/memory.max": f"{text}\n" for folder, text in limits.items()}
    group = tree("0::/job", [V2], {"sys/fs/cgroup/job/memory.events": counts(0), **files}).group()
    assert group.limit_bytes() == most


def test_a_kill_that_is_counted_meanwhile_is_evidence_and_one_from_before_is_none(tree):
    found = tree("0::/job", [V2], {"sys/fs/cgroup/job/memory.events": counts(2)})
    watch = KillWatch(found.group())
    assert watch.evidence() is None
    found.write("sys/fs/cgroup/job/memory.events", counts(3))
    assert "oom_kill in /sys/fs/cgroup/job/memory.events rose from 2 to 3" in watch.evidence()
    assert "total capacity of 64.00 GiB" in watch.evidence()
    assert KillWatch(found.group()).evidence() is None


@pytest.mark.parametrize("events", [None, "", "oom_kill\n", "oom_kill many\n", "oom 3\n"])
def test_where_nothing_counts_kills_there_is_no_evidence(tree, events):
    files = {} if events is None else {"sys/fs/cgroup/job/memory.events": events}
    assert tree("0::/job", [V2], files).group() is None
    assert KillWatch(None).evidence() is None


def test_a_counter_that_vanishes_is_no_evidence(tree):
    found = tree("0::/job", [V2], {"sys/fs/cgroup/job/memory.events": counts(2)})
    watch = KillWatch(found.group())
    (found.root / "sys/fs/cgroup/job/memory.events").unlink()
    assert watch.evidence() is None


def test_on_this_machine_it_can_be_asked():
    group = MemoryGroup.own()
    assert group is None or group.kills() >= 0
    assert group is None or group.limit_bytes() > 0
