"""The energy of each channel that was read."""

from collections.abc import Mapping, Sequence

from llem.domain.edges import Edge, Estimate, Unmeasured
from llem.domain.energy import bounds_of, estimate
from llem.domain.idle import idle_power
from llem.domain.measured import Interval, Measured
from llem.domain.plausibility import NO_DEVICE_W, implausible
from llem.domain.result import EnergyComponent
from llem.domain.sensing import Channel

NO_LOADED_IDLE = "it was not measured between loading and warm-up"


def components_of(
    measured: Measured,
    channels: Sequence[Channel],
    edges: Mapping[str, Sequence[Edge]],
    failures: Mapping[str, str],
    limits_w: Mapping[str, float],
) -> list[EnergyComponent]:
    """Return the energy of every channel of which an energy can be made.

    Args:
        measured: What the worker measured.
        channels: All channels.
        edges: Their readings, by channel id.
        failures: Why a channel's last failed reading failed, by channel id.
        limits_w: The devices' power limits in watts, where they tell one.
    """
    return [
        _component(
            channel,
            edges.get(channel.id, ()),
            failures.get(channel.id),
            measured,
            limits_w.get(channel.device, NO_DEVICE_W),
        )
        for channel in channels
        if channel.measures_energy
    ]


def _component(
    channel: Channel, edges: Sequence[Edge], failure: str | None, measured: Measured, limit_w: float
) -> EnergyComponent:
    pieces = bounds_of(measured.window)
    found = estimate(channel, edges, *pieces)
    told: dict[str, object] = {
        "channel": channel,
        "estimators": {outcome.estimator: outcome.energy_j for outcome in found.all},
        "u_estimators_j": {outcome.estimator: outcome.u_j for outcome in found.all},
        "estimators_refused": found.refused,
        **_loaded_idle(channel, edges, measured.loaded_idle),
    }
    if isinstance(found.idle, Unmeasured):
        told["idle_reason"] = found.idle.reason
    else:
        told |= {
            "power_context_idle_w": found.idle.power_w,
            "u_power_context_idle_w": found.idle.u_w,
            "power_idle_before_w": found.idle.before_w,
            "power_idle_after_w": found.idle.after_w,
            "u_idle_drift_w": found.idle.u_drift_w,
        }
    leading = found.leading
    if isinstance(leading, Estimate) and channel.provenance != "modelled":
        beyond = implausible(channel, edges, pieces, leading.energy_j, limit_w)
        leading = leading if beyond is None else Unmeasured(f"no device of this power limit draws that: {beyond}")
    if isinstance(leading, Unmeasured):
        reason = leading.reason if failure is None else f"{leading.reason}; a reading failed: {failure}"
        told |= {"energy_j": None, "reason": reason}
    else:
        told |= {
            "energy_j": leading.energy_j,
            "u_j": leading.u_j,
            "estimator": leading.estimator,
            "readings": leading.readings,
        }
    return EnergyComponent.model_validate(told)


def _loaded_idle(channel: Channel, edges: Sequence[Edge], stretch: Interval | None) -> dict[str, object]:
    if stretch is None:
        return {"loaded_idle_reason": NO_LOADED_IDLE}
    found = idle_power(channel, edges, stretch.start_ns, stretch.end_ns)
    if isinstance(found, Unmeasured):
        return {"loaded_idle_reason": found.reason}
    return {"power_loaded_idle_w": found[0], "u_power_loaded_idle_w": found[1]}
