"""From a worker's measurement and the sensors' edges to a trial's figures, each with its provenance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llem.domain.agreement import findings, second_opinion
from llem.domain.edges import Bounds, Edge, Unmeasured
from llem.domain.energy import estimate
from llem.domain.net import NET_FIGURES, net_figures
from llem.domain.result import EnergyComponent, Figures, Finding, Headline, Measured
from llem.domain.sensing import Channel, Provenance
from llem.domain.spec import ExperimentConfig

BOARD_SCALE_REL = 0.05
"""Type B uncertainty of an uncalibrated NVIDIA board (Yang, Adamek, Armour, SC24, arXiv 2312.02741)."""
SHORT_WINDOW_S = 10.0
NOT_EVALUATED = "not evaluated by this version of llem"


@dataclass(frozen=True)
class Evaluation:
    """The figures of one trial, and where its energy comes from."""

    figures: Figures
    components: tuple[EnergyComponent, ...]
    boundary: str | None
    provenance: Provenance
    estimator: str | None
    validity: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    def headline(self, measured: Measured) -> Headline:
        """Return the few figures that tables and progress show."""
        latency, memory = measured.latency, measured.memory
        return Headline(
            provenance=self.provenance,
            boundary=self.boundary,
            energy_total_j=self.figures.energy_total_j,
            energy_per_output_token_j=self.figures.energy_per_output_token_j,
            energy_reason=self.figures.unknown.get("energy_total_j"),
            output_tokens=measured.work.output_tokens,
            output_tokens_per_s=self.figures.output_tokens_per_s,
            duration_s=self.figures.duration_s,
            ttft_p50_s=latency.ttft_s.p50 if latency.ttft_s else None,
            itl_p50_s=latency.itl_s.p50 if latency.itl_s else None,
            peak_memory_bytes=memory.torch_allocated_bytes or memory.rss_bytes,
            invalid=tuple(finding.code for finding in self.validity),
            u_energy_total_j=self.figures.u_energy_total_j,
            u_scale_j=self.figures.u_scale_j,
            input_tokens=measured.work.input_tokens,
            requests=measured.work.requests,
        )


@dataclass(frozen=True)
class _Total:
    """The energy of one named boundary, or why it is unknown."""

    boundary: str | None = None
    provenance: Provenance = "none"
    members: tuple[EnergyComponent, ...] = ()
    reason: str | None = None

    @property
    def measured(self) -> bool:
        """Whether a meter gave an energy."""
        return self.reason is None and self.provenance != "modelled"

    @property
    def energy_j(self) -> float | None:
        known = [member.energy_j for member in self.members if member.energy_j is not None]
        return math.fsum(known) if self.reason is None else None

    @property
    def u_j(self) -> float:
        """Channels are read apart from each other, so their uncertainties add in quadrature."""
        return math.sqrt(math.fsum((member.u_j or 0.0) ** 2 for member in self.members))


def evaluate(
    config: ExperimentConfig,
    measured: Measured,
    channels: Sequence[Channel],
    edges: Mapping[str, Sequence[Edge]],
    *,
    failures: Mapping[str, str],
    unrecorded: str | None,
) -> Evaluation:
    """Return the figures of one trial.

    Args:
        config: What was asked for.
        measured: What the worker measured.
        channels: The channels that were recorded.
        edges: Their edges, by channel id.
        failures: Why a channel's last failed reading failed, by channel id.
        unrecorded: Why nothing was recorded, if nothing was; the energy is then null with this reason.
    """
    window = measured.window
    bounds = Bounds(window.guard_start_ns, window.t0_ns, window.t1_ns, window.guard_end_ns)
    components = [
        _component(channel, edges.get(channel.id, ()), failures.get(channel.id), bounds) for channel in channels
    ]
    total = _total(measured.model.devices, components, unrecorded)
    chosen = {member.channel.id for member in total.members}
    marked = tuple(
        component.model_copy(update={"in_total": component.channel.id in chosen and total.reason is None})
        for component in components
    )
    return Evaluation(
        figures=_figures(measured, total, components),
        components=marked,
        boundary=total.boundary,
        provenance="none" if total.reason else total.provenance,
        estimator=None if total.reason else "+".join(sorted({str(member.estimator) for member in total.members})),
        validity=_validity(measured, config),
        warnings=(
            *_warnings(measured, total, components, failures),
            *(findings(total.members, components, edges, bounds) if total.measured else ()),
        ),
    )


def _component(channel: Channel, edges: Sequence[Edge], failure: str | None, bounds: Bounds) -> EnergyComponent:
    found = estimate(channel, edges, bounds)
    told: dict[str, object] = {
        "estimators": {outcome.estimator: outcome.energy_j for outcome in found.all},
        "u_estimators_j": {outcome.estimator: outcome.u_j for outcome in found.all},
        "estimators_refused": found.refused,
    }
    if isinstance(found.idle, Unmeasured):
        told["idle_reason"] = found.idle.reason
    else:
        told |= {
            "power_context_idle_w": found.idle.power_w,
            "u_power_context_idle_w": found.idle.u_w,
            "power_idle_before_w": found.idle.before_w,
            "power_idle_after_w": found.idle.after_w,
        }
    leading = found.leading
    if isinstance(leading, Unmeasured):
        reason = leading.reason if failure is None else f"{leading.reason}; a reading failed: {failure}"
        return EnergyComponent.model_validate({"channel": channel, "energy_j": None, "reason": reason, **told})
    return EnergyComponent.model_validate(
        {
            "channel": channel,
            "energy_j": leading.energy_j,
            "u_j": leading.u_j,
            "estimator": leading.estimator,
            "readings": leading.readings,
            **told,
        }
    )


def _total(devices: Sequence[str], components: Sequence[EnergyComponent], unrecorded: str | None) -> _Total:
    """Choose the boundary: the devices that did the work, by their best source.

    A modelled figure stands only where no meter covers the work at all, and is never added to a measured one.
    """
    gpus = [device for device in devices if device != "cpu"]
    soc = _of(components, "soc")
    if soc and not any(component.channel.device in gpus for component in components):
        return _sum("soc", soc[0].channel.provenance, soc)  # one supply feeds processor, GPU and memory
    if gpus:
        return _gpu_total(gpus, components, unrecorded)
    packages = _of(components, "cpu_package")
    if packages:
        memory = _of(components, "dram")
        boundary = "cpu_package+dram" if memory else "cpu_package"
        return _sum(boundary, "counter", [*packages, *memory])
    modelled = [component for component in components if component.channel.provenance == "modelled"]
    if modelled:
        return _sum("+".join(component.channel.boundary for component in modelled), "modelled", modelled)
    return _Total(reason=unrecorded or "no sensor here measures the processor")


def _gpu_total(gpus: Sequence[str], components: Sequence[EnergyComponent], unrecorded: str | None) -> _Total:
    members: list[EnergyComponent] = []
    for gpu in gpus:
        of_gpu = [component for component in components if component.channel.device == gpu]
        # The counter leads; power readings stand in where it gave nothing.
        of_gpu.sort(key=lambda component: (component.energy_j is None, component.channel.kind != "energy_j"))
        if not of_gpu:
            return _Total(boundary="gpu", reason=unrecorded or f"no sensor here measures {gpu}")
        members.append(of_gpu[0])
    provenances = {member.channel.provenance for member in members}
    return _sum("gpu", "counter" if provenances == {"counter"} else "sampled", members)


def _sum(boundary: str, provenance: Provenance, members: Sequence[EnergyComponent]) -> _Total:
    missing = next((member for member in members if member.energy_j is None), None)
    reason = None if missing is None else f"{missing.channel.id}: {missing.reason}"
    return _Total(boundary, provenance, tuple(members), reason)


def _of(components: Sequence[EnergyComponent], boundary: str) -> list[EnergyComponent]:
    return [component for component in components if component.channel.boundary == boundary]


def _figures(measured: Measured, total: _Total, components: Sequence[EnergyComponent]) -> Figures:
    work, duration_s = measured.work, measured.window.duration_s
    energy_j = total.energy_j
    flops = None if measured.flops.per_pass is None else float(measured.flops.per_pass * measured.window.passes)
    values: dict[str, float | None] = {
        "duration_s": duration_s,
        "output_tokens_per_s": work.output_tokens / duration_s,
        "total_tokens_per_s": (work.input_tokens + work.output_tokens) / duration_s,
        "requests_per_s": work.requests / duration_s,
        "energy_total_j": energy_j,
        "flops": flops,
        "cross_check_rel": _cross_check(total, components),
    }
    reasons = {
        "flops": measured.flops.reason or "not counted",
        "cross_check_rel": "no second source measures the same boundary",
    }
    per_energy = {
        "power_mean_w": duration_s,
        "energy_per_output_token_j": work.output_tokens,
        "energy_per_token_j": work.input_tokens + work.output_tokens,
        "energy_per_request_j": work.requests,
    }
    no_energy = total.reason or "no energy"
    for name in ("energy_total_j", "u_energy_total_j", "u_scale_j", "flops_per_j", *per_energy):
        reasons.setdefault(name, no_energy)
    net, no_net = net_figures(total.members, energy_j, duration_s)
    values.update(net)
    reasons.update(dict.fromkeys(NET_FIGURES, total.reason or no_net))
    if energy_j is not None:
        values.update({name: energy_j / divisor for name, divisor in per_energy.items()})
        values.update(_uncertainties(total, energy_j, reasons))
        if flops is None:
            reasons["flops_per_j"] = reasons["flops"]
        elif energy_j > 0:
            values["flops_per_j"] = flops / energy_j
        else:
            reasons["flops_per_j"] = "the energy is not positive"
    known = {name: value for name, value in values.items() if value is not None}
    nulls = [name for name in Figures.model_fields if name not in known and name != "unknown"]
    return Figures.model_validate({**known, "unknown": {name: reasons.get(name, NOT_EVALUATED) for name in nulls}})


def _uncertainties(total: _Total, energy_j: float, reasons: dict[str, str]) -> dict[str, float | None]:
    """Return the uncertainties of a known energy; what a model leaves unknown gets its reason."""
    if total.provenance == "modelled":
        reasons["u_energy_total_j"] = "the energy is modelled: no stated uncertainty holds"
        reasons["u_scale_j"] = reasons["u_energy_total_j"]
        return {}
    if any(member.channel.sensor != "nvml" for member in total.members):
        reasons["u_scale_j"] = "no published scale uncertainty holds for this sensor"
        return {"u_energy_total_j": total.u_j}
    return {"u_energy_total_j": total.u_j, "u_scale_j": BOARD_SCALE_REL * energy_j}


def _cross_check(total: _Total, components: Sequence[EnergyComponent]) -> float | None:
    """Return how far a second measured source of the same devices lies from the total, relative to it."""
    energy_j = total.energy_j
    second = second_opinion(total.members, components) if total.measured else None
    return second[0] / energy_j - 1 if energy_j and second is not None else None


def _validity(measured: Measured, config: ExperimentConfig) -> tuple[Finding, ...]:
    asked, got = measured.work.asked_output_tokens, measured.work.output_tokens
    as_asked = got == asked if config.generation.stop == "forced" else got <= asked
    if as_asked:
        return ()
    return (Finding(code="token_count", message=f"{got} output tokens; the study asks for {asked}"),)


def _warnings(
    measured: Measured, total: _Total, components: Sequence[EnergyComponent], failures: Mapping[str, str]
) -> tuple[Finding, ...]:
    found = []
    duration_s = measured.window.duration_s
    if duration_s < SHORT_WINDOW_S:
        found.append(
            Finding(code="short_window", message=f"{duration_s:.2f} s; {SHORT_WINDOW_S:.0f} s or more is sound")
        )
    if total.provenance == "modelled" and total.reason is None:
        found.append(Finding(code="modelled", message="no meter covers the work: the energy is a model's"))
    if len(set(measured.model.devices)) > 1 and "cpu" in measured.model.devices:
        found.append(
            Finding(
                code="cpu_part_left_out",
                message="part of the model ran on the processor; only GPUs are counted",
            )
        )
    for member in total.members:
        if member.channel.id in failures and member.energy_j is not None:
            message = f"{member.channel.id}: {failures[member.channel.id]}"
            found.append(Finding(code="readings_failed", message=message))
    if components and total.reason:
        found.append(Finding(code="no_energy", message=total.reason))
    return tuple(found)
