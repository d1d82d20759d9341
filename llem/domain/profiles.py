"""Profiles: defaults of method and repetition that belong together."""

from llem.domain.spec import ProfileName
from llem.domain.sweep import Tree

PROFILES: dict[ProfileName, Tree] = {
    # A first look: figures appear in minutes, their intervals are wide.
    "quick": {"cycles": 3, "measurement": {"warmup_passes": 1, "min_window_s": 1.0, "min_passes": 2}},
    # llem's own defaults.
    "standard": {},
    # Windows of the length that MLPerf Power asks for at least, and as many cycles as make half of the 95 % interval
    # by Student's t shorter than one standard deviation (n = 7: 2.447 / √7 = 0.92; n = 6 gives 1.05).
    "publish": {"cycles": 7, "measurement": {"warmup_passes": 5, "min_window_s": 60.0, "min_passes": 5}},
}
"""Profile → the values that it puts in the place of llem's defaults."""
