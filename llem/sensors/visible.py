"""Which GPUs CUDA shows a process: what CUDA_VISIBLE_DEVICES says, in terms of NVML's list."""

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile

MIG = "MIG-"


def identifiers(asked_for: str) -> list[int] | list[str]:
    """Return what CUDA_VISIBLE_DEVICES names up to the first bad word: the beginnings of UUIDs, or numbers.

    It is read as ``torch.cuda._parse_visible_devices`` reads it: the first identifier that names no GPU ends the
    list, and one that is named twice empties it.
    """
    words = [word.strip() for word in asked_for.split(",")]
    kind = next((kind for kind in ("GPU-", MIG) if asked_for.startswith(kind)), None)
    if kind is not None:
        uuids = list(takewhile(lambda word: word.startswith(kind), words))
        return uuids if len(set(uuids)) == len(uuids) else []
    # CUDA reads as far as there are digits: 1gpu is 1.
    found = takewhile(bool, (re.match(r"\+?\d+", word) for word in words))
    numbers = [int(number[0]) for number in found if number]
    return numbers if len(set(numbers)) == len(numbers) else []


def index_of(start_of_uuid: str, uuids: Sequence[str]) -> int | None:
    """Return the place of the one UUID that begins so; None where none or several do."""
    found = [index for index, uuid in enumerate(uuids) if uuid.startswith(start_of_uuid)]
    return found[0] if len(found) == 1 else None


def visible(
    uuids: Sequence[str], asked_for: str | None, *, numbered: bool, parts: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the UUIDs of the GPUs that CUDA may show; where nothing tells which, all of them.

    Args:
        uuids: Every GPU that NVML lists, in its order, which is that of the PCI bus.
        asked_for: The value of CUDA_VISIBLE_DEVICES, None where it is not set.
        numbered: Whether a number names the GPU at that place in ``uuids``: not where CUDA orders GPUs that differ by
            speed, nor where one is partitioned.
        parts: The GPU of each MIG instance, by the instance's UUID.
    """
    if asked_for is None:
        return tuple(uuids)
    shown: list[str] = []
    for identifier in identifiers(asked_for):
        if isinstance(identifier, int):
            if not numbered:
                return tuple(uuids)
            index = identifier if identifier < len(uuids) else None
        elif identifier.startswith(MIG):
            gpu = _gpu_of(identifier, parts)
            if gpu not in uuids:
                return tuple(uuids)
            index = uuids.index(gpu)
        else:
            index = index_of(identifier, uuids)
        if index is None:
            break
        shown.append(uuids[index])
    return tuple(dict.fromkeys(shown))


def _gpu_of(instance: str, parts: Mapping[str, str]) -> str | None:
    """Return the GPU of a MIG instance: ``MIG-GPU-<uuid>/<gi>/<ci>`` names it, ``MIG-<uuid>`` is looked up."""
    if instance.startswith(MIG + "GPU-"):
        return instance.removeprefix(MIG).partition("/")[0]
    index = index_of(instance, list(parts))
    return None if index is None else parts[list(parts)[index]]
