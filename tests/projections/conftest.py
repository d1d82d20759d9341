"""Studies that hypothesis draws, event by event."""

import pytest
from hypothesis import strategies as st

from llem.domain.events import (
    ExperimentCompleted,
    ExperimentFailed,
    ExperimentInterrupted,
    ExperimentRunning,
    ExperimentSkipped,
    PhaseEntered,
    ResultRejected,
    SessionEnded,
    SessionStarted,
    StudyCompleted,
)
from llem.domain.sensing import SensorReport
from llem.projections.manifest import trial_id

PHASES = ["load", "prepare", "warmup", "measure", "latency", "teardown"]


@pytest.fixture(scope="session")
def simulate(make):
    """Return what runs a drawn study into a sink of events, and returns its simulator when it is over."""
    return lambda draw, sink: Simulator(make, draw, sink).run()


class Simulator:
    """A session that takes whatever way ``draw`` chooses, and notes itself what the manifest must say."""

    def __init__(self, make, draw, sink):
        self.make, self.draw, self.sink = make, draw, sink
        experiments, cycles = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        for event in make.plan(experiments, cycles):
            sink.append(event)
        self.status = {trial_id(f"e{i}", c): "pending" for i in range(experiments) for c in range(1, cycles + 1)}
        self.attempts = dict.fromkeys(self.status, 0)
        self.spoiled: dict[str, list[str]] = {trial: [] for trial in self.status}
        self.result: dict[str, str | None] = dict.fromkeys(self.status)
        self.valid = dict.fromkeys(self.status, True)
        self.study = "planned"

    def choose(self, options):
        return self.draw(st.sampled_from(options))

    def run(self):
        for number in range(1, self.draw(st.integers(0, 4)) + 1):
            self.sink.session = number
            self.session("run" if number == 1 else "resume")
        return self

    def session(self, command):
        report = SensorReport()
        self.sink.append(
            SessionStarted(command=command, llem_version="0.1", pid=1, host=self.make.host(), sensors=report)
        )
        self.study = "running"
        self.recover()
        for trial in list(self.status):
            while self.status[trial] != "completed" or not self.valid[trial]:
                way = self.attempt(trial)
                if way == "died":
                    return
                if way != "completed":
                    break
        ending = self.choose(["finished", "interrupted", "died"])
        if ending == "died":
            return
        if ending == "finished":
            counts = {status: self.count(status) for status in ("completed", "failed", "skipped")}
            if sum(counts.values()) == len(self.status):
                self.sink.append(StudyCompleted(**counts))
                done = counts["completed"]
                self.study = "completed" if done == len(self.status) else "partial" if done else "failed"
            else:
                self.study, ending = "interrupted", "study_deadline"
        else:
            self.study = "interrupted"
        self.sink.append(SessionEnded(reason=ending))

    def recover(self):
        for trial, status in self.status.items():
            about = {"trial": trial, "attempt": self.attempts[trial]}
            if status == "running":
                self.sink.append(ExperimentInterrupted(**about, reason="found running"))
                self.status[trial] = "interrupted"
            elif status == "completed" and self.choose([False, False, True]):
                self.sink.append(ResultRejected(**about, file=f"results/{trial}.json", reason="the file is missing"))
                self.status[trial], self.result[trial], self.valid[trial] = "pending", None, True

    def attempt(self, trial):
        way = self.choose(["completed"] * 4 + ["failed", "failed", "skipped", "interrupted", "left", "died"])
        if way == "left" or (way == "skipped" and self.result[trial] is not None):
            return "left"
        if way == "skipped":
            self.sink.append(ExperimentSkipped(trial=trial, reason="does not fit"))
            self.status[trial] = way
            return way
        self.attempts[trial] += 1
        if self.result[trial] is not None:
            self.spoiled[trial].append(self.result[trial])
            self.result[trial], self.valid[trial] = None, True
        about = {"trial": trial, "attempt": self.attempts[trial]}
        self.sink.append(ExperimentRunning(**about, log_file="logs/x.log", launcher="local"))
        self.status[trial] = "running"
        for number, phase in enumerate(PHASES[: self.draw(st.integers(0, len(PHASES)))]):
            self.sink.append(PhaseEntered(**about, phase=phase, t_ns=number))
        if way == "died":
            return way
        self.sink.append(self.ending(way, about))
        self.status[trial] = way
        return way

    def name(self, trial):
        """Return a name for the result that no kept one has."""
        return f"{trial}_a{self.attempts[trial]}.json" if self.spoiled[trial] else f"{trial}.json"

    def ending(self, way, about):
        if way == "failed":
            return ExperimentFailed(**about, error_type="Crashed", error_message="it crashed", phase="load")
        if way == "interrupted":
            return ExperimentInterrupted(**about, reason="SIGINT")
        trial = about["trial"]
        self.result[trial] = self.name(trial)
        self.valid[trial] = len(self.spoiled[trial]) >= 2 or self.choose([True, True, False])
        return ExperimentCompleted(
            **about,
            result_file=self.result[trial],
            result_sha256=self.make.sha,
            headline=self.make.headline(
                output_tokens=about["attempt"], invalid=() if self.valid[trial] else ("idle_drift",)
            ),
        )

    def count(self, status):
        return list(self.status.values()).count(status)
