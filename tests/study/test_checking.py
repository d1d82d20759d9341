"""The check at the start of a session: what is a warning, what is left out, and what cannot be made."""

import time

import pytest

from llem.domain.errors import SensorError
from llem.domain.recording import Stopped
from llem.domain.result import RecorderCost
from llem.domain.sensing import Channel, SensorReport
from llem.domain.sensor_checking import LEAST_COMPARED_S, SETTLED_S
from llem.sensors.base import Reading
from llem.sensors.samples import SampleWriter, read_samples
from llem.study.checking import CheckSettings, check_at_start, recomputed
from llem.study.folder import StudyFolder
from llem.study.signals import EndingSignals
from llem.study.standstill import Standstill

COUNTER = Channel(id="e", sensor="nvml", device="GPU-1", boundary="gpu", kind="energy_j", provenance="counter")
POWER = COUNTER.model_copy(
    update={"id": "p", "kind": "power_w", "provenance": "sampled", "averages_over_s": 0.0, "aspect": "instant"}
)
MS = 1_000_000


JUDGED_S = LEAST_COMPARED_S + SETTLED_S + 0.2
"""So long an idle is compared between two sensors."""


class ActedRecorder:
    """Says, when it is stopped, what a sensor of 100 W would have said meanwhile; its power readings may be off."""

    def __init__(self, gain=1.0, fails=None, dies=False):
        self._gain = gain
        self._fails = fails
        self._dies = dies

    def begin(self, samples):
        if self._fails:
            raise SensorError(self._fails, remedy="Mend it.")
        self._samples, self._from_ns = samples, time.monotonic_ns()
        samples.with_name(samples.name + ".part").touch()

    def finish(self):
        if self._dies:
            raise SensorError("The recorder died.", remedy="…")
        self._samples.with_name(self._samples.name + ".part").unlink()
        writer = SampleWriter(self._samples, [COUNTER, POWER])
        for at_ns in range(self._from_ns, time.monotonic_ns(), 2 * MS):
            energy_j = at_ns // (20 * MS) * 0.02 * 100
            power_w = 100 * self._gain
            writer.write([Reading("e", at_ns, at_ns + 1000, energy_j), Reading("p", at_ns, at_ns + 1000, power_w)])
        return Stopped(sha256=writer.finish(), cost=RecorderCost(cpu_s=0, wall_s=1, edges=writer.edges))


class StoppedMeanwhile(ActedRecorder):
    """Was recording while the session stood still."""

    signals: EndingSignals

    def finish(self):
        self.signals.standstills.seen.append(Standstill(60.0, 60.0, asked_for=True))
        return super().finish()


class Onlooker:
    def __init__(self):
        self.left_s, self.warnings = [], []

    def checking(self, left_s):
        self.left_s.append(left_s)

    def warn(self, text):
        self.warnings.append(text)

    def tick(self):
        pass


@pytest.fixture
def check(tmp_path):
    """Return a function from an acted recorder to (event, what an onlooker was told)."""
    folder = StudyFolder(tmp_path)
    for part in (folder.samples, folder.logs):
        part.mkdir()

    def of(recorder, *channels, **settings):
        onlooker = Onlooker()
        with EndingSignals() as signals:
            recorder.signals = signals
            event = check_at_start(
                recorder,
                SensorReport(channels=channels),
                folder,
                3,
                signals,
                onlooker,
                CheckSettings(**{"idle_s": 0.2, "load_s": 0.0, **settings}),
            )
        return event, onlooker

    return of


@pytest.mark.parametrize(
    ("gain", "grade", "warning"),
    [
        (1.0, "good", None),
        (1.03, "doubtful", "GPU-1: its sensors differ: p 103 W idle, the counter 100 W"),
        (
            1.06,
            "poor",
            "GPU-1: its energy counter is poor, and power readings lead where there are any: p 106 W",
        ),
    ],
)
def test_what_is_not_good_is_a_warning_of_one_line(check, gain, grade, warning):
    event, onlooker = check(ActedRecorder(gain), COUNTER, POWER, idle_s=JUDGED_S)
    assert event.check.devices[0].grade == grade
    assert len(onlooker.warnings) == (warning is not None)
    assert all(told.startswith(warning) and "\n" not in told for told in onlooker.warnings)
    assert onlooker.left_s == sorted(onlooker.left_s, reverse=True) != []


def test_the_event_says_all_that_is_needed_to_compute_it_again(check, tmp_path):
    event, _ = check(ActedRecorder(), COUNTER, POWER)
    assert event.samples_file.startswith("check_s3.")
    assert recomputed(event, read_samples(tmp_path / "samples" / event.samples_file)) == event.check


def test_a_check_that_cannot_be_recorded_is_a_warning_and_none(check):
    event, onlooker = check(ActedRecorder(fails="The recorder died."), COUNTER, POWER)
    assert event is None
    assert onlooker.warnings == ["the sensors were not checked: The recorder died."]


@pytest.mark.parametrize(
    ("recorder", "told"),
    [
        (ActedRecorder(dies=True), "The recorder died."),
        (ActedRecorder(gain=1e306), "nothing can be made of their readings: "),
        (StoppedMeanwhile(), "The session stopped for 60.0 s by SIGTSTP."),
    ],
    ids=["its end", "readings beyond arithmetic", "a hole"],
)
def test_a_check_that_comes_to_nothing_leaves_no_file(check, tmp_path, recorder, told):
    event, onlooker = check(recorder, COUNTER, POWER, idle_s=JUDGED_S)
    assert event is None
    assert onlooker.warnings[0].startswith(f"the sensors were not checked: {told}")
    assert list((tmp_path / "samples").iterdir()) == []


def test_models_and_conditions_alone_are_not_checked(check):
    modelled = COUNTER.model_copy(update={"provenance": "modelled"})
    heat = POWER.model_copy(update={"kind": "temperature_c"})
    for channels, settings in (((modelled, heat), {}), ((), {}), ((COUNTER,), {"idle_s": 0.0})):
        event, onlooker = check(ActedRecorder(fails="it was asked to record"), *channels, **settings)
        assert (event, onlooker.warnings) == (None, [])


def test_a_quick_study_checks_for_a_shorter_time():
    assert (
        CheckSettings.of("quick").idle_s < CheckSettings.of("standard").idle_s == CheckSettings.of("publish").idle_s
    )
