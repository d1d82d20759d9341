"""What a session works with: how its workers and its recorder start, and what it holds to be steady or spoiled."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from llem.domain.steadiness import STEADY_S
from llem.domain.validity import RERUN_CODES
from llem.journal.mounts import FindMount, mount_of
from llem.study.checking import CheckSettings
from llem.study.device_locks import OF_THIS_MACHINE, DeviceLocking
from llem.study.launcher import Launcher
from llem.study.local import LocalLauncher
from llem.study.recorders import StartRecorder
from llem.study.recording import RecorderClient


@dataclass(frozen=True)
class SessionOptions:
    """What a session works with.

    Attributes:
        make_launcher: Makes what starts workers, for a study: the same text in every session of it.
        start_recorder: Starts the recorder.
        rerun_codes: What may be gone next time: a trial that was spoiled by it runs again, up to the plan's limit.
        check: How the sensors are checked at the start; as the study's profile asks where left out.
        steady_s: For so long a device must not have changed before a soak ends, in seconds.
        find_mount: Says what file system the study lies on, which decides how its journal is made durable.
        fail_fast: Whether the first trial that fails, its retries included, ends the session.
        locking: How the GPUs are held, one study at a time; None leaves that to a scheduler.
    """

    make_launcher: Callable[[str], Launcher] = LocalLauncher
    start_recorder: StartRecorder = RecorderClient
    rerun_codes: Collection[str] = RERUN_CODES
    check: CheckSettings | None = None
    steady_s: float = STEADY_S
    find_mount: FindMount = mount_of
    fail_fast: bool = False
    locking: DeviceLocking | None = OF_THIS_MACHINE


USUAL = SessionOptions()
