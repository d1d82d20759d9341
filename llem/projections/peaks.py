"""Which batch sizes of an experiment fitted into memory, and which did not."""

from collections.abc import Iterable

from llem.domain.fitting import Peak
from llem.projections.trials import TrialState

AXIS = "batch_size"


def peaks_of(states: Iterable[TrialState], trial: TrialState) -> list[Peak]:
    """Return what is known of the experiments that differ from that of ``trial`` in their batch size alone.

    Args:
        states: The trials of the study.
        trial: One of them.
    """
    found: dict[int, Peak] = {}
    for state in states:
        batch_size = state.config_summary.get(AXIS)
        if not isinstance(batch_size, int) or _rest(state) != _rest(trial):
            continue
        before = found.get(batch_size)
        if state.status == "completed" and state.headline is not None:
            peak_bytes = state.headline.get("peak_memory_bytes")
            most = max(filter(None, (peak_bytes, before and before.peak_bytes)), default=None)
            found[batch_size] = Peak(batch_size, most)
        elif state.status == "failed" and state.error_type == "OutOfMemory" and before is None:
            found[batch_size] = Peak(batch_size, None, fitted=False)
    return list(found.values())


def _rest(state: TrialState) -> dict[str, object]:
    return {key: value for key, value in state.config_summary.items() if key != AXIS}
