"""The facts of the machine that can change a figure: a fixed list, never a dump of the environment."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llem.domain.errors import EnvironmentNotFitError
from llem.domain.host import Host
from llem.journal.journal import utc_now, utc_text
from llem.journal.lock import LockHolder

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "nvidia-ml-py",
    "codecarbon",
    "pydantic",
    "sqlite-utils",
)
ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "HF_HUB_OFFLINE",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TORCHINDUCTOR_CACHE_DIR",
)


def require_linux() -> None:
    """Refuse any other system.

    Raises:
        EnvironmentNotFitError: This is not Linux.
    """
    if platform.system() != "Linux":
        raise EnvironmentNotFitError(
            f"llem measures on Linux; this is {platform.system()}.",
            remedy="Run it on a Linux machine. A study's folder can be read anywhere with SQLite.",
        )


def host_facts() -> Host:
    """Return the facts of this machine. Package versions are read without importing the packages."""
    return Host(
        name=platform.node(),
        boot_id=boot_id(),
        kernel=platform.release(),
        cpu=_cpu_model(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=platform.python_version(),
        packages={name: found for name in PACKAGES if (found := _version(name)) is not None},
        environment={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    )


def this_process() -> LockHolder:
    """Return what a study's lock tells of this process."""
    return LockHolder(pid=os.getpid(), host=platform.node(), boot_id=boot_id(), started_at=utc_text(utc_now()))


def boot_id() -> str:
    """Return the kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
