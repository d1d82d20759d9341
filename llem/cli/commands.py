"""The commands with their parameters. What a command needs is loaded when it runs, not when it is explained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token

from llem.domain.names import DEFAULT_ENGINE, OrderKind, ProfileName

STUDIES = Path("studies")

Settings = Annotated[list[str] | None, Parameter(name="--set", negative="", consume_multiple=False)]


def _whole(kind: object, tokens: Sequence[Token]) -> int:
    return int(tokens[0].value)  # not rounded, as 2.5 would be without this


Cycles = Annotated[int | None, Parameter(converter=_whole)]
Output = Annotated[Path, Parameter(name=["--output", "-o"])]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="")]
Switch = Annotated[bool, Parameter(negative="")]


@Parameter(name="*")
@dataclass(frozen=True)
class Changes:
    """What the command line changes of a study file.

    Attributes:
        set_: dotted.key=value, the value in YAML; overrules the file and its sweep. Can be given several times.
        cycles: How often each experiment runs.
        order: In which order trials run.
        profile: Defaults of method and repetition.
    """

    set_: Settings = None
    cycles: Cycles = None
    order: OrderKind | None = None
    profile: ProfileName | None = None

    def settings(self) -> list[str]:
        """Return all of it as ``dotted.key=value``; an option with a name of its own comes last, and so wins."""
        named = {"cycles": self.cycles, "order": self.order, "profile": self.profile}
        return [*(self.set_ or []), *(f"{key}={value}" for key, value in named.items() if value is not None)]


NO_CHANGES = Changes()


def plan(
    study: Path,
    *,
    changes: Changes = NO_CHANGES,
    from_: Annotated[list[Path] | None, Parameter(name="--from", negative="", consume_multiple=False)] = None,
    output: Output = STUDIES,
    explain: Switch = False,
    yes: Yes = False,
    json: Switch = False,
) -> int:
    """Show what a study would run, in which order, and what it would take.

    Parameters
    ----------
    study
        The study file (YAML).
    from_
        Folder of an earlier study to estimate from. Can be given several times.
    output
        Folder in which the study's own folder would be created: its free space is shown.
    explain
        Show every value and where it came from.
    yes
        Plan more than 100,000 trials without asking.
    json
        Print the plan as one line of JSON on stdout.
    """
    from llem.cli.plan import present
    from llem.cli.planning import make_plan

    made = make_plan(study, changes.settings(), yes=yes)
    present(made, from_ or [], output, as_json=json, every_value=explain)
    return 0


def run(
    study: Path,
    *,
    output: Output = STUDIES,
    changes: Changes = NO_CHANGES,
    dry_run: Switch = False,
    fail_fast: Switch = False,
    lock: bool = True,
    yes: Yes = False,
    json: Switch = False,
) -> int:
    """Measure every experiment of a study, each in its own worker process.

    Parameters
    ----------
    study
        The study file (YAML).
    output
        Folder in which the study's own folder is created.
    dry_run
        Show the plan and run nothing, as `llem study plan` does.
    fail_fast
        End the session at the first trial that fails, its retries included; the rest stays pending.
    lock
        Refuse GPUs that another study uses. --no-lock leaves to a scheduler who uses which.
    yes
        Do not ask before a large or long study.
    json
        Print every event as a JSON line on stdout, then a closing line; words go to stderr.
    """
    if dry_run:
        return plan(study, changes=changes, output=output, yes=yes, json=json)
    from llem.cli.run import run_study

    return run_study(study, changes.settings(), output, fail_fast=fail_fast, lock=lock, yes=yes, as_json=json)


def resume(
    folder: Path | None = None,
    *,
    output: Output = STUDIES,
    retry_failed: bool = True,
    study: Path | None = None,
    extend: Switch = False,
    changes: Changes = NO_CHANGES,
    limit: Annotated[list[str] | None, Parameter(negative="", consume_multiple=False)] = None,
    fail_fast: Switch = False,
    lock: bool = True,
    yes: Yes = False,
    json: Switch = False,
) -> int:
    """Go on with a study that stopped, however it stopped.

    Parameters
    ----------
    folder
        The study's folder; the newest unfinished one below --output if left out.
    output
        Where to look for the newest unfinished study.
    retry_failed
        Run failed and skipped trials again.
    study
        A study file that the study must be like; what differs is shown, and nothing runs.
    extend
        Add the experiments and cycles that only --study has. What was measured stays.
    limit
        name=value: another limit from now on, such as study_s=28800; null takes it away. Can be given several times.
    fail_fast
        End the session at the first trial that fails, its retries included; the rest stays pending.
    lock
        Refuse GPUs that another study uses. --no-lock leaves to a scheduler who uses which.
    yes
        With --study: do not ask before many trials are added.
    json
        Print every event as a JSON line on stdout, then a closing line; words go to stderr.
    """
    from llem.cli.resume import newest_unfinished, resume_folder, revision

    asked = revision(study, changes.settings(), limit or [], extend=extend, yes=yes)
    root = newest_unfinished(output) if folder is None else folder
    return resume_folder(root, asked, retry_failed=retry_failed, fail_fast=fail_fast, lock=lock, as_json=json)


def log(
    folder: Path,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    trial: str | None = None,
    kind: str | None = None,
    json: Switch = False,
    verify: Switch = False,
) -> int:
    """Show and audit every event of a study; also while it runs, and from a read-only copy.

    Parameters
    ----------
    folder
        The study's folder.
    follow
        Go on showing events until the session ends.
    trial
        Only this trial's events.
    kind
        Only events of this kind.
    json
        Print JSON lines on stdout.
    verify
        Audit the study instead of showing its events.
    """
    from llem.cli.log import show_audit, show_log

    if verify:
        return show_audit(folder, as_json=json)
    show_log(folder, follow=follow, trial=trial, kind=kind, as_json=json)
    return 0


def status(folder: Path, *, json: Switch = False) -> int:
    """Show where a study stands, from its journal alone; also while it runs.

    Parameters
    ----------
    folder
        The study's folder.
    json
        Print the manifest, whether a session runs it now, and what was found so far, as JSON on stdout.
    """
    from llem.cli.status import show_status

    show_status(folder, as_json=json)
    return 0


def verify(folder: Path, *, json: Switch = False) -> int:
    """Audit a study and recompute its figures; also while it runs, and from a read-only copy.

    Parameters
    ----------
    folder
        The study's folder.
    json
        Print one JSON object on stdout.
    """
    from llem.cli.verify import show_verification

    return show_verification(folder, as_json=json)


def recover(folder: Path, *, dry_run: Switch = False, json: Switch = False) -> int:
    """Put what is sound of a damaged journal into a new one, so that the study can be resumed.

    Parameters
    ----------
    folder
        The study's folder.
    dry_run
        Say what would be kept and lost, and change nothing.
    json
        Print one JSON object on stdout.
    """
    from llem.cli.recover import show_recovery

    show_recovery(folder, dry_run=dry_run, as_json=json)
    return 0


def doctor(*, quick: Switch = False, json: Switch = False) -> int:
    """Show what can be measured on this machine and how well, and what would mend the rest.

    Reads the sensors for some seconds, idle and with the GPUs at work, and compares them with each other.

    Parameters
    ----------
    quick
        Ask the sensors what they are, and do not check them.
    json
        Print the report as JSON on stdout.
    """
    from llem.cli.doctor import examine

    return examine(quick=quick, as_json=json)


def init(
    path: Annotated[Path, Parameter(allow_leading_hyphen=True)] = Path("study.yaml"),
    *,
    engine: str = DEFAULT_ENGINE,
    model: str | None = None,
    force: Switch = False,
) -> int:
    """Write a commented study to start from.

    Parameters
    ----------
    path
        The file to write; - for stdout.
    engine
        The engine that measures.
    model
        A local folder, as seen from the file, or a hub id; a small model with random weights where left out.
    force
        Overwrite the file if it exists.
    """
    from llem.cli.init import write_starter

    write_starter(path, engine=engine, model=model, force=force)
    return 0


def schema() -> int:
    """Print the JSON Schema of study files, for editors."""
    from llem.cli.screen import say
    from llem.study.schema import schema_text

    say(schema_text(), end="")
    return 0
