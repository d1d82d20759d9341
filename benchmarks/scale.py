"""What llem itself takes per trial, from the first trial of a study to the last, at any size.

    python benchmarks/scale.py [--launcher instant warm cold] [--sizes 1000 …] [--seconds 60] [--gpu] [--json FILE]

Studies of trials that do nothing (the engine ``no_op``) through the real parent: plan, journal, fold, exports, result
files, evaluation, and the plain display. Each study runs in a process of its own. A trial's own time is the time from
its begin to the next one's, by the journal, less the time in which its worker loaded, warmed up and measured.

- instant: no process is started: the worker's part runs in the parent, and its messages are there at once. What is
  left is the parent's own cost. (Processor time is the parent's, less what the worker's part took.)
- warm: workers forked by llem's zygote, as it starts them by default.
- cold: a worker process for each trial that is started anew, with light imports.

A study that is not over after ``--seconds`` is ended by its own deadline, and what ran of it counts: it is as large
all the same. By default there are no sensors; with ``--gpu`` the real recorder records a simulated GPU. Five times a
trial or more the disk is waited for. What else writes to it meanwhile moves the own time up and down, so growth is
judged by the processor time.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import simulated_gpu
from no_op import NO_OP, NoOpEngine, register
from pydantic import BaseModel
from ratios import Report, options, peak_mb

from llem.cli.closing import close_session
from llem.cli.observers import ENDINGS, PlainDisplay, StudyObserver
from llem.domain.messages import GoOn, Message, ResultMessage, WorkerSpec, parse_message
from llem.domain.row import Row
from llem.journal.reader import open_reader
from llem.projections.manifest import ManifestFold
from llem.study.checking import CheckSettings
from llem.study.folder import StudyFolder
from llem.study.grammar import Grammar
from llem.study.launcher import Exit, Fault, Launcher
from llem.study.load import load_study
from llem.study.local import LocalLauncher
from llem.study.machine import UnknownMachine
from llem.study.options import SessionOptions
from llem.study.plan import plan_study
from llem.study.run import start_study
from llem.study.signals import EndingSignals
from llem.worker.protocol import measure

CYCLES = 5
NO_OP_COMMAND = (sys.executable, str(Path(__file__).with_name("no_op.py")))
FIRST = 10
"""The trials before this one are left out: they meet cold caches."""
COMPARED = 100
"""So many of the first trials are compared with as many of the last ones."""
OWN_MS, GROWTH, RSS_MB = 50.0, 1.2, 80.0
STUDY = "scale.yaml"
GPU_WINDOW_S = 0.3
"""Three ticks of the simulated GPU's sensor."""
DEFAULT = {"instant": (100, 1_000, 10_000), "warm": (1_000,), "cold": (50,)}


@dataclass(frozen=True)
class Found:
    """What one study took.

    Attributes:
        exit_code: The command's.
        begun, completed, ended: Trials that began, are completed, and have any terminal event, by the journal.
        own_ms: Own time of each trial but the last, in milliseconds.
        cpu_ms: Processor time of the parent from each trial's begin to the next one's, in milliseconds.
        first_s: From the study file to the first trial's begin.
        closing_s: From the last trial's begin to the end of the command.
        memory_mb: Peak memory with all imported, at the first trial, after the last, and when the results are shown.
        written_bytes: Written to the disk.
    """

    exit_code: int
    begun: int
    completed: int
    ended: int
    own_ms: list[float]
    cpu_ms: list[float]
    first_s: float
    closing_s: float
    memory_mb: list[float]
    written_bytes: int


class InstantAttempt:
    """Runs the worker's part when its messages are asked for, and has them all then; see ``Attempt``."""

    cpu_s = 0.0
    """Processor time that this has taken so far, over all attempts."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._ready, self._never = os.eventfd(1, os.EFD_CLOEXEC), os.eventfd(0, os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._ready

    def exit_fileno(self) -> int:
        return self._never

    def receive(self) -> tuple[list[Message | Fault], bool]:
        began_s = time.process_time()
        sent: list[BaseModel] = []
        engine = NoOpEngine(self._spec.config, Path(self._spec.base_dir))
        sent.append(ResultMessage(measured=measure(engine, self._spec, sent.append, lambda: None)))
        lines = [message.model_dump_json().encode() for message in sent]
        InstantAttempt.cpu_s += time.process_time() - began_s
        return [parse_message(line) for line in lines], True

    def tell(self, message: GoOn) -> None:
        pass

    def has_exited(self) -> bool:
        return True

    def end(self, *, patience_s: float, grace_s: float, signals: EndingSignals) -> Exit:
        os.close(self._ready)
        os.close(self._never)
        return Exit(0, None)


@dataclass(frozen=True)
class InstantStart:
    """See ``Start``."""

    spec: WorkerSpec
    launcher: str = "instant"
    cold_because: str | None = None
    warning: str | None = None

    def start(self) -> InstantAttempt:
        return InstantAttempt(self.spec)


class InstantLauncher:
    """Starts no process; see ``Launcher``."""

    def __init__(self, study: str) -> None:
        pass

    def prepare(self, spec: WorkerSpec, log: Path, signals: EndingSignals) -> InstantStart:
        return InstantStart(spec)

    def sweep(self) -> int:
        return 0

    def close(self) -> None:
        pass


def cold_launcher(study: str) -> Launcher:
    return LocalLauncher(study, command=NO_OP_COMMAND, zygote=None)


def warm_launcher(study: str) -> Launcher:
    return LocalLauncher(study, command=NO_OP_COMMAND, zygote=NO_OP_COMMAND)


LAUNCHERS: dict[str, Callable[[str], Launcher]] = {
    "instant": InstantLauncher,
    "warm": warm_launcher,
    "cold": cold_launcher,
}
"""Ways to start a trial."""


class Noting(StudyObserver):
    """The observer of the command line, which also notes what the process had used when each trial began."""

    def __init__(self, folder: StudyFolder) -> None:
        super().__init__(folder, PlainDisplay())
        self.began_s: list[float] = []
        self.began_cpu_s: list[float] = []
        self.memory_mb: list[float] = []
        """Peak memory at the first trial's begin and after the last trial."""

    def saw(self, row: Row, fold: ManifestFold) -> None:
        if row.kind == "experiment_running":
            if not self.began_s:
                self.memory_mb.append(peak_mb())
            self.began_s.append(time.monotonic())
            self.began_cpu_s.append(time.process_time() - InstantAttempt.cpu_s)
        super().saw(row, fold)

    def close(self, fold: ManifestFold) -> None:
        self.memory_mb.append(peak_mb())
        super().close(fold)


def main() -> None:
    """Run each study in a process of its own, print the table, write JSON if asked."""
    parser = options(__doc__)
    parser.add_argument("--launcher", nargs="+", choices=LAUNCHERS, default=list(LAUNCHERS), help="how trials start")
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of trials; 100000 works too, in its time")
    parser.add_argument("--seconds", type=float, default=60.0, help="end each study after so long")
    parser.add_argument("--gpu", action="store_true", help="record a simulated GPU meanwhile")
    parser.add_argument("--study", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.study:
        print(json.dumps(asdict(run_study(Path(arguments.study), arguments.launcher[0]))))
        return
    report = Report("scale")
    for launcher in arguments.launcher:
        for trials in arguments.sizes or DEFAULT[launcher]:
            # On this disk, not in memory: what a trial writes is synced.
            with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as place:
                folder = Path(place)
                (folder / STUDY).write_text(study(trials, seconds=arguments.seconds, gpu=arguments.gpu))
                environment = simulated(folder) if arguments.gpu else {}
                tell(report, launcher, trials, in_own_process(folder, launcher, environment))
    report.note("own time: from a trial's begin to the next one's, less its worker's time from load to teardown")
    report.finish(arguments.json)


def in_own_process(folder: Path, launcher: str, environment: Mapping[str, str]) -> Found:
    """Return what ``run_study`` finds in a process of its own."""
    command = [sys.executable, __file__, "--launcher", launcher, "--study", str(folder)]
    with (folder / "words").open("wb") as words:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=words, env=os.environ | environment, check=False
        )
    if done.returncode:
        sys.exit((folder / "words").read_text()[-2000:])
    return Found(**json.loads(done.stdout))


def simulated(folder: Path) -> dict[str, str]:
    """Return the environment in which the recorder finds a simulated GPU."""
    library = simulated_gpu.build(folder)
    script = simulated_gpu.write_script(folder / "script", simulated_gpu.SimulatedDevice())
    return {"LD_LIBRARY_PATH": str(library.parent), "LLEM_SIMULATED_GPU": str(script)}


def run_study(folder: Path, launcher: str) -> Found:
    """Plan and run the study in ``folder``, as the command line does, and return what it took."""
    register()
    began_s, imported_mb = time.monotonic(), peak_mb()
    observers: list[Noting] = []
    fold = ManifestFold()

    def observe(study_folder: StudyFolder, session_fold: ManifestFold) -> Noting:
        nonlocal fold
        fold = session_fold
        observers.append(Noting(study_folder))
        return observers[0]

    plan = plan_study(load_study(folder / STUDY, grammar=Grammar({"no_op": NO_OP}), machine=UnknownMachine()))
    settings = SessionOptions(make_launcher=LAUNCHERS[launcher], check=CheckSettings(idle_s=0))
    ending = start_study(plan, folder, observe, options=settings)
    (observer,) = observers
    (root,) = folder.glob("scale_*/")
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        code = close_session(ending, fold, root, as_json=False)
    ended_s, cpu_s = time.monotonic(), observer.began_cpu_s
    own_ms, kinds = own_times(root)
    return Found(
        code,
        begun=kinds["experiment_running"],
        completed=kinds["experiment_completed"],
        ended=sum(kinds[kind] for kind in ENDINGS),
        own_ms=own_ms,
        cpu_ms=[1000 * (after - before) for before, after in pairwise(cpu_s)],
        first_s=observer.began_s[0] - began_s,
        closing_s=ended_s - observer.began_s[-1],
        memory_mb=[imported_mb, *observer.memory_mb, peak_mb()],
        written_bytes=written_bytes(),
    )


def study(trials: int, *, seconds: float, gpu: bool) -> str:
    """Return a study of so many trials: a window, warm-up and guards of no length, and no repeated measurement."""
    if trials % CYCLES:
        raise SystemExit(f"{trials} trials are not {CYCLES} cycles: give a multiple of {CYCLES}.")
    return json.dumps(
        {
            "name": "scale",
            "cycles": CYCLES,
            "reruns": 0,
            "limits": {"study_s": seconds},
            "model": "none",
            "engine": "no_op",
            "measurement": {
                "sensors": ["nvml"] if gpu else [],
                "warmup_passes": 0,
                "warmup_max_s": 0.0,
                "soak_max_s": 0.0,
                "min_window_s": GPU_WINDOW_S if gpu else 0.0,
                "min_passes": 1,
                "guard_s": 0.0,
                "bare_idle_s": 0.0,
                "phases": False,
                "latency_passes": 0,
                "count_flops": False,
            },
            "sweep": {"no_op.n": list(range(trials // CYCLES))},
        }
    )


def own_times(root: Path) -> tuple[list[float], Counter[str]]:
    """Return the own time of each trial but the last one, in milliseconds, and the number of events of each kind."""
    began: list[datetime] = []
    worked_ns: list[int] = []
    kinds: Counter[str] = Counter()
    with open_reader(root / "journal.db") as reader:
        for row in reader.rows():
            kinds[row.kind] += 1
            if row.kind == "experiment_running":
                began.append(datetime.fromisoformat(row.recorded_at))
            elif row.kind == "phase_entered":
                data = row.payload()
                if data["phase"] == "load":
                    loaded_ns = data["t_ns"]
                elif data["phase"] == "teardown":
                    worked_ns.append(data["t_ns"] - loaded_ns)
    passed_s = [(after - before).total_seconds() for before, after in pairwise(began)]
    return [1000 * s - ns / 1e6 for s, ns in zip(passed_s, worked_ns, strict=False)], kinds


def tell(report: Report, launcher: str, trials: int, found: Found) -> None:
    """Add what one study took to the report."""
    name = f"{launcher}, {trials:,} trials"
    whole = (found.exit_code, found.completed) == (0, trials)
    if not whole and (found.exit_code != 1 or found.ended != found.begun):
        sys.exit(f"{name}: exit code {found.exit_code}, {found.begun:,} trials begun, {found.ended:,} ended")
    if found.begun < 3 * FIRST:
        report.note(f"{name}: only {found.begun} began until the deadline, too few to compare")
        return
    own_ms = None if launcher == "cold" else OWN_MS
    no_more = GROWTH if len(found.own_ms) >= FIRST + 2 * COMPARED else None
    for what, values, at_most, growth_at_most in (
        ("own time", found.own_ms, own_ms, None),
        ("parent's processor time", found.cpu_ms, None, no_more),
    ):
        first, last = ends(values)
        report.add(f"{name}: {what}, first {len(first)}", first, at_most=at_most, unit="ms")
        report.add(f"{name}: {what}, last {len(last)}", last, at_most=at_most, unit="ms")
        growth = statistics.median(last) / statistics.median(first)
        report.add(f"{name}: {what}, last / first", [growth], at_most=growth_at_most)
    before, first_mb, ran_mb, end_mb = found.memory_mb
    report.add(
        f"{name}: peak memory while trials run", [ran_mb], at_most=RSS_MB if trials <= 10_000 else None, unit="MB"
    )
    report.add(f"{name}: written per trial", [found.written_bytes / found.begun / 1000], unit="kB")
    ran = "all are in the journal" if whole else f"{found.begun:,} began until the deadline, and all of them ended"
    report.note(
        f"{name}: {ran}; {found.first_s:.2f} s to the first one, {found.closing_s:.2f} s from the last one's begin "
        f"to the end; peak memory {before:.0f} MB with all imported, {first_mb:.0f} at the first trial, {ran_mb:.0f} "
        f"after the last, {end_mb:.0f} once the results are shown"
    )


def ends(values: list[float]) -> tuple[list[float], list[float]]:
    """Return the first values, those that meet cold caches left out, and as many of the last."""
    count = min(COMPARED, (len(values) - FIRST) // 2)
    return values[FIRST : FIRST + count], values[-count:]


def written_bytes() -> int:
    """Return how many bytes this process and its ended children have had written to the disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


if __name__ == "__main__":
    main()
