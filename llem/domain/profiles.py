"""Profiles: defaults of method and repetition that belong together."""

from llem.domain.names import ProfileName
from llem.domain.sweep import Tree

PROFILES: dict[ProfileName, Tree] = {
    # A first look: figures appear in minutes, their intervals are wide.
    "quick": {
        "cycles": 3,
        "measurement": {
            "warmup_passes": 1,
            "warmup_max_s": 0.0,
            "soak_max_s": 0.0,
            "min_window_s": 1.0,
            "min_passes": 2,
            "bare_idle_s": 2.0,
            "phases": False,
        },
    },
    # llem's own defaults.
    "standard": {},
    # Windows of the length that MLPerf Power asks for at least, and as many cycles as make half of the 95 % interval
    # by Student's t shorter than one standard deviation (n = 7: 2.447 / √7 = 0.92; n = 6 gives 1.05).
    "publish": {
        "cycles": 7,
        "measurement": {
            "warmup_passes": 5,
            "warmup_max_s": 120.0,
            "soak_max_s": 600.0,
            "min_window_s": 60.0,
            "min_passes": 5,
            "bare_idle_s": 10.0,
        },
    },
}
"""Profile → the values that it puts in the place of llem's defaults."""
