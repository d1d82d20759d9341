"""One attempt, from the specification on stdin to the last message: the same however its process was started."""

import errno
import os
import pkgutil
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel

from llem.domain.messages import ErrorMessage, ResultMessage, WorkerSpec
from llem.domain.redaction import redacted
from llem.engines import ENGINES
from llem.engines.base import Engine, EngineError
from llem.worker.hearing import HearingPipe
from llem.worker.preload import preload
from llem.worker.protocol import measure

NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""What torch, the driver, cuBLAS and cuDNN say in an exception of any class where an allocation failed."""


def run(descriptor: int, hearing: int) -> NoReturn:
    """Run one attempt and leave the process: with 0 after a result, with 1 after an error; both were sent first.

    Args:
        descriptor: Messages go out on it.
        hearing: What the parent says meanwhile comes in on it.
    """
    code = _attempt(descriptor, hearing)
    sys.stdout.flush()
    sys.stderr.flush()
    # All that counts has been sent. Taking torch apart in order would cost every trial most of a second.
    os._exit(code)


def _attempt(descriptor: int, hearing: int) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    pipe = os.fdopen(descriptor, "wb")

    def send(message: BaseModel) -> None:
        pipe.write(message.model_dump_json().encode() + b"\n")
        pipe.flush()

    try:
        spec = WorkerSpec.model_validate_json(sys.stdin.buffer.read())
        hear = HearingPipe(hearing)
        engine = _engine(spec)
        send(ResultMessage(measured=measure(engine, spec, send, hear)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must be told what it was
        send(told(error))
        sys.stderr.write(redacted(_trace(error)))
        return 1
    return 0


def _engine(spec: WorkerSpec) -> Engine:
    base_dir = Path(spec.base_dir)
    preload(spec.config, base_dir)
    adapter = pkgutil.resolve_name(ENGINES[spec.config.engine].adapter)
    engine: Engine = adapter(spec.config, base_dir)
    return engine


def told(error: Exception) -> ErrorMessage:
    """Return the message for an exception: its own words where it has them, else its class and trace."""
    text = redacted(str(error) or type(error).__name__)
    if isinstance(error, EngineError):
        return ErrorMessage(error_type=error.error_type, error_message=text[:20_000])
    if _is_out_of_memory(error, text):
        return ErrorMessage(error_type="OutOfMemory", error_message=text[:10_000])
    trace = redacted(_trace(error))[-100_000:]
    return ErrorMessage(error_type=type(error).__name__, error_message=text[:20_000], traceback=trace)


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _is_out_of_memory(error: Exception, text: str) -> bool:
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in text for words in NO_MEMORY)
    )
