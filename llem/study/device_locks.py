"""One study per GPU: a lock for each, where all users of the machine find it, that the kernel releases."""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from llem.domain.errors import EnvironmentNotFitError
from llem.domain.model import Value
from llem.domain.spec import ExperimentConfig
from llem.engines import ENGINES
from llem.journal.lock import acquired
from llem.study.host import this_process
from llem.study.machine import usable_gpus

PLACES = (Path("/run/lock"), Path("/tmp"))
"""Where the folder of locks may lie. Fixed: ``TMPDIR`` differs between users and between jobs of a scheduler."""
FOLDER = "llem-gpus"
OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
MOST_BYTES = 10_000


class DeviceHolder(Value):
    """Which study holds a device, as the file of its lock says: anybody may write that, so it is shown, no more."""

    study: str
    pid: int
    host: str
    boot_id: str
    started_at: str


class DeviceLocks:
    """The locks on the GPUs that a session uses, for its life.

    Children inherit no descriptor, so none of them keeps a lock that a dead session had.

    Args:
        devices: The GPUs, by UUID; with none, no file is touched.
        study: The study's folder.
        places: Folders that every user may write in; the first that is such a one has the locks.

    Raises:
        EnvironmentNotFitError: Another study holds one of them, or a lock cannot be had; none is held then.
    """

    def __init__(self, devices: Iterable[str], study: Path, places: Sequence[Path] = PLACES) -> None:
        self._descriptors: list[int] = []
        # In the same order everywhere: of two that start at once, one gets them all.
        wanted = sorted(set(devices))
        if not wanted:
            return
        holder = DeviceHolder(study=str(study.resolve()), **vars(this_process()))
        root = next((place for place in places if _is_shared(place)), places[-1]) / FOLDER
        try:
            folder = _opened_folder(root)
            self._descriptors.append(folder)
            for device in wanted:
                self._descriptors.append(_locked(device, folder, holder))
        except OSError as error:
            self.release()
            raise _no_lock(root, error) from error
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of all of them. Closing the descriptors is what releases them."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@dataclass(frozen=True)
class DeviceLocking:
    """How a session holds the GPUs of its study.

    Attributes:
        find: Says which GPUs a study can use here, by UUID.
        places: Where the locks may lie; see ``DeviceLocks``.
    """

    find: Callable[[], Sequence[str]] = usable_gpus
    places: Sequence[Path] = PLACES

    def hold(self, study: Path) -> DeviceLocks:
        """Take the locks for the study in this folder.

        Raises:
            EnvironmentNotFitError: Another study holds one of them, or a lock cannot be had.
        """
        return DeviceLocks(self.find(), study, self.places)


OF_THIS_MACHINE = DeviceLocking()


def may_use_gpus(configs: Iterable[ExperimentConfig]) -> bool:
    """Return whether any of these experiments may put anything on a GPU."""
    # An engine that only another launcher knows may do what it likes.
    return any(config.engine not in ENGINES or ENGINES[config.engine].may_use_gpu(config) for config in configs)


def _is_shared(place: Path) -> bool:
    """Return whether every user finds or makes the folder of locks there, whoever comes first."""
    try:
        mode = place.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH and mode & stat.S_ISVTX) or (place / FOLDER).is_dir()


def _opened_folder(root: Path) -> int:
    with _for_everybody():
        try:
            root.mkdir(0o1777)
        except FileExistsError:
            pass
    # A link in its place could lead anywhere.
    return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _locked(device: str, folder: int, holder: DeviceHolder) -> int:
    """Return the descriptor of a device's lock, which is ours as long as that is open.

    Raises:
        EnvironmentNotFitError: Another study holds it.
        OSError: It cannot be had.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", device) + ".lock"
    while True:
        descriptor = _opened(name, folder)
        try:
            if not acquired(descriptor):
                raise _in_use(device, _written(descriptor))
            if _is_there(name, folder, descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, holder.model_dump_json().encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # what cleans temporary folders removed it meanwhile


def _opened(name: str, folder: int) -> int:
    """Open a lock's file, made where missing so that every user can open it too."""
    try:
        # Without O_CREAT: in a sticky folder the kernel may refuse that for what another user made.
        descriptor = os.open(name, OPEN, dir_fd=folder)
    except FileNotFoundError:
        try:
            with _for_everybody():
                descriptor = os.open(name, OPEN | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
        except FileExistsError:
            descriptor = os.open(name, OPEN, dir_fd=folder)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EPERM, "it is no plain file of one name", name)
    return descriptor


def _is_there(name: str, folder: int, descriptor: int) -> bool:
    ours = os.fstat(descriptor)
    try:
        named = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)


def _written(descriptor: int) -> DeviceHolder | None:
    try:
        return DeviceHolder.model_validate_json(os.pread(descriptor, MOST_BYTES, 0))
    except (OSError, ValidationError):
        return None


@contextmanager
def _for_everybody() -> Iterator[None]:
    """Make files and folders with the mode that is asked for: a change of mode afterwards would come too late."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def _in_use(device: str, holder: DeviceHolder | None) -> EnvironmentNotFitError:
    who = (
        f"{holder.study} (process {holder.pid} on {holder.host}, since {holder.started_at})"
        if holder
        else "a study that left no name"
    )
    return EnvironmentNotFitError(
        f"{device} is in use by another study: {who}. Nothing was run.",
        remedy="Wait until it is over, or end that process. CUDA_VISIBLE_DEVICES gives this study other GPUs; "
        "--no-lock leaves to a scheduler who uses which.",
    )


def _no_lock(root: Path, error: OSError) -> EnvironmentNotFitError:
    return EnvironmentNotFitError(
        f"The GPUs' locks in {root} cannot be had: {error.filename or root}: {error.strerror}. Nothing was run.",
        remedy=f"Have every user able to write there (sudo chmod 1777 {root}), or leave the locks out: --no-lock.",
    )
