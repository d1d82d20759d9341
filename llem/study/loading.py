"""The parent's side of a load generator: started, waited for, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from llem.domain.loading import Load
from llem.domain.messages import shown
from llem.lifeline import tied_to_us
from llem.study.logs import open_log
from llem.study.signals import EndingSignals

LOAD_COMMAND = (sys.executable, "-P", "-m", "llem.worker.load")
START_PATIENCE_S = 60.0
TICK_S = 0.5
MOST_BYTES = 1 << 16


def put_under_load(
    seconds: float,
    log: Path,
    signals: EndingSignals,
    *,
    tick: Callable[[], object] = lambda: None,
    command: Sequence[str] = LOAD_COMMAND,
) -> Load:
    """Have a process of its own keep the GPUs at work, and return what it tells, or why there was no load.

    Called from the main thread, since that process dies with this thread.

    Args:
        seconds: How long they work.
        log: Where its output goes.
        signals: Ending signals, which no wait for it holds up.
        tick: Called about twice a second.
        command: The generator's command; the parent's pid and the seconds are appended.

    Raises:
        SessionInterrupted: An ending signal came; the generator has been killed.
    """
    try:
        with open_log(log) as output:
            process = subprocess.Popen(
                [*command, str(os.getpid()), str(seconds)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                process_group=0,
                preexec_fn=tied_to_us(),  # noqa: PLW1509 - the parent has one thread
            )
    except OSError as error:
        return Load(reason=f"the load generator cannot be started: {error}")
    try:
        return _told(process, time.monotonic() + START_PATIENCE_S + 2 * seconds, signals, tick)
    finally:
        _end(process)


def _told(
    process: "subprocess.Popen[bytes]", deadline: float, signals: EndingSignals, tick: Callable[[], object]
) -> Load:
    assert process.stdout is not None
    pipe, line = process.stdout.fileno(), b""
    while b"\n" not in line and len(line) <= MOST_BYTES:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return Load(reason="the load generator did not come to an end")
        ready = signals.wait([pipe], min(TICK_S, left_s))
        tick()
        if pipe in ready:
            chunk = os.read(pipe, MOST_BYTES)
            if not chunk:
                return Load(reason="the load generator ended without a word: its output is in the log")
            line += chunk
    try:
        return Load.model_validate_json(line)
    except ValidationError:
        return Load(reason=f"the load generator says {shown(line)}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    # It is not reaped yet, so its group's number cannot be anyone else's.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
