"""``python -P -m llem.worker.load PARENT SECONDS``: keeps every GPU that CUDA shows at constant work.

For the sensor check, which compares a device's sensors while it works. CUDA_VISIBLE_DEVICES decides which devices
that are, as for any worker: a device that is not ours is left alone.
"""

import os
import signal
import sys
import time
from collections import deque
from typing import Any

from llem.domain.loading import Load
from llem.lifeline import die_with_parent

SIZE = 4096
"""Rows and columns of the matrices: three of them take 100 MB, and one product takes a GPU 0.2 to 20 ms."""
PRODUCTS = 32
WARM_S = 1.0


def main(arguments: list[str]) -> int:
    """Work for so many seconds, then tell when and on what, as one JSON line."""
    parent, seconds = arguments
    die_with_parent(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # The reply has a descriptor of its own: whatever a library prints goes to the log.
    reply = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    reply.write(work(float(seconds)).model_dump_json().encode() + b"\n")
    reply.flush()
    return 0


def work(seconds: float) -> Load:
    """Keep every CUDA device at matrix products for so long, and return what was done."""
    try:
        import torch
    except ImportError as error:
        return Load(reason=f"torch cannot be loaded: {error}")
    if torch.version.cuda is None or not torch.cuda.is_available():
        return Load(reason="torch sees no CUDA device")
    try:
        return keep_busy(torch, seconds)
    except RuntimeError as error:  # of CUDA: out of memory, a device in exclusive use, a lost device
        return Load(reason=f"torch cannot work on the GPUs: {str(error).partition(chr(10))[0]}")


def keep_busy(torch: Any, seconds: float, warm_s: float = WARM_S) -> Load:
    """Keep every CUDA device of ``torch`` at work for ``warm_s`` and then ``seconds``, of which it tells."""
    devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    lanes = [_Lane(torch, device) for device in devices]
    warm_until = time.monotonic() + warm_s
    while time.monotonic() < warm_until:
        for lane in lanes:
            lane.go_on()
    start_ns = time.monotonic_ns()
    while (time.monotonic_ns() - start_ns) / 1e9 < seconds:
        for lane in lanes:
            lane.go_on()
    end_ns = time.monotonic_ns()  # work is still queued: they are busy to this moment
    for device in devices:
        torch.cuda.synchronize(device)
    return Load(
        devices=tuple(f"GPU-{torch.cuda.get_device_properties(device).uuid}" for device in devices),
        start_ns=start_ns,
        end_ns=end_ns,
        name=f"float16 products of {SIZE} x {SIZE} matrices, torch {torch.__version__}",
    )


class _Lane:
    """One device's queue of products, never empty and never long."""

    def __init__(self, torch: Any, device: Any) -> None:
        self._torch = torch
        self._stream = torch.cuda.current_stream(device)
        self._left, self._right, self._out = (
            torch.randn(SIZE, SIZE, device=device, dtype=torch.float16) for _ in range(3)
        )
        self._queued: deque[Any] = deque()

    def go_on(self) -> None:
        """Queue some products more, and wait until two such batches are left."""
        for _ in range(PRODUCTS):
            self._torch.mm(self._left, self._right, out=self._out)
        self._queued.append(self._stream.record_event())
        if len(self._queued) > 2:
            self._queued.popleft().synchronize()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # all has been told; taking torch apart would take its time
