"""How soon the command line is there, as ratios of whole processes taken in alternation in one run.

    python benchmarks/startup.py [--turns 15] [--events 100000] [--peers VENV …] [--json FILE]

- the floor: `python -c "import cyclopts"`, the parser alone, from its start to its end.
- ours: help texts, refusals and short commands to their end; `llem study log` to the first event on a pipe, of a
  small journal and of one of `--events` events; `llem study run --json` to its first event, the recorder's start
  included.
- memory: the peak of a whole `llem study log`, of the small and of the large journal.
- peers: `--help` of llenergymeasure and of optimum-benchmark, where an environment given by `--peers` has them.

Every process finds its bytecode, as an installed program does: a first turn that counts nowhere writes it.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path

from filled_journal import fill
from ratios import Report, options, over

FLOOR = "import cyclopts"
SMALL = 100
PEER_TURNS = 3
PEERS = {"llenergymeasure": "llem", "optimum_benchmark": "optimum-benchmark"}
"""Distribution, as its folder of metadata begins → executable."""
STUDY = "name: bench\nmodel: {config: llama, hidden_size: 64}\n"

Run = Callable[[], float]


def main() -> None:
    """Run the benchmark in a fresh folder of the current disk."""
    parser = options(__doc__)
    parser.add_argument("--turns", type=int, default=15, help="how often each process is started")
    parser.add_argument("--events", type=int, default=100_000, help="events of the large journal")
    parser.add_argument("--peers", type=Path, nargs="*", default=[], help="virtual environments with other tools")
    arguments = parser.parse_args()
    report = Report("start-up")
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as spare:
        folder = Path(spare)
        for count in (SMALL, arguments.events):
            (folder / str(count)).mkdir()
            fill(folder / str(count) / "journal.db", count)
        (folder / "study.yaml").write_text(STUDY)
        measure_ours(report, folder, arguments.events, arguments.turns)
        for count in (SMALL, arguments.events):
            report.add(f"a whole log of {count:,} events, peak memory", [log_peak_mb(folder / str(count))], unit="MB")
        measure_peers(report, arguments.peers, folder)
    report.finish(arguments.json)


def measure_ours(report: Report, folder: Path, events: int, turns: int) -> None:
    """Add what our commands take over the floor."""
    small, large = str(folder / str(SMALL)), str(folder / str(events))
    runs = {
        "--help": ended(llem("--help"), folder),
        f"study log, first of {SMALL} events": first_event(llem("study", "log", small), folder),
        f"study log, first of {events:,} events": first_event(llem("study", "log", large), folder),
        f"study log --json, first of {events:,}": first_event(llem("study", "log", large, "--json"), folder),
        "--version": ended(llem("--version"), folder),
        "study run --help": ended(llem("study", "run", "--help"), folder),
        "study nonsense": ended(llem("study", "nonsense"), folder),
        f"study status of {SMALL} events": ended(llem("study", "status", small), folder),
        "study plan of one experiment": ended(llem("study", "plan", "study.yaml"), folder),
        "study run --json, first event": first_event(llem("study", "run", "study.yaml", "--json"), folder),
    }
    bars = {name: 1.3 for name in runs if name.startswith("study log")} | {"--help": 2.0}
    found = taken_in_turns(turns, {FLOOR: floor(folder), **runs})
    report.add(f'python -c "{FLOOR}"', [1000 * seconds for seconds in found[FLOOR]], unit="ms")
    for name in runs:
        report.add(f"llem {name} / the floor", over(found[name], found[FLOOR]), at_most=bars.get(name))


def measure_peers(report: Report, environments: Sequence[Path], folder: Path) -> None:
    """Add what the help of other tools takes over the floor; a tool that is not installed is told."""
    for distribution, program in PEERS.items():
        homes = [home for home in environments if any(home.glob(f"lib/python*/site-packages/{distribution}-*"))]
        if not homes:
            report.note(f"{distribution} is not installed in an environment given by --peers")
            continue
        help_text = ended([str(homes[0].absolute() / "bin" / program), "--help"], folder)
        found = taken_in_turns(PEER_TURNS, {"floor": floor(folder), "peer": help_text})
        report.add(f"{distribution}: {program} --help / the floor", over(found["peer"], found["floor"]))


def taken_in_turns(turns: int, runs: Mapping[str, Run]) -> dict[str, list[float]]:
    """Return the seconds of each run, turn by turn; each turn begins with another one, and one more comes before."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(-1, turns):
        for name in islice(cycle(runs), turn % len(runs), turn % len(runs) + len(runs)):
            seconds = runs[name]()
            if turn >= 0:
                found[name].append(seconds)
    return found


def llem(*arguments: str) -> list[str]:
    """Return the command line as its installed script runs it."""
    return [sys.executable, "-c", "import sys; from llem.cli import main; sys.exit(main())", *arguments]


def floor(folder: Path) -> Run:
    """Return the run of the parser's import."""
    return ended([sys.executable, "-c", FLOOR], folder)


def ended(command: Sequence[str], folder: Path) -> Run:
    """Return a run of ``command`` that gives the seconds until it has ended."""

    def run() -> float:
        started = time.perf_counter()
        process = start(command, folder, stdout=subprocess.DEVNULL)
        process.wait()
        return time.perf_counter() - started

    return run


def first_event(command: Sequence[str], folder: Path) -> Run:
    """Return a run of ``command`` that gives the seconds until its first event can be read; then it is killed."""

    def run() -> float:
        started = time.perf_counter()
        with start(command, folder, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            if line.split()[:1] == [b"seq"]:  # the table's head
                line = process.stdout.readline()
            seconds = time.perf_counter() - started
            process.kill()
        if not line.endswith(b"\n"):
            raise SystemExit(f"{command[-3:]} showed no event")
        return seconds

    return run


def log_peak_mb(root: Path) -> float:
    """Return the peak memory of a process that prints the whole log, by its own account."""
    account = "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0], file=sys.stderr)"
    script = f"import sys\nfrom llem.cli import main\ntry:\n    main()\nfinally:\n    {account}"
    command = [sys.executable, "-c", script, "study", "log", str(root)]
    with start(command, root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _, told = process.communicate()
    if process.returncode:
        raise SystemExit(told.decode())
    return int(told.split()[1]) * 1024 / 1e6


def start(
    command: Sequence[str], folder: Path, stdout: int, stderr: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a process in ``folder`` as a shell would, whatever this one was told of buffers and bytecode."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=stdout, stderr=stderr)


if __name__ == "__main__":
    main()
