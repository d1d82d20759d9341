"""The end of a session on the screen: the table of experiments, and what to type next."""

import json
import sys
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llem.cli.screen import silence_broken_streams
from llem.cli.words import LEGEND, interval_text, next_step, printable
from llem.domain.identity import summary_text
from llem.projections.manifest import ManifestFold
from llem.projections.results import ExperimentSummary, summarise
from llem.study.session import Ending

PIPE_WIDTH = 140


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
        console.print(experiments_table(summaries))
        console.print(Text(LEGEND, style="dim"))
        for reason in dict.fromkeys(s.energy_reason for s in summaries if s.energy_reason and s.n_valid):
            console.print(Text(f"Energy unknown: {printable(reason)}", style="dim"))
        sys.stdout.flush()


def table_console() -> Console:
    """Return the console for tables: the terminal's width, or one that wraps no figure in files and pipes."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def experiments_table(summaries: list[ExperimentSummary]) -> Table:
    """Return the table of experiments, one line each."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("experiment", overflow="fold")
    for heading in ("cycles", "energy/output token", "output tokens/s", "TTFT", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("energy source", no_wrap=True)
    for summary in summaries:
        energy, speed, ttft = (
            summary.energy_per_output_token_j,
            summary.output_tokens_per_s,
            summary.ttft_p50_s,
        )
        table.add_row(
            Text(printable(summary_text(summary.config_summary))),
            f"{summary.n_valid}/{summary.cycles}",
            "null" if energy is None else interval_text(energy, "J", summary.provenance),
            "null" if speed is None else interval_text(speed),
            "null" if ttft is None else interval_text(ttft, "s"),
            "null" if summary.peak_memory_bytes is None else f"{summary.peak_memory_bytes / 2**20:,.0f} MiB",
            _source(summary),
        )
    return table


def _source(summary: ExperimentSummary) -> str:
    return f"{summary.provenance} ({summary.boundary})" if summary.boundary else summary.provenance
