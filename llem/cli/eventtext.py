"""Events as text, one line each: made of what is stored, so that a log loads no model of an event."""

from collections.abc import Callable
from typing import Any

from llem.cli.text import counted, duration_text, json_text
from llem.domain.errors import JournalError
from llem.domain.row import Row

Payload = dict[str, Any]

DETAIL_KEYS = (
    "error_type",
    "error_message",
    "phase",
    "reason",
    "detail",
    "result_file",
    "study_name",
    "command",
)


def row_json(row: Row) -> str:
    """Return an event as one JSON line, its data unfolded."""
    columns = row._asdict()
    columns["data"] = row.stored()
    return json_text(columns)


def event_text(row: Row) -> str:
    """Return what an event says beside its columns.

    Raises:
        JournalError: Its data is not what this llem knows of its kind.
    """
    try:
        return _WORDS.get(row.kind, _data_text)(row.payload())
    except (AttributeError, IndexError, LookupError, TypeError, ValueError) as error:
        raise JournalError(
            f"The data of event {row.seq} ({row.kind}) is not what it should be: {error!r}.",
            remedy="The journal was damaged or a newer llem wrote it; `llem study log --verify` says where.",
        ) from None


def gap_text(data: Payload) -> str:
    """Return what a gap was: ``between trials: 2:05 min, at 45 °C, asked for 45 °C``."""
    waited = f"between {data['between']}: {duration_text(data['waited_s'])}"
    planned, temperature_c = data["planned"], data.get("temperature_c")
    if not isinstance(planned, dict):
        return waited
    reached = "temperature unknown" if temperature_c is None else f"at {temperature_c:g} °C"
    reason = f" ({data['reason']})" if data.get("reason") else ""
    return f"{waited}, {reached}, asked for {planned['cool_to_c']:g} °C{reason}"


def baseline_text(data: Payload) -> str:
    """Return what a baseline found: ``first: nvml/0 22.4 ± 0.3 W``."""
    powers = [_power_text(power) for power in data["powers"]]
    return f"{data['why']}: {', '.join(powers) or 'no channel measures energy'}"


def counter_text(is_sum: bool | None) -> str:
    """Return what a device's energy counter was found to be."""
    return {True: "a sum of readings", False: "a true integral", None: "sum or integral unknown"}[is_sum]


def _power_text(power: Payload) -> str:
    if power["power_w"] is None:
        return f"{power['channel']} unknown ({power.get('reason')})"
    u_w = power.get("u_w")
    return f"{power['channel']} {power['power_w']:.4g}{'' if u_w is None else f' ± {u_w:.2g}'} W"


def _checked_text(data: Payload) -> str:
    """Return what a sensor check found: ``16 s, idle and under load  GPU-1 good, a true integral``."""
    check = data["check"]
    load = "idle and under load" if check.get("load") else f"idle only ({check.get('no_load_reason')})"
    devices = [
        f"{found['device']} {found['grade']}, {counter_text(found['counter_is_sum'])}" for found in check["devices"]
    ]
    return "  ".join([f"{duration_text(check['duration_s'])}, {load}", *devices])


def _planned_text(data: Payload) -> str:
    return f"{counted(len(data['sequence']), 'trial')}, order {data['order']}"


def _extended_text(data: Payload) -> str:
    return (
        f"{data['added']:,} experiments added, {data['cycles']:,} cycles now, {len(data['sequence']):,} trials more"
    )


def _completed_text(data: Payload) -> str:
    codes = data["headline"].get("invalid", ())
    return "  ".join([data["result_file"], *([f"INVALID: {', '.join(codes)}"] if codes else [])])


def _recovered_text(data: Payload) -> str:
    lost = [f"{data[key]} {key}" for key in ("unreadable", "invalid") if data[key]]
    return "  ".join([data["reason"], *lost, f"kept in damaged/{data['kept_in']}"])


def _data_text(data: Payload) -> str:
    return "  ".join(str(data[key]) for key in DETAIL_KEYS if data.get(key))


_WORDS: dict[str, Callable[[Payload], str]] = {
    "study_planned": _planned_text,
    "study_extended": _extended_text,
    "gap_waited": gap_text,
    "experiment_completed": _completed_text,
    "sensors_checked": _checked_text,
    "journal_recovered": _recovered_text,
    "baseline_measured": baseline_text,
}
