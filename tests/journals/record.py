"""Records a journal with every kind of event that this llem speaks, and the manifest that goes with it.

    PYTHONPATH=.:tests:benchmarks python tests/journals/record.py tests/journals/NAME

See README.md for when. The study is made up, so that nothing of a machine gets into the repository.
"""

import gzip
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from conftest import Builders

from llem.domain.baseline import BaselinePower
from llem.domain.carbon import CarbonFactor
from llem.domain.events import (
    CURRENT_VERSION,
    BaselineMeasured,
    Event,
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentInterrupted,
    ExperimentRunning,
    ExperimentSkipped,
    GapWaited,
    JournalRecovered,
    PhaseEntered,
    ResultRejected,
    SensorsChecked,
    SessionEnded,
    SessionStarted,
    StudyCompleted,
    StudyExtended,
)
from llem.domain.events.recovery import KeptFile
from llem.domain.sensing import SensorReport
from llem.domain.sensor_check import SensorCheck
from llem.domain.spec import CoolDown, Limits
from llem.exports.manifest import export_manifest
from llem.journal.journal import Journal
from llem.projections.manifest import ManifestFold

MAKE = Builders()
STUDY, *EXPERIMENTS = MAKE.plan(2, 2)


def started(command: str) -> Event:
    host, sensors = MAKE.host(), SensorReport(channels=(MAKE.channel(),))
    return SessionStarted(
        command=command, llem_version="0.1.0", pid=1, host=host, sensors=sensors, file_system="ext4"
    )


def running(trial: str, attempt: int) -> list[Event]:
    about = {"trial": trial, "attempt": attempt}
    return [
        ExperimentRunning(**about, log_file=f"logs/{trial}_a{attempt}.log", launcher="local"),
        *(PhaseEntered(**about, phase=phase, t_ns=number) for number, phase in enumerate(("load", "measure"))),
    ]


def completed(trial: str, attempt: int, name: str, **headline: object) -> list[Event]:
    stem = f"{trial}_a{attempt}"
    ending = ExperimentCompleted(
        trial=trial,
        attempt=attempt,
        result_file=name,
        result_sha256=MAKE.sha,
        samples_file=f"{stem}.json.gz",
        samples_sha256=MAKE.sha,
        headline=MAKE.headline(**headline),
    )
    return [*running(trial, attempt), ending]


def sessions() -> list[list[Event]]:
    """Return what each session of the study records."""
    first: list[Event] = [
        STUDY.model_copy(update={"reruns": 1, "retries": 1}),
        *EXPERIMENTS,
        started("run"),
        BaselineMeasured(
            powers=(BaselinePower(channel="nvml/GPU-1/energy", power_w=20.0, u_w=0.1),),
            why="first",
            start_ns=1,
            end_ns=2,
            samples_file="baseline_s1_1.json.gz",
            samples_sha256=MAKE.sha,
        ),
        SensorsChecked(
            check=SensorCheck(duration_s=3.0, channels=(), devices=(), no_load_reason="no GPU to put to work"),
            samples_file="check_s1.json.gz",
            samples_sha256=MAKE.sha,
            idle_start_ns=1,
            idle_end_ns=2,
        ),
        *completed("e0_c1", 1, "e0_c1.json", invalid=("thermal_throttle",)),
        *completed("e0_c1", 2, "e0_c1_a2.json"),
        GapWaited(
            trial="e1_c1",
            between="trials",
            planned=CoolDown(cool_to_c=45.0, at_most_s=300.0),
            waited_s=12.5,
            temperature_c=44.0,
        ),
        *running("e1_c1", 1),
        ExperimentFailed(
            trial="e1_c1", attempt=1, error_type="OutOfMemory", error_message="too big", phase="load", exit_code=1
        ),
        ExperimentSkipped(trial="e1_c2", reason="three failures in a row"),
        *completed("e0_c2", 1, "e0_c2.json"),
        *running("e1_c1", 2),
        ExperimentInterrupted(trial="e1_c1", attempt=2, reason="the session was ended by SIGINT", phase="measure"),
        SessionEnded(reason="interrupted", detail="SIGINT"),
        JournalRecovered(
            llem_version="0.1.0",
            reason="event 36: event 36 was altered: its hash is not that of its content",
            unreadable=1,
            invalid=2,
            remembered_seq=38,
            lost_trials=("e1_c1",),
            kept_in="2026-01-02T03-04-05",
            files=(KeptFile(name="journal.db", sha256=MAKE.sha),),
            set_aside=("manifest.json",),
        ),
    ]
    second: list[Event] = [
        StudyExtended(
            study_design_hash=MAKE.sha,
            llem_version="0.1.0",
            cycles=3,
            limits=Limits(study_s=3600.0),
            reruns=2,
            retries=2,
            sequence=[1, 0],
            added=0,
            summaries=({"batch_size": 1}, {"batch_size": 2}),
            carbon=CarbonFactor(intensity_g_per_kwh=56, source="RTE", pue=1.2),
        ),
        started("resume"),
        ResultRejected(trial="e0_c2", attempt=1, file="results/e0_c2.json", reason="the file is missing"),
        *(event for trial in ("e0_c2", "e1_c1") for event in completed(trial, 3, f"{trial}.json")),
        *(event for trial in ("e1_c2", "e1_c3", "e0_c3") for event in completed(trial, 1, f"{trial}.json")),
        StudyCompleted(completed=6, failed=0, skipped=0),
        SessionEnded(reason="finished"),
    ]
    return [first, second]


def main(place: Path) -> None:
    place.mkdir()
    with tempfile.TemporaryDirectory() as spare:
        path, moment = Path(spare) / "journal.db", iter(range(10**6))
        with Journal(path, now=lambda: MAKE.start + timedelta(seconds=next(moment)), mode="delete") as journal:
            for events in sessions():
                for event in events:
                    journal.append(event)
                journal.session += 1
            fold = ManifestFold().apply_all(journal.rows())
            kinds = {row.kind for row in journal.rows()}
            assert kinds == set(CURRENT_VERSION), f"not there: {set(CURRENT_VERSION) - kinds}"
        (place / "journal.db.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        export_manifest(fold, place / "manifest.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
