"""Prints the counts of a run, and writes the page of them: ``python tests/faults/page.py FOLDER [PAGE]``."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HEAD = Path(__file__).with_name("page_head.md")


def table(told: list[dict[str, Any]]) -> str:
    """Return the rows: what was tried, how often, and what was looked for with its count."""
    lines = ["| what was tried | times | what was lost or wrong | what else was seen |", "|---|---|---|---|"]
    for one in told:
        bad = "<br>".join(f"{count} {wrong}" for wrong, count in one["bad"].items())
        if not one["over"]:
            bad = f"**the test broke off**<br>{bad}"
        seen = "<br>".join(f"{what}: {value}" for what, value in one["seen"].items())
        said = (one["fault"], one["asked"])
        fault = ". ".join(sentence[:1].upper() + sentence[1:].rstrip(".") for sentence in said if sentence)
        lines.append(f"| {fault} | {one['tried']:,} | {bad} | {seen} |")
    return "\n".join(lines)


def main(folder: Path, page: Path | None = None) -> None:
    """Print the table, and write the page where one is named."""
    told = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not told:
        sys.exit(f"{folder} holds no counts: run the fault matrix first, with LLEM_FAULTS_TALLY={folder}")
    profiles = {one["profile"] for one in told}
    times = sum(one["tried"] for one in told)
    took_min = sum(one["took_s"] for one in told) / 60
    wrong = sum(sum(one["bad"].values()) for one in told)
    broken = sum(not one["over"] for one in told)
    ran = (
        f"The {' and '.join(sorted(profiles))} profile, {datetime.now(UTC):%Y-%m-%d}: {times:,} faults in "
        f"{took_min:.0f} minutes of tests on {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"Linux {platform.release().split('-')[0]}. Lost or wrong: {wrong}."
        + (f" **Tests that broke off: {broken}.**" if broken else "")
    )
    print(f"{table(told)}\n\n{ran}")
    if page is not None:
        page.write_text("\n".join([HEAD.read_text().rstrip(), "", "## What was tried", "", ran, "", table(told), ""]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
