import errno
import os

import pytest

from llem.domain.messages import ErrorMessage
from llem.engines.base import EngineError
from llem.worker.attempt import told


class OutOfMemoryError(RuntimeError):
    """Called as torch calls its own."""


def test_memory_that_there_cannot_be_is_told_as_such():
    with pytest.raises(MemoryError) as refused:
        bytearray(1 << 62)
    assert told(refused.value) == ErrorMessage(error_type="OutOfMemory", error_message="MemoryError")


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA out of memory. Tried to allocate 64.00 GiB."),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_every_way_in_which_libraries_say_that_memory_ran_out_is_one_type(error):
    assert told(error) == ErrorMessage(error_type="OutOfMemory", error_message=str(error))


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(errno.ENOENT, "no such file")])
def test_other_errors_keep_their_class_and_trace(error):
    message = told(error)
    assert message.error_type == type(error).__name__
    assert message.traceback is not None


SECRET = "correct-horse-battery"


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (RuntimeError(f"401 with {SECRET}"), "RuntimeError"),
        (MemoryError(f"401 with {SECRET}"), "OutOfMemory"),
        (EngineError("ModelNotLoaded", f"401 with {SECRET}", remedy="Log in."), "ModelNotLoaded"),
    ],
)
def test_a_secret_that_an_error_quotes_does_not_leave_the_worker(error, error_type, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    message = told(error)
    assert message.error_type == error_type
    assert message.error_message.startswith("401 with [redacted]")
    assert SECRET not in message.model_dump_json()
