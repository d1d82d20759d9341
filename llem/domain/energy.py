"""The energy of a channel over a window: every estimator that applies, and the one that leads.

Floats are summed by ``math.fsum`` in all that leads to a figure: its result is the same in every Python, while that
of the built-in ``sum`` changed with 3.12, and a figure must be recomputed to the bit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from llem.domain.edges import Bounds, Edge, Estimate, Ticks, Unmeasured, steps, ticks
from llem.domain.guarded import guarded_edges
from llem.domain.held import guarded_readings, sampled_energy
from llem.domain.idle import AROUND_NS, UNKNOWN_AVERAGE_S, Idle
from llem.domain.inner_ticks import inner_ticks
from llem.domain.interpolated import counter_energy
from llem.domain.measured import Window
from llem.domain.sensing import Channel
from llem.domain.stratified import stratified_edges

GUARDED = ("stratified_edges", "guarded_edges", "stratified_readings", "averaged_readings", "guarded_readings")
SIMPLEST = ("interpolated_counter", "held_readings")
LEADERS = (*GUARDED, *SIMPLEST)


@dataclass(frozen=True)
class Estimates:
    """What every estimator makes of one channel.

    Attributes:
        leading: The one that stands for the channel, or why there is none.
        all: Each that applies, the leading one first.
        refused: Why each other one does not apply, by name.
        idle: Idle power by the guards, or why it is unknown.
    """

    leading: Estimate | Unmeasured
    all: tuple[Estimate, ...]
    refused: dict[str, str]
    idle: Idle | Unmeasured


def bounds_of(window: Window) -> list[Bounds]:
    """Return the pieces of a window, each between its guards."""
    return [Bounds(piece.guard_start_ns, piece.t0_ns, piece.t1_ns, piece.guard_end_ns) for piece in window.pieces]


def estimate(channel: Channel, edges: Sequence[Edge], bounds: Bounds, *further: Bounds) -> Estimates:
    """Return the energy of ``channel`` between t₀ and t₁ by every estimator that applies.

    The rule that chooses: what uses the guards leads; where none of those applies, what does without. For a counter
    that is ``guarded_edges``, then ``interpolated_counter``; ``inner_ticks`` never leads, since no reading tells that
    the load was constant at the window's ends. For power, ``averaged_readings`` where the sensor averages or nothing
    tells (it holds for instantaneous readings too), ``guarded_readings`` where it does not, then ``held_readings``.

    Of a window in segments each estimator is the sum over the segments, which an estimator that refuses one of them
    refuses. What uses the guards is then called ``stratified_edges`` or ``stratified_readings``; ``guarded_edges`` in
    segments stands only where their starts are not spread over the sensor's period.

    Args:
        channel: What was read.
        edges: Its readings, in time order.
        bounds: The window and its guards; the first of its segments …
        further: … and the others.
    """
    pieces = (bounds, *further)
    if any(piece.t1_ns <= piece.t0_ns for piece in pieces):
        no_length = Unmeasured("the window has no length")
        return Estimates(no_length, (), {}, no_length)
    if channel.provenance == "modelled":
        idle = Unmeasured("the energy is modelled: a model has no idle power")
        return _settled({"interpolated_counter": _interpolated(channel, edges, pieces)}, idle)
    if channel.kind == "power_w":
        return _of_power(edges, pieces, channel.averages_over_s)
    return _of_counter(channel, edges, pieces)


def simplest(channel: Channel, edges: Sequence[Edge], start_ns: int, end_ns: int) -> Estimate | Unmeasured:
    """Return the energy of any stretch of time, guards or none: by an interpolated counter, or by held readings."""
    if end_ns <= start_ns:
        return Unmeasured("it has no length")
    if channel.kind == "power_w":
        return sampled_energy(edges, start_ns, end_ns, _late_s(channel.averages_over_s))
    return counter_energy(edges, start_ns, end_ns, wraps_at_j=channel.wraps_at_j)


def _of_counter(channel: Channel, edges: Sequence[Edge], pieces: Sequence[Bounds]) -> Estimates:
    found: dict[str, Estimate | Unmeasured] = {}
    idle: Idle | Unmeasured
    published = _published(channel, edges, pieces)
    if isinstance(published, Unmeasured):
        idle = published
        inner: Estimate | Unmeasured = published
        found["guarded_edges" if len(pieces) == 1 else "stratified_edges"] = published
    else:
        inner = _sum([inner_ticks(published, piece) for piece in pieces])
        by_guards, idle = _by_guards(published, pieces, channel.unseen_s or 0.0)
        found |= by_guards
    return _settled(
        {**found, "interpolated_counter": _interpolated(channel, edges, pieces), "inner_ticks": inner}, idle
    )


def _by_guards(
    published: Ticks, pieces: Sequence[Bounds], unseen_s: float
) -> tuple[dict[str, Estimate | Unmeasured], Idle | Unmeasured]:
    stratified: dict[str, Estimate | Unmeasured] = {}
    if len(pieces) > 1:
        spread = stratified_edges(published, pieces, unseen_s=unseen_s)
        if not isinstance(spread, Unmeasured):
            return {"stratified_edges": spread[0]}, spread[1]
        stratified["stratified_edges"] = spread
    guarded = guarded_edges(published, *pieces, unseen_s=unseen_s)
    energy, idle = guarded if isinstance(guarded, tuple) else (guarded, guarded)
    return {**stratified, "guarded_edges": energy}, idle


def _published(channel: Channel, edges: Sequence[Edge], pieces: Sequence[Bounds]) -> Ticks | Unmeasured:
    """Return the counter's ticks; those around the guards alone where a gap elsewhere breaks their count."""
    moved = steps(edges, channel.wraps_at_j)
    if isinstance(moved, Unmeasured):
        return moved
    known = {"wraps_at_j": channel.wraps_at_j, "updates_every_s": channel.updates_every_s}
    found = ticks(edges, **known)
    if isinstance(found, Ticks):
        return found
    start_ns, end_ns = pieces[0].guard_start_ns - AROUND_NS, pieces[-1].guard_end_ns + AROUND_NS
    return ticks([edge for edge in edges if start_ns <= edge.before_ns <= end_ns], **known)


def _of_power(edges: Sequence[Edge], pieces: Sequence[Bounds], averages_over_s: float | None) -> Estimates:
    late_s = _late_s(averages_over_s)
    found = [guarded_readings(edges, piece, late_s) for piece in pieces]
    energy = _sum([each if isinstance(each, Unmeasured) else each[0] for each in found])
    idles = [each[1] for each in found if not isinstance(each, Unmeasured)]
    idle = Idle.over(idles) if isinstance(energy, Estimate) else energy
    held = _sum([sampled_energy(edges, piece.t0_ns, piece.t1_ns, late_s) for piece in pieces])
    if len(pieces) > 1:
        if isinstance(energy, Estimate):
            energy = replace(energy, estimator="stratified_readings")
        return _settled({"stratified_readings": energy, "held_readings": held}, idle)
    if not late_s:
        return _settled({"guarded_readings": energy, "held_readings": held}, idle)
    told = "nothing tells whether" if averages_over_s is None else "the sensor says that"
    instantaneous = Unmeasured(f"{told} a reading is a mean over {late_s:g} s")
    return _settled({"averaged_readings": energy, "held_readings": held, "guarded_readings": instantaneous}, idle)


def _late_s(averages_over_s: float | None) -> float:
    return UNKNOWN_AVERAGE_S if averages_over_s is None else averages_over_s


def _interpolated(channel: Channel, edges: Sequence[Edge], pieces: Sequence[Bounds]) -> Estimate | Unmeasured:
    return _sum([simplest(channel, edges, piece.t0_ns, piece.t1_ns) for piece in pieces])


def _sum(parts: Sequence[Estimate | Unmeasured]) -> Estimate | Unmeasured:
    """Return the sum over the pieces of a window, or why there is none; uncertainties add in quadrature."""
    known: list[Estimate] = []
    for part in parts:
        if isinstance(part, Unmeasured):
            return part
        known.append(part)
    return Estimate(
        energy_j=math.fsum(part.energy_j for part in known),
        u_j=math.hypot(*(part.u_j for part in known)),
        estimator=known[0].estimator,
        readings=sum(part.readings for part in known),
    )


def _settled(found: Mapping[str, Estimate | Unmeasured], idle: Idle | Unmeasured) -> Estimates:
    """Return what was found, named in the order in which it may lead; ``inner_ticks`` may not."""
    known = {name: outcome for name, outcome in found.items() if isinstance(outcome, Estimate)}
    refused = {name: outcome.reason for name, outcome in found.items() if isinstance(outcome, Unmeasured)}
    leading = next((outcome for name, outcome in known.items() if name in LEADERS), None)
    # What asks least of the readings tells best why there is no figure.
    why_none = next((refused[name] for name in SIMPLEST if name in refused), None)
    return Estimates(
        leading=leading or Unmeasured(why_none or "no estimator applies"),
        all=tuple(known.values()),
        refused=refused,
        idle=idle,
    )
