from types import SimpleNamespace

import pytest

from llem.domain.errors import SensorError
from llem.domain.messages import Stagger
from llem.domain.sensing import SensorReport
from llem.projections.trials import TrialState
from llem.study.attempt import TrialAttempt
from llem.study.bench import Bench, Trial
from llem.study.folder import StudyFolder
from llem.study.grounds import Grounds


class Unwilling:
    """A launcher that notes what it is asked for and starts nothing."""

    launcher, cold_because, warning = "unwilling", None, None

    def __init__(self):
        self.specs = []

    def prepare(self, spec, log, signals):
        self.specs.append(spec)
        return self

    def start(self):
        raise OSError("no more processes")


class NoRecorders:
    def __init__(self, channels):
        self.report = SensorReport(channels=channels)

    def begin(self, samples):
        raise SensorError("no sensor was asked for", remedy="See `llem doctor`.")


@pytest.fixture
def asked(make, tmp_path):
    """Return a function from a configuration's guard and a bench's needs to what the worker is told."""

    def of(guard_s, channels=(), sensors="auto", **needs):
        study, planned = make.plan()[:2]
        config = make.config(measurement={"guard_s": guard_s, "sensors": sensors})
        launcher = Unwilling()
        chain = make.chain()
        bench = Bench(
            folder=StudyFolder(tmp_path),
            study=study,
            host=make.host(),
            record=chain,
            launcher=launcher,
            recorders=NoRecorders(channels),
            signals=SimpleNamespace(),
            watcher=SimpleNamespace(),
            disk=SimpleNamespace(require_room=lambda: None, took=lambda files: None),
            **needs,
        )
        state = TrialState("e0_c1", 0, 1, planned.config_hash, {}, "e0_c1.json")
        TrialAttempt(bench, Trial(state, 0, config, Grounds())).run()
        assert [row.kind for row in chain.rows] == ["experiment_running", "experiment_failed"]
        (spec,) = launcher.specs
        return spec

    return of


@pytest.mark.parametrize(
    ("configured_s", "least_s", "told_s"), [(0.7, 0.0, 0.7), (0.7, 0.2, 0.7), (0.7, 1.5, 1.5), (0.0, 1.5, 0.0)]
)
def test_guards_are_as_long_as_a_sensor_needs_unless_there_are_to_be_none(asked, configured_s, least_s, told_s):
    assert asked(configured_s, least_guard_s=least_s).guard_s == told_s


def test_a_worker_is_told_the_segments_that_a_sensor_needs_and_none_otherwise(asked):
    stagger = Stagger(segments=4, period_s=0.1)
    assert asked(0.7, stagger=stagger).stagger == stagger
    assert asked(0.7).stagger is None


def test_a_worker_is_told_whether_a_meter_reads_its_trial(asked, make):
    counter, heat = make.channel(), make.channel(kind="temperature_c")
    model = make.channel(provenance="modelled")
    assert asked(0.7, channels=(counter,)).metered
    assert not asked(0.7, channels=(model, heat)).metered
    assert not asked(0.7, channels=(counter,), sensors=["rapl"]).metered
