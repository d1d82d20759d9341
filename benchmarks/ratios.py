"""What the benchmarks of speed share: turns taken in alternation, bars, the table, the machine, JSON.

Single times depend on the machine and on what else it does; the ratio of two actions that took turns within one run
depends on neither as much. So every figure of speed is such a ratio, told with its spread.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("llem", "pydantic", "cyclopts", "torch", "transformers")


@dataclass(frozen=True)
class Row:
    """One line of a report.

    Attributes:
        what: What was compared with what.
        values: One value per turn.
        at_most: The bar, where less is better.
        at_least: The bar, where more is better.
        unit: What the values are; empty for ratios.
    """

    what: str
    values: Sequence[float]
    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def bar(self) -> str:
        """Return the bar as text; empty where there is none."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return f"≥ {self.at_least:g}" if self.at_least is not None else ""

    @property
    def met(self) -> bool | None:
        """Return whether the median keeps the bar; None where there is no bar."""
        if self.at_most is not None:
            return self.median <= self.at_most
        return self.median >= self.at_least if self.at_least is not None else None


@dataclass
class Report:
    """The rows of one benchmark.

    Args:
        name: The benchmark.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        what: str,
        values: Sequence[float],
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        unit: str = "",
    ) -> None:
        """Add a row; see ``Row``."""
        self.rows.append(Row(what, list(values), at_most, at_least, unit))

    def note(self, text: str) -> None:
        """Add a line below the table: a peer that is not installed, or how a figure was taken."""
        self.notes.append(text)

    def finish(self, json_file: Path | None) -> None:
        """Print the table, and write it where asked."""
        wide = max((len(row.what) for row in self.rows), default=0)
        print(f"{self.name:<{wide}}  {'median':>9} {'min':>9} {'max':>9}  {'bar':<8} met")
        for row in self.rows:
            met = {True: "yes", False: "NO", None: ""}[row.met]
            spread = f"{row.median:>9.4g} {min(row.values):>9.4g} {max(row.values):>9.4g}"
            print(f"{row.what:<{wide}}  {spread}  {row.bar:<8} {met:<3} {row.unit}".rstrip())
        for note in self.notes:
            print(f"  {note}")
        if json_file:
            json_file.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n")

    def as_json(self) -> dict[str, object]:
        """Return the report with the machine that it was made on."""
        rows = [
            {
                "what": row.what,
                "median": row.median,
                "min": min(row.values),
                "max": max(row.values),
                "bar": row.bar or None,
                "met": row.met,
                "unit": row.unit or "ratio",
                "values": list(row.values),
            }
            for row in self.rows
        ]
        return {"benchmark": self.name, "machine": machine(), "rows": rows, "notes": self.notes}


def options(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser


def alternated(turns: int, actions: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return the seconds of each action, turn by turn; each turn begins with another one of them."""
    names = list(actions)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(turns):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(seconds(actions[name]))
    return found


def over(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the ratios, turn by turn."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def seconds(action: Callable[[], object]) -> float:
    """Return the time that an action takes, the garbage collector held off."""
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    try:
        action()
        return time.perf_counter() - started
    finally:
        gc.enable()


def peak_mb() -> float:
    """Return this process's peak memory in MB. Not by getrusage, which remembers the process that forked it."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1000


def machine() -> dict[str, object]:
    """Return what the figures depend on: the processor, how busy it was, and the versions."""
    packages = {}
    for package in PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = None
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": packages,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
