"""What a study found, on the screen: the table of experiments, their energy as it is cited, and comparisons."""

import sys
from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from llem.cli.text import counted, printable
from llem.cli.words import (
    LEGEND,
    carbon_text,
    comparison_text,
    declared_text,
    interval_text,
    stated_text,
)
from llem.domain.identity import summary_text
from llem.domain.study_result import ExperimentSummary, StudyResult

MOST_STATED = 3
"""Experiments of a study whose energy is shown once more as it is cited; a larger one's is in the table."""
MOST_COMPARED = 8
MOST_LISTED = 200
"""Rows of the table. Nobody reads thousands, and laying those out takes longer than making the results."""

Column = tuple[str, Callable[[ExperimentSummary], str]]


def print_results(console: Console, result: StudyResult) -> None:
    """Print what a study found: the table, what its signs mean, why an energy is null, and comparisons."""
    print_experiments(console, result.experiments[:MOST_LISTED])
    more = len(result.experiments) - MOST_LISTED
    lines = [
        *([f"… and {counted(more, 'more experiment')}: results.json has them all."] if more > 0 else []),
        LEGEND,
        *_unknown(result),
        *_scale_note(result),
        *stated_lines(result, console.width),
    ]
    for line in [*lines, *comparison_lines(result), *carbon_lines(result)]:
        console.print(Text(line, style="dim"))
    sys.stdout.flush()


def stated_lines(result: StudyResult, width: int) -> list[str]:
    """Return the energies of a small study as they are cited; none where a line would not fit."""
    lines = [
        f"{_name(summary)}: {stated_text(summary.energy_per_output_token_j, 'token', summary.provenance)}"
        for summary in result.experiments
        if summary.energy_per_output_token_j is not None
    ]
    return lines if len(lines) <= MOST_STATED and all(len(line) <= width for line in lines) else []


def comparison_lines(result: StudyResult) -> list[str]:
    """Return at most ten lines that compare the experiments; none where nothing could be compared."""
    if not result.comparisons:
        return []
    by_hash = {summary.config_hash: summary for summary in result.experiments}
    reference = by_hash[result.comparisons[0].reference_hash]
    tested = counted(sum(comparison.p is not None for comparison in result.comparisons), "comparison")
    head = (
        f"Energy per output token beside {_name(reference)} (ratio within cycles, 95 %, t; p by Holm over {tested}):"
    )
    told = [
        f"  {_name(by_hash[one.config_hash])}: {comparison_text(one, by_hash[one.config_hash].provenance)}"
        for one in result.comparisons[:MOST_COMPARED]
    ]
    more = len(result.comparisons) - MOST_COMPARED
    return [head, *told, *([f"  … and {counted(more, 'more comparison')}: results.json"] if more > 0 else [])]


def carbon_lines(result: StudyResult) -> list[str]:
    """Return what a study declares of carbon and what comes of it: figures for a small study, else where they are."""
    if result.carbon is None:
        return []
    found = [summary for summary in result.experiments if summary.carbon is not None]
    told = [f"  {_name(summary)}: {carbon_text(summary.carbon)}" for summary in found if summary.carbon is not None]
    few = len(told) <= MOST_STATED
    where = ":" if told and few else ": results.json has the figures." if told else "."
    return [f"Carbon as declared, {declared_text(result.carbon)}{where}", *(told if few else [])]


def _unknown(result: StudyResult) -> list[str]:
    reasons = [summary.energy_reason for summary in result.experiments if summary.energy_reason and summary.n_valid]
    return [f"Energy unknown: {printable(reason)}" for reason in dict.fromkeys(reasons)]


def _scale_note(result: StudyResult) -> list[str]:
    """Return how uncertain the board's scale is, which is in no interval: the largest share of any experiment."""
    energies = [summary.energy_per_output_token_j for summary in result.experiments]
    shares = [energy.u_scale / energy.mean for energy in energies if energy and energy.u_scale and energy.mean > 0]
    return (
        [f"Not in ±: the scale of the board, ± {max(shares):.1%}, which cancels in ratios on one board."]
        if shares
        else []
    )


def _name(summary: ExperimentSummary) -> str:
    return printable(summary_text(summary.config_summary), 60)


def print_experiments(console: Console, summaries: Sequence[ExperimentSummary]) -> None:
    """Print the table of experiments, one line each; a narrow terminal gets fewer columns, never broken figures."""
    tables = [
        _table(summaries, [column for column in COLUMNS if column[0] not in FIRST_TO_GO[:dropped]])
        for dropped in range(len(FIRST_TO_GO) + 1)
    ]
    unbounded = console.options.update(max_width=10_000)
    fitting = (table for table in tables if Measurement.get(console, unbounded, table).maximum <= console.width)
    console.print(next(fitting, tables[-1]))


def _table(summaries: Sequence[ExperimentSummary], columns: Sequence[Column]) -> Table:
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
