"""Attempts that run out of memory: recognised, and told with what would fit."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Return what stands for the system's files: a cgroup of 8 GiB that counts memory."""
    root = tmp_path / "system"
    group = root / "sys/fs/cgroup/job"
    group.mkdir(parents=True)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/job\n")
    (root / "proc/self/mountinfo").write_text("31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n")
    (group / "memory.max").write_text(f"{8 << 30}\n")
    (group / "memory.events").write_text("oom 7\noom_kill 2\n")
    return root


@pytest.mark.parametrize("zygote", [{}, {"LLEM_ACTING_ZYGOTE": "ok"}], ids=["new", "forked"])
def test_a_worker_that_the_out_of_memory_killer_ends_is_told_as_such_with_the_evidence_and_not_tried_again(
    lab: Any, system: Path, zygote: dict[str, str]
) -> None:
    env = {"LLEM_ACTING_ROOT": str(system), **zygote}
    file = lab.write(["out_of_host_memory", "kill_itself"], retries=1, batch_size=4, prompts={"count": 4})
    _, study = lab.run(file, code=1, env=env)
    (event,) = study.terminal(study.trial_of("out_of_host_memory"))
    data = event["data"]
    assert (data["error_type"], data["signal"], data["phase"]) == ("OutOfMemory", "SIGKILL", "measure")
    counter = "/sys/fs/cgroup/job/memory.events"
    for said in (f"oom_kill in {counter} rose from 2 to 3", "total capacity of 8.00 GiB", "Lower batch_size"):
        assert said in data["error_message"]
    # A kill that the kernel did not count is no sign of memory.
    killed = study.terminal(study.trial_of("kill_itself"))
    assert [event["data"]["error_type"] for event in killed] == ["WorkerKilled"] * 2
    assert "sudo dmesg" in killed[0]["data"]["error_message"]


def test_a_batch_that_is_too_large_for_the_gpu_is_told_which_one_fitted_and_which_would(lab: Any) -> None:
    file = lab.write(["out_of_memory_above"], sweep={"batch_size": [2, 4, 16]}, prompts={"count": 16})
    _, study = lab.run(file, code=1, env={"LLEM_ACTING_MOST_BATCH": "4"})
    (failed,) = study.events("experiment_failed")
    message = failed["data"]["error_message"]
    assert "43.26 GiB is free. What fits: batch_size 4 of this experiment did (" in message
    assert "by proportion 15 would" in message  # the acted peak is small
