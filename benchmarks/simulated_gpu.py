"""A simulated GPU for the real nvidia-ml-py: builds it, says what it does, and knows its true energy by itself.

The library (``tests/simulated_gpu/``, C) computes its power and energy in closed form; here the truth is integrated
numerically from the power, so that a mistake in one is a difference between the two. Times are seconds since the
origin of the script, powers watts, energies joules.

    library = build(folder)
    simulation = load(library)      # after that, pynvml finds this library
    simulation.use(folder / "script", SimulatedDevice(levels=((0, 80, 0), (2, 300, 0.1))))
    simulation.set_time_s(3.5)      # no waiting; without it the library follows CLOCK_MONOTONIC
"""

import ctypes
import importlib.util
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import ModuleType

SOURCE = Path(__file__).parents[1] / "tests" / "simulated_gpu" / "nvml.c"
COUNTED = "GPU-00000000-sim0-0000-0000-000000000000"
SONAME = "libnvidia-ml.so.1"
STRICT = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")

Row = tuple[float | str, ...]

# What is a table in the script: the field here, and the key of each of its rows there.
TABLES = {
    "levels": "level",
    "waves": "wave",
    "fails": "fail",
    "throttles": "throttle",
    "clocks": "clock",
    "glitches": "glitch",
    "processes": "process",
    "temperatures": "temperature",
    "stalls": "stall",
    "utilizations": "utilization",
    "resets": "reset",
}
NOT_SUPPORTED, FUNCTION_NOT_FOUND, GPU_IS_LOST = 3, 13, 15

# Gauss-Legendre with 5 points on [-1, 1]: (node, weight).
_NEAR, _FAR = (math.sqrt(5 + sign * 2 * math.sqrt(10 / 7)) / 3 for sign in (-1, 1))
GAUSS = (
    (0.0, 128 / 225),
    *((node, (322 + 13 * math.sqrt(70)) / 900) for node in (-_NEAR, _NEAR)),
    *((node, (322 - 13 * math.sqrt(70)) / 900) for node in (-_FAR, _FAR)),
)
TAUS_UNTIL_LEVEL = 40  # e^-40 of a step is below the last bit of a double


@dataclass(frozen=True)
class SimulatedDevice:
    """One GPU: its true power, its sensor's flaws, and what else the driver says of it.

    Attributes:
        levels: (from when, level in W, time constant; 0 is at once), in time order. Before the first: its level.
        waves: (period, duty, watts, phase[, from, to]): added to the levels for the first ``duty`` of each period.
        load_file: Lines ``monotonic_ns watts`` that another process appends (`report_load`); from its first line on
            it stands instead of the levels.
        period_s: Between two ticks of the sensor; ``phase_s`` is when one of them is.
        latency_s: From a tick until it is published.
        seen_s: The sensor's reading is the mean over this long before its tick; None is a whole period.
        summed: The counter adds the reported readings × the period; otherwise it is the true integral.
        since_s: When the counter began to count; ``offset_j`` is what it then showed.
        resets: When it falls to 0.
        counter_gain, power_gain: What the counter and the power readings are multiplied by.
        power_average_s: ``nvmlDeviceGetPowerUsage`` is a mean over so long; 0 is the reading of the tick.
        noise_w: Standard deviation of each reading, the same for the same ``seed`` and tick.
        glitches: (``counter`` or ``power``, when, value in mJ or mW): the tick of that moment says this instead.
        unsupported: Calls (``total_energy``, …: CALLS in script.h) and fields (``field_83``) that the device lacks.
        fails: (call or field, NVML's code[, from, to]).
        lost_s: From then on every call says that the GPU is lost.
        throttles: (reason[, from, to]): a name of THROTTLES in script.h.
        clocks: (``sm`` or ``mem``, from when, MHz). temperatures: (when, °C), straight lines between.
        memory_used_bytes: What is used beside the bytes of processes.
        processes: (pid[, from, to, bytes]). stalls: ([from, to]): a call in it returns at its end.
        call_ms: How long each call takes; it reads at its end.
        stamp_at_tick: Field values are stamped with their tick, not with the call.
        since_load: All times but those of the power count from the first line of the load file, so that a fault falls
            into the work whenever that begins.
    """

    name: str = "Simulated GPU 0"
    uuid: str = COUNTED
    capability: str = "9.0"
    levels: tuple[Row, ...] = ((0.0, 100.0, 0.0),)
    waves: tuple[Row, ...] = ()
    load_file: Path | None = None
    period_s: float = 0.1
    phase_s: float = 0.0
    latency_s: float = 0.0
    seen_s: float | None = None
    summed: bool = False
    since_s: float = 0.0
    offset_j: float = 0.0
    quantum_mj: float = 1.0
    counter_gain: float = 1.0
    power_gain: float = 1.0
    power_quantum_mw: float = 1.0
    power_average_s: float = 0.0
    noise_w: float = 0.0
    seed: int = 0
    resets: tuple[float, ...] = ()
    glitches: tuple[Row, ...] = ()
    unsupported: tuple[str, ...] = ()
    fails: tuple[Row, ...] = ()
    lost_s: float | None = None
    throttles: tuple[Row, ...] = ()
    clocks: tuple[Row, ...] = ()
    temperatures: tuple[Row, ...] = ()
    utilizations: tuple[Row, ...] = ()
    processes: tuple[Row, ...] = ()
    stalls: tuple[Row, ...] = ()
    call_ms: float = 0.0
    stamp_at_tick: bool = False
    since_load: bool = False
    power_limit_w: float | None = None
    persistence: bool | None = None
    mig: bool | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int = 0

    def script(self) -> str:
        """Return the device's section of a script."""
        lines = ["[device]"]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in TABLES:
                lines += [f"{TABLES[field.name]} = {_row(row)}" for row in value]
            elif field.name not in ("unsupported", "lost_s") and value is not None:
                lines.append(f"{field.name} = {int(value) if isinstance(value, bool) else value}")
        lines += [f"fail = {name} {NOT_SUPPORTED}" for name in self.unsupported]
        if self.lost_s is not None:
            lines.append(f"fail = * {GPU_IS_LOST} {self.lost_s}")
        return "\n".join(lines) + "\n"

    def power_w(self, at_s: float, loads: tuple[tuple[float, float], ...] = ()) -> float:
        """Return the true power; ``loads`` are the (moment, watts) of the load file."""
        reported = [power_w for moment, power_w in loads if moment <= at_s]
        return (reported[-1] if reported else self._levels_w(at_s)) + sum(_wave_w(wave, at_s) for wave in self.waves)

    def energy_j(self, t0_s: float, t1_s: float, *, origin_ns: int = 0) -> float:
        """Return the true energy from ``t0_s`` to ``t1_s``: numerically, and with no piece across a step."""
        loads = self._loads(origin_ns)
        inner = {at_s for at_s in self._breaks(t0_s, t1_s, loads) if t0_s < at_s < t1_s}
        edges = [t0_s, *sorted(inner), t1_s]
        return math.fsum(self._piece_j(start, end, loads) for start, end in pairwise(edges))

    def energy_between_ns(self, t0_ns: int, t1_ns: int, *, origin_ns: int = 0) -> float:
        """Return the true energy between two moments of the monotonic clock."""
        return self.energy_j((t0_ns - origin_ns) / 1e9, (t1_ns - origin_ns) / 1e9, origin_ns=origin_ns)

    def _levels_w(self, at_s: float) -> float:
        power_w = float(self.levels[0][1])
        ends = [*(float(row[0]) for row in self.levels[1:]), math.inf]
        for (start_s, level_w, tau_s), end_s in zip(self.levels, ends, strict=True):
            if at_s < start_s:
                break
            power_w = (
                level_w + (power_w - level_w) * math.exp((start_s - min(at_s, end_s)) / tau_s) if tau_s else level_w
            )
        return power_w

    def _loads(self, origin_ns: int) -> tuple[tuple[float, float], ...]:
        if self.load_file is None or not self.load_file.exists():
            return ()
        pairs = (line.split() for line in self.load_file.read_text().splitlines())
        return tuple(((int(at_ns) - origin_ns) / 1e9, float(power_w)) for at_ns, power_w in pairs)

    def _breaks(self, t0_s: float, t1_s: float, loads: tuple[tuple[float, float], ...]) -> list[float]:
        """Return the moments of steps, and enough of each decay that five points are exact between them."""
        breaks = [at_s for at_s, _ in loads]
        for start_s, _, tau_s in self.levels:
            breaks += [start_s + tau_s * n for n in range(TAUS_UNTIL_LEVEL + 1 if tau_s else 1)]
        for period_s, duty, _, phase_s, *limits in self.waves:
            first, last = (math.floor((at_s - phase_s) / period_s) for at_s in (t0_s, t1_s))
            breaks += limits
            breaks += [phase_s + period_s * (n + share) for n in range(first, last + 1) for share in (0, duty)]
        return breaks

    def _piece_j(self, start_s: float, end_s: float, loads: tuple[tuple[float, float], ...]) -> float:
        middle_s, half_s = (start_s + end_s) / 2, (end_s - start_s) / 2
        return half_s * sum(weight * self.power_w(middle_s + half_s * node, loads) for node, weight in GAUSS)


class Simulation:
    """The library in this process."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.llem_sim_time_ns.restype = ctypes.c_ulonglong

    def use(self, path: Path, *devices: SimulatedDevice, **settings: object) -> None:
        """Simulate these devices from now on; the script goes to ``path``."""
        write_script(path, *devices, **settings)
        mistake = self._library.llem_sim_load(str(path).encode())
        if mistake:
            raise ValueError(f"{path}:{mistake}: the simulated GPU does not understand its script")

    def set_time_s(self, at_s: float) -> None:
        """Set the virtual clock, which then moves only by slow calls and by this."""
        if at_s <= 0:
            raise ValueError("the virtual clock begins after 0, which stands for the real clock")
        self._library.llem_sim_set_time_ns(ctypes.c_ulonglong(round(at_s * 1e9)))

    def time_s(self) -> float:
        """Return what the simulated devices take for now."""
        return int(self._library.llem_sim_time_ns()) / 1e9

    def use_real_time(self) -> None:
        """Follow CLOCK_MONOTONIC again."""
        self._library.llem_sim_set_time_ns(ctypes.c_ulonglong(0))


def build(folder: Path, *, findable: bool = True) -> Path:
    """Compile the library into ``folder``, which then serves as LD_LIBRARY_PATH; return its path.

    Args:
        folder: Where it goes; it exists.
        findable: Once loaded, it is what this process finds under NVML's name. Otherwise only who holds it uses it.
    """
    library = folder / SONAME
    name = [f"-Wl,-soname,{SONAME}"] if findable else []
    command = ["cc", *STRICT, "-shared", "-fPIC", *name, "-o", str(library), str(SOURCE), "-lm", "-lpthread"]
    subprocess.run(command, check=True)
    return library


def load(library: Path) -> Simulation:
    """Load the library into this process: every ``pynvml`` that is initialised afterwards finds it by its name."""
    return Simulation(library)


def private_pynvml(library: Path) -> ModuleType:
    """Return a second pynvml that speaks to ``library``, while the process's own goes on knowing nothing of it."""
    found = importlib.util.find_spec("pynvml")
    assert found is not None
    assert found.origin is not None
    name = f"pynvml_of_{id(library)}"
    spec = importlib.util.spec_from_file_location(name, found.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # it looks itself up while it makes its error classes
    spec.loader.exec_module(module)
    module.nvmlLib = ctypes.CDLL(str(library))
    return module


def write_script(path: Path, *devices: SimulatedDevice, **settings: object) -> Path:
    """Write a script of these devices; ``settings`` are ``origin_ns``, ``driver_version`` and ``init_error``."""
    head = "".join(f"{key} = {value}\n" for key, value in settings.items())
    path.write_text(head + "".join(device.script() for device in devices))
    return path


def report_load(path: Path, power_w: float, at_ns: int | None = None) -> None:
    """Append to a load file that the device draws ``power_w`` from now on: one write, so that no line is torn."""
    line = f"{time.monotonic_ns() if at_ns is None else at_ns} {power_w}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _row(row: Row | float) -> str:
    return " ".join(map(str, row)) if isinstance(row, tuple) else str(row)


def _wave_w(wave: Row, at_s: float) -> float:
    period_s, duty, power_w, phase_s, *limits = map(float, wave)
    from_s, to_s = limits or (-math.inf, math.inf)
    in_period = (at_s - phase_s) / period_s % 1.0
    return power_w if from_s <= at_s < to_s and in_period < duty else 0.0
