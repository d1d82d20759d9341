"""The end of a session on the screen: the table of experiments, and what to type next."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from llem.cli.screen import silence_broken_streams
from llem.cli.words import LEGEND, interval_text, next_step, printable
from llem.domain.identity import summary_text
from llem.projections.manifest import ManifestFold
from llem.projections.results import ExperimentSummary, summarise
from llem.study.session import Ending

PIPE_WIDTH = 140

Column = tuple[str, Callable[[ExperimentSummary], str]]


def close_session(ending: Ending, fold: ManifestFold, root: Path, *, as_json: bool) -> int:
    """Show how a session ended and return its exit code. The table is stdout's, the rest is stderr's."""
    try:
        _show_results(ending, fold, root, as_json=as_json)
        if ending.error is not None:
            print(f"error: {ending.error}", file=sys.stderr)
        print(next_step(ending.reason, fold, root), file=sys.stderr)
    except OSError:
        silence_broken_streams()  # nobody looks any more; the exit code tells all the same
    return ending.exit_code


def _show_results(ending: Ending, fold: ManifestFold, root: Path, *, as_json: bool) -> None:
    summaries = summarise(fold)
    if as_json:
        closing = {
            "kind": "closing",
            "folder": str(root),
            "status": fold.status(),
            "exit_code": ending.exit_code,
            "experiments": [summary.model_dump(mode="json") for summary in summaries],
        }
        print(json.dumps(closing), flush=True)
    elif any(summary.n_valid + summary.n_invalid for summary in summaries):
        console = table_console()
        print_experiments(console, summaries)
        console.print(Text(LEGEND, style="dim"))
        for reason in dict.fromkeys(s.energy_reason for s in summaries if s.energy_reason and s.n_valid):
            console.print(Text(f"Energy unknown: {printable(reason)}", style="dim"))
        sys.stdout.flush()


def table_console() -> Console:
    """Return the console for tables: the terminal's width, or one that wraps no figure in files and pipes."""
    console = _Console()
    return console if console.is_terminal else _Console(width=PIPE_WIDTH)


class _Console(Console):
    """A console that leaves a broken pipe to the command line: it has an exit code of its own."""

    def on_broken_pipe(self) -> None:
        """Pass on what happened."""
        raise BrokenPipeError


def print_experiments(console: Console, summaries: list[ExperimentSummary]) -> None:
    """Print the table of experiments, one line each; a narrow terminal gets fewer columns, never broken figures."""
    tables = [
        _table(summaries, [column for column in COLUMNS if column[0] not in FIRST_TO_GO[:dropped]])
        for dropped in range(len(FIRST_TO_GO) + 1)
    ]
    unbounded = console.options.update(max_width=10_000)
    fitting = (table for table in tables if Measurement.get(console, unbounded, table).maximum <= console.width)
    console.print(next(fitting, tables[-1]))


def _table(summaries: list[ExperimentSummary], columns: Sequence[Column]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("experiment", overflow="fold", min_width=24)
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for summary in summaries:
        name = Text(printable(summary_text(summary.config_summary)))
        table.add_row(name, *(Text(cell(summary)) for _, cell in columns))
    return table


def _energy(summary: ExperimentSummary) -> str:
    energy = summary.energy_per_output_token_j
    return "null" if energy is None else interval_text(energy, "J", summary.provenance)


def _speed(summary: ExperimentSummary) -> str:
    return "null" if summary.output_tokens_per_s is None else interval_text(summary.output_tokens_per_s)


def _ttft(summary: ExperimentSummary) -> str:
    return "null" if summary.ttft_p50_s is None else interval_text(summary.ttft_p50_s, "s")


def _memory(summary: ExperimentSummary) -> str:
    return "null" if summary.peak_memory_bytes is None else f"{summary.peak_memory_bytes / 2**20:,.0f} MiB"


def _source(summary: ExperimentSummary) -> str:
    return f"{summary.provenance} ({summary.boundary})" if summary.boundary else summary.provenance


COLUMNS: tuple[Column, ...] = (
    ("cycles", lambda summary: f"{summary.n_valid}/{summary.cycles}"),
    ("energy/output token", _energy),
    ("output tokens/s", _speed),
    ("TTFT", _ttft),
    ("memory", _memory),
    ("energy source", _source),
)
FIRST_TO_GO = ("memory", "TTFT", "energy source")
"""Columns that a narrow terminal does without, in this order; the mark at a modelled energy stays."""
