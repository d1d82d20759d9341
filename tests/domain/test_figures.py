import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.edges import Edge
from llem.domain.figures import evaluate
from llem.domain.measured import Flops
from llem.domain.result import Figures

S = 1_000_000_000


def constant(kind, power_w, *, until_s=40):
    """Return readings of constant power, ten a second, as a counter or as watts."""
    ticks = range(until_s * 10)
    return [Edge(t * S // 10, t * S // 10, power_w * t / 10 if kind == "energy_j" else float(power_w)) for t in ticks]


@pytest.fixture(scope="session")
def judge(make):
    """Return a function from {channel fields: power or None} to an evaluation over a window of 12 s."""

    def evaluated(*sources, devices=("cpu",), unrecorded=None, failures=None, config=None, **measured):
        channels, edges = [], {}
        for fields, power_w in sources:
            channel = make.channel(**fields)
            channels.append(channel)
            edges[channel.id] = [] if power_w is None else constant(channel.kind, power_w)
        return evaluate(
            config or make.config(),
            make.measured(devices=devices, **measured),
            channels,
            edges,
            failures=failures or {},
            unrecorded=unrecorded,
        )

    return evaluated


def gpu(kind="energy_j", uuid="GPU-1"):
    provenance = "counter" if kind == "energy_j" else "sampled"
    return {"id": f"nvml/{uuid}/{kind}", "device": uuid, "kind": kind, "provenance": provenance}


def package(n=0):
    return {"id": f"rapl/{n}/energy", "sensor": "rapl", "device": f"rapl:{n}:package-{n}", "boundary": "cpu_package"}


def dram(n=0):
    return {"id": f"rapl/{n}:0/energy", "sensor": "rapl", "device": f"rapl:{n}:0:dram", "boundary": "dram"}


def modelled(boundary="cpu"):
    name = f"codecarbon/{boundary}/energy"
    return {
        "id": name,
        "sensor": "codecarbon",
        "device": "codecarbon",
        "boundary": boundary,
        "provenance": "modelled",
    }


def test_every_figure_of_a_gpu_by_its_counter(judge):
    found = judge((gpu(), 100), devices=("GPU-1",)).figures
    assert found.energy_total_j == pytest.approx(1200)
    assert found.power_mean_w == pytest.approx(100)
    assert found.energy_per_output_token_j == pytest.approx(1200 / 600)
    assert found.energy_per_token_j == pytest.approx(1200 / 3000)
    assert found.energy_per_request_j == pytest.approx(1200 / 24)
    assert found.u_scale_j == pytest.approx(60)
    assert 0 < found.u_energy_total_j < 12
    assert found.duration_s == 12
    assert found.output_tokens_per_s == 50
    assert found.total_tokens_per_s == 250
    assert found.requests_per_s == 2
    assert found.flops == 300
    assert found.flops_per_j == pytest.approx(0.25)


def test_the_counter_of_a_gpu_leads_and_its_power_is_the_cross_check(judge):
    found = judge((gpu("power_w"), 110), (gpu(), 100), devices=("GPU-1",))
    assert found.figures.energy_total_j == pytest.approx(1200)
    assert found.figures.cross_check_rel == pytest.approx(0.1)
    assert (found.provenance, found.estimator, found.boundary) == ("counter", "interpolated_counter", "gpu")
    assert [(c.channel.kind, c.in_total) for c in found.components] == [("power_w", False), ("energy_j", True)]


def test_the_power_of_a_gpu_stands_in_where_it_has_no_counter(judge):
    found = judge((gpu("power_w"), 110), devices=("GPU-1",))
    assert found.figures.energy_total_j == pytest.approx(1320)
    assert (found.provenance, found.estimator) == ("sampled", "held_readings")
    assert "cross_check_rel" in found.figures.unknown


def test_the_power_of_a_gpu_stands_in_where_its_counter_gave_nothing(judge):
    found = judge((gpu(), None), (gpu("power_w"), 110), devices=("GPU-1",))
    assert found.figures.energy_total_j == pytest.approx(1320)
    assert found.provenance == "sampled"


def test_two_gpus_are_summed_and_one_counter_less_makes_the_total_sampled(judge):
    sources = ((gpu(uuid="GPU-1"), 100), (gpu("power_w", "GPU-2"), 50))
    found = judge(*sources, devices=("GPU-1", "GPU-2"))
    assert found.figures.energy_total_j == pytest.approx(1800)
    assert found.provenance == "sampled"
    assert found.estimator == "held_readings+interpolated_counter"


def test_a_gpu_that_did_no_work_is_not_counted(judge):
    found = judge((gpu(uuid="GPU-1"), 100), (gpu(uuid="GPU-2"), 400), devices=("GPU-1",))
    assert found.figures.energy_total_j == pytest.approx(1200)
    assert [component.in_total for component in found.components] == [True, False]


def test_one_gpu_without_a_figure_makes_the_total_unknown_and_not_smaller(judge):
    found = judge((gpu(uuid="GPU-1"), 100), (gpu(uuid="GPU-2"), None), devices=("GPU-1", "GPU-2"))
    assert found.figures.energy_total_j is None
    assert found.figures.unknown["energy_total_j"] == "nvml/GPU-2/energy_j: the sensor gave no reading"
    assert not any(component.in_total for component in found.components)


def soc(part="soc"):
    name = f"zeus/jetson/{part}/power"
    fields = {"id": name, "sensor": "zeus", "device": "jetson", "boundary": part}
    return {**fields, "kind": "power_w", "provenance": "sampled"}


@pytest.mark.parametrize("devices", [("GPU-1",), ("cpu",)])
def test_work_on_a_system_on_a_chip_is_what_its_supply_gave_and_no_part_is_added(judge, devices):
    found = judge((soc(), 9), (soc("soc_gpu"), 4), (soc("soc_cpu"), 2), devices=devices)
    assert found.figures.energy_total_j == pytest.approx(9 * 12)
    assert (found.boundary, found.provenance) == ("soc", "sampled")
    assert [component.in_total for component in found.components] == [True, False, False]


def test_parts_of_a_system_on_a_chip_alone_are_no_total(judge):
    found = judge((soc("soc_gpu"), 4), (soc("soc_cpu"), 2), devices=("GPU-1",))
    assert found.figures.unknown["energy_total_j"] == "no sensor here measures GPU-1"


def test_a_gpu_with_a_meter_of_its_own_is_read_by_that_one(judge):
    found = judge((soc(), 9), (gpu(), 100), devices=("GPU-1",))
    assert (found.boundary, found.figures.energy_total_j) == ("gpu", pytest.approx(1200))


def test_the_scale_of_nvidia_boards_is_claimed_for_no_other(judge):
    amd = {**gpu(), "id": "zeus/GPU-1/energy", "sensor": "zeus"}
    found = judge((amd, 100), devices=("GPU-1",)).figures
    assert (found.energy_total_j, found.u_scale_j) == (pytest.approx(1200), None)
    assert found.unknown["u_scale_j"] == "no published scale uncertainty holds for this sensor"


def test_processors_are_their_packages_and_their_memory(judge):
    found = judge((package(0), 40), (package(1), 50), (dram(0), 5), (dram(1), 6))
    assert found.figures.energy_total_j == pytest.approx(101 * 12)
    assert (found.boundary, found.provenance) == ("cpu_package+dram", "counter")
    assert found.figures.u_scale_j is None
    assert found.figures.unknown["u_scale_j"] == "no published scale uncertainty holds for this sensor"


def test_processors_without_a_memory_counter_say_so_in_the_boundary(judge):
    assert judge((package(), 40)).boundary == "cpu_package"


def test_the_packages_of_the_host_are_not_added_to_a_gpu(judge):
    found = judge((gpu(), 100), (package(), 40), devices=("GPU-1",))
    assert found.figures.energy_total_j == pytest.approx(1200)
    assert found.boundary == "gpu"


def test_uncertainties_of_channels_read_apart_add_in_quadrature(judge):
    one = judge((package(0), 40)).figures.u_energy_total_j
    both = judge((package(0), 40), (package(1), 40)).figures.u_energy_total_j
    assert both == pytest.approx(one * 2**0.5)


@pytest.mark.parametrize("devices", [("cpu",), ("GPU-1",)])
def test_no_sensor_means_null_with_the_reason_that_was_given(judge, devices):
    found = judge(devices=devices, unrecorded="no sensor can be read here (rapl: hidden)")
    assert found.figures.energy_total_j is None
    assert found.figures.unknown["energy_total_j"] == "no sensor can be read here (rapl: hidden)"
    assert (found.provenance, found.estimator) == ("none", None)


def test_a_gpu_that_no_sensor_measures_is_unknown_whatever_else_is_measured(judge):
    found = judge((gpu(uuid="GPU-2"), 100), (package(), 40), (modelled(), 20), devices=("GPU-1",))
    assert found.figures.energy_total_j is None
    assert found.figures.unknown["energy_total_j"] == "no sensor here measures GPU-1"


@pytest.mark.parametrize("source", [gpu(), gpu("power_w"), package(), modelled()], ids=lambda s: s["id"])
def test_a_failed_reading_is_never_zero_joules(judge, source):
    found = judge((source, None), devices=("GPU-1",) if source["device"] == "GPU-1" else ("cpu",))
    assert found.figures.energy_total_j is None
    assert found.figures.energy_per_output_token_j is None
    assert found.components[0].energy_j is None
    assert found.components[0].reason
    assert source["id"] in found.figures.unknown["energy_total_j"]
    assert [finding.code for finding in found.warnings] == ["no_energy"]


def test_a_model_stands_alone_where_no_meter_covers_the_work_and_is_marked(judge):
    found = judge((modelled("cpu"), 20), (modelled("ram"), 5))
    assert found.figures.energy_total_j == pytest.approx(300)
    assert (found.provenance, found.boundary) == ("modelled", "cpu+ram")
    assert found.figures.unknown["u_energy_total_j"] == "the energy is modelled: no stated uncertainty holds"
    assert [finding.code for finding in found.warnings] == ["modelled"]


def test_a_model_is_not_added_to_a_meter(judge):
    found = judge((package(), 40), (modelled("cpu"), 20), (modelled("ram"), 300))
    assert found.figures.energy_total_j == pytest.approx(480)
    assert (found.provenance, found.boundary) == ("counter", "cpu_package")
    assert found.figures.cross_check_rel is None


def test_a_model_does_not_replace_a_meter_that_failed(judge):
    found = judge((package(), None), (modelled(), 20))
    assert found.figures.energy_total_j is None
    assert found.provenance == "none"


SOURCES = st.one_of(
    st.sampled_from([gpu(), gpu("power_w"), gpu(uuid="GPU-2"), gpu("power_w", "GPU-2")]),
    st.sampled_from([package(0), package(1), dram(0)]),
    st.sampled_from([modelled("cpu"), modelled("ram")]),
)
POWERS = st.none() | st.integers(1, 500)
ENERGY = [
    "energy_total_j",
    "power_mean_w",
    "energy_per_output_token_j",
    "energy_per_token_j",
    "energy_per_request_j",
]


@given(
    st.lists(st.tuples(SOURCES, POWERS), max_size=6, unique_by=lambda source: source[0]["id"]),
    st.sampled_from([("cpu",), ("GPU-1",), ("GPU-1", "GPU-2"), ("GPU-1", "cpu")]),
    st.none() | st.integers(1, 10**12),
)
def test_whatever_is_measured_no_null_lacks_its_reason_and_nothing_modelled_is_in_a_measured_total(
    judge, sources, devices, flops
):
    found = judge(*sources, devices=devices, flops=Flops(per_pass=flops, source=None, reason=None))
    figures = found.figures
    nulls = {name for name in Figures.model_fields if getattr(figures, name) is None}
    assert nulls == set(figures.unknown)
    assert all(figures.unknown.values())
    inside = [component for component in found.components if component.in_total]
    assert len({component.channel.provenance == "modelled" for component in inside}) <= 1
    assert (figures.energy_total_j is None) == (found.provenance == "none") == (not inside)
    if inside:
        assert figures.energy_total_j == pytest.approx(sum(component.energy_j for component in inside))
        assert figures.energy_total_j > 0
        assert (found.provenance == "modelled") == (inside[0].channel.provenance == "modelled")
        assert all(component.channel.device in devices or devices == ("cpu",) for component in inside)
    assert len({getattr(figures, name) is None for name in ENERGY}) == 1


@pytest.mark.parametrize(
    ("stop", "asked", "got", "codes"),
    [
        ("forced", 600, 600, []),
        ("forced", 600, 599, ["token_count"]),
        ("forced", 600, 601, ["token_count"]),
        ("natural", 600, 600, []),
        ("natural", 600, 17, []),
        ("natural", 600, 601, ["token_count"]),
    ],
)
def test_a_trial_that_did_other_work_than_asked_is_invalid(make, judge, stop, asked, got, codes):
    found = judge(
        (package(), 40),
        config=make.config(generation={"stop": stop}),
        work=make.work(output_tokens=got, asked_output_tokens=asked),
    )
    assert [finding.code for finding in found.validity] == codes
    assert found.headline(make.measured()).invalid == tuple(codes)


def test_a_short_window_is_said_to_be_short(make, judge):
    found = judge((package(), 40), window=make.window(10, 11))
    assert [finding.code for finding in found.warnings] == ["short_window", "unguarded"]


def test_a_model_that_runs_partly_on_the_processor_warns_that_only_gpus_are_counted(judge):
    found = judge((gpu(), 100), devices=("GPU-1", "cpu"))
    assert [finding.code for finding in found.warnings] == ["cpu_part_left_out", "no_power", "unguarded"]


def test_flops_that_were_not_counted_have_their_reason_in_both_figures(judge):
    flops = Flops(per_pass=None, source=None, reason="flash attention hides them")
    found = judge((package(), 40), flops=flops).figures
    assert found.unknown["flops"] == found.unknown["flops_per_j"] == "flash attention hides them"


def test_a_headline_shows_the_figures_and_the_reason_of_a_null(make, judge):
    known = judge((gpu(), 100), devices=("GPU-1",)).headline(make.measured())
    assert (known.energy_total_j, known.provenance, known.energy_reason) == (pytest.approx(1200), "counter", None)
    unknown = judge(unrecorded="no sensor").headline(make.measured())
    assert (unknown.energy_total_j, unknown.provenance, unknown.energy_reason) == (None, "none", "no sensor")


def test_a_headline_has_what_it_takes_to_sum_up_cycles(make, judge):
    known = judge((gpu(), 100), devices=("GPU-1",))
    headline = known.headline(make.measured())
    assert (headline.u_energy_total_j, headline.u_scale_j) == (
        known.figures.u_energy_total_j,
        known.figures.u_scale_j,
    )
    assert headline.u_scale_j == pytest.approx(60)
    assert (headline.input_tokens, headline.requests) == (2400, 24)
    unknown = judge(unrecorded="no sensor").headline(make.measured())
    assert (unknown.u_energy_total_j, unknown.u_scale_j, unknown.requests) == (None, None, 24)


def test_figures_refuse_a_null_without_a_reason_and_a_reason_without_a_null():
    known = {"duration_s": 1.0, "output_tokens_per_s": 1.0, "total_tokens_per_s": 1.0, "requests_per_s": 1.0}
    nulls = dict.fromkeys(Figures.model_fields.keys() - known.keys() - {"unknown"}, "not evaluated")
    assert Figures(**known, unknown=nulls).energy_total_j is None
    with pytest.raises(ValueError, match="energy_total_j"):
        Figures(**known, unknown={name: why for name, why in nulls.items() if name != "energy_total_j"})
    with pytest.raises(ValueError, match="energy_total_j"):
        Figures(**known, energy_total_j=1.0, unknown=nulls)


def test_figures_of_a_file_written_before_idle_power_was_known_are_read():
    known = {"duration_s": 1.0, "output_tokens_per_s": 1.0, "total_tokens_per_s": 1.0, "requests_per_s": 1.0}
    later = {"u_energy_above_context_idle_j", "u_power_context_idle_w"}
    nulls = dict.fromkeys(Figures.model_fields.keys() - known.keys() - {"unknown"} - later, "not evaluated")
    read = Figures.model_validate({**known, **dict.fromkeys(nulls), "unknown": nulls})
    assert read.unknown["u_power_context_idle_w"] == "not in this file: an earlier llem wrote it"
    assert Figures.model_validate_json(read.model_dump_json()) == read


def test_a_component_tells_every_estimator_and_why_the_others_do_not_apply(make, judge):
    window = make.window(guard_start_ns=9 * S, guard_end_ns=23 * S)
    found = judge((gpu(), 100), devices=("GPU-1",), window=window)
    (component,) = found.components
    assert component.estimators.keys() == {"guarded_edges", "interpolated_counter", "inner_ticks"}
    assert component.u_estimators_j.keys() == component.estimators.keys()
    assert component.estimators_refused == {}
    assert component.energy_j == component.estimators[component.estimator]
    assert found.figures.power_context_idle_w == pytest.approx(100)
    assert found.figures.energy_above_context_idle_j == pytest.approx(0, abs=1e-6)
    assert [finding.code for finding in found.warnings] == ["no_power"]


def test_two_devices_have_one_idle_power_and_one_without_it_makes_it_unknown(make, judge):
    window = make.window(guard_start_ns=9 * S, guard_end_ns=23 * S)
    both = judge((package(0), 40), (package(1), 50), window=window).figures
    assert both.power_context_idle_w == pytest.approx(90)
    alone = judge((gpu(), 40), (gpu(uuid="GPU-2"), None), devices=("GPU-1", "GPU-2"), window=window).figures
    assert alone.power_context_idle_w is None
    assert "GPU-2" in alone.unknown["power_context_idle_w"]


def test_figures_refuse_what_is_no_number():
    with pytest.raises(ValueError, match="finite"):
        Figures(duration_s=float("nan"), output_tokens_per_s=1, total_tokens_per_s=1, requests_per_s=1, unknown={})
