"""The carbon intensity that a study declares, as a number with its source."""

import difflib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llem.domain.carbon import CarbonFactor
from llem.domain.spec import Carbon
from llem.study.grammar import Found

DATA = Path("data", "private_infra", "global_energy_mix.json")
"""Below CodeCarbon's package: per country ``carbon_intensity`` in g CO₂eq/kWh, and its year. CodeCarbon takes these
from Our World in Data (ourworldindata.org/grapher/carbon-intensity-electricity), as its methodology says."""
GIVE_INTENSITY = "give intensity_g_per_kwh with its source instead"
MOST_NEAR = 3

Countries = Mapping[str, Mapping[str, Any]]
"""Country code (ISO 3166-1 alpha-3) → what CodeCarbon's data says of it."""


class NoIntensity(Exception):  # noqa: N818 - it carries a finding from one file to the next and is never shown
    """There is no intensity for what a study declares: where that stands, and why."""

    def __init__(self, key: str, message: str) -> None:
        self.found: Found = (("carbon", key), message)


def carbon_factor(declared: Carbon, package: Path | None = None) -> CarbonFactor:
    """Return what a study declares as explicit numbers. No country is guessed, and none stands in for another.

    Args:
        declared: What the study says.
        package: CodeCarbon's folder; found, without loading it, if left out.

    Raises:
        NoIntensity: CodeCarbon's data has no intensity for the country.
    """
    if declared.intensity_g_per_kwh is not None and declared.source is not None:
        return CarbonFactor(
            intensity_g_per_kwh=declared.intensity_g_per_kwh, source=declared.source, pue=declared.pue
        )
    code = str(declared.country)
    countries = _countries(package or _installed())
    if code not in countries:
        raise NoIntensity("country", _unknown(code, countries))
    known = countries[code]
    intensity = known.get("carbon_intensity")
    # 0 is a hole in the data: no country's electricity is without any.
    if not isinstance(intensity, int | float) or not intensity > 0:
        raise NoIntensity("country", f"CodeCarbon's data has no intensity for {code}: {GIVE_INTENSITY}")
    which = f"{known.get('country_name', code)}, {known.get('year')}"
    return CarbonFactor(
        intensity_g_per_kwh=float(intensity),
        source=f"CodeCarbon {_version()}, from Our World in Data: {which}",
        pue=declared.pue,
        country=code,
    )


def _installed() -> Path:
    # Found and read, never imported: that costs a second, and the parent does not load it.
    spec = find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        raise NoIntensity("country", f"CodeCarbon, whose data has the countries, is not installed: {GIVE_INTENSITY}")
    return Path(spec.submodule_search_locations[0])


def _version() -> str:
    try:
        return version("codecarbon")
    except PackageNotFoundError:
        return "of unknown version"


def _countries(package: Path) -> Countries:
    try:
        found: Countries = json.loads((package / DATA).read_bytes())
    except (OSError, ValueError) as error:
        message = f"CodeCarbon's data of countries cannot be read ({error}): {GIVE_INTENSITY}"
        raise NoIntensity("country", message) from None
    return found


def _unknown(code: str, countries: Countries) -> str:
    """Return the message about an unknown country, with those that are near by code or by name."""
    near = _near(code.casefold(), countries)[:MOST_NEAR]
    told = " or ".join(f"{key!r} ({countries[key].get('country_name')})" for key in near)
    hint = f"did you mean {told}?" if near else "expected a code of three letters (ISO 3166-1 alpha-3)"
    return f"unknown country {code!r}; {hint}"


def _near(asked: str, countries: Countries) -> list[str]:
    codes = {key.casefold(): key for key in countries}
    names = codes | {str(known.get("country_name")).casefold(): key for key, known in countries.items()}
    if asked in names:
        return [names[asked]]
    begun = [key for code, key in codes.items() if len(asked) == 2 and code.startswith(asked)]
    close = difflib.get_close_matches(asked, names, n=MOST_NEAR, cutoff=0.75)
    return begun or list(dict.fromkeys(names[name] for name in close))
