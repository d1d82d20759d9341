"""The GPU energy of a window by the tools of others, as their own code measures it through NVML.

Each is optional; why one is not there is told. All read the driver that pynvml finds, so that a simulated one must be
loaded before.
"""

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

KWH_J = 3.6e6


class Tool(Protocol):
    """What measures the energy of the first GPU between two moments."""

    def begin(self) -> None:
        """Begin a window now."""

    def end(self) -> float:
        """End it now and return its joules."""


class Zeus:
    """``ZeusMonitor.begin_window`` and ``end_window``; there is no framework whose work it could wait for."""

    def __init__(self, folder: Path) -> None:
        from zeus.monitor import ZeusMonitor  # noqa: PLC0415

        logging.getLogger("zeus").setLevel(logging.ERROR)
        self._monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[])

    def begin(self) -> None:
        self._monitor.begin_window("work", sync_execution=False)

    def end(self) -> float:
        return float(self._monitor.end_window("work", sync_execution=False).gpu_energy[0])


class CodeCarbon:
    """``start_task`` and ``stop_task`` of the offline tracker.

    It looks for GPUs only where it finds a program ``nvidia-smi``: one that does nothing is put into ``folder``.
    """

    def __init__(self, folder: Path) -> None:
        from codecarbon import OfflineEmissionsTracker  # noqa: PLC0415

        program = folder / "nvidia-smi"
        program.write_text("#!/bin/sh\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        logging.getLogger("codecarbon").disabled = True
        self._tracker = OfflineEmissionsTracker(
            country_iso_code="FRA",  # it insists on one; only joules are read
            save_to_file=False,
            allow_multiple_runs=True,  # otherwise it takes over signals
            measure_power_secs=3600,
            tracking_mode="machine",
            log_level="critical",
            gpu_ids=[0],
        )
        self._windows = 0

    def begin(self) -> None:
        self._windows += 1
        self._tracker.start_task(str(self._windows))

    def end(self) -> float:
        return float(self._tracker.stop_task(str(self._windows)).gpu_energy) * KWH_J


TOOLS: dict[str, Callable[[Path], Tool]] = {"Zeus": Zeus, "CodeCarbon": CodeCarbon}


def installed_tools(folder: Path) -> tuple[dict[str, Tool], dict[str, str]]:
    """Return each tool that is installed, and why each other one is not there; ``folder`` is for their files."""
    tools, missing = {}, {}
    for name, make in TOOLS.items():
        try:
            tools[name] = make(folder)
        except ImportError as error:
            missing[name] = f"not installed ({error})"
    return tools, missing
