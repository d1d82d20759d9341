"""The fault matrix: how often each fault is tried, and the count of what came of it.

Each test here tries one fault over and over and asserts that nothing was lost by it. Two variables of the
environment set the run, and ``nox -s faults`` sets both: ``LLEM_FAULTS=long`` for the many rounds by hand, and
``LLEM_FAULTS_TALLY=FOLDER`` to keep the counts, from which ``page.py`` makes docs/reliability.md.
"""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROFILE = os.environ.get("LLEM_FAULTS", "short")
TALLIES = os.environ.get("LLEM_FAULTS_TALLY")


@dataclass
class Tally:
    """What one test tried, and what came of it.

    Attributes:
        fault: What was done, as the page tells it: "SIGKILL of the worker at a random moment".
        asked: What must hold afterwards, where it is not obvious from the counts.
        tried: How often.
        bad: What must not be, counted: "events lost", "trials doubled", "processes left after 1 s". A count of zero
            says that it was looked for.
        seen: What is good to know, counted or measured: "trials completed", "ratio of …".
        over: Whether the test came to its end; one that broke off has not looked for all that it counts.
    """

    fault: str = ""
    asked: str = ""
    tried: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    seen: dict[str, float | str] = field(default_factory=dict)
    over: bool = False

    def look_for(self, *wrongs: str) -> None:
        """Name what is looked for, so that the page shows its zero."""
        for wrong in wrongs:
            self.bad[wrong] += 0

    def assert_nothing_wrong(self) -> None:
        """Fail where anything that must not be was counted, or nothing was tried: the last thing that a test does."""
        self.over = True
        assert self.fault
        assert self.tried
        assert not +self.bad, dict(+self.bad)


@pytest.fixture
def rounds() -> Callable[[int, int], int]:
    """Return what chooses how often: ``rounds(short, long)``."""
    return lambda short, long: long if PROFILE == "long" else short


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    """Return the test's own random numbers: the same in each run, and others with each LLEM_FAULTS_SEED."""
    return random.Random(f"{request.node.name} {os.environ.get('LLEM_FAULTS_SEED', '0')}")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Count what the test tries; the counts are kept where LLEM_FAULTS_TALLY says."""
    began_s = time.monotonic()
    counted = Tally()
    yield counted
    if TALLIES:
        place = Path(TALLIES)
        place.mkdir(parents=True, exist_ok=True)
        told = {
            "fault": counted.fault,
            "asked": counted.asked,
            "tried": counted.tried,
            "bad": dict(counted.bad),
            "seen": counted.seen,
            "over": counted.over,
            "profile": PROFILE,
            "took_s": round(time.monotonic() - began_s, 1),
        }
        (place / f"{request.node.path.stem}.{request.node.name}.json").write_text(json.dumps(told, indent=2))
