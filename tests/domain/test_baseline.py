import pytest

from llem.domain.baseline import NOT_BARE, bare_powers, has_meter
from llem.domain.edges import Edge

S = 1_000_000_000


def ticking(watts, until_s=10):
    """Return a counter that is read every 10 ms and moves every 100 ms."""
    return [
        Edge(n * S // 100, n * S // 100 + 1000, watts * (n // 10) / 10 if n else 0.0) for n in range(100 * until_s)
    ]


def powers(make, *given, start_s=2, end_s=8, failures=None):
    channels = [channel for channel, _ in given]
    edges = {channel.id: found for channel, found in given}
    found = bare_powers(channels, edges, failures or {}, start_s * S, end_s * S)
    return {power.channel: power for power in found}


def test_a_counter_and_a_power_give_watts_with_their_uncertainty(make):
    counter = make.channel()
    power = make.channel(id="p", kind="power_w", provenance="sampled", averages_over_s=0.0)
    readings = [Edge(n * S // 10, n * S // 10 + 1000, 20.0 + (n % 2) * 0.2) for n in range(100)]
    found = powers(make, (counter, ticking(20.0)), (power, readings))
    assert found[counter.id].power_w == pytest.approx(20.0, rel=1e-3)
    assert found["p"].power_w == pytest.approx(20.1, abs=0.01)
    assert 0 < found["p"].u_w < 0.1
    assert all(one.reason is None for one in found.values())


def test_what_is_no_meter_gives_none(make):
    temperature = make.channel(id="t", kind="temperature_c")
    model = make.channel(id="m", provenance="modelled")
    assert powers(make, (temperature, ticking(1.0)), (model, ticking(1.0))) == {}
    assert not has_meter(temperature)
    assert not has_meter(model)


def test_too_little_is_unknown_with_its_reason_and_that_of_a_failed_reading(make):
    counter = make.channel()
    found = powers(make, (counter, []), failures={counter.id: "GPU is lost"})[counter.id]
    assert (found.power_w, found.u_w) == (None, None)
    assert "a reading failed: GPU is lost" in found.reason


@pytest.mark.parametrize(("at_s", "number", "bare"), [(5, 1, False), (5, 0, True), (1, 1, True), (9, 1, True)])
def test_a_device_with_another_process_on_it_is_not_bare(make, at_s, number, bare):
    counter, other = make.channel(), make.channel(id="other", device="GPU-2")
    processes = make.channel(id="f", kind="foreign_processes")
    seen = [Edge(at_s * S, at_s * S + 1000, float(number))]
    found = powers(make, (counter, ticking(20.0)), (other, ticking(30.0)), (processes, seen))
    assert (found[counter.id].reason is None) is bare
    if not bare:
        assert (found[counter.id].power_w, found[counter.id].reason) == (None, NOT_BARE)
    assert found["other"].power_w == pytest.approx(30.0, rel=1e-3)
