"""Whether experiments of one study differ in energy: ratios within blocks, corrected for how many are looked at."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from llem.domain.model import Value
from llem.domain.sensing import Provenance
from llem.domain.statistics import t_probability_within, t_quantile_975

MIN_CYCLES = 3
"""Common cycles that a comparison needs."""
ALPHA = 0.05
"""Chance that a study without any difference is said to have one."""


class Comparison(Value):
    """How the energy of one experiment relates to that of another one of its study.

    The board's scale is the same in both and cancels, so it is not in it.

    Attributes:
        figure: What is compared.
        config_hash: The experiment.
        reference_hash: The experiment that it is compared with.
        n_cycles: Cycles that are valid in both.
        ratio: Geometric mean over these cycles of experiment / reference; None with ``reason``.
        low: Lower end of the ratio's own 95 % interval by Student's t on log ratios.
        high: Its upper end.
        p: Two-sided probability of a mean log ratio as far from 0, if there is no difference.
        p_holm: The same, corrected by Holm's method over the study's comparisons.
        distinguishable: Whether ``p_holm`` is below 0.05. False says that these data do not tell the two apart,
            not that they are equal.
        reason: Why they cannot be compared.
    """

    figure: Literal["energy_per_output_token_j"] = "energy_per_output_token_j"
    config_hash: str
    reference_hash: str
    n_cycles: int
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    distinguishable: bool | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Candidate:
    """What a comparison needs of an experiment.

    Attributes:
        config_hash: Its identity.
        provenance: Where its energy comes from; ``none`` where it has no common energy.
        boundary: What the energy covers.
        by_cycle: Joules per unit of work of each valid cycle, by cycle.
    """

    config_hash: str
    provenance: Provenance
    boundary: str | None
    by_cycle: Mapping[int, float]


class RatioTest(NamedTuple):
    """A ratio, its 95 % interval, and the two-sided p of there being no difference."""

    ratio: float
    low: float
    high: float
    p: float


def compare_with_first(experiments: Sequence[Candidate]) -> tuple[Comparison, ...]:
    """Return how each experiment relates to the first one that can be compared.

    The reference is the first by its place in the study, never the one that came out best: to choose it by its result
    and then to test against it with the same data would find differences where there are none. It has a known
    energy in at least ``MIN_CYCLES`` cycles. Without one there is no comparison.
    """
    fit = (one for one in experiments if one.provenance != "none" and len(one.by_cycle) >= MIN_CYCLES)
    reference = next(fit, None)
    if reference is None:
        return ()
    found = [_compared(one, reference) for one in experiments if one is not reference]
    corrected = iter(holm([comparison.p for comparison in found if comparison.p is not None]))
    return tuple(comparison if comparison.p is None else _judged(comparison, next(corrected)) for comparison in found)


def _compared(one: Candidate, reference: Candidate) -> Comparison:
    common = sorted(one.by_cycle.keys() & reference.by_cycle.keys())
    plain = Comparison(config_hash=one.config_hash, reference_hash=reference.config_hash, n_cycles=len(common))
    values = [one.by_cycle[cycle] for cycle in common]
    base = [reference.by_cycle[cycle] for cycle in common]
    reason = _incomparable(one, reference, [*values, *base])
    if reason is None:
        try:
            return plain.model_copy(update=ratio_test(values, base)._asdict())
        except OverflowError:
            reason = "the cycles' ratios lie too far apart"
    return plain.model_copy(update={"reason": reason})


def _incomparable(one: Candidate, reference: Candidate, values: Sequence[float]) -> str | None:
    if one.provenance == "none":
        return "its energy is unknown"
    if (one.provenance, one.boundary) != (reference.provenance, reference.boundary):
        return (
            f"measured in different ways: {one.provenance} ({one.boundary}), "
            f"the reference {reference.provenance} ({reference.boundary})"
        )
    if len(values) < 2 * MIN_CYCLES:
        return f"{len(values) // 2} common valid cycles; {MIN_CYCLES} are needed"
    if min(values) <= 0:
        return "an energy is not above 0"
    return None


def _judged(comparison: Comparison, p_holm: float) -> Comparison:
    return comparison.model_copy(update={"p_holm": p_holm, "distinguishable": p_holm < ALPHA})


def ratio_test(values: Sequence[float], reference: Sequence[float]) -> RatioTest:
    """Return the ratio of ``values`` to ``reference``, paired by place, by Student's t on log ratios.

    With dᵢ = ln(valueᵢ / referenceᵢ), m their mean and s their standard deviation: ratio exp(m), interval
    exp(m ± t(0.975, n-1)·s/√n), and two-sided p of t = m·√n/s with n − 1 degrees of freedom (Student, The probable
    error of a mean, Biometrika 6, 1908, applied to logarithms). Pairing takes out whatever changed from block to
    block for both.

    Args:
        values: Positive, n ≥ 2.
        reference: Positive, in the same unit and order.

    Raises:
        OverflowError: The interval is wider than a float can say.
    """
    logs = [math.log(value) - math.log(base) for value, base in zip(values, reference, strict=True)]
    n = len(logs)
    mean, error = fmean(logs), stdev(logs) / math.sqrt(n)
    half_width = t_quantile_975(n - 1) * error
    return RatioTest(
        math.exp(mean), math.exp(mean - half_width), math.exp(mean + half_width), _two_sided_p(mean, error, n - 1)
    )


def _two_sided_p(mean: float, error: float, df: int) -> float:
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return max(0.0, 1 - t_probability_within(abs(mean) / error, df))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return ``p_values`` corrected for their number, in the same order.

    Of m values in rising order, the i-th (from 1) becomes the largest of (m − j + 1)·pⱼ over j ≤ i, at most 1. To
    call those below 0.05 different is wrong of any of them with a chance of at most 5 %, however they depend on each
    other (Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979).
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
