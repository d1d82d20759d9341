"""``llem doctor``."""

import json as jsonlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from llem.cli.console import table_console
from llem.cli.words import printable
from llem.domain.host import Host
from llem.domain.sensing import SensorReport
from llem.sensors import automatic_sensors
from llem.study.host import host_facts, require_linux
from llem.study.recording import RecorderClient
from llem.study.spoilers import Spoiler, spoilers


def doctor(*, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Show what can be measured on this machine, and what would mend the rest.

    Parameters
    ----------
    json
        Print the report as JSON on stdout.
    """
    require_linux()
    with tempfile.TemporaryDirectory(prefix="llem-") as spare:
        recorder = RecorderClient(automatic_sensors(), Path(spare) / "recorder.log", None)
        report = recorder.report
        recorder.close()
    host = host_facts()
    here = Path.cwd()
    free_bytes = shutil.disk_usage(here).free
    spoiled = spoilers(report.devices, load=os.getloadavg()[0], cpus=host.cpus, free_bytes=free_bytes, folder=here)
    measured = [c for c in report.channels if c.measures_energy and c.provenance != "modelled"]
    if json:
        tree = {
            "host": host.model_dump(mode="json"),
            "disk_free_bytes": free_bytes,
            "sensors": report.model_dump(mode="json"),
            "spoilers": [spoiler.model_dump(mode="json") for spoiler in spoiled],
            "can_measure_energy": bool(measured),
        }
        print(jsonlib.dumps(tree))
    else:
        _show(host, free_bytes, report, spoiled)
        if not measured:
            print(
                "No energy can be measured here: figures will be modelled (~) or null. Time, tokens and memory are "
                "measured all the same.",
                file=sys.stderr,
            )
    return 0 if measured else 3


def _show(host: Host, free_bytes: int, report: SensorReport, spoiled: Sequence[Spoiler]) -> None:
    console = table_console()
    versions = "  ".join(f"{name} {number}" for name, number in host.packages.items())
    console.print(Text(f"{host.name}: {host.cpu}, {host.cpus} CPUs, {host.memory_bytes / 2**30:.0f} GiB memory"))
    console.print(Text(f"kernel {host.kernel}  python {host.python}  {versions}", style="dim"))
    console.print(Text(f"{free_bytes / 2**30:.0f} GiB free in this folder", style="dim"))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("sensor", "device", "covers", "gives", "provenance", "note"):
        table.add_column(heading)
    for channel in (channel for channel in report.channels if channel.measures_energy):
        row = (
            channel.sensor,
            channel.device,
            channel.boundary,
            channel.kind,
            channel.provenance,
            channel.note or "",
        )
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)
    for device in report.devices:
        facts = ", ".join(f"{name} {'unknown' if value is None else value}" for name, value in device.facts.items())
        console.print(Text(printable(f"{device.id}  {device.name}: {facts}")))
    for missing in report.unavailable:
        console.print(Text(printable(f"{missing.sensor}: {missing.reason}")))
        console.print(Text(printable(f"  → {missing.remedy}"), style="dim"))
    for spoiler in spoiled:
        console.print(Text(printable(f"{spoiler.where} spoils comparisons: {spoiler.found}")))
        console.print(Text(printable(f"  → {spoiler.remedy}"), style="dim"))
