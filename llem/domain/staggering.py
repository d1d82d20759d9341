"""Where the segments of a staggered window begin."""

import math

from llem.domain.messages import Stagger


def segment_start_ns(first_ns: int, earliest_ns: int, number: int, stagger: Stagger) -> int:
    """Return when a segment begins: the first moment of its phase that is not before ``earliest_ns``.

    Segment j of n begins at first + (k + j/n) periods with a whole k, so that the n segments see n phases of a sensor
    whose periods are all alike.

    Args:
        first_ns: When the first segment began, in nanoseconds.
        earliest_ns: When this one may begin.
        number: j, counted from 0.
        stagger: Number of segments, and the sensor's period.
    """
    period_ns = stagger.period_s * 1e9
    phase = number / stagger.segments
    whole = max(0, math.ceil((earliest_ns - first_ns) / period_ns - phase))
    start_ns = first_ns + round((whole + phase) * period_ns)
    # Rounding may have put it a nanosecond early.
    return start_ns if start_ns >= earliest_ns else first_ns + round((whole + 1 + phase) * period_ns)
