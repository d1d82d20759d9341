"""What the manifest's export adds to a study, as ratios taken in alternation in one run: never an absolute time.

    python benchmarks/exports.py [--trials N ...] [--json FILE]

- exports: a study of N instant trials with a ``ManifestExporter`` looking on, over the same study without one. Each
  trial is recorded durably and folded as a session does it: started, two phases, completed with its figures.
- staleness: how long the oldest change that was not exported yet had waited when its export was done, in seconds;
  that of the first export, which makes every entry, included.
- whole: the same for an export of the whole manifest at every transition, in the middle of a study of 1,000 trials.

Both studies of a pair go on in turns: five stretches of about four seconds, spread evenly over the study; what lies
between them is recorded in bulk, unmeasured. The exporter's clock stands still in the other one's turns.
"""

import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from filled_journal import HEADLINE, plan
from ratios import Report, alternated, options, over, seconds

from llem.domain.events import Event, ExperimentCompleted, ExperimentRunning, PhaseEntered
from llem.domain.row import Row
from llem.exports.manifest import SAYS_NOTHING_NEW, ManifestExporter
from llem.journal.durable import write_durably
from llem.journal.journal import Journal
from llem.projections.manifest import ManifestFold

CYCLES = 5
STRETCHES = 5
STRETCH_S = 4.0
STALE_AT_MOST_S = 1.2
WHOLE_TRIALS = 1_000
WHOLE_STRETCH = 20


def main() -> None:
    """Run the comparison for each number of trials and print the table."""
    parser = options(__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000], help="trials of a study")
    arguments = parser.parse_args()
    report = Report("exports")
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        for trials in arguments.trials:
            compare(report, Path(folder), trials)
        compare_whole(report, Path(folder))
    report.note("the study is on the disk of the current folder; ratios are of wall-clock time, stretch by stretch")
    report.finish(arguments.json)


def compare(report: Report, folder: Path, trials: int) -> None:
    """Add the rows for a study of so many trials."""
    bare, exporting = Study(folder / f"bare-{trials}", trials), ExportingStudy(folder / f"exporting-{trials}", trials)
    first = trials // 50
    stretch_s = seconds(lambda: bare.go_on(first))
    exporting.go_on(first)
    part = (trials - first) // STRETCHES
    stretch = min(part, round(first * STRETCH_S / stretch_s))
    times_s: dict[str, list[float]] = {"exporting": [], "bare": []}
    for number in range(STRETCHES):
        studies: list[tuple[str, Study]] = [("exporting", exporting), ("bare", bare)]
        for name, study in studies[:: -1 if number % 2 else 1]:
            times_s[name].append(seconds(lambda study=study: study.go_on(stretch)))
        for _, study in studies if part > stretch else ():
            study.skip(part - stretch)
    exporting.check()
    bar = 1.10 if trials <= 10_000 else 1.25
    report.add(f"{trials:,} trials: with exports / journal only", over(times_s["exporting"], times_s["bare"]))
    # A stretch may hold one export more or less than its share: the bar is for all of them together.
    report.add("… over all stretches", [sum(times_s["exporting"]) / sum(times_s["bare"])], at_most=bar)
    report.add("… staleness", exporting.staleness_s, unit="s")
    report.add("… worst staleness", [max(exporting.staleness_s)], at_most=STALE_AT_MOST_S, unit="s")
    exported_mb = exporting.written_bytes / 1e6 / (sum(times_s["exporting"]))
    report.add("… written by exports per second", [exported_mb], unit="MB")


def compare_whole(report: Report, folder: Path) -> None:
    """Add the row for exports of the whole manifest at every transition, seen in the middle of a study."""
    bare, whole = Study(folder / "bare-whole", WHOLE_TRIALS), WholeStudy(folder / "whole", WHOLE_TRIALS)
    for study in (bare, whole):
        study.skip(WHOLE_TRIALS // 2)
    times_s = alternated(
        STRETCHES, {"whole": lambda: whole.go_on(WHOLE_STRETCH), "bare": lambda: bare.go_on(WHOLE_STRETCH)}
    )
    ratios = over(times_s["whole"], times_s["bare"])
    report.add(f"{WHOLE_TRIALS:,} trials: whole manifest at every transition / journal only", ratios)
    report.add("… written for each trial", [whole.written_bytes / (STRETCHES * WHOLE_STRETCH) / 1e6], unit="MB")


class Study:
    """A study whose trials take no time.

    Args:
        folder: Where it goes.
        trials: How many it has.
    """

    def __init__(self, folder: Path, trials: int) -> None:
        folder.mkdir()
        self.journal = Journal(folder / "journal.db")
        self.fold = ManifestFold().apply_all(self.journal.append_all(plan(trials // CYCLES, CYCLES)))
        self.left = iter([state.trial for state in self.fold.in_order()])

    def go_on(self, trials: int) -> None:
        """Run so many more trials."""
        for _ in range(trials):
            for event in trial_events(next(self.left)):
                self.saw(self.append([event])[0])

    def skip(self, trials: int) -> list[Row]:
        """Record so many more trials in bulk, and return their rows."""
        return self.append([event for trial in islice(self.left, trials) for event in trial_events(trial)])

    def append(self, events: list[Event]) -> list[Row]:
        rows = self.journal.append_all(events)
        self.fold.apply_all(rows)
        return rows

    def saw(self, row: Row) -> None:
        """Nobody looks on."""


class ExportingStudy(Study):
    """The same with the exporter of a session."""

    def __init__(self, folder: Path, trials: int) -> None:
        super().__init__(folder, trials)
        self.path = folder / "manifest.json"
        self.clock = StopWatch()
        self.exporter = ManifestExporter(self.path, print, self.clock)
        self.staleness_s: list[float] = []
        self.written_bytes = 0
        self._stale_since_s: float | None = None
        self._written_ns = 0

    def go_on(self, trials: int) -> None:
        with self.clock:
            super().go_on(trials)

    def skip(self, trials: int) -> list[Row]:
        rows = super().skip(trials)
        for row in rows:
            self.exporter.update(row, self.fold)
        self.exporter.export_now(self.fold)  # thousands of trials at once are nobody's second
        self._stale_since_s, self._written_ns = None, self.path.stat().st_mtime_ns
        return rows

    def saw(self, row: Row) -> None:
        if row.kind in SAYS_NOTHING_NEW:
            self.exporter.update(row, self.fold)
            return
        if self._stale_since_s is None:
            self._stale_since_s = self.clock()
        self.exporter.update(row, self.fold)
        written = self.path.stat()
        if written.st_mtime_ns != self._written_ns:  # each export replaces the file
            self.staleness_s.append(self.clock() - self._stale_since_s)
            self.written_bytes += written.st_size
            self._stale_since_s, self._written_ns = None, written.st_mtime_ns

    def check(self) -> None:
        """Export the end, and be sure that it is what the model writes."""
        self.exporter.export_now(self.fold)
        assert self.path.read_bytes() == whole_manifest(self.fold)


class StopWatch:
    """Seconds, counted within its context only."""

    def __init__(self) -> None:
        self._before_s, self._since_s = 0.0, None

    def __call__(self) -> float:
        return self._before_s + (0.0 if self._since_s is None else time.monotonic() - self._since_s)

    def __enter__(self) -> None:
        self._since_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._before_s, self._since_s = self(), None


class WholeStudy(Study):
    """The same with an export of everything at every transition."""

    def __init__(self, folder: Path, trials: int) -> None:
        super().__init__(folder, trials)
        self.path = folder / "manifest.json"
        self.written_bytes = 0

    def saw(self, row: Row) -> None:
        if row.kind not in SAYS_NOTHING_NEW:
            content = whole_manifest(self.fold)
            write_durably(self.path, content)
            self.written_bytes += len(content)


def whole_manifest(fold: ManifestFold) -> bytes:
    """Return the manifest, every entry made anew."""
    manifest = fold.manifest()
    assert manifest is not None
    return manifest.model_dump_json(indent=2).encode() + b"\n"


def trial_events(trial: str) -> Iterator[Event]:
    """Yield what is recorded of a trial that completes."""
    yield ExperimentRunning(trial=trial, attempt=1, log_file=f"logs/{trial}_a1.log", launcher="bench")
    yield PhaseEntered(trial=trial, attempt=1, phase="load", t_ns=1)
    yield PhaseEntered(trial=trial, attempt=1, phase="measure", t_ns=2)
    yield ExperimentCompleted(
        trial=trial, attempt=1, result_file=f"model_{trial}.json", result_sha256="0" * 64, headline=HEADLINE
    )


if __name__ == "__main__":
    main()
