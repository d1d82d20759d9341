import os
import select
import signal
import subprocess
import sys

import pytest

STUBBORN = """
import subprocess, sys, time
from llem.study.signals import EndingSignals
with EndingSignals() as signals:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], process_group=0)
    print(child.pid, flush=True)
    while True:
        time.sleep(60)  # and never looks whether a signal came
"""


def test_a_third_signal_ends_what_does_not_listen_and_all_that_it_started():
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as stubborn:
        child = os.pidfd_open(int(stubborn.stdout.readline()))
        for _ in range(2):
            stubborn.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                stubborn.wait(0.2)
        stubborn.send_signal(signal.SIGTERM)
        assert stubborn.wait(10) == -signal.SIGTERM
    assert select.select([child], [], [], 10)[0], "the child lives on"
    os.close(child)


def test_a_signal_that_nobody_was_told_of_is_not_lost():
    late = "import os, signal\nfrom llem.study.signals import EndingSignals\nwith EndingSignals() as signals:\n    "
    ended = subprocess.run([sys.executable, "-c", late + "os.kill(os.getpid(), signal.SIGTERM)"], check=False)
    assert ended.returncode == -signal.SIGTERM
    told = subprocess.run(
        [sys.executable, "-c", late + "os.kill(os.getpid(), signal.SIGTERM); signals.interrupted()"], check=False
    )
    assert told.returncode == 0
