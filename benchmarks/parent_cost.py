"""What the parent of a session takes from the machine while a worker measures: processor time and memory.

    python benchmarks/parent_cost.py [--seconds S] [--json FILE]

- processor: the share of one core that a session takes while the first of 10,000 trials measures. The session is real
  (``start_study``, its observer, journal and exports), its worker sends progress as often as a real one and does
  nothing else. Plain: lines on a pipe. Live: the panel on a terminal.
- memory: the peak of a process that plans 10,000 trials, records them all as completed and exports them as they end,
  while it does so; that at its end, when it has made the results; and what is there before, by imports alone.
"""

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from exports import trial_events
from ratios import Report, options, peak_mb

import llem.cli.closing
import llem.cli.run  # noqa: F401 - these two are what ``llem study run`` imports
from llem.cli.observers import StudyObserver, choose_display
from llem.domain.messages import PhaseMessage, ProgressMessage
from llem.domain.row import Row
from llem.journal.journal import Journal
from llem.projections.manifest import ManifestFold
from llem.study.folder import StudyFolder
from llem.study.load import load_study
from llem.study.local import LocalLauncher
from llem.study.machine import UnknownMachine
from llem.study.options import SessionOptions
from llem.study.plan import StudyPlan, plan_study
from llem.study.run import start_study
from llem.study.session import Session
from llem.study.signals import EndingSignals
from llem.worker.voice import PROGRESS_EVERY_S, Voice

CORE = 0.001
MEMORY_MB = 80
TRIALS = 10_000
CYCLES = 5
SETTLED_S = 2.0
HEAD = "name: bench\nmodel: {config: llama, hidden_size: 64}\nprompts: {count: 1000}\nmeasurement: {sensors: []}\n"


def main() -> None:
    """Run both comparisons and print the table."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the worker measures")
    parser.add_argument("--turns", type=int, default=1, help="sessions of each kind")
    parser.add_argument("--part", nargs="+", help="what this process is, of those that the benchmark starts")
    arguments, more = parser.parse_known_args()
    if arguments.part:
        part, *given = arguments.part
        PARTS[part](*given, *more)
        return
    report = Report("parent")
    shares: dict[str, list[float]] = {"plain": [], "live": []}
    for _ in range(arguments.turns):
        for screen, found in shares.items():
            found.append(session_share(screen, arguments.seconds))
    for screen, found in shares.items():
        report.add(f"share of a core while a worker measures, {screen}", found, at_most=CORE, unit="cores")
    for experiments, bar in ((TRIALS // CYCLES, MEMORY_MB), (TRIALS, None)):
        imported_mb, running_mb, ended_mb = peaks(experiments)
        what = f"memory with {TRIALS:,} trials of {experiments:,} experiments"
        report.add(f"{what}, while they run", [running_mb], at_most=bar, unit="MB")
        report.add("… at the end, with the results", [ended_mb], unit="MB")
    report.add("… of that, what a session imports", [imported_mb], unit="MB")
    report.finish(arguments.json)


def session_share(screen: str, seconds: float) -> float:
    """Return the share of a core that the parent of a session takes while its worker measures for so long."""
    ours, theirs = pty.openpty() if screen == "live" else os.pipe()
    reader = threading.Thread(target=drain, args=(ours,))
    reader.start()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        command = [sys.executable, __file__, "--part", "parent", folder, str(seconds)]
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True)
    os.close(theirs)
    reader.join()
    return float(done.stdout)


def drain(descriptor: int) -> None:
    """Read what is shown until the other side is closed."""
    try:
        while os.read(descriptor, 1 << 16):
            pass
    except OSError:
        pass  # how a terminal ends
    os.close(descriptor)


def parent(folder: str, seconds: str) -> None:
    """Run a session whose first trial measures, and write on stdout which share of a core that took."""
    plan = planned(Path(folder), TRIALS // CYCLES)
    worker = (sys.executable, __file__, "--part", "worker", seconds)
    observers: list[MeteringObserver] = []

    def observe(folder: StudyFolder, fold: ManifestFold) -> "MeteringObserver":
        observers.append(MeteringObserver(folder, choose_display(as_json=False)))
        return observers[-1]

    session = SessionOptions(make_launcher=lambda study: LocalLauncher(study, worker, zygote=None))
    start_study(plan, Path(folder) / "studies", observe, options=session)
    (observer,) = observers
    print(observer.share)


class MeteringObserver(StudyObserver):
    """A session's observer that looks at the processor time of its own process at the ends of the measurement."""

    began_s: float | None = None
    measured_from: tuple[float, float] | None = None
    share = float("nan")

    def saw(self, row: Row, fold: ManifestFold) -> None:
        super().saw(row, fold)
        if row.kind == "phase_entered" and '"latency"' in row.data and self.measured_from:
            wall_s, cpu_s = self.measured_from
            self.share = (time.process_time() - cpu_s) / (time.monotonic() - wall_s)
            os.kill(os.getpid(), signal.SIGTERM)  # that was all; a shell lets its background jobs ignore SIGINT

    def progress(self, trial: str, phase: str, message: ProgressMessage) -> None:
        # Later than the phase's own event: here a trial's start lies just before its measurement, as it never does.
        began_s = self.began_s = self.began_s or time.monotonic()
        if phase == "measure" and self.measured_from is None and time.monotonic() - began_s > SETTLED_S:
            self.measured_from = time.monotonic(), time.process_time()
        super().progress(trial, phase, message)


def worker(seconds: str, parent: str, writer: str, hearing: str) -> None:
    """Be a worker that measures for so long, and tells of it as a real one does."""

    def send(message: PhaseMessage | ProgressMessage) -> None:
        os.write(int(writer), message.model_dump_json().encode() + b"\n")

    voice = Voice(send)
    for phase in ("load", "prepare", "warmup", "measure"):
        voice.enter(phase)
    started = time.monotonic()
    while (passed_s := time.monotonic() - started) < float(seconds):
        time.sleep(PROGRESS_EVERY_S / 5)  # a pass of the model
        voice.progress(round(passed_s * 10), passed_s / float(seconds))
    voice.enter("latency")
    time.sleep(60)  # ended by the parent


def peaks(experiments: int) -> tuple[float, float, float]:
    """Return the memory of a session after its imports, its peak while trials run, and that at its end, in MB."""
    command = [sys.executable, __file__, "--part", "memory", str(experiments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    imported_mb, running_mb, ended_mb = json.loads(done.stdout)
    return imported_mb, running_mb, ended_mb


def memory(experiments: str) -> None:
    """Do what a session does with 10,000 trials but for the trials themselves, and write the memory it took."""
    imported_mb = peak_mb()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as place:
        plan = planned(Path(place), int(experiments))
        folder = StudyFolder(Path(place))
        with EndingSignals() as signals, Journal(folder.journal, mode="wal") as journal:
            journal.append_all([plan.study, *plan.experiments])
            fold = ManifestFold().apply_all(journal.rows())
            observer = StudyObserver(folder, choose_display(as_json=False))
            session = Session(
                folder, journal, fold, command="run", observer=observer, options=SessionOptions(), signals=signals
            )
            for state in fold.in_order():
                for row in journal.append_all(list(trial_events(state.trial))):
                    fold.apply(row)
                    observer.saw(row, fold)
            running_mb = peak_mb()
            observer.close(fold)
            assert fold.count("completed") == TRIALS
            assert session.head[0] == fold.seq
    print(json.dumps([imported_mb, running_mb, peak_mb()]))


def planned(folder: Path, experiments: int) -> StudyPlan:
    """Return the plan of a study of so many experiments and ``TRIALS`` trials."""
    sizes, lengths = list(range(1, 101)), list(range(1, experiments // 100 + 1))
    study = folder / "study.yaml"
    sweep = f"sweep:\n  batch_size: {sizes}\n  generation.output_tokens: {lengths}\n"
    study.write_text(f"{HEAD}dtype: float16\n{sweep}")
    return plan_study(load_study(study, [f"cycles={TRIALS // experiments}"], machine=UnknownMachine()))


PARTS: dict[str, Callable[..., None]] = {"parent": parent, "worker": worker, "memory": memory}

if __name__ == "__main__":
    main()
