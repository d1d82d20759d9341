"""The commands ``run`` and ``resume``, with the acting worker: what the command line calls, and nothing else.

driver.py run OUTPUT STUDY.yaml [--json] [--fail-fast] [--no-lock]
driver.py resume FOLDER [--json] [--fail-fast] [--no-lock] [--no-retry-failed] [--limit=NAME=VALUE …]
                 [--study=FILE [--extend] [--set=KEY=VALUE …]]
"""

from llem.__main__ import let_signals_end_us

let_signals_end_us()  # as the command line does it: before anything else is imported

# ruff: noqa: E402
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from llem.cli.closing import close_session
from llem.cli.run import SessionView, warn
from llem.domain.errors import LlemError
from llem.domain.steadiness import STEADY_S
from llem.journal.mounts import Mount, mount_of
from llem.study.checking import CheckSettings
from llem.study.device_locks import DeviceLocking
from llem.study.extend import Revision
from llem.study.load import load_study
from llem.study.loading import LOAD_COMMAND
from llem.study.local import LocalLauncher
from llem.study.machine import usable_gpus
from llem.study.options import SessionOptions
from llem.study.plan import plan_study
from llem.study.recording import RecorderClient
from llem.study.relimit import NewLimits
from llem.study.run import resume_study, start_study
from llem.study.signals import EndingSignals

HERE = Path(__file__).parent
WORKER = os.environ.get("LLEM_ACTING_WORKER", str(HERE / "acting_worker.py"))


def make_launcher(study: str) -> LocalLauncher:
    zygote = os.environ.get("LLEM_ACTING_ZYGOTE")
    return LocalLauncher(
        study,
        command=(sys.executable, WORKER) if WORKER.endswith(".py") else (WORKER,),
        zygote=(sys.executable, str(HERE / "acting_zygote.py"), zygote) if zygote else None,
        root=Path(os.environ.get("LLEM_ACTING_ROOT", "/")),
    )


def start_recorder(sensors: Sequence[str], log: Path, signals: EndingSignals) -> RecorderClient:
    if "LLEM_ACTING_RECORDER" in os.environ:
        return RecorderClient(sensors, log, signals, command=(sys.executable, "-P", str(HERE / "acting_recorder.py")))
    return RecorderClient(sensors, log, signals)


def rerun_codes() -> frozenset[str]:
    """Return what a trial runs again for: what an acted worker can do to its own result stands for what may pass."""
    return frozenset(os.environ.get("LLEM_ACTING_RERUN_CODES", "").split())


def check_settings() -> CheckSettings:
    """Return how the sensors are checked: not at all, unless LLEM_CHECK says ``IDLE:LOAD`` in seconds."""
    idle_s, _, load_s = os.environ.get("LLEM_CHECK", "0:0").partition(":")
    loader = os.environ.get("LLEM_ACTING_LOAD", "")
    command = (sys.executable, str(HERE / "acting_load.py"), loader) if loader else LOAD_COMMAND
    return CheckSettings(float(idle_s), float(load_s), command)


def steady_s() -> float:
    """Return how long a device must be steady before a soak ends; LLEM_STEADY_S shortens it."""
    return float(os.environ.get("LLEM_STEADY_S", STEADY_S))


def find_mount(path: Path) -> Mount:
    """Return what the study lies on; LLEM_ACTING_FILE_SYSTEM is another type of file system."""
    mount = mount_of(path)
    return mount._replace(fs_type=os.environ.get("LLEM_ACTING_FILE_SYSTEM", mount.fs_type))


def locking() -> DeviceLocking | None:
    """Return how GPUs are held: their locks lie in LLEM_LOCKS; not at all without it, since tests share theirs."""
    place = os.environ.get("LLEM_LOCKS")
    if place is None:
        return None
    return DeviceLocking(find=partial(usable_gpus, gpu_nodes=[Path(place)]), places=[Path(place)])


def revision_of(flags: Sequence[str]) -> Revision | NewLimits | None:
    limits = [flag.partition("=")[2] for flag in flags if flag.startswith("--limit=")]
    if limits:
        return NewLimits(limits)
    studies = [flag.partition("=")[2] for flag in flags if flag.startswith("--study=")]
    settings = [flag.partition("=")[2] for flag in flags if flag.startswith("--set=")]
    return Revision(Path(studies[-1]), settings, extend="--extend" in flags, warn=warn) if studies else None


def main(arguments: list[str]) -> int:
    flags = [argument for argument in arguments if argument.startswith("--")]
    command, *places = [argument for argument in arguments if argument not in flags]
    options = SessionOptions(
        make_launcher=make_launcher,
        start_recorder=start_recorder,
        rerun_codes=rerun_codes(),
        check=check_settings(),
        steady_s=steady_s(),
        find_mount=find_mount,
        fail_fast="--fail-fast" in flags,
        locking=None if "--no-lock" in flags else locking(),
    )
    view = SessionView(as_json="--json" in flags)
    if command == "run":
        output, study = map(Path, places)
        loaded = load_study(study)
        ending = start_study(plan_study(loaded), output, view.observe, options=options)
    else:
        ending = resume_study(
            Path(places[0]),
            view.observe,
            retry_failed="--no-retry-failed" not in flags,
            revision=revision_of(flags),
            options=options,
        )
    return close_session(ending, view.fold, view.root, as_json="--json" in flags)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LlemError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
