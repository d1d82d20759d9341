"""Old forms of events, lifted to those of today when they are read. What is stored stays as it was written."""

from collections.abc import Callable, Mapping
from typing import Any

Data = dict[str, Any]


def _study_planned_1(data: Data) -> Data:
    """Form 1 had a block per cycle; its ``sequential`` was what is ``interleave`` now."""
    lifted = {key: value for key, value in data.items() if key != "blocks"}
    lifted["sequence"] = [index for block in data["blocks"] for index in block]
    lifted["order"] = "interleave" if data["order"] == "sequential" else data["order"]
    return lifted


NO_LIMIT = dict.fromkeys(
    ("start_s", "load_s", "warmup_s", "measurement_s", "silence_s", "clean_s", "energy_kwh", "consecutive_failures")
)


def _with_all_limits(data: Data) -> Data:
    """Earlier forms knew ``trial_s`` and ``study_s`` alone: a study of theirs has no other limit."""
    return {**data, "limits": {**NO_LIMIT, **data["limits"]}}


def _experiment_planned_1(data: Data) -> Data:
    """Form 1 listed the name of each cycle's result file."""
    lifted = {key: value for key, value in data.items() if key != "result_files"}
    lifted["result_stem"] = data["result_files"][0].removesuffix("_c1.json")
    return lifted


_STEPS: Mapping[tuple[str, int], Callable[[Data], Data]] = {
    ("study_planned", 1): _study_planned_1,
    ("study_planned", 2): _with_all_limits,
    ("study_extended", 1): _with_all_limits,
    ("experiment_planned", 1): _experiment_planned_1,
}


def lifted(kind: str, v: int, data: Data) -> tuple[int, Data]:
    """Return form number and data of an event as this llem writes it.

    Raises:
        KeyError: The data is not of the form that it claims.
    """
    while (kind, v) in _STEPS:
        v, data = v + 1, _STEPS[kind, v](data)
    return v, data
