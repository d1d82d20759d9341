"""While a worker soaks: looks at the devices, and tells it when to go on."""

import math
import time
from collections.abc import Callable, Sequence

from llem.domain.errors import SensorError
from llem.domain.messages import GoOn, PhaseMessage
from llem.domain.sensing import Temperature
from llem.domain.steadiness import STEADY_S, Look, unsteady
from llem.study.gaps import AskTemperatures

LOOK_EVERY_S = 0.9
"""At most: it looks when the session ticks, about once a second."""


class SoakWatcher:
    """Watches the devices of one attempt while its worker soaks.

    The worker ends a soak at its limit by itself: nothing here does.

    Args:
        ask: Tells the devices' temperatures and clocks.
        tell: Tells the worker to go on.
        over_s: How long nothing may have changed, in seconds.
        look_every_s: How often to ask, in seconds.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        ask: AskTemperatures,
        tell: Callable[[GoOn], None],
        *,
        over_s: float = STEADY_S,
        look_every_s: float = LOOK_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._over_s = over_s
        self._look_every_s = look_every_s
        self._clock = clock
        self._devices: tuple[str, ...] = ()
        self._looks: list[Look] = []
        self._due = math.inf

    def entered(self, message: PhaseMessage) -> None:
        """Note the worker's phase: its soak begins, or is over."""
        self._due = math.inf
        if message.phase == "soak":
            self._devices = message.devices
            self._look()

    def tick(self) -> None:
        """Look again if it is time."""
        if self._clock() >= self._due:
            self._look()

    def _look(self) -> None:
        self._due = self._clock() + self._look_every_s
        try:
            told = self._ask()
        except SensorError as error:
            self._go_on(GoOn(steady=None, reason=error.message))
            return
        looked = tuple(device for device in told if device.device in self._devices)
        self._looks.append(Look(self._clock(), looked))
        if not any(device.temperature_c is not None for look in self._looks for device in look.devices):
            self._go_on(GoOn(steady=None, reason=_why_unknown(self._devices, looked)))
        elif unsteady(self._looks, self._over_s) is None:
            self._go_on(GoOn(steady=True, reason=_silent(looked) or None))

    def _go_on(self, message: GoOn) -> None:
        self._due = math.inf
        self._tell(message)


def _why_unknown(devices: Sequence[str], looked: Sequence[Temperature]) -> str:
    return _silent(looked) or f"no sensor of this study tells the temperature of {', '.join(devices) or 'a device'}"


def _silent(looked: Sequence[Temperature]) -> str:
    """Return which devices tell no temperature, and why."""
    return "; ".join(f"{device.device}: {device.reason}" for device in looked if device.temperature_c is None)
