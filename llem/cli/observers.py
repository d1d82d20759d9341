"""What looks on while a study runs: the manifest's export, and one of three ways to show progress."""

import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console

from llem.cli.console import words_console
from llem.cli.eventtext import baseline_text, row_json
from llem.cli.panel import Panel, bar
from llem.cli.screen import say, silence_broken_streams, tell
from llem.cli.text import duration_text, printable
from llem.cli.words import headline_text
from llem.domain.identity import summary_text
from llem.domain.manifest import TrialStatus
from llem.domain.messages import ProgressMessage
from llem.domain.redaction import redacted
from llem.domain.result import Headline
from llem.domain.row import Row
from llem.domain.spec import CoolDown
from llem.exports.manifest import ManifestExporter
from llem.exports.results import export_results
from llem.projections.manifest import ManifestFold
from llem.projections.trials import TrialState
from llem.study.folder import StudyFolder
from llem.study.gaps import Idle

ENDED: tuple[TrialStatus, ...] = ("completed", "failed", "skipped")
ENDINGS = ("experiment_completed", "experiment_failed", "experiment_interrupted", "experiment_skipped")


class Display(Protocol):
    """One way to show a running study."""

    def saw(self, row: Row, fold: ManifestFold) -> None:
        """An event was recorded."""

    def say(self, text: str) -> None:
        """Show one line."""

    def progress(self, trial: str, phase: str, message: ProgressMessage) -> None:
        """The running trial is this far."""

    def idle(self, idle: Idle) -> None:
        """The session stands idle."""

    def measuring_baseline(self, why: str, left_s: float) -> None:
        """The session measures the bare devices, for so long still."""

    def checking(self, left_s: float) -> None:
        """The sensors are being checked."""

    def tick(self) -> None:
        """Time passed."""

    def close(self) -> None:
        """Nothing more will be shown."""


class StudyObserver:
    """Keeps the manifest exported, the results at the end, and feeds a display; none of it can stop the study.

    A screen that has gone (a closed terminal, a broken pipe) is left alone from then on.

    Args:
        folder: The study's folder.
        display: Shows the study.
    """

    def __init__(self, folder: StudyFolder, display: Display) -> None:
        self._display: Display | None = display
        self._results_file = folder.results_file
        self._exporter = ManifestExporter(folder.manifest, self.warn)
        self._show(lambda display: display.say(f"study folder: {folder.root}"))

    def saw(self, row: Row, fold: ManifestFold) -> None:
        """Export and show an event."""
        self._exporter.update(row, fold)
        self._show(lambda display: display.saw(row, fold))

    def progress(self, trial: str, phase: str, message: ProgressMessage) -> None:
        """Show how far the running trial is."""
        self._show(lambda display: display.progress(trial, phase, message))

    def idle(self, idle: Idle) -> None:
        """Show what the session waits for."""
        self._show(lambda display: display.idle(idle))

    def measuring_baseline(self, why: str, left_s: float) -> None:
        """Show that the bare devices are being measured."""
        self._show(lambda display: display.measuring_baseline(why, left_s))

    def checking(self, left_s: float) -> None:
        """Show how long the sensor check takes yet."""
        self._show(lambda display: display.checking(left_s))

    def warn(self, text: str) -> None:
        """Show a warning."""
        self._show(lambda display: display.say(f"warning: {printable(redacted(text))}"))

    def tick(self) -> None:
        """Export what is due and move the clock on the screen."""
        self._exporter.tick()
        self._show(lambda display: display.tick())

    def close(self, fold: ManifestFold) -> None:
        """Export the last state exactly and end the display."""
        self._exporter.export_now(fold)
        try:
            export_results(fold, self._results_file)
        except OSError as error:
            self.warn(f"{self._results_file.name} could not be written ({error.strerror}); the journal has it all")
        self._show(lambda display: display.close())

    def _show(self, action: Callable[[Display], None]) -> None:
        if self._display is None:
            return
        try:
            action(self._display)
        except OSError:
            self._display = None
            silence_broken_streams()


class Clock:
    """How long a session has run and may still take."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._running: str | None = None
        self._ended = 0

    def saw(self, row: Row) -> None:
        """Count a trial that ran in this session; not one that an earlier session left running."""
        if row.kind == "experiment_running":
            self._running = row.trial
        elif row.kind in ENDINGS and row.trial == self._running:
            self._ended += 1

    def text(self, fold: ManifestFold | None) -> str:
        """Return the elapsed time, and the expected rest once a trial has shown how long one takes."""
        elapsed_s = time.monotonic() - self._started
        if fold is None or not self._ended:
            return duration_text(elapsed_s)
        left = fold.count("pending", "interrupted", "running")
        return f"{duration_text(elapsed_s)}, about {duration_text(elapsed_s / self._ended * left)} left"


class PlainDisplay:
    """One line per ended trial and per gap: for logs, pipes and people who like it so."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._idle_before: str | None = None
        self._baseline_left_s = 0.0
        self._checking = False

    def saw(self, row: Row, fold: ManifestFold) -> None:
        """Show the start of a session, what its baselines found, and the end of each trial."""
        self._clock.saw(row)
        if row.kind == "session_started":
            self.say(session_line(fold))
        elif row.kind == "baseline_measured":
            self.say(baseline_line(row))
        elif row.kind in ENDINGS and row.trial:
            self.say(f"{trial_line(fold, fold.trials[row.trial])}  [{self._clock.text(fold)}]")

    def say(self, text: str) -> None:
        """Write one line to stderr."""
        tell(text, flush=True)

    def progress(self, trial: str, phase: str, message: ProgressMessage) -> None:
        """Progress within a trial is not worth a line."""

    def idle(self, idle: Idle) -> None:
        """Show the beginning of a gap."""
        if idle.trial != self._idle_before:
            self._idle_before = idle.trial
            self.say(idle_text(idle))

    def measuring_baseline(self, why: str, left_s: float) -> None:
        """Show the beginning of a baseline."""
        if left_s > self._baseline_left_s:
            self.say(measuring_text(why, left_s))
        self._baseline_left_s = left_s

    def checking(self, left_s: float) -> None:
        """Show the beginning of the sensor check."""
        if not self._checking:
            self._checking = True
            self.say(checking_text(left_s))

    def tick(self) -> None:
        """Nothing moves."""

    def close(self) -> None:
        """Nothing is held."""


class JsonDisplay(PlainDisplay):
    """Every event as one JSON line on stdout; words go to stderr."""

    def saw(self, row: Row, fold: ManifestFold) -> None:
        """Write the event."""
        say(row_json(row), flush=True)


class LiveDisplay:
    """A panel that stays in place on a terminal; what has changed in it is written once a second."""

    def __init__(self, console: Console) -> None:
        self._clock = Clock()
        self._fold: ManifestFold | None = None
        self._doing = ""
        self._fraction: float | None = None
        self._panel = Panel(console)

    def saw(self, row: Row, fold: ManifestFold) -> None:
        """Show an event: ended trials scroll past, the rest moves the panel."""
        self._fold = fold
        self._clock.saw(row)
        if row.kind == "session_started":
            self.say(session_line(fold))
        elif row.kind == "baseline_measured":
            self.say(baseline_line(row))
            self._doing = ""
        elif row.kind in ENDINGS and row.trial:
            self.say(trial_line(fold, fold.trials[row.trial]))
            self._doing, self._fraction = "", None
        elif row.trial:
            state = fold.trials[row.trial]
            self._doing, self._fraction = f"{_trial_name(state)}: {state.phase or state.status}", None
        self.tick()

    def say(self, text: str) -> None:
        """Show one line above the panel."""
        self._panel.above(text)

    def progress(self, trial: str, phase: str, message: ProgressMessage) -> None:
        """Move the running trial's share."""
        self._fraction = message.fraction

    def idle(self, idle: Idle) -> None:
        """Count the gap down."""
        self._doing, self._fraction = idle_text(idle), None

    def measuring_baseline(self, why: str, left_s: float) -> None:
        """Count the baseline down."""
        self._doing, self._fraction = measuring_text(why, left_s), None

    def checking(self, left_s: float) -> None:
        """Count the sensor check down."""
        self._doing, self._fraction = checking_text(left_s), None

    def tick(self) -> None:
        """Redraw what has changed."""
        fold = self._fold
        done, total = (fold.count(*ENDED), len(fold.trials)) if fold else (0, 1)
        share = f" {self._fraction:.0%}" if self._fraction is not None else ""
        filled = bar((done + (self._fraction or 0) * 0.9) / total)
        self._panel.show(
            f"{filled} {done}/{total} trials  {self._clock.text(fold)}",
            f"{self._doing}{share}" or "…",
        )

    def close(self) -> None:
        """Take the panel away."""
        self._panel.clear()


def choose_display(*, as_json: bool) -> Display:
    """Return the display that suits where the words go."""
    if as_json:
        return JsonDisplay()
    console = words_console()
    alive = console.is_terminal and not console.is_dumb_terminal
    return LiveDisplay(console) if alive else PlainDisplay()


def session_line(fold: ManifestFold) -> str:
    """Return what a session is about to do."""
    left = len(fold.trials) - fold.count("completed")
    name = fold.study["study_name"] if fold.study else "?"
    return f"{name}: {left} of {len(fold.trials)} trials to run"


def trial_line(fold: ManifestFold, state: TrialState) -> str:
    """Return how a trial ended, with its figures or its error."""
    done = fold.count(*ENDED)
    if state.status == "completed" and state.headline:
        outcome = headline_text(Headline.model_validate(state.headline))
    else:
        named = f"{printable(state.error_type or '', 200)}: " if state.status == "failed" else ""
        outcome = named + printable(state.error_message or "", 300)
    return f"[{done}/{len(fold.trials)}] {_trial_name(state)}  {state.status}  {outcome}"


def checking_text(left_s: float) -> str:
    """Return that the sensors are being checked."""
    return f"checking the sensors, about {duration_text(left_s)} left"


def idle_text(idle: Idle) -> str:
    """Return what a session waits for."""
    left = duration_text(idle.left_s)
    if not isinstance(idle.planned, CoolDown):
        return f"idle before the next trial, {left} left"
    now = "unknown" if idle.temperature_c is None else f"{idle.temperature_c:g} °C"
    return f"cooling to {idle.planned.cool_to_c:g} °C, now {now}, at most {left}"


def measuring_text(why: str, left_s: float) -> str:
    """Return why the bare devices are measured, and how long that takes."""
    return f"measuring the idle power of the bare devices ({why}), {duration_text(left_s)} left"


def baseline_line(row: Row) -> str:
    """Return what a baseline found."""
    return f"baseline, {printable(baseline_text(row.payload()))}"


def _trial_name(state: TrialState) -> str:
    return f"{printable(summary_text(state.config_summary))}  cycle {state.cycle}"
