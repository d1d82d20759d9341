"""Whether a process may be forked: in processes of their own, since threads are what it is about."""

import subprocess
import sys

import pytest

ACTS = """
import ctypes, threading, time
from llem.worker.guard import settle, violation

def work(name, seconds):
    ctypes.CDLL(None).prctl(15, name)  # PR_SET_NAME
    named.set()
    time.sleep(seconds)

named = threading.Event()
for name, seconds in {threads}:
    named.clear()
    threading.Thread(target=work, args=(name, seconds), daemon=True).start()
    named.wait()
settle()
print(violation())
"""


@pytest.mark.parametrize(
    ("threads", "told"),
    [
        ([], "None"),
        ([(b"ending", 0.2)] * 3, "None"),
        (
            [(b"pool", 60), (b"ending", 0.2), (b"watch", 60)],
            "the zygote has 3 threads, so it has computed or a library started one (pool, watch)",
        ),
    ],
)
def test_threads_that_end_are_waited_for_and_those_that_stay_are_named(threads, told):
    command = [sys.executable, "-c", ACTS.format(threads=threads)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == (told, "")
