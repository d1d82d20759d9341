"""The peer of ``worker_start.py``: starts a process of multiprocessing's forkserver for each line on stdin.

A file of its own that imports nothing heavy, since every such process imports the main module again. Each line is
answered with the seconds until the process was ready and until it was reaped.
"""

import importlib
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection

IMPORTED_AHEAD = ["llem.engines.transformers_preload", "transformers.models.llama.modeling_llama"]


def be_ready(connection: Connection) -> None:
    """Do one operation and say so."""
    torch = importlib.import_module("torch")
    assert float(torch.ones(2).sum()) == 2.0
    connection.send_bytes(b"ready")


def start() -> tuple[float, float]:
    """Start a process, and return when it was ready and when it was reaped."""
    context = multiprocessing.get_context("forkserver")
    began = time.perf_counter()
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=be_ready, args=(writer,))
    process.start()
    writer.close()
    assert reader.recv_bytes()
    ready = time.perf_counter() - began
    process.join()
    assert process.exitcode == 0
    reader.close()
    return ready, time.perf_counter() - began


if __name__ == "__main__":
    multiprocessing.set_forkserver_preload(IMPORTED_AHEAD)
    for _ in sys.stdin:
        print(*start(), flush=True)
