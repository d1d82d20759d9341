"""What ``llem doctor`` shows: sensors, devices, the check of the sensors, and what spoils comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from llem.cli.console import table_console, words_console
from llem.cli.eventtext import counter_text
from llem.cli.observers import checking_text
from llem.cli.screen import tell
from llem.cli.text import duration_text, printable, quantity_text
from llem.domain.checked import Capability
from llem.domain.host import Host
from llem.domain.sensing import Channel, SensorReport
from llem.domain.sensor_check import Agreement, ChannelCheck, SensorCheck, Spread
from llem.study.spoilers import Spoiler


@dataclass(frozen=True)
class Examined:
    """What a doctor found.

    Attributes:
        host: This machine.
        free_bytes: Free space in this folder.
        report: What the sensors say of themselves.
        check: What a check of them found; None where there was none …
        unchecked: … and why.
        capabilities: How each device is measured.
        spoilers: What spoils comparisons.
    """

    host: Host
    free_bytes: int
    report: SensorReport
    check: SensorCheck | None
    unchecked: str | None
    capabilities: Sequence[Capability]
    spoilers: Sequence[Spoiler]


class CheckProgress:
    """How long the check takes yet: counted down on a terminal, told once elsewhere; always on stderr."""

    def __init__(self) -> None:
        console = words_console()
        # Redrawn by us: a thread of its own would warm the machine, and forbids starting processes.
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._told = False

    def __enter__(self) -> "CheckProgress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def checking(self, left_s: float) -> None:
        """Show how long it takes yet."""
        if self._live is not None:
            self._live.update(Text(checking_text(left_s), style="dim"), refresh=True)
        elif not self._told:
            self._told = True
            tell(checking_text(left_s), flush=True)

    def warn(self, text: str) -> None:
        """Show a warning."""
        tell(f"warning: {printable(text)}", flush=True)

    def tick(self) -> None:
        """Nothing else moves."""


def show(found: Examined) -> None:
    """Print all of it."""
    console, host, report = table_console(), found.host, found.report
    versions = "  ".join(f"{name} {number}" for name, number in host.packages.items())
    console.print(Text(f"{host.name}: {host.cpu}, {host.cpus} CPUs, {host.memory_bytes / 2**30:.0f} GiB memory"))
    console.print(Text(f"kernel {host.kernel}  python {host.python}  {versions}", style="dim"))
    console.print(Text(f"{found.free_bytes / 2**30:.0f} GiB free in this folder", style="dim"))
    console.print(_channel_table([channel for channel in report.channels if channel.measures_energy]))
    conditions = dict.fromkeys(channel.kind for channel in report.channels if not channel.measures_energy)
    if conditions:
        console.print(Text(f"read beside it: {', '.join(conditions)}", style="dim"))
    for device in report.devices:
        facts = ", ".join(f"{name} {'unknown' if value is None else value}" for name, value in device.facts.items())
        console.print(Text(printable(f"{device.id}  {device.name}: {facts}")))
    for missing in report.unavailable:
        console.print(Text(printable(f"{missing.sensor}: {missing.reason}")))
        console.print(Text(printable(f"  → {missing.remedy}"), style="dim"))
    _show_check(console, found)
    for spoiler in found.spoilers:
        console.print(Text(printable(f"{spoiler.where} spoils comparisons: {spoiler.found}")))
        console.print(Text(printable(f"  → {spoiler.remedy}"), style="dim"))


def _channel_table(channels: Sequence[Channel]) -> Table:
    rows = [
        (channel.sensor, channel.device, channel.boundary, channel.kind, channel.provenance, channel.note or "")
        for channel in channels
    ]
    return _table(("sensor", "device", "covers", "gives", "provenance", "note"), rows)


def _show_check(console: Console, found: Examined) -> None:
    check = found.check
    if check is None:
        console.print(Text(printable(f"the sensors were not checked: {found.unchecked}"), style="dim"))
    else:
        load = f"idle and under load ({check.load})" if check.load else f"idle only: {check.no_load_reason}"
        console.print(Text(printable(f"sensors checked for {duration_text(check.duration_s)}, {load}")))
        units = {channel.id: "J" if channel.kind == "energy_j" else "W" for channel in found.report.channels}
        agreements = [agreed for device in check.devices for agreed in device.agreements]
        rows = [_check_row(channel, units.get(channel.channel, ""), agreements) for channel in check.channels]
        console.print(_table(("channel", "updated every", "resolution", "call (p95)", "beside the counter"), rows))
        for device in check.devices:
            console.print(Text(printable(f"{device.counter}: {counter_text(device.counter_is_sum)} ({device.why})")))
    for capability in found.capabilities:
        console.print(Text(printable(_capability_text(capability))))


def _check_row(channel: ChannelCheck, unit: str, agreements: Sequence[Agreement]) -> tuple[str, ...]:
    beside = [
        f"{agreed.state} {agreed.relative * 100:+.1f} %" for agreed in agreements if agreed.channel == channel.channel
    ]
    return (
        channel.channel,
        _period_text(channel.period_s) if channel.period_s else channel.reason or "",
        "never moved" if channel.resolution is None else quantity_text(channel.resolution, unit),
        _call_text(channel.call_s),
        ", ".join(beside),
    )


def _period_text(period_s: Spread) -> str:
    low, high = (quantity_text(value, "s") for value in (period_s.p5, period_s.p95))
    return f"{quantity_text(period_s.median, 's')} ({low} to {high})"


def _call_text(call_s: Spread | None) -> str:
    return "" if call_s is None else f"{quantity_text(call_s.median, 's')} ({quantity_text(call_s.p95, 's')})"


def _capability_text(capability: Capability) -> str:
    """Return how a device is measured: ``GPU-1: nvml/… leads (counter, good), guards of 600 ms or more``."""
    grade = f", {capability.grade}" if capability.grade else ""
    segments = f", windows in {capability.segments} segments" if capability.segments else ""
    guards = f", guards of {quantity_text(capability.guard_s, 's')} or more" if capability.guard_s else ""
    return f"{capability.device}: {capability.leads} leads ({capability.provenance}{grade}){guards}{segments}"


def _table(headings: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
