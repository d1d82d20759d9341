"""A plan on the screen and as JSON: what would run, in which order, and what it would take."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import JsonValue
from rich.console import Console
from rich.text import Text

from llem.cli.console import table_console
from llem.cli.text import counted, duration_text, json_text, printable
from llem.cli.words import energy_text
from llem.domain.events.base import ROUTING
from llem.domain.identity import summary_text
from llem.domain.order import in_cycles
from llem.domain.spec import CYCLE_AFTER_CYCLE, CoolDown, Gap
from llem.study.estimate import Estimate
from llem.study.explain import Explained, explain
from llem.study.plan import StudyPlan

MOST_EXPERIMENTS = 40
MOST_SKIPPED = 5
MOST_ROWS = 20
METHOD = "measurement."

Lines = Iterator[str]


def show_plan(plan: StudyPlan, estimate: Estimate, *, free_bytes: int | None, every_value: bool) -> None:
    """Print a plan for people on stdout.

    Args:
        plan: The plan.
        estimate: What it would take.
        free_bytes: Free space where the study would lie; None where unknown.
        every_value: Show every value with its origin, and not only those of the method and the repetition.
    """
    console = table_console()
    values = explain(plan)
    for heading, lines in (
        ("", _funnel(plan)),
        ("axes", _axes(plan)),
        ("skipped", _skipped(plan)),
        ("experiments", _experiments(plan)),
        (f"order: {plan.study.order}, seed {plan.study.seed}", _order(plan, console)),
        ("values, and where they come from" if every_value else "method", _values(values, every_value=every_value)),
        ("estimate", _estimate(estimate, free_bytes)),
        ("warnings", iter(plan.warnings)),
    ):
        _print(console, heading, list(lines))


def _print(console: Console, heading: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    if heading:
        console.print()
        console.print(Text(heading, style="bold"))
    for line in lines:
        text = Text(printable(f"  {line}" if heading else line, 2000))
        console.print(text, soft_wrap=not console.is_terminal)  # a file's lines stay whole


def plan_json(plan: StudyPlan, estimate: Estimate, *, free_bytes: int | None) -> str:
    """Return a plan as one line of JSON."""
    study = plan.study
    numbers = {planned.index: planned.label for planned in plan.experiments}
    tree: dict[str, Any] = {
        "kind": "plan",
        "study_name": study.study_name,
        "study_design_hash": study.study_design_hash,
        "funnel": {
            "declared": study.declared,
            "skipped": dict(_skip_counts(plan)),
            "duplicates": study.duplicates,
            "experiments": len(plan.experiments),
            "cycles": study.cycles,
            "trials": plan.trials,
        },
        "axes": [{"name": name, "alternatives": alternatives} for name, alternatives in plan.axes],
        "skipped": [skipped.model_dump(mode="json") for skipped in study.skipped],
        "experiments": [planned.model_dump(mode="json", exclude=set(ROUTING)) for planned in plan.experiments],
        "order": {
            "kind": study.order,
            "seed": study.seed,
            "trials": [f"{numbers[index]}_c{cycle}" for index, cycle in in_cycles(study.sequence)],
        },
        "values": [value.model_dump(mode="json") for value in explain(plan)],
        "estimate": estimate.model_dump(mode="json"),
        "disk_free_bytes": free_bytes,
        "warnings": plan.warnings,
    }
    return json_text(tree)


def _skip_counts(plan: StudyPlan) -> Counter[str]:
    counts: Counter[str] = Counter()
    for skipped in plan.study.skipped:
        counts[skipped.kind] += len(skipped.points)
    return counts


def _funnel(plan: StudyPlan) -> Lines:
    study = plan.study
    counts = _skip_counts(plan)
    kinds = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in counts.items())
    yield f"{study.study_name}: nothing has been run"
    yield ""
    spans = " × ".join(f"{name} {len(alternatives)}" for name, alternatives in plan.axes)
    yield f"declared     {study.declared:>7,}" + (f"  ({spans})" if spans else "")
    yield f"skipped      {counts.total():>7,}" + (f"  ({kinds})" if kinds else "")
    yield f"duplicates   {study.duplicates:>7,}"
    yield f"experiments  {len(plan.experiments):>7,}"
    yield f"trials       {plan.trials:>7,}  ({len(plan.experiments):,} × {counted(study.cycles, 'cycle')})"


def _axes(plan: StudyPlan) -> Lines:
    width = max((len(name) for name, _ in plan.axes), default=0)
    for name, alternatives in plan.axes:
        shown = [_alternative(name, alternative) for alternative in alternatives[:MOST_EXPERIMENTS]]
        more = [f"… {len(alternatives) - len(shown):,} more"] if len(shown) < len(alternatives) else []
        yield f"{name:<{width}}  {', '.join([*shown, *more])}"


def _alternative(name: str, values: Mapping[str, Any]) -> str:
    """Return an axis's value alone; of anything else the keys too."""
    if list(values) == [name]:
        return _shown(values[name])
    return "{" + ", ".join(f"{key}: {_shown(value)}" for key, value in values.items()) + "}"


def _shown(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _skipped(plan: StudyPlan) -> Lines:
    for skipped in plan.study.skipped:
        yield f"{len(skipped.points):,} × {skipped.kind.replace('_', ' ')}: {skipped.reason}"
        for point in skipped.points[:MOST_SKIPPED]:
            yield f"    {summary_text(point) or 'the study as it stands'}"
        if len(skipped.points) > MOST_SKIPPED:
            yield f"    … {len(skipped.points) - MOST_SKIPPED:,} more (--json lists all)"


def _experiments(plan: StudyPlan) -> Lines:
    width = len(str(len(plan.experiments)))
    for planned in plan.experiments[:MOST_EXPERIMENTS]:
        yield f"{planned.index + 1:>{width}}  {planned.label}  {summary_text(planned.config_summary)}"
    if len(plan.experiments) > MOST_EXPERIMENTS:
        yield f"… {len(plan.experiments) - MOST_EXPERIMENTS:,} more (--json lists all)"


def _order(plan: StudyPlan, console: Console) -> Lines:
    """Return the trials by the numbers of their experiments: a row per cycle where cycles follow each other."""
    study = plan.study
    width = len(str(len(plan.experiments)))
    room = max(1, (console.width - 28) // (width + 1))
    in_rows = study.order in CYCLE_AFTER_CYCLE
    row = len(plan.experiments) if in_rows else room
    starts = range(0, plan.trials, row)
    for number, start in enumerate(starts[:MOST_ROWS], start=1):
        whole = study.sequence[start : start + row]
        cells = " ".join(f"{index + 1:>{width}}" for index in whole[:room])
        more = f" … {len(whole) - room:,} more" if len(whole) > room else ""
        yield (f"cycle {number:<3} {cells}" if in_rows else cells) + more
    if len(starts) > MOST_ROWS:
        yield f"… {len(starts) - MOST_ROWS:,} more rows (--json lists all)"
    if study.gaps.between_trials:
        yield f"gap between trials: {gap_text(study.gaps.between_trials)}"
    if study.gaps.between_cycles is not None:
        yield f"gap between cycles: {gap_text(study.gaps.between_cycles)}"


def gap_text(gap: Gap) -> str:
    """Return a gap in words."""
    if isinstance(gap, CoolDown):
        return f"cool to {gap.cool_to_c:g} °C, at most {duration_text(gap.at_most_s)}"
    return f"{gap:g} s"


def _values(values: Sequence[Explained], *, every_value: bool) -> Lines:
    study_wide = ("profile", "cycles", "reruns", "retries", "gaps.", "limits.", "carbon.")
    shown = [v for v in values if every_value or v.key.startswith((METHOD, *study_wide))]
    texts = [(value.key, _few([_shown(one) for one in value.values]), _few(value.origins)) for value in shown]
    widths = [min(40, max((len(text[column]) for text in texts), default=0)) for column in (0, 1)]
    for key, value, origin in texts:
        yield f"{key:<{widths[0]}}  {value:<{widths[1]}}  {origin}"


def _few(items: Sequence[str], most: int = 4) -> str:
    return ", ".join(items[:most]) + (f", … {len(items) - most:,} more" if len(items) > most else "")


def _estimate(estimate: Estimate, free_bytes: int | None) -> Lines:
    least = "at least " if estimate.at_least else "about "
    more = {"warm-up and soak": estimate.warming_at_most_s, "cooling": estimate.cooling_at_most_s}
    extra = "".join(f", {what} at most {duration_text(most_s)} more" for what, most_s in more.items() if most_s)
    grounds = {
        "settings": "by the settings: guards and shortest windows; starts, loading and warm-up come on top",
        "earlier trials": "as earlier trials took",
        "both": f"{counted(estimate.known_experiments, 'experiment')} as earlier trials took, the others at least",
    }
    if estimate.basis == "both" and not estimate.known_experiments:
        grounds["both"] = "shortest windows, and what earlier trials took beside theirs"
    yield f"time    {least}{duration_text(estimate.duration_s)}{extra} ({grounds[estimate.basis]})"
    if estimate.energy_j is None:
        yield f"energy  unknown: {estimate.energy_reason}"
    else:
        kwh = estimate.energy_j / 3.6e6
        shown = energy_text(estimate.energy_j, estimate.energy_provenance)
        yield f"energy  about {shown} ({kwh:.3g} kWh) at the mean power of earlier windows"
    free = "" if free_bytes is None else f"; {bytes_text(free_bytes)} free"
    yield f"disk    about {bytes_text(estimate.disk_bytes)}{free}"


def bytes_text(size: float) -> str:
    """Return a size with a unit that suits it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:  # what rounds to 1,000 is 1 of the next unit
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.0f} TB" if size >= 100 else f"{size:.3g} TB"
