"""From a worker's measurement and the sensors' edges to a trial's figures, each with its provenance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llem.domain.agreement import apart_rel, between_sources_rel, second_opinion
from llem.domain.baseline import BaselinePower
from llem.domain.components import components_of
from llem.domain.device_state import DeviceConditions, device_conditions
from llem.domain.edges import Edge
from llem.domain.energy import bounds_of
from llem.domain.evidence import Evidence
from llem.domain.measured import Measured
from llem.domain.net import BARE_FIGURES, NET_FIGURES, bare_figures, net_figures
from llem.domain.phases import phase_figures
from llem.domain.plausibility import limits_of
from llem.domain.remarks import remarks_of
from llem.domain.result import EnergyComponent, Figures, Finding, Headline
from llem.domain.sensing import Channel, Device, Provenance
from llem.domain.sensor_check import SensorCheck
from llem.domain.spans import LOAD_FIGURES, load_figures
from llem.domain.spec import ExperimentConfig
from llem.domain.totals import Total, choose_total
from llem.domain.validity import spoilers_of

BOARD_SCALE_REL = 0.05
"""Type B uncertainty of an uncalibrated NVIDIA board, at least (Yang, Adamek, Armour, SC24, arXiv 2312.02741)."""


@dataclass(frozen=True)
class Evaluation:
    """The figures of one trial, and where its energy comes from."""

    figures: Figures
    components: tuple[EnergyComponent, ...]
    boundary: str | None
    provenance: Provenance
    estimator: str | None
    conditions: tuple[DeviceConditions, ...]
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
            energy_above_context_idle_j=self.figures.energy_above_context_idle_j,
            energy_prefill_j=self.figures.energy_prefill_j,
            energy_decode_j=self.figures.energy_decode_j,
        )


def evaluate(
    config: ExperimentConfig,
    measured: Measured,
    channels: Sequence[Channel],
    edges: Mapping[str, Sequence[Edge]],
    *,
    failures: Mapping[str, str],
    unrecorded: str | None,
    check: SensorCheck | None = None,
    bare: Sequence[BaselinePower] = (),
    devices: Sequence[Device] = (),
) -> Evaluation:
    """Return the figures of one trial.

    Args:
        config: What was asked for.
        measured: What the worker measured.
        channels: The channels that were recorded.
        edges: Their edges, by channel id.
        failures: Why a channel's last failed reading failed, by channel id.
        unrecorded: Why nothing was recorded, if nothing was; the energy is then null with this reason.
        check: What the sensor check found; None where there was none.
        bare: Idle power of the bare machine, by channel.
        devices: What the sensors say of the devices: their power limits, MIG.
    """
    components = components_of(measured, channels, edges, failures, limits_of(devices))
    total = choose_total(measured.model.devices, components, unrecorded, check)
    chosen = {member.channel.id for member in total.members}
    marked = tuple(
        component.model_copy(update={"in_total": component.channel.id in chosen and total.reason is None})
        for component in components
    )
    pieces = tuple(bounds_of(measured.window))
    conditions = device_conditions(measured.model.devices, channels, edges, pieces, failures)
    evidence = Evidence(
        config, measured, pieces, total, marked, edges, failures, conditions, devices=devices, check=check
    )
    return Evaluation(
        figures=_figures(evidence, bare),
        components=marked,
        boundary=total.boundary,
        provenance="none" if total.reason else total.provenance,
        estimator=None if total.reason else "+".join(sorted({str(member.estimator) for member in total.members})),
        conditions=conditions,
        validity=spoilers_of(evidence),
        warnings=remarks_of(evidence),
    )


def _figures(evidence: Evidence, bare: Sequence[BaselinePower]) -> Figures:
    measured, total = evidence.measured, evidence.total
    work, duration_s = measured.work, evidence.duration_s
    energy_j = total.energy_j
    flops = None if measured.flops.per_pass is None else float(measured.flops.per_pass * measured.window.passes)
    values: dict[str, float | None] = {
        "duration_s": duration_s,
        "output_tokens_per_s": work.output_tokens / duration_s,
        "total_tokens_per_s": (work.input_tokens + work.output_tokens) / duration_s,
        "requests_per_s": work.requests / duration_s,
        "energy_total_j": energy_j,
        "flops": flops,
        "cross_check_rel": _cross_check(total, evidence.components),
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
    for found, whys in _differences(evidence, bare):
        values.update(found)
        reasons.update(whys)
    if energy_j is not None:
        values.update({name: energy_j / divisor for name, divisor in per_energy.items()})
        values.update(_uncertainties(evidence, energy_j, reasons))
        if flops is None:
            reasons["flops_per_j"] = reasons["flops"]
        elif energy_j > 0:
            values["flops_per_j"] = flops / energy_j
        else:
            reasons["flops_per_j"] = "the energy is not positive"
    known = {name: value for name, value in values.items() if value is not None}
    nulls = [name for name in Figures.model_fields if name not in known and name != "unknown"]
    return Figures.model_validate({**known, "unknown": {name: reasons[name] for name in nulls}})


def _differences(
    evidence: Evidence, bare: Sequence[BaselinePower]
) -> Iterator[tuple[dict[str, float | None], dict[str, str]]]:
    """Yield the figures that need more than the window: what they are, and why they are unknown where they are."""
    total, duration_s = evidence.total, evidence.duration_s
    for names, (found, why) in (
        (NET_FIGURES, net_figures(total.members, total.energy_j, duration_s)),
        (BARE_FIGURES, bare_figures(total.members, bare, total.energy_j, duration_s)),
        (LOAD_FIGURES, load_figures(total.members, evidence.edges, evidence.measured.load)),
    ):
        yield found, dict.fromkeys(names, total.reason or why)
    yield phase_figures(evidence.measured, total, evidence.edges)


def _uncertainties(evidence: Evidence, energy_j: float, reasons: dict[str, str]) -> dict[str, float | None]:
    """Return the uncertainties of a known energy; what a model leaves unknown gets its reason."""
    total = evidence.total
    if total.provenance == "modelled":
        reasons["u_energy_total_j"] = "the energy is modelled: no stated uncertainty holds"
        reasons["u_scale_j"] = reasons["u_energy_total_j"]
        return {}
    if any(member.channel.sensor != "nvml" for member in total.members):
        reasons["u_scale_j"] = "no published scale uncertainty holds for this sensor"
        return {"u_energy_total_j": total.u_j}
    return {"u_energy_total_j": total.u_j, "u_scale_j": _scale_rel(evidence) * energy_j}


def _scale_rel(evidence: Evidence) -> float:
    """Return the relative uncertainty of the scale: not less than what two channels of one board differ by.

    A gain error of one of them is in both the check and the trial, and no reading tells which of the two has it.
    """
    checked = (evidence.checked(member.channel.device) for member in evidence.total.members)
    apart = [apart_rel(agreed.relative) for found in checked if found is not None for agreed in found.agreements]
    return max([BOARD_SCALE_REL, *apart, *between_sources_rel(evidence.total, evidence.components)])


def _cross_check(total: Total, components: Sequence[EnergyComponent]) -> float | None:
    """Return how far a second measured source of the same devices lies from the total, relative to it."""
    energy_j = total.energy_j
    second = second_opinion(total.members, components) if total.measured else None
    return second[0] / energy_j - 1 if energy_j and second is not None else None
