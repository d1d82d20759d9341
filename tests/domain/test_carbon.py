from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llem.domain.carbon import CarbonFactor, emissions
from llem.domain.spec import Carbon
from llem.domain.statistics import EnergyOfCycle, energy_mean

JOULES = st.floats(0, 1e12)
FACTORS = st.builds(
    CarbonFactor,
    intensity_g_per_kwh=st.floats(1e-3, 10_000),
    source=st.just("somewhere"),
    pue=st.floats(1, 10),
)


def factor(intensity=56.0, pue=1.2):
    return CarbonFactor(intensity_g_per_kwh=intensity, source="RTE eco2mix, 2025 mean", pue=pue)


def found(declared, *cycles, provenance="counter"):
    energies = [EnergyOfCycle(energy_j, tokens, None, None) for energy_j, tokens in cycles]
    return emissions(
        declared,
        energy_mean(energies),
        [energy.energy_j for energy in energies],
        provenance=provenance,
        boundary="gpu",
    )


def test_a_kilowatt_hour_is_the_intensity_times_the_pue():
    assert factor(pue=1.0).grams(3.6e6) == 56.0
    assert factor(pue=1.2).grams(3.6e6) == pytest.approx(67.2)
    assert factor().grams(0.0) == 0.0


@given(FACTORS, JOULES, st.floats(0, 1000))
def test_carbon_is_linear_in_the_energy(declared, energy_j, times):
    assert declared.grams(times * energy_j) == pytest.approx(times * declared.grams(energy_j), rel=1e-12)


@given(FACTORS, st.lists(JOULES, max_size=20))
def test_the_carbon_of_a_sum_is_the_sum_of_the_carbons(declared, energies_j):
    assert declared.grams(fsum(energies_j)) == pytest.approx(fsum(map(declared.grams, energies_j)), rel=1e-12)


@given(FACTORS, st.lists(st.tuples(st.floats(1e-3, 1e9), st.integers(1, 10**6)), min_size=1, max_size=8))
def test_an_experiment_s_carbon_is_its_energy_s_by_one_factor(declared, cycles):
    carbon = found(declared, *cycles)
    energy = energy_mean([EnergyOfCycle(energy_j, tokens, None, None) for energy_j, tokens in cycles])
    g_per_j = declared.pue * declared.intensity_g_per_kwh / 3.6e6
    assert carbon.energy_total_j == fsum(energy_j for energy_j, _ in cycles)
    assert carbon.g_total == declared.grams(carbon.energy_total_j)
    assert carbon.g_total == pytest.approx(carbon.g_per_output_token.mean * sum(tokens for _, tokens in cycles))
    assert carbon.g_per_output_token.n == len(cycles)
    for name in ("mean", "sd", "half_width"):
        joules, grams = getattr(energy, name), getattr(carbon.g_per_output_token, name)
        assert (joules is None) == (grams is None)
        assert joules is None or grams == pytest.approx(joules * g_per_j)


def test_carbon_keeps_what_it_was_made_of():
    carbon = found(factor(), (10.0, 100), provenance="modelled")
    assert (carbon.provenance, carbon.boundary, carbon.pue) == ("modelled", "gpu", 1.2)
    assert (carbon.intensity_g_per_kwh, carbon.source, carbon.country) == (56.0, "RTE eco2mix, 2025 mean", None)
    assert carbon.g_per_output_token.half_width is None


@pytest.mark.parametrize(
    "declared",
    [
        {},
        {"pue": 1.2},
        {"source": "somewhere"},
        {"intensity_g_per_kwh": 56.0},
        {"intensity_g_per_kwh": 56.0, "source": ""},
        {"intensity_g_per_kwh": 56.0, "source": "a", "country": "FRA"},
        {"country": "FRA", "source": "a"},
        {"country": ""},
        {"country": "FRA", "pue": 0.99},
        {"country": "FRA", "pue": "1.2"},
        {"intensity_g_per_kwh": -1.0, "source": "a"},
        {"intensity_g_per_kwh": float("inf"), "source": "a"},
        {"intensity_g_per_kwh": float("nan"), "source": "a"},
        {"country": "FRA", "region": "Corse"},
    ],
    ids=str,
)
def test_half_a_declaration_is_refused(declared):
    with pytest.raises(ValidationError):
        Carbon.model_validate(declared)


def test_an_intensity_of_nothing_may_be_declared():
    assert Carbon.model_validate({"intensity_g_per_kwh": 0, "source": "own hydropower, metered"}).pue == 1.0
