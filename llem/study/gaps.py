"""The idle time before a trial: which gap of the plan it is, and waiting it out."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from llem.domain.errors import SensorError
from llem.domain.events import GapWaited
from llem.domain.sensing import Temperature
from llem.domain.spec import CoolDown, Gap, Gaps

TICK_S = 0.5
LOOK_EVERY_S = 1.0
NO_THERMOMETER = "no sensor of this study tells a temperature"

Between = Literal["trials", "cycles"]
AskTemperatures = Callable[[], Sequence[Temperature]]
"""Says how warm the devices are now, empty where no sensor can tell; raises SensorError where nothing answers."""


@dataclass(frozen=True)
class Idle:
    """How a gap stands.

    Attributes:
        trial: The trial that comes next.
        planned: The gap that the plan asks for.
        left_s: How long it still takes, at most.
        temperature_c: The hottest device, in degrees Celsius, where the plan asks to cool; None where unknown.
    """

    trial: str
    planned: Gap
    left_s: float
    temperature_c: float | None


class GapWatcher(Protocol):
    """Who looks on while a session stands idle."""

    def idle(self, idle: Idle) -> None:
        """The session stands idle; told about twice a second."""

    def warn(self, text: str) -> None:
        """Something deserves a person's attention."""

    def tick(self) -> None:
        """Time passed; called about twice a second."""


class GapKeeper:
    """Waits the plan's gap before every trial of a session but the first.

    Args:
        gaps: The plan's gaps.
        ask: Tells the devices' temperatures.
        pause: Waits that many seconds; whatever it raises ends the gap.
        watcher: Looks on.
        session_ends: Returns when the session must be over, in seconds of ``clock``.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        gaps: Gaps,
        *,
        ask: AskTemperatures,
        pause: Callable[[float], None],
        watcher: GapWatcher,
        session_ends: Callable[[], float] = lambda: math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gaps = gaps
        self._ask = ask
        self._pause = pause
        self._watcher = watcher
        self._session_ends = session_ends
        self._clock = clock
        self._last_cycle: int | None = None
        self._warned = False

    def before(self, trial: str, cycle: int) -> GapWaited | None:
        """Wait the gap before the next trial and return what was done.

        None if there was no gap, or if the session's deadline came first: a gap that no trial can follow is none.
        """
        last_cycle, self._last_cycle = self._last_cycle, cycle
        if last_cycle is None:
            return None
        between, planned = gap_between(self._gaps, last_cycle, cycle)
        return None if planned == 0 else self._wait(trial, between, planned)

    def _wait(self, trial: str, between: Between, planned: Gap) -> GapWaited | None:
        heat = Heat(self._ask, planned.cool_to_c) if isinstance(planned, CoolDown) else None
        began = now = self._clock()
        ends = began + (planned.at_most_s if isinstance(planned, CoolDown) else planned)
        while now < (stops := min(ends, self._session_ends())) and not (heat and heat.is_cool(now)):
            self._tell(Idle(trial, planned, ends - now, heat.temperature_c if heat else None), heat)
            self._pause(min(TICK_S, stops - now))
            self._watcher.tick()
            now = self._clock()
        if now >= self._session_ends():
            return None
        return GapWaited(
            trial=trial,
            between=between,
            planned=planned,
            waited_s=self._clock() - began,
            temperature_c=heat.temperature_c if heat else None,
            reason=heat.reason if heat else None,
        )

    def _tell(self, idle: Idle, heat: "Heat | None") -> None:
        if heat is not None and heat.temperature_c is None and not self._warned:
            self._warned = True
            self._watcher.warn(f"no temperature can be read ({heat.unknown}): a cool-down takes its whole at_most_s")
        self._watcher.idle(idle)


class Heat:
    """How warm the hottest device is, asked about once a second.

    Args:
        ask: Tells the devices' temperatures.
        cool_to_c: What counts as cool, in degrees Celsius.

    Attributes:
        temperature_c: The hottest device of those that tell, in degrees Celsius; None where none does.
        unknown: Why a temperature is unknown; None where all are known.
    """

    def __init__(self, ask: AskTemperatures, cool_to_c: float) -> None:
        self._ask = ask
        self._cool_to_c = cool_to_c
        self._due = -math.inf
        self.temperature_c: float | None = None
        self.unknown: str | None = None

    def is_cool(self, now: float) -> bool:
        """Return whether the hottest device is cool, asking anew if a second has passed."""
        if now >= self._due:
            self._due = now + LOOK_EVERY_S
            self._look()
        return self.temperature_c is not None and self.temperature_c <= self._cool_to_c

    @property
    def reason(self) -> str | None:
        """Return why it is not known to be cool, and which devices tell nothing; None if all are cool."""
        hot = self.temperature_c is not None and self.temperature_c > self._cool_to_c
        reasons = ("not cool within at_most_s" if hot else None, self.unknown)
        return "; ".join(filter(None, reasons)) or None

    def _look(self) -> None:
        try:
            told = self._ask()
        except SensorError as error:
            # What does not answer is not asked again: the next trial starts another recorder.
            self.temperature_c, self.unknown, self._due = None, error.message, math.inf
            return
        known = [device.temperature_c for device in told if device.temperature_c is not None]
        silent = [f"{device.device}: {device.reason}" for device in told if device.temperature_c is None]
        self.temperature_c = max(known, default=None)
        self.unknown = "; ".join(silent) or (None if known else NO_THERMOMETER)


def gap_between(gaps: Gaps, last_cycle: int, cycle: int) -> tuple[Between, Gap]:
    """Return which of the plan's gaps comes between a trial of ``last_cycle`` and one of ``cycle``, and that gap."""
    if cycle != last_cycle and gaps.between_cycles is not None:
        return "cycles", gaps.between_cycles
    return "trials", gaps.between_trials
