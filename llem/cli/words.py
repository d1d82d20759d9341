"""Figures and outcomes in words, the same in every command."""

import math
import shlex
from collections import Counter
from pathlib import Path

from llem.cli.text import counted, printable, si_prefix
from llem.domain.carbon import CarbonFactor, Emissions
from llem.domain.comparisons import Comparison
from llem.domain.events.session import SessionEnd
from llem.domain.result import Headline
from llem.domain.sensing import Provenance
from llem.domain.statistics import EnergyMean, MeanWithInterval
from llem.projections.budget import J_PER_KWH, energy_spent
from llem.projections.manifest import ManifestFold, runs_again

MODELLED_MARK = "~"
LEGEND = (
    f"{MODELLED_MARK} modelled, not measured. ± is the 95 % interval over cycles (Student's t); "
    "null is unknown, with its reason."
)


def energy_text(value_j: float, provenance: Provenance) -> str:
    """Return joules with a unit that suits them, marked where they are modelled."""
    return _three_digits(value_j, "J", provenance)


def interval_text(value: MeanWithInterval, unit: str = "", provenance: Provenance = "counter") -> str:
    """Return ``mean ± half width`` with matching digits: two digits of the half width set the rest."""
    factor, prefix = si_prefix(value.mean) if unit else (1.0, "")
    mean = value.mean / factor
    ending = f" {prefix}{unit}" if unit else ""
    if value.half_width is None:
        return f"{_mark(provenance)}{mean:.4g}{ending} (n = 1)"
    half_width = value.half_width / factor
    digits = _decimals(half_width)
    return f"{_mark(provenance)}{mean:.{digits}f} ± {half_width:.{digits}f}{ending}"


def stated_text(energy: EnergyMean, per: str, provenance: Provenance) -> str:
    """Return an energy as it can be cited: ``1.234 J/token ± 0.012 (95 %, n = 5, t); scale ± 0.07 (board)``.

    Args:
        energy: Joules per unit of work over cycles.
        per: The unit of work, such as ``token``.
        provenance: Where the energy comes from.
    """
    factor, prefix = si_prefix(energy.mean)
    mean, unit = energy.mean / factor, f"{prefix}J/{per}"
    scale = "" if energy.u_scale is None else f"; scale ± {_two_digits(energy.u_scale / factor)} (board)"
    if energy.half_width is None:
        return f"{_mark(provenance)}{mean:.4g} {unit} (n = 1){scale}"
    half_width = energy.half_width / factor
    digits = _decimals(half_width)
    interval = f"± {half_width:.{digits}f} (95 %, n = {energy.n}, t)"
    return f"{_mark(provenance)}{mean:.{digits}f} {unit} {interval}{scale}"


def comparison_text(comparison: Comparison, provenance: Provenance) -> str:
    """Return how an experiment relates to the reference: ``0.712 × (0.690 to 0.735, n = 5, p = 0.0004)``."""
    if comparison.ratio is None or comparison.p_holm is None:
        return f"not compared: {printable(comparison.reason or 'no reason was recorded', 120)}"
    interval = f"{comparison.low:.3f} to {comparison.high:.3f}, n = {comparison.n_cycles}"
    p = "p < 0.0001" if comparison.p_holm < 0.0001 else f"p = {comparison.p_holm:.2g}"
    answer = "" if comparison.distinguishable else ": not distinguishable"
    return f"{_mark(provenance)}{comparison.ratio:.3f} × ({interval}, {p}){answer}"


def declared_text(carbon: CarbonFactor) -> str:
    """Return a declared intensity in words: ``56 g CO₂eq/kWh (RTE, 2025), PUE 1.2``."""
    covers = " (the energy's boundary alone)" if carbon.pue == 1 else ""
    return f"{carbon.intensity_g_per_kwh:g} g CO₂eq/kWh ({printable(carbon.source, 80)}), PUE {carbon.pue:g}{covers}"


def carbon_text(carbon: Emissions) -> str:
    """Return an experiment's greenhouse gases: ``1.20 ± 0.10 µg per output token; 3.45 mg in 5 valid cycles``."""
    per_token = interval_text(carbon.g_per_output_token, "g", carbon.provenance)
    whole = _three_digits(carbon.g_total, "g", carbon.provenance)
    return f"{per_token} per output token; {whole} in {counted(carbon.g_per_output_token.n, 'valid cycle')}"


def _decimals(half_width: float) -> int:
    """Return the decimals that show two digits of a half width; three where it is 0."""
    return min(6, max(0, 1 - math.floor(math.log10(half_width)))) if half_width > 0 else 3


def _three_digits(value: float, unit: str, provenance: Provenance) -> str:
    factor, prefix = si_prefix(value)
    digits = f"{value / factor:#.3g}".rstrip(".")
    return f"{_mark(provenance)}{digits} {prefix}{unit}"


def _two_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"


def _mark(provenance: Provenance) -> str:
    return MODELLED_MARK if provenance == "modelled" else ""


def headline_text(headline: Headline) -> str:
    """Return a trial's main figures on one line."""
    per_token = headline.energy_per_output_token_j
    energy = "energy unknown" if per_token is None else f"{energy_text(per_token, headline.provenance)}/token"
    invalid = f"  INVALID: {', '.join(headline.invalid)}" if headline.invalid else ""
    return f"{energy}  {headline.output_tokens_per_s:,.1f} tokens/s{invalid}"


def next_step(reason: SessionEnd, fold: ManifestFold, root: Path) -> str:
    """Return the last line of a session: what to type next."""
    folder = shlex.quote(str(root))
    if reason not in ("finished", "breaker"):
        again = sum(runs_again(fold, state) for state in fold.trials.values())
        left = len(fold.trials) - fold.count("completed") + again
        return f"{left} of {len(fold.trials)} trials left. Go on with: llem study resume {folder}"
    unhappy = fold.count("failed") + fold.count("skipped")
    if unhappy:
        return (
            f"{unhappy} of {len(fold.trials)} trials have no result. See why: llem study log {folder} "
            f"--kind experiment_failed. Try them again: llem study resume {folder}"
        )
    done = "The one trial" if len(fold.trials) == 1 else f"All {len(fold.trials)} trials"
    return f"{done} completed. Audit: llem study log {folder} --verify"


def invalid_text(fold: ManifestFold) -> str | None:
    """Return how many trials no mean stands on, and why; None where every completed trial is valid."""
    invalid = [state for state in fold.trials.values() if state.invalid]
    if not invalid:
        return None
    codes = Counter(code for state in invalid for code in state.invalid)
    told = ", ".join(f"{printable(code, 60)} {number} ×" for code, number in codes.items())
    verb = "is" if len(invalid) == 1 else "are"
    return f"{len(invalid)} of {counted(len(fold.trials), 'trial')} {verb} invalid and in no mean: {told}"


def budget_text(fold: ManifestFold) -> str | None:
    """Return how much of its energy a study has taken, and what is not known of it; None where it has no limit."""
    limit_kwh = ((fold.study or {}).get("limits") or {}).get("energy_kwh")
    if limit_kwh is None:
        return None
    spent = energy_spent(fold)
    told = f"Windows took {spent.measured_j / J_PER_KWH:.3g} of limits.energy_kwh = {limit_kwh:g} kWh"
    left_out = f"; not in it: {counted(spent.unmeasured, 'result')} without measured energy"
    return f"{told}{left_out if spent.unmeasured else ''}."
