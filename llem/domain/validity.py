"""The codes that make a trial unfit for averages, and what is done about them."""

RERUN_CODES = frozenset(
    {
        "throttled",
        "counter_fell",
        "gpu_lost",
        "foreign_process",
        "wide_bracket",
        "idle_drift",
    }
)
"""What may be gone next time: a trial that was spoiled by it runs again, up to the study's ``reruns``."""
