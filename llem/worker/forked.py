"""From a zygote's fork to a worker that is as if it had been started anew."""

import os
import random
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from llem.lifeline import die_with_parent


def become_worker(
    zygote: int, descriptors: Sequence[int], environment: Mapping[str, str], run: Callable[[int, int], object]
) -> NoReturn:
    """Become a worker: called in the forked child, and never returns.

    Signal handlers, mask, working directory, umask and limits are those of a new process already: a zygote changes
    none of them.

    Args:
        zygote: The zygote's process.
        descriptors: Specification, log, and the pipes to the parent and from it.
        environment: Variables to set.
        run: What the worker does.
    """
    code = 1
    try:
        os.setpgid(0, 0)
        die_with_parent(zygote)
        messages, hearing = _take_over(descriptors)
        os.environ.update(environment)
        seed_afresh()
        name_process("llem-worker")
        sys.argv[1:] = [str(zygote), str(messages), str(hearing)]
        run(messages, hearing)
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may climb back into the zygote's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _take_over(descriptors: Sequence[int]) -> tuple[int, int]:
    """Put the standard streams in their place and close every other descriptor but the two pipes."""
    specification, log, messages, hearing = descriptors
    os.dup2(specification, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    kept = sorted((2, messages, hearing, os.sysconf("SC_OPEN_MAX")))
    for low, high in pairwise(kept):
        os.closerange(low + 1, high)
    return messages, hearing


def seed_afresh() -> None:
    """Seed the generators that a new process seeds from the system, so that no two workers draw the same."""
    random.seed()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    if (torch := sys.modules.get("torch")) is not None:
        torch.default_generator.seed()


def name_process(name: str) -> None:
    """Have ``ps`` and ``top`` show this process under a name of at most 15 characters."""
    Path("/proc/self/comm").write_text(name)
