"""How long a worker takes to start: until torch and transformers are there and have done one operation; until reaped.

Compared are, in turns, a worker that llem's launcher forks, the same launcher's new process, a bare new process with
the same imports, and a process of multiprocessing's forkserver that has been told to import the same beforehand. All
end clean: each is a process of its own that has computed nothing before. The launcher's part is whole: it asks the
zygote, opens pipes and log, writes the specification, and at the end leaves nothing of the process group.
"""

import importlib
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ratios import Report, options, over

from llem.domain.messages import WorkerSpec
from llem.domain.spec import ExperimentConfig
from llem.study.local import LocalLauncher
from llem.study.signals import EndingSignals
from llem.worker.preload import preload
from llem.worker.zygote import main as serve

CONFIG = ExperimentConfig.model_validate({"model": {"config": "llama", "hidden_size": 64}})
FORKS_A_TURN = 5
HERE = str(Path(__file__).resolve())
Timed = Callable[[], "Times"]


class Times(NamedTuple):
    """Seconds from the start of a process."""

    ready: float
    reaped: float


def operate() -> None:
    """Import what a worker imports, and do one operation."""
    preload(CONFIG, Path("/"))
    torch = importlib.import_module("torch")
    assert float(torch.ones(2).sum()) == 2.0


def be_ready(descriptor: int, hearing: int) -> None:
    """Do one operation and say so on the pipe: what a worker of this benchmark does."""
    operate()
    os.write(descriptor, b'{"type": "phase", "phase": "load", "t_ns": 1}\n')
    os._exit(0)


def ours(launcher: LocalLauncher, spec: WorkerSpec, log: Path, signals: EndingSignals, way: str) -> Times:
    """Start a worker by the launcher, in the way that is expected, and end it."""
    began = time.perf_counter()
    start = launcher.prepare(spec, log, signals)
    assert start.launcher == way, start.cold_because
    attempt = start.start()
    received, over = [], False
    while not received and not over:
        select.select([attempt.fileno()], [], [])
        received, over = attempt.receive()
    ready = time.perf_counter() - began
    exited = attempt.end(patience_s=20, grace_s=1, signals=signals)
    assert received, log.read_text()
    assert exited.code == 0, exited
    return Times(ready, time.perf_counter() - began)


def new_process() -> Times:
    """Start a bare interpreter that imports the same."""
    began = time.perf_counter()
    reader, writer = os.pipe()
    process = subprocess.Popen([sys.executable, HERE, "--cold", str(writer), "0"], pass_fds=(writer,))
    os.close(writer)
    assert os.read(reader, 1)
    ready = time.perf_counter() - began
    os.close(reader)
    assert process.wait() == 0
    return Times(ready, time.perf_counter() - began)


class Forkserver:
    """Starts processes of multiprocessing's forkserver, from a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(HERE).with_name("forkserver_start.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self) -> Times:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("start\n")
        self._process.stdin.flush()
        return Times(*map(float, self._process.stdout.readline().split()))

    def close(self) -> None:
        self._process.communicate()


def in_turns(turns: int, ways: dict[str, tuple[int, Timed]]) -> dict[str, list[Times]]:
    """Return, for each way and turn, the medians of as many starts as it has in a turn."""
    names, found = list(ways), {name: [] for name in ways}
    for turn in range(turns):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            times, action = ways[name]
            starts = [action() for _ in range(times)]
            found[name].append(Times(*map(statistics.median, zip(*starts, strict=True))))
    return found


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--turns", type=int, default=7, help="how often each way has its turn")
    arguments = parser.parse_args()
    report = Report("start of a worker")
    forkserver = Forkserver()
    with tempfile.TemporaryDirectory() as place, EndingSignals() as signals:
        log = Path(place) / "worker.log"
        command = (sys.executable, HERE)
        launcher = LocalLauncher(place, (*command, "--new"), (*command, "--zygote"))
        spec = WorkerSpec(trial="a_c1", attempt=1, config=CONFIG, base_dir="/")
        anew = spec.model_copy(update={"config": exec_config()})
        ways: dict[str, tuple[int, Timed]] = {
            "forked": (FORKS_A_TURN, lambda: ours(launcher, spec, log, signals, "local-warm")),
            "new": (1, lambda: ours(launcher, anew, log, signals, "local-cold")),
            "bare": (1, new_process),
            "forkserver": (FORKS_A_TURN, forkserver),
        }
        once_s = ways["forked"][1]().reaped
        forkserver()
        try:
            found = in_turns(arguments.turns, ways)
        finally:
            launcher.close()
            forkserver.close()
    told = {name: ([one.ready for one in times], [one.reaped for one in times]) for name, times in found.items()}
    for place, what, bar in ((0, "ready", 100), (1, "reaped", 50)):
        forked = told["forked"][place]
        report.add(f"a bare new process / forked, {what}", over(told["bare"][place], forked), at_least=bar)
        report.add(f"llem's new process / forked, {what}", over(told["new"][place], forked))
        report.add(f"forkserver / forked, {what}", over(told["forkserver"][place], forked))
    for name, (ready, reaped) in told.items():
        report.add(f"{name}, ready", [1000 * seconds for seconds in ready], unit="ms")
        report.add(f"{name}, reaped", [1000 * seconds for seconds in reaped], unit="ms")
    report.note(f"The first forked worker of a session waits for its zygote to import: here {once_s:.1f} s.")
    report.finish(arguments.json)


def exec_config() -> ExperimentConfig:
    tree = CONFIG.model_dump()
    return ExperimentConfig.model_validate({**tree, "measurement": {**tree["measurement"], "isolation": "exec"}})


if __name__ == "__main__":
    role, *rest = sys.argv[1:] or [""]
    if role == "--zygote":
        serve(rest, run=be_ready)
    elif role == "--new":
        be_ready(*map(int, rest[1:]))
    elif role == "--cold":
        be_ready(*map(int, rest))
    else:
        main()
