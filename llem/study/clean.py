"""Whether the GPUs are clean before an attempt: nothing of an earlier one is left on them."""

import math
import time
from collections.abc import Callable, Iterator, Sequence

from llem.domain.errors import SensorError
from llem.domain.sensing import DeviceUse
from llem.study.bench import Watcher
from llem.study.launcher import Fault

TOLERANCE_BYTES = 256 << 20
"""Below what a context of CUDA takes, and above what drivers and displays move to and fro."""
LOOK_EVERY_S = 0.25
PATIENCE_S = 2.0
"""A driver takes its time to free much memory: only a longer wait is told."""
GIB = 1 << 30


class CleanDevices:
    """Compares what is on the GPUs before each attempt with what was there when the session began.

    Args:
        ask: Tells what is on the devices now, empty where no sensor can tell; SensorError where nothing answers.
        clean_s: How long to wait until they are clean, in seconds; None to look at nothing.
        pause: Waits that many seconds; whatever it raises ends the wait.
        watcher: Looks on.
        deadline: When the session must be over, in seconds of ``clock``; None for no such limit.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        ask: Callable[[], Sequence[DeviceUse]],
        clean_s: float | None,
        *,
        pause: Callable[[float], None],
        watcher: Watcher,
        deadline: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._clean_s = clean_s
        self._pause = pause
        self._watcher = watcher
        self._deadline = math.inf if deadline is None else deadline
        self._clock = clock
        found = () if clean_s is None else self._found()
        self._at_start = {use.device: use.memory_bytes for use in found}

    def before(self, trial: str) -> Fault | None:
        """Wait until the GPUs are clean; return None then, and a fault where they do not become so.

        Where nothing tells, or the session is out of time, that is no fault of the trial.
        """
        if self._clean_s is None or not self._at_start:
            return None
        began = now = self._clock()
        told = False
        while left := "; ".join(self._left()):
            if now >= self._deadline:
                return None
            if now - began >= self._clean_s:
                return self._fault(left)
            if now - began >= PATIENCE_S and not told:
                told = True
                self._watcher.warn(f"{trial} waits for clean GPUs, {self._clean_s:g} s at most: {left}")
            self._pause(LOOK_EVERY_S)
            self._watcher.tick()
            now = self._clock()
        return None

    def _found(self) -> Sequence[DeviceUse]:
        try:
            return self._ask()
        except SensorError:
            return ()  # who records next says why

    def _left(self) -> Iterator[str]:
        """Yield in words what is on a GPU and should not be."""
        for use in self._found():
            before = self._at_start.get(use.device)
            if use.processes:
                yield f"{use.device} still has processes of this study ({', '.join(map(str, use.processes))})"
            if before is not None and use.memory_bytes is not None and use.memory_bytes > before + TOLERANCE_BYTES:
                yield (
                    f"{use.memory_bytes / GIB:.2f} GiB of the memory of {use.device} are used, "
                    f"{before / GIB:.2f} GiB when the session began"
                )

    def _fault(self, left: str) -> Fault:
        return Fault(
            "DeviceNotClean",
            f"{left}, and that has not changed within limits.clean_s ({self._clean_s:g} s). See who it is with "
            "`nvidia-smi`. Where others may come and go on these GPUs: llem study resume FOLDER --limit clean_s=null",
        )
