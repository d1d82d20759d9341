"""The limits of an attempt as moments: when each is over, and what limits can be kept at all."""

from collections.abc import Iterator
from typing import NamedTuple, get_args

from llem.domain.events import Phase
from llem.domain.spec import Limits, Measurement

GROUPS: dict[Phase, str] = {
    "start": "start_s",
    "load": "load_s",
    "prepare": "load_s",
    "loaded_idle": "warmup_s",
    "count_flops": "warmup_s",
    "warmup": "warmup_s",
    "soak": "warmup_s",
    "measure": "measurement_s",
    "prefill": "measurement_s",
    "latency": "measurement_s",
    "teardown": "measurement_s",
}
"""Each phase, and the limit that it shares with its neighbours."""
PHASES: tuple[Phase, ...] = get_args(Phase)
MAY_BE_SILENT = frozenset({"start", "load", "prepare"})
"""Phases in which a healthy worker says nothing for as long as they take: imports, downloads, reading weights."""
ERROR_TYPES = {
    "start_s": "StartTimeout",
    "load_s": "LoadTimeout",
    "warmup_s": "WarmupTimeout",
    "measurement_s": "MeasurementTimeout",
    "silence_s": "SilenceTimeout",
    "trial_s": "TrialTimeout",
}
WHAT = {
    "start_s": "the worker took longer to start than",
    "load_s": "loading took longer than",
    "warmup_s": "the warm-up took longer than",
    "measurement_s": "the measurement took longer than",
    "silence_s": "the worker told nothing for longer than",
    "trial_s": "the trial took longer than",
}

TAKES = {
    "warmup_s": "measurement.warmup_max_s, soak_max_s and guard_s together allow",
    "measurement_s": "measurement.min_window_s and two of guard_s take",
    "silence_s": "measurement.guard_s takes",
    "trial_s": "measurement.min_window_s and two of guard_s take",
}


class Overdue(NamedTuple):
    """A limit that was passed."""

    error_type: str
    message: str


class Deadlines:
    """The moments by which an attempt must have come further. Seconds of one monotonic clock throughout.

    Args:
        limits: The plan's limits.
        now: When the attempt began.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits.model_dump(include=set(ERROR_TYPES))
        self._phase: Phase = "start"
        self._began = {"trial_s": now, "start_s": now}
        self._heard = now

    def heard(self, now: float) -> None:
        """Note that the worker said something."""
        self._heard = now

    def entered(self, phase: Phase, now: float) -> None:
        """Note that the worker entered ``phase``: what it shares a limit with may have begun before."""
        group = GROUPS[phase]
        if group != GROUPS[self._phase]:
            self._began = {"trial_s": self._began["trial_s"], group: now}
        self._phase = phase

    def next(self) -> float:
        """Return the first moment at which a limit will be over, as things stand."""
        return min(ends for _, ends in self._ends())

    def overdue(self, now: float) -> Overdue | None:
        """Return the limit that was passed first; None where all are kept."""
        limit, ends = min(self._ends(), key=lambda end: end[1])
        if now < ends:
            return None
        seconds = self._limits[limit]
        told = self._phase != "start" and limit != "silence_s"
        heard = f"; its last message came {now - self._heard:.3g} s before" if told else ""
        return Overdue(
            ERROR_TYPES[limit],
            f"{WHAT[limit]} limits.{limit} ({seconds:g} s), in phase {self._phase!r}{heard}. If that is no fault, "
            f"raise the limit: llem study resume FOLDER --limit {limit}={2 * seconds:g}",
        )

    def _ends(self) -> Iterator[tuple[str, float]]:
        began = self._began if self._phase in MAY_BE_SILENT else {**self._began, "silence_s": self._heard}
        for limit, since in began.items():
            if self._limits[limit] is not None:
                yield limit, since + self._limits[limit]


def least_s(method: Measurement) -> dict[str, float]:
    """Return what each limit must be more than, in seconds: what settings ask for, or allow where they say at most.

    How long passes take is not known before they are made.
    """
    measurement_s = method.min_window_s + 2 * method.guard_s
    return {
        "warmup_s": method.warmup_max_s + method.soak_max_s + method.guard_s,
        "measurement_s": measurement_s,
        "silence_s": method.guard_s,
        "trial_s": measurement_s,
    }


def too_short(limits: Limits, method: Measurement) -> Iterator[tuple[str, str]]:
    """Yield each limit that is too short for trials of ``method``, and why, in words."""
    for limit, needed_s in least_s(method).items():
        seconds = getattr(limits, limit)
        if seconds is not None and seconds <= needed_s:
            yield limit, f"too short: {TAKES[limit]} {needed_s:g} s; found {seconds:g}"
