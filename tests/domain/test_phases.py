"""Prefill and decode, loading, and what is above the bare machine's idle power."""

import pytest

from llem.domain.baseline import BaselinePower
from llem.domain.edges import Edge
from llem.domain.figures import evaluate
from llem.domain.measured import Interval, PhaseWindow
from llem.domain.phases import PHASE_FIGURES

S = 1_000_000_000
GPU = "GPU-1"
IDLE_W, WORK_W, PREFILL_W, LOAD_W = 80.0, 300.0, 400.0, 150.0
LEVELS = ((0, IDLE_W), (2, LOAD_W), (5, IDLE_W), (10, WORK_W), (22, IDLE_W), (24, PREFILL_W), (28, IDLE_W))


def counter(scale=1.0):
    """Return 31 s of a counter that ticks every 100 ms and is read at each tick, under LEVELS."""
    edges, total_j = [], 0.0
    for n in range(310):
        power_w = [level for start, level in LEVELS if start * 10 <= n][-1]
        edges.append(Edge(n * S // 10, n * S // 10 + 1000, scale * total_j))
        edges.append(Edge(n * S // 10 + S // 20, n * S // 10 + S // 20 + 1000, scale * total_j))
        total_j += power_w / 10
    return edges


@pytest.fixture
def judge(make):
    """Return a function from what the worker measured to the evaluation of one trial on one GPU."""

    def evaluated(*, edges=None, bare=(), channel=None, devices=(GPU,), **measured):
        channel = channel or make.channel(id=f"nvml/{GPU}/energy", device=GPU, provenance="counter")
        window = make.window(10.0, 22.0, guard_start_ns=9 * S, guard_end_ns=23 * S)
        facts = {"window": window, "prefill": prefill(make), "load": Interval(start_ns=2 * S, end_ns=5 * S)}
        return evaluate(
            make.config(),
            make.measured(devices=devices, **{**facts, **measured}),
            [channel],
            {channel.id: counter() if edges is None else edges},
            failures={},
            unrecorded=None,
            bare=bare,
        )

    return evaluated


def prefill(make, *, passes=6, input_tokens=4800):
    window = make.window(24.0, 28.0, guard_start_ns=23 * S, guard_end_ns=29 * S, passes=passes)
    return PhaseWindow(window=window, requests=48, input_tokens=input_tokens, output_tokens=48)


def test_prefill_is_scaled_to_the_passes_of_the_window_and_decode_is_the_rest(judge):
    found = judge().figures
    # 4 s at 400 W are 6 passes; the window has 3 of them, in 12 s at 300 W.
    assert found.energy_prefill_j == pytest.approx(800, rel=0.01)
    assert found.energy_decode_j == pytest.approx(2800, rel=0.01)
    assert found.energy_prefill_j + found.energy_decode_j == pytest.approx(found.energy_total_j)
    assert found.energy_prefill_per_input_token_j == pytest.approx(800 / 2400, rel=0.01)
    assert found.energy_decode_per_output_token_j == pytest.approx(2800 / (600 - 24), rel=0.01)
    assert found.u_energy_decode_j > max(found.u_energy_prefill_j, found.u_energy_total_j) > 0


def test_a_phase_whose_uncertainty_is_above_a_fifth_of_it_is_not_identifiable(make, judge):
    # Passes of prefill that take as much as whole ones leave nothing for decode.
    whole = judge(prefill=prefill(make, passes=1, input_tokens=800))
    assert whole.figures.energy_decode_j is None
    assert whole.figures.unknown["energy_decode_j"].startswith("not identifiable: -1200 ± ")
    assert whole.figures.unknown["u_energy_decode_j"] == whole.figures.unknown["energy_decode_j"]
    assert whole.figures.energy_prefill_j == pytest.approx(4800, rel=0.01)
    short = judge(prefill=prefill(make, passes=4, input_tokens=3200))
    assert short.figures.energy_decode_j == pytest.approx(2400, rel=0.01)


def test_decode_of_one_token_a_request_is_not_identifiable(make, judge):
    found = judge(work=make.work(output_tokens=24, asked_output_tokens=24)).figures
    assert found.energy_decode_per_output_token_j is None
    assert "not identifiable" in found.unknown["energy_decode_j"]


@pytest.mark.parametrize(
    ("reason", "measured"),
    [
        ("was not measured by itself", lambda make: {"prefill": None}),
        ("other prompts", lambda make: {"prefill": prefill(make, input_tokens=4799)}),
        ("the window of prefill: nvml", lambda make: {"edges": [e for e in counter() if e.before_ns < 24 * S]}),
        (
            "modelled",
            lambda make: {"channel": make.channel(provenance="modelled", boundary="cpu"), "devices": ("cpu",)},
        ),
    ],
)
def test_phases_are_null_with_the_reason(make, judge, reason, measured):
    found = judge(**measured(make)).figures
    assert found.energy_total_j is not None
    for name in PHASE_FIGURES:
        assert reason in found.unknown[name]


def test_loading_is_measured_and_unknown_where_nothing_tells_when_it_was(judge):
    found = judge().figures
    assert found.energy_load_j == pytest.approx(450, rel=0.02)
    assert 0 < found.u_energy_load_j < 30
    assert "when the model was loaded" in judge(load=None).figures.unknown["energy_load_j"]
    before = judge(edges=[edge for edge in counter() if edge.before_ns > 3 * S]).figures
    assert "before and after" in before.unknown["energy_load_j"]


def test_loaded_idle_is_a_power_of_its_own(judge):
    (component,) = judge(loaded_idle=Interval(start_ns=6 * S, end_ns=9 * S)).components
    assert component.power_loaded_idle_w == pytest.approx(IDLE_W, abs=0.5)
    assert component.u_power_loaded_idle_w >= 0
    (without,) = judge().components
    assert without.power_loaded_idle_w is None
    assert without.loaded_idle_reason


def test_what_is_above_the_bare_machine_names_its_idle_power_and_may_be_negative(judge):
    bare = BaselinePower(channel=f"nvml/{GPU}/energy", power_w=50.0, u_w=1.0)
    found = judge(bare=(bare,)).figures
    assert (found.power_bare_idle_w, found.u_power_bare_idle_w) == (50.0, 1.0)
    assert found.energy_above_bare_idle_j == pytest.approx(3600 - 600, rel=0.01)
    assert found.u_energy_above_bare_idle_j >= 12.0
    hot = judge(bare=(bare.model_copy(update={"power_w": 400.0}),)).figures
    assert hot.energy_above_bare_idle_j == pytest.approx(3600 - 4800, rel=0.01)


def test_without_a_baseline_of_every_channel_there_is_nothing_above_it(judge):
    assert "was not measured" in judge().figures.unknown["power_bare_idle_w"]
    failed = BaselinePower(channel=f"nvml/{GPU}/energy", power_w=None, reason="too few ticks")
    assert "too few ticks" in judge(bare=(failed,)).figures.unknown["energy_above_bare_idle_j"]
