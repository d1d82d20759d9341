"""Whether a device can have drawn what a channel tells of: bounds from the device's own power limit."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from llem.domain.edges import Bounds, Edge, Step, steps
from llem.domain.sensing import Channel, Device

ABOVE_LIMIT = 1.2
"""A board may be above its limit for a moment, until it has regulated."""
READING_ABOVE_LIMIT = 2.0
NO_DEVICE_W = 5000.0
"""No single board or processor package of today draws this: the bound where a device does not tell its limit."""
LONGEST_PERIOD_S = 0.1
"""The longest update period of NVML that is reported (arXiv 2312.02741)."""


def limits_of(devices: Sequence[Device]) -> Mapping[str, float]:
    """Return the power limit of each device that tells one, in watts."""
    told = ((device.id, device.facts.get("power_limit_w")) for device in devices)
    return {name: float(limit) for name, limit in told if isinstance(limit, int | float) and limit > 0}


def implausible(
    channel: Channel, edges: Sequence[Edge], pieces: Sequence[Bounds], energy_j: float | None, limit_w: float
) -> str | None:
    """Return what no device of this limit can have drawn; None where all is plausible.

    That is the energy of the window, below 0 or above 1.2 × the limit; a step of a counter in the window or its
    guards, by the same bound; or a reading of power there above 2 × the limit. Of a counter that fell, the steps
    before that.

    Args:
        channel: What was read.
        edges: Its readings, in time order.
        pieces: The window, in its pieces.
        energy_j: Joules over the window, by the channel's first estimator; None where none applies.
        limit_w: The device's power limit, in watts.
    """
    duration_s = sum(piece.duration_s for piece in pieces)
    if energy_j is not None and not 0 <= energy_j <= ABOVE_LIMIT * limit_w * duration_s:
        return f"{energy_j:.6g} J in {duration_s:.3f} s"
    start_ns, end_ns = pieces[0].guard_start_ns, pieces[-1].guard_end_ns
    near = [edge for edge in edges if start_ns <= edge.middle_ns <= end_ns]
    if channel.kind == "power_w":
        highest_w = max((edge.value for edge in near), default=0.0)
        return f"a reading of {highest_w:.6g} W" if highest_w > READING_ABOVE_LIMIT * limit_w else None
    sound = near if channel.wraps_at_j else _before_fall(near)
    moved = steps(sound, channel.wraps_at_j)
    return _step_beyond(moved, sound, limit_w) if isinstance(moved, list) and sound else None


def _before_fall(edges: Sequence[Edge]) -> Sequence[Edge]:
    fall = next((number for number, (left, right) in enumerate(pairwise(edges)) if right.value < left.value), None)
    return edges if fall is None else edges[: fall + 1]


def _step_beyond(moved: Sequence[Step], edges: Sequence[Edge], limit_w: float) -> str | None:
    """Return the first step that no limit allows for, over the longest time that it can tell of.

    A step tells of the time since the one before, which was at the earliest when the old value was last not yet seen.
    Before the first there may have been a period more.
    """
    earliest_ns, total_j = edges[0].before_ns - round(LONGEST_PERIOD_S * 1e9), 0.0
    for step in moved:
        step_j, span_s = step.total_j - total_j, (step.latest_ns - earliest_ns) / 1e9
        if step_j > ABOVE_LIMIT * limit_w * span_s:
            return f"a step of {step_j:.6g} J within {span_s:.3f} s"
        earliest_ns, total_j = step.earliest_ns, step.total_j
    return None
