"""Carbon as a declared last step: greenhouse gases of an energy, by an intensity that the study states."""

from collections.abc import Sequence
from math import fsum

from pydantic import Field

from llem.domain.model import Value
from llem.domain.sensing import Provenance
from llem.domain.statistics import EnergyMean, MeanWithInterval

J_PER_KWH = 3.6e6


class CarbonFactor(Value):
    """All that turns joules into grams of CO₂ equivalent, as it was when the study was planned.

    Attributes:
        intensity_g_per_kwh: Grams of CO₂ equivalent per kWh of electricity.
        source: Where the intensity is from.
        pue: Power usage effectiveness: energy of the data centre / energy of its machines; 1 where the study states
            none, and the figure covers the boundary alone.
        country: The country whose intensity it is (ISO 3166-1 alpha-3); None where the study states the intensity.
    """

    intensity_g_per_kwh: float = Field(ge=0)
    source: str = Field(min_length=1)
    pue: float = Field(ge=1)
    country: str | None = None

    def grams(self, energy_j: float) -> float:
        """Return grams of CO₂ equivalent: energy in joules / 3.6e6 J/kWh × PUE × intensity in g/kWh."""
        return energy_j / J_PER_KWH * self.pue * self.intensity_g_per_kwh


class Emissions(CarbonFactor):
    """Greenhouse gases of one experiment's valid cycles, in grams of CO₂ equivalent, with what they were made of.

    The intensity and the PUE count as exact: spread and interval are those of the energy, by the same factor.

    Attributes:
        g_per_output_token: Per output token, over cycles.
        g_total: Over all valid cycles together.
        energy_total_j: The energy that it is made of, in joules: the measured windows of all valid cycles.
        provenance: Where that energy comes from; carbon of a modelled energy is modelled.
        boundary: What that energy covers, before the PUE.
    """

    g_per_output_token: MeanWithInterval
    g_total: float
    energy_total_j: float
    provenance: Provenance
    boundary: str | None


def emissions(
    factor: CarbonFactor,
    per_output_token: EnergyMean,
    energies_j: Sequence[float],
    *,
    provenance: Provenance,
    boundary: str | None,
) -> Emissions:
    """Return the greenhouse gases of an experiment.

    Args:
        factor: The declared intensity and PUE.
        per_output_token: Joules per output token over the valid cycles.
        energies_j: Joules of each valid cycle.
        provenance: Where these come from.
        boundary: What they cover.
    """
    energy_total_j = fsum(energies_j)
    return Emissions(
        **factor.model_dump(),
        g_per_output_token=_scaled(factor, per_output_token),
        g_total=factor.grams(energy_total_j),
        energy_total_j=energy_total_j,
        provenance=provenance,
        boundary=boundary,
    )


def _scaled(factor: CarbonFactor, energy: MeanWithInterval) -> MeanWithInterval:
    return MeanWithInterval(
        mean=factor.grams(energy.mean),
        n=energy.n,
        sd=None if energy.sd is None else factor.grams(energy.sd),
        half_width=None if energy.half_width is None else factor.grams(energy.half_width),
    )
