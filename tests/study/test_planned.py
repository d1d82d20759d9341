import json
import sqlite3

import pytest

from llem.domain.carbon import CarbonFactor
from llem.domain.errors import JournalError
from llem.domain.events import ExperimentPlanned, SessionStarted, StudyExtended
from llem.domain.sensing import SensorReport
from llem.domain.spec import Limits
from llem.journal.journal import Journal
from llem.projections.manifest import ManifestFold
from llem.projections.plan import PlanFold
from llem.study.planned import Planned


@pytest.fixture
def journal(make, tmp_path):
    """Return the journal of a study that ran a session and was extended."""
    with Journal(tmp_path / "journal.db") as journal:
        journal.append_all(make.plan(experiments=2, cycles=2))
        for name in ("first", "second"):
            host = make.host().model_copy(update={"name": name})
            journal.append(
                SessionStarted(command="run", llem_version="0.1", pid=1, host=host, sensors=SensorReport())
            )
        summaries = ({"batch_size": 1, "dtype": "auto"}, {"batch_size": 2, "dtype": "auto"})
        journal.append(
            StudyExtended(
                study_design_hash="b" * 64,
                llem_version="0.0.2",
                cycles=3,
                limits=Limits(trial_s=5),
                sequence=[0, 1, 2, 2, 2],
                added=1,
                summaries=summaries,
                reruns=1,
                retries=4,
                carbon=CarbonFactor(intensity_g_per_kwh=56, source="RTE", pue=1),
            )
        )
        journal.append(
            ExperimentPlanned(
                index=2,
                label="e2",
                config=make.config(batch_size=8, measurement={"guard_s": 0.0}),
                config_hash="2" * 64,
                config_summary={"batch_size": 8, "dtype": "auto"},
                result_stem="e2",
            )
        )
        yield journal


def test_what_a_session_runs_is_what_the_fold_of_the_plan_says(journal):
    planned = Planned(journal, ManifestFold().apply_all(journal.rows()))
    fold = PlanFold().apply_all(journal.rows())
    assert (planned.study, planned.host) == (fold.study, fold.host)
    for index, experiment in fold.experiments.items():
        assert planned.config(index) == experiment.config
        assert planned.measurement(index) == experiment.config.measurement


def test_experiments_that_are_measured_alike_share_how(journal):
    planned = Planned(journal, ManifestFold().apply_all(journal.rows()))
    assert planned.measurement(0) is planned.measurement(1)
    assert planned.measurements() == [planned.measurement(0), planned.measurement(2)]


def test_an_experiment_without_a_measurement_is_told_with_its_event(make, tmp_path):
    study, planned, _ = make.plan()
    with Journal(tmp_path / "journal.db") as journal:
        journal.append(study)
        fold = ManifestFold().apply_all(journal.rows())
        data = planned.data()
        del data["config"]["measurement"]
        row = journal.append(planned)
    with sqlite3.connect(tmp_path / "journal.db") as database:
        database.execute("DROP TRIGGER events_never_change")
        database.execute("UPDATE events SET data = ? WHERE seq = ?", (json.dumps(data), row.seq))
    with (
        Journal(tmp_path / "journal.db") as journal,
        pytest.raises(JournalError, match=r"Event 2 \(experiment_plann"),
    ):
        Planned(journal, fold)
