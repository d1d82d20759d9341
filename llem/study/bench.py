"""What an attempt is given: what it shares with every other of its session, and its trial."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from llem.domain.events import Event, StudyPlanned
from llem.domain.fitting import Peak
from llem.domain.host import Host
from llem.domain.messages import ProgressMessage, Stagger
from llem.domain.row import Row
from llem.domain.spec import ExperimentConfig
from llem.domain.steadiness import STEADY_S
from llem.projections.trials import TrialState
from llem.study.disk import StudyDisk
from llem.study.folder import StudyFolder
from llem.study.grounds import Grounds
from llem.study.launcher import Fault, Launcher
from llem.study.recorders import Recorders
from llem.study.signals import EndingSignals


class Record(Protocol):
    """Where an attempt's events go."""

    def append(self, event: Event) -> Row:
        """Record one event, durably."""

    def append_all(self, events: Sequence[Event]) -> list[Row]:
        """Record several events, durably, all of them or none."""

    @property
    def head(self) -> tuple[int, str]:
        """Return number and hash of the last event."""

    @property
    def session(self) -> int:
        """Return the number of this session."""


class Watcher(Protocol):
    """Who looks on while an attempt runs."""

    def progress(self, trial: str, phase: str, message: ProgressMessage) -> None:
        """The worker told how far it is."""

    def tick(self) -> None:
        """Time passed; called once a second or more often."""

    def warn(self, message: str) -> None:
        """Something deserves a person's attention."""


@dataclass(frozen=True)
class Bench:
    """What every attempt of a session shares.

    Attributes:
        folder: The study's folder.
        study: Its plan.
        host: This machine.
        record: Where events go.
        launcher: Starts workers.
        recorders: Reads the sensors.
        signals: Ending signals.
        watcher: Looks on.
        disk: Looks after what all of that is written to.
        stagger: Segments that the windows need for a sensor's sake; None where they need none.
        least_guard_s: What guards need for a sensor's sake, in seconds.
        steady_s: For so long a device must not have changed before a soak ends, in seconds.
        clean: Waits until the devices are clean for a trial, and returns the fault where they do not become so.
        peaks: Returns which batch sizes of a trial's experiment fitted into memory, and which did not.
    """

    folder: StudyFolder
    study: StudyPlanned
    host: Host
    record: Record
    launcher: Launcher
    recorders: Recorders
    signals: EndingSignals
    watcher: Watcher
    disk: StudyDisk
    stagger: Stagger | None = None
    least_guard_s: float = 0.0
    steady_s: float = STEADY_S
    clean: Callable[[str], Fault | None] = lambda trial: None
    peaks: Callable[[TrialState], Sequence[Peak]] = lambda state: ()


@dataclass(frozen=True)
class Trial:
    """A trial that is about to run.

    Attributes:
        state: Where it stands before this attempt.
        place: Its place in the order of the plan, from 0.
        config: What to measure.
        grounds: What its figures stand on beside its own readings.
    """

    state: TrialState
    place: int
    config: ExperimentConfig
    grounds: Grounds
