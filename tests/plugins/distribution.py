"""Runs the whole suite in several processes, and the tests that ask for it with nothing beside them.

Most tests wait for processes of their own or count on one core: two at a time take half as long. Tests marked
``undisturbed`` compare what is read in real time with a truth, and another test on their core can spoil that: they
wait until the tests of the other processes are done, and those wait for them.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

MOST_PROCESSES = 4
"""A file's tests share what they prepare, so they stay in one process; more would wait for the longest file."""
ALONE = ("undisturbed", "gpu")
LONGEST_FIRST = ("faults", "processes", "simulated_gpu", "domain", "study")
"""Folders of tests: those that are begun last should not take long."""


class Turns:
    """Lets tests of several processes run at a time, or those of one process alone."""

    def __init__(self, folder: Path) -> None:
        self._door = (folder / "door").open("w")
        self._room = (folder / "room").open("w")

    def begin(self, *, alone: bool) -> None:
        """Wait for a turn."""
        # Who waits to be alone stands in the door, so that nobody slips in before.
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)

    def end(self) -> None:
        fcntl.flock(self._room, fcntl.LOCK_UN)


class Distributed:
    """In each process that runs a part of the tests."""

    def __init__(self, config: Any) -> None:
        self._turns = Turns(Path(config.workerinput["turns"]))
        self._alone = False
        self._output = config.workeroutput
        self._output["deselected"] = 0

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._output["deselected"] += len(items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=place_in_line)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        if not self._alone:
            self._alone = wants_to_be_alone(item)
            self._turns.begin(alone=self._alone)
        try:
            return (yield)
        finally:
            # What one such test has begun may go on beside the next: the turn is theirs together.
            self._alone = self._alone and nextitem is not None and wants_to_be_alone(nextitem)
            if not self._alone:
                self._turns.end()


class Distributor:
    """In the process that was started, which hands the tests out and prints what comes of them."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="llem-turns-")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["turns"] = self._folder.name

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Count what is deselected: each process deselects the same tests, and xdist tells of none."""
        count = getattr(node, "workeroutput", {}).get("deselected", 0)
        reporter = node.config.pluginmanager.get_plugin("terminalreporter")
        reporter.stats["deselected"] = [SimpleNamespace()] * count

    def pytest_unconfigure(self) -> None:
        self._folder.cleanup()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Distributed(config))
    elif config.option.numprocesses:
        config.pluginmanager.register(Distributor())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes share the tests; 0 runs the few that were asked for by name in this one."""
    option = config.option
    few = option.keyword or option.markexpr or option.lf or not all(Path(name).is_dir() for name in config.args)
    return 0 if few else min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


def place_in_line(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)


def wants_to_be_alone(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ALONE)
