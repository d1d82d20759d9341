import json
import subprocess
import sys
from importlib.metadata import version

import pytest

from llem.domain.spec import Carbon
from llem.study.carbon import DATA, NoIntensity, carbon_factor

MIX = {
    "FRA": {"carbon_intensity": 56.039, "country_name": "France", "year": 2023},
    "DEU": {"carbon_intensity": 380.95, "country_name": "Germany", "year": 2023},
    "GBR": {"carbon_intensity": 237.589, "country_name": "United Kingdom", "year": 2023},
    "CAF": {"carbon_intensity": 0.0, "country_name": "Central African Republic", "year": 2022},
    "ATA": {"country_name": "Antarctica", "year": 2022},
}


@pytest.fixture
def package(tmp_path):
    """Return a folder that lies as CodeCarbon's package does."""
    (tmp_path / DATA).parent.mkdir(parents=True)
    (tmp_path / DATA).write_text(json.dumps(MIX))
    return tmp_path


def refused(country, package):
    with pytest.raises(NoIntensity) as error:
        carbon_factor(Carbon(country=country), package)
    path, message = error.value.found
    assert path == ("carbon", "country")
    return message


def test_a_declared_intensity_is_taken_as_it_is_and_no_package_is_looked_for(tmp_path):
    declared = Carbon(intensity_g_per_kwh=56, source="RTE eco2mix, 2025 mean", pue=1.2)
    found = carbon_factor(declared, tmp_path / "nowhere")
    assert found.model_dump() == {
        "intensity_g_per_kwh": 56.0,
        "source": "RTE eco2mix, 2025 mean",
        "pue": 1.2,
        "country": None,
    }


def test_a_country_becomes_a_number_whose_source_names_version_and_year(package):
    found = carbon_factor(Carbon(country="FRA"), package)
    assert (found.intensity_g_per_kwh, found.country, found.pue) == (56.039, "FRA", 1.0)
    assert found.source == f"CodeCarbon {version('codecarbon')}, from Our World in Data: France, 2023"


@pytest.mark.parametrize(
    ("country", "hint"),
    [
        ("FRAN", "did you mean 'FRA' (France)?"),
        ("fra", "did you mean 'FRA' (France)?"),
        ("Germny", "did you mean 'DEU' (Germany)?"),
        ("united kingdom", "did you mean 'GBR' (United Kingdom)?"),
        ("GB", "did you mean 'GBR' (United Kingdom)?"),
        ("XQZ", "expected a code of three letters (ISO 3166-1 alpha-3)"),
    ],
)
def test_no_country_is_guessed_and_near_ones_are_named(package, country, hint):
    assert refused(country, package) == f"unknown country {country!r}; {hint}"


@pytest.mark.parametrize("country", ["CAF", "ATA"])
def test_a_hole_in_the_data_is_no_zero_and_no_other_country_stands_in(package, country):
    told = f"CodeCarbon's data has no intensity for {country}: give intensity_g_per_kwh with its source instead"
    assert refused(country, package) == told


@pytest.mark.parametrize("content", [None, "no JSON"])
def test_data_that_cannot_be_read_is_told_with_the_way_out(package, content):
    (package / DATA).unlink() if content is None else (package / DATA).write_text(content)
    assert refused("FRA", package).endswith("give intensity_g_per_kwh with its source instead")


def test_the_installed_data_is_in_grams_per_kilowatt_hour():
    france, poland = (carbon_factor(Carbon(country=code)).intensity_g_per_kwh for code in ("FRA", "POL"))
    assert 10 < france < 150 < 400 < poland < 1200


def test_codecarbon_is_read_and_never_loaded():
    code = (
        "import sys; from llem.domain.spec import Carbon; from llem.study.carbon import carbon_factor\n"
        "assert carbon_factor(Carbon(country='FRA')).country == 'FRA'\n"
        "assert not {'codecarbon', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
