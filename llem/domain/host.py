"""The machine that a session runs on."""

from llem.domain.model import Value


class Host(Value):
    """The machine that a session runs on, from a fixed list of facts; never a dump of its environment.

    Attributes:
        name: Host name.
        boot_id: The kernel's id of this boot: monotonic clocks of two sessions compare only within one.
        kernel: Kernel release.
        cpu: Processor model, as the kernel names it.
        cpus: Processors that this process may run on.
        memory_bytes: Memory of the machine.
        python: Python version.
        packages: Versions of the packages that can change a figure, by distribution.
        environment: Values of the few variables that can change a figure (see docs/journal.md).
    """

    name: str
    boot_id: str
    kernel: str
    cpu: str
    cpus: int
    memory_bytes: int
    python: str
    packages: dict[str, str]
    environment: dict[str, str]


class Gpu(Value):
    """A GPU that a new process of this machine can use.

    Attributes:
        name: Its model.
        compute_capability: Major and minor of CUDA's compute capability; None is unknown.
        memory_bytes: All of its memory, used or not; None is unknown.
    """

    name: str
    compute_capability: tuple[int, int] | None
    memory_bytes: int | None


def host_drift(before: Host, now: Host) -> list[str]:
    """Return what changed between two sessions that can change a figure, as ``what: before → now``."""
    told_apart = ("name", "kernel", "cpu", "cpus", "memory_bytes", "python")
    changes = [(name, getattr(before, name), getattr(now, name)) for name in told_apart]
    for old, new in ((before.packages, now.packages), (before.environment, now.environment)):
        changes += [(name, old.get(name), new.get(name)) for name in sorted({*old, *new})]
    return [f"{name}: {old} → {new}" for name, old, new in changes if old != new]
