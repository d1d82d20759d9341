"""When devices have soaked long enough: their temperatures and clocks no longer change."""

from collections.abc import Sequence
from typing import NamedTuple

from llem.domain.sensing import Temperature

STEADY_S = 30.0
"""For so long they must not have changed."""
MAX_MOVE_C = 1.0
MAX_CLOCK_MOVE = 0.01
"""Of the clock: it counts as constant."""


class Look(NamedTuple):
    """How warm devices were, and how fast they ran, at ``t_s`` on a monotonic clock."""

    t_s: float
    devices: tuple[Temperature, ...]


def unsteady(looks: Sequence[Look], over_s: float) -> str | None:
    """Return what is not steady yet; None if over the last ``over_s`` seconds every device was.

    A device is steady if its temperature moved by 1 °C at most and its clock, where it is known, by 1 %. A device
    that never told a temperature is passed over.

    Args:
        looks: In order of time, one at least.
        over_s: How long nothing may have changed. A shorter time than that is never steady.
    """
    names = sorted({told.device for look in looks for told in look.devices if told.temperature_c is not None})
    if not names:
        return "no device tells a temperature"
    from_s = looks[-1].t_s - over_s
    return next(filter(None, (_moving(name, looks, from_s, over_s) for name in names)), None)


def _moving(name: str, looks: Sequence[Look], from_s: float, over_s: float) -> str | None:
    told = [
        (look.t_s, device.temperature_c, device.clock_mhz)
        for look in looks
        for device in look.devices
        if device.device == name and device.temperature_c is not None
    ]
    if told[-1][0] < looks[-1].t_s:
        return f"{name} tells no temperature any more"
    # From the last look before the time on: what happened between two looks lies in it too.
    begin = max((position for position, (t_s, _, _) in enumerate(told) if t_s <= from_s), default=None)
    if begin is None:
        return f"{name} was seen for {told[-1][0] - told[0][0]:.0f} s of {over_s:g} s"
    recent = told[begin:]
    temperatures_c = [temperature_c for _, temperature_c, _ in recent]
    moved_c = max(temperatures_c) - min(temperatures_c)
    if moved_c > MAX_MOVE_C:
        return f"the temperature of {name} moved by {moved_c:g} °C"
    clocks_mhz = [clock_mhz for _, _, clock_mhz in recent if clock_mhz is not None]
    if clocks_mhz and max(clocks_mhz) - min(clocks_mhz) > MAX_CLOCK_MOVE * max(clocks_mhz):
        return f"the clock of {name} moved from {min(clocks_mhz):g} to {max(clocks_mhz):g} MHz"
    return None
