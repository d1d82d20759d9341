"""Idle power, as the guards around the work show it."""

import math
from dataclasses import dataclass

from llem.domain.edges import Z95


@dataclass(frozen=True)
class Idle:
    """Idle power in the guards, with the model loaded.

    Attributes:
        power_w: Watts: the mean of the guard before the work and the one after it.
        u_w: 95 % uncertainty in watts.
        before_w: In the guard before the work.
        after_w: In the guard after it, what decays from the work left out.
    """

    power_w: float
    u_w: float
    before_w: float
    after_w: float

    @classmethod
    def of(cls, before_w: float, u_before_w: float, after_w: float, u_after_w: float, u_rel: float = 0.0) -> "Idle":
        """Return the mean of two guards; what they differ by counts as uniform between them.

        Args:
            before_w: Before the work.
            u_before_w: 95 % uncertainty of it.
            after_w: After the work.
            u_after_w: 95 % uncertainty of it.
            u_rel: Relative 95 % uncertainty that both share.
        """
        power_w = (before_w + after_w) / 2
        apart_w = Z95 * (after_w - before_w) / math.sqrt(12)
        return cls(power_w, math.hypot(u_before_w / 2, u_after_w / 2, apart_w, u_rel * power_w), before_w, after_w)
