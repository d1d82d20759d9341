"""The energy of a channel over a window: every estimator that applies, and the one that leads.

Floats are summed by ``math.fsum`` in all that leads to a figure: its result is the same in every Python, while that
of the built-in ``sum`` changed with 3.12, and a figure must be recomputed to the bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llem.domain.edges import Bounds, Edge, Estimate, Ticks, Unmeasured, steps, ticks
from llem.domain.guarded import guarded_edges
from llem.domain.held import guarded_readings, sampled_energy
from llem.domain.idle import Idle
from llem.domain.inner_ticks import inner_ticks
from llem.domain.interpolated import counter_energy
from llem.domain.sensing import Channel

GUARDED = ("guarded_edges", "averaged_readings", "guarded_readings")
SIMPLEST = ("interpolated_counter", "held_readings")
LEADERS = (*GUARDED, *SIMPLEST)
AROUND_NS = 1_000_000_000
UNKNOWN_AVERAGE_S = 1.0
"""NVML's longest average: what nothing tells otherwise is taken to need (arXiv 2312.02741)."""


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


def estimate(channel: Channel, edges: Sequence[Edge], bounds: Bounds) -> Estimates:
    """Return the energy of ``channel`` between t₀ and t₁ by every estimator that applies.

    The rule that chooses: what uses the guards leads; where none of those applies, what does without. For a counter
    that is ``guarded_edges``, then ``interpolated_counter``; ``inner_ticks`` never leads, since no reading tells that
    the load was constant at the window's ends. For power, ``averaged_readings`` where the sensor averages or nothing
    tells (it holds for instantaneous readings too), ``guarded_readings`` where it does not, then ``held_readings``.
    """
    if bounds.t1_ns <= bounds.t0_ns:
        no_length = Unmeasured("the window has no length")
        return Estimates(no_length, (), {}, no_length)
    if channel.provenance == "modelled":
        idle = Unmeasured("the energy is modelled: a model has no idle power")
        return _settled({"interpolated_counter": _interpolated(channel, edges, bounds)}, idle)
    if channel.kind == "power_w":
        return _of_power(edges, bounds, channel.averages_over_s)
    return _of_counter(channel, edges, bounds)


def _of_counter(channel: Channel, edges: Sequence[Edge], bounds: Bounds) -> Estimates:
    published = _published(channel, edges, bounds)
    if isinstance(published, Unmeasured):
        inner: Estimate | Unmeasured = published
        energy: Estimate | Unmeasured = published
        idle: Idle | Unmeasured = published
    else:
        inner = inner_ticks(published, bounds)
        guarded = guarded_edges(published, bounds, unseen_s=channel.unseen_s or 0.0)
        energy, idle = guarded if isinstance(guarded, tuple) else (guarded, guarded)
    interpolated = _interpolated(channel, edges, bounds)
    return _settled(
        {"guarded_edges": energy, "interpolated_counter": interpolated, "inner_ticks": inner},
        idle,
    )


def _published(channel: Channel, edges: Sequence[Edge], bounds: Bounds) -> Ticks | Unmeasured:
    """Return the counter's ticks; those around the guards alone where a gap elsewhere breaks their count."""
    moved = steps(edges, channel.wraps_at_j)
    if isinstance(moved, Unmeasured):
        return moved
    known = {"wraps_at_j": channel.wraps_at_j, "updates_every_s": channel.updates_every_s}
    found = ticks(edges, **known)
    if isinstance(found, Ticks):
        return found
    start_ns, end_ns = bounds.guard_start_ns - AROUND_NS, bounds.guard_end_ns + AROUND_NS
    return ticks([edge for edge in edges if start_ns <= edge.before_ns <= end_ns], **known)


def _of_power(edges: Sequence[Edge], bounds: Bounds, averages_over_s: float | None) -> Estimates:
    late_s = UNKNOWN_AVERAGE_S if averages_over_s is None else averages_over_s
    guarded = guarded_readings(edges, bounds, late_s)
    energy, idle = guarded if isinstance(guarded, tuple) else (guarded, guarded)
    held = sampled_energy(edges, bounds.t0_ns, bounds.t1_ns, late_s)
    if not late_s:
        return _settled({"guarded_readings": energy, "held_readings": held}, idle)
    told = "nothing tells whether" if averages_over_s is None else "the sensor says that"
    instantaneous = Unmeasured(f"{told} a reading is a mean over {late_s:g} s")
    return _settled({"averaged_readings": energy, "held_readings": held, "guarded_readings": instantaneous}, idle)


def _interpolated(channel: Channel, edges: Sequence[Edge], bounds: Bounds) -> Estimate | Unmeasured:
    return counter_energy(edges, bounds.t0_ns, bounds.t1_ns, wraps_at_j=channel.wraps_at_j)


def _settled(found: Mapping[str, Estimate | Unmeasured], idle: Idle | Unmeasured) -> Estimates:
    """Return what was found, named in the order in which it may lead; ``inner_ticks`` may not."""
    known = {name: outcome for name, outcome in found.items() if isinstance(outcome, Estimate)}
    refused = {name: outcome.reason for name, outcome in found.items() if isinstance(outcome, Unmeasured)}
    leading = next((outcome for name, outcome in known.items() if name in LEADERS), None)
    # What asks least of the readings tells best why there is no figure.
    simplest = next((refused[name] for name in SIMPLEST if name in refused), None)
    return Estimates(
        leading=leading or Unmeasured(simplest or "no estimator applies"),
        all=tuple(known.values()),
        refused=refused,
        idle=idle,
    )
