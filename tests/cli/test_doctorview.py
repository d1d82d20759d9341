"""What the doctor shows of a check: every channel with its figures, each device with what leads and how well."""

from pathlib import Path

import pytest
from simulated_sensor import trial

from llem.cli.doctorview import Examined, show
from llem.domain.checked import capabilities
from llem.domain.sensing import Channel, Device, SensorReport, UnavailableSensor
from llem.domain.sensor_checking import check_sensors
from llem.study.host import host_facts
from llem.study.spoilers import spoilers

COUNTER = Channel(
    id="nvml/G/energy",
    sensor="nvml",
    device="G",
    boundary="gpu",
    kind="energy_j",
    provenance="counter",
    unseen_s=0.075,
)
POWER = Channel(
    id="nvml/G/power",
    sensor="nvml",
    device="G",
    boundary="gpu",
    kind="power_w",
    provenance="sampled",
    averages_over_s=0.0,
)
HEAT = POWER.model_copy(update={"id": "nvml/G/temperature", "kind": "temperature_c", "averages_over_s": None})


@pytest.fixture
def shown(capsys, monkeypatch):
    """Return a function from the flaws of a simulated sensor to what the doctor prints, in one line each."""
    monkeypatch.setenv("COLUMNS", "300")

    def of(*, gain=1.0, check=True, **flaws):
        made = trial(1, 5.0, guard_s=3.0, noise_w=0.5, **flaws)
        bounds = made.bounds
        power = [edge._replace(value=edge.value * gain) for edge in made.edges("power_w")]
        found = check_sensors(
            [COUNTER, POWER, HEAT],
            {COUNTER.id: made.edges(), POWER.id: power},
            (bounds.guard_start_ns, bounds.t0_ns),
            (bounds.t0_ns, bounds.t1_ns),
            load_name="acted work",
            no_load_reason=None,
        )
        found = found if check else None
        report = SensorReport(
            channels=(COUNTER, POWER, HEAT),
            devices=(Device(id="G", name="A GPU", facts={}),),
            unavailable=(UnavailableSensor(sensor="rapl", reason="no zones", remedy="modprobe it"),),
        )
        show(
            Examined(
                host=host_facts(),
                free_bytes=10**12,
                report=report,
                check=found,
                unchecked=None if check else "--quick",
                capabilities=capabilities(report.channels, found),
                spoilers=spoilers(
                    report.devices, load=0.0, cpus=8, free_bytes=10**12, folder=Path("/data"), check=found
                ),
            )
        )
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return of


def line_of(lines, start, nth=-1):
    return [line for line in lines if line.startswith(start)][nth]


def test_a_summed_part_time_counter_is_told_with_its_periods_and_its_segments(shown):
    lines = shown(summed=True, seen_s=0.025)
    assert "idle and under load (acted work)" in line_of(lines, "sensors checked for")
    assert line_of(lines, "nvml/G/energy", 0).startswith("nvml/G/energy 100 ms (")
    assert "1 mJ" in line_of(lines, "nvml/G/energy", 0)
    assert "idle " in line_of(lines, "nvml/G/power")
    assert "load " in line_of(lines, "nvml/G/power")
    assert line_of(lines, "nvml/G/energy: ").startswith("nvml/G/energy: a sum of readings (")
    assert (
        line_of(lines, "G: ")
        == "G: nvml/G/energy leads (counter, good), guards of 600 ms or more, windows in 4 segments"
    )


def test_a_true_counter_needs_no_segments(shown):
    lines = shown(seen_s=0.025)
    assert "a true integral" in line_of(lines, "nvml/G/energy: ")
    assert line_of(lines, "G: ") == "G: nvml/G/energy leads (counter, good), guards of 600 ms or more"


@pytest.mark.parametrize(
    ("gain", "leads", "spoils"),
    [
        (1.035, "nvml/G/energy leads (counter, doubtful)", "its sensors differ: nvml/G/power"),
        (1.08, "nvml/G/power leads (sampled, poor)", "its energy counter is poor"),
    ],
)
def test_sensors_that_disagree_spoil_comparisons_and_say_so(shown, gain, leads, spoils):
    lines = shown(gain=gain)
    assert leads in line_of(lines, "G: ")
    assert spoils in line_of(lines, "G spoils comparisons")
    assert any(line.startswith("→ llem doctor") for line in lines)


def test_without_a_check_the_reason_stands_in_its_place(shown):
    lines = shown(check=False)
    assert "the sensors were not checked: --quick" in lines
    assert line_of(lines, "G: ") == "G: nvml/G/energy leads (counter)"


def test_what_is_read_beside_energy_is_named_and_fills_no_table(shown):
    lines = shown()
    assert "read beside it: temperature_c" in lines
    assert not any(line.startswith("nvml/G/temperature") for line in lines)
    assert "→ modprobe it" in lines
