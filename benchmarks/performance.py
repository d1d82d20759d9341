"""The figures of the benchmarks of speed as one Markdown page: what `docs/performance.md` shows.

    python benchmarks/performance.py FOLDER

FOLDER holds what the benchmarks wrote with `--json`.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ORDER = (
    "worker_start",
    "scale",
    "journal",
    "exports",
    "startup",
    "parent_cost",
    "measuring_cost",
    "recorder_cost",
    "planning",
)


def main() -> None:
    """Print the page's tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    reports = [json.loads(path.read_text()) for name in ORDER if (path := folder / f"{name}.json").is_file()]
    print("\n".join(page(reports)))


def page(reports: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines: the machine, then a table for each benchmark."""
    yield from sorted({machine_line(report["machine"]) for report in reports})
    for report in reports:
        yield f"\n## {report['benchmark'].capitalize()}\n"
        yield "| what | median | min | max | bar | met |\n|---|---|---|---|---|---|"
        for row in report["rows"]:
            unit = "" if row["unit"] == "ratio" else f" {row['unit']}"
            spread = " | ".join(number(row[key]) for key in ("median", "min", "max"))
            met = {True: "yes", False: "**no**", None: ""}[row["met"]]
            yield f"| {row['what']}{unit and ','}{unit} | {spread} | {row['bar'] or ''} | {met} |"
        for note in report["notes"]:
            yield f"\n{note}"


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return the machine and the versions in one line; how busy it was differs from report to report."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    return f"{machine['cores']} × {machine['processor']}, Python {machine['python']}, {packages}."


def number(value: float) -> str:
    """Return a figure with as many digits as its spread is worth."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()
