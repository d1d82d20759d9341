"""What a study's windows have taken so far, by what was measured."""

from typing import NamedTuple

from llem.domain.sensing import Provenance
from llem.projections.manifest import ManifestFold

J_PER_KWH = 3.6e6


class Spent(NamedTuple):
    """The energy of every completed attempt, spoiled ones included: they took it all the same.

    Attributes:
        measured_j: Joules of their windows, where they were measured.
        unmeasured: Attempts whose energy is unknown or modelled: they are in no sum.
    """

    measured_j: float = 0.0
    unmeasured: int = 0

    def plus(self, energy_j: float | None, provenance: Provenance) -> "Spent":
        """Return this with one attempt more."""
        if energy_j is None or provenance == "modelled":
            return Spent(self.measured_j, self.unmeasured + 1)
        return Spent(self.measured_j + energy_j, self.unmeasured)


def energy_spent(fold: ManifestFold) -> Spent:
    """Return what the windows of a study have taken."""
    spent = Spent()
    for state in fold.trials.values():
        for headline in (*(kept.headline for kept in state.superseded), state.headline):
            if headline is not None:
                spent = spent.plus(headline["energy_total_j"], headline["provenance"])
    return spent
