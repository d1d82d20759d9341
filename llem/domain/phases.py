"""Prefill and decode told apart: by windows of prefill alone, since no sensor splits one request."""

import math
from collections.abc import Mapping, Sequence

from llem.domain.edges import Edge, Unmeasured
from llem.domain.energy import bounds_of, estimate
from llem.domain.measured import Measured, PhaseWindow
from llem.domain.result import EnergyComponent
from llem.domain.totals import Total

PHASE_FIGURES = (
    "energy_prefill_j",
    "u_energy_prefill_j",
    "energy_decode_j",
    "u_energy_decode_j",
    "energy_prefill_per_input_token_j",
    "energy_decode_per_output_token_j",
)
MOST_REL = 0.20
"""With a larger relative uncertainty a phase is not identifiable."""


def phase_figures(
    measured: Measured, total: Total, edges: Mapping[str, Sequence[Edge]]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the energies of prefill and decode over the window, and why those that are unknown are.

    Prefill = energy of the prefill window / its passes × passes of the main window; decode = total − prefill; their
    95 % uncertainties add in quadrature. A pass of the prefill window answers each request by its first token alone,
    so prefill *includes the first output token*, and decode makes the other N − 1 of each request:
    ``energy_prefill_per_input_token_j`` divides by the input tokens, ``energy_decode_per_output_token_j`` by the
    output tokens but the first of each request. Idle power is in both, as it is in the total.

    A phase that is not above 0, or whose uncertainty is above 20 % of it, is not identifiable: null, with the value
    in the reason.

    Args:
        measured: What the worker measured.
        total: The total over the main window.
        edges: Readings, by channel id.
    """
    prefill = _prefill(measured, total, edges)
    energy_j = total.energy_j
    if isinstance(prefill, Unmeasured) or energy_j is None:
        reason = total.reason or (prefill.reason if isinstance(prefill, Unmeasured) else "no energy")
        return {}, dict.fromkeys(PHASE_FIGURES, reason)
    prefill_j, u_prefill_j = prefill
    work = measured.work
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for phase, phase_j, u_j, token, tokens in (
        ("prefill", prefill_j, u_prefill_j, "input", work.input_tokens),
        (
            "decode",
            energy_j - prefill_j,
            math.hypot(total.u_j, u_prefill_j),
            "output",
            work.output_tokens - work.requests,
        ),
    ):
        names = (f"energy_{phase}_j", f"u_energy_{phase}_j", f"energy_{phase}_per_{token}_token_j")
        if phase_j <= 0 or u_j > MOST_REL * phase_j or tokens < 1:
            reasons |= dict.fromkeys(names, f"not identifiable: {phase_j:.4g} ± {u_j:.2g} J")
        else:
            values |= dict(zip(names, (phase_j, u_j, phase_j / tokens), strict=True))
    return values, reasons


def _prefill(
    measured: Measured, total: Total, edges: Mapping[str, Sequence[Edge]]
) -> tuple[float, float] | Unmeasured:
    """Return what prefill takes in as many passes as the main window has, and its uncertainty."""
    prefill, work, passes = measured.prefill, measured.work, measured.window.passes
    if total.provenance == "modelled":
        return Unmeasured("the energy is modelled: a difference of models is no measurement")
    if prefill is None:
        return Unmeasured("prefill was not measured by itself")
    if prefill.input_tokens * passes != work.input_tokens * prefill.window.passes:
        return Unmeasured("the window of prefill had other prompts than the main one")
    found = [_of_member(member, edges, prefill) for member in total.members]
    energies = [outcome for outcome in found if not isinstance(outcome, Unmeasured)]
    if len(energies) < len(found):
        return next(outcome for outcome in found if isinstance(outcome, Unmeasured))
    scale = passes / prefill.window.passes
    return scale * math.fsum(energy_j for energy_j, _ in energies), scale * math.hypot(*(u_j for _, u_j in energies))


def _of_member(
    member: EnergyComponent, edges: Mapping[str, Sequence[Edge]], prefill: PhaseWindow
) -> tuple[float, float] | Unmeasured:
    channel = member.channel
    leading = estimate(channel, edges.get(channel.id, ()), *bounds_of(prefill.window)).leading
    if isinstance(leading, Unmeasured):
        return Unmeasured(f"the window of prefill: {channel.id}: {leading.reason}")
    return leading.energy_j, leading.u_j
