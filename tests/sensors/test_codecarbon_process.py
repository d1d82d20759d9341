"""What CodeCarbon does to the process that loads it, seen from outside."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, logging, os, signal, sys, threading, time
before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
from llem.sensors.codecarbon import CodeCarbonSensor
sensor = CodeCarbonSensor()
sensor.read()
during = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
sensor.read()
sensor.close()
left = [t.name for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
after = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
with open(sys.argv[1], "w") as out:
    json.dump({"same": before == during == after, "threads": left}, out)
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """Return (what a process with the sensor printed, what it noted of itself, what it left in its folder)."""
    folder, aside = tmp_path_factory.mktemp("cwd"), tmp_path_factory.mktemp("aside")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(aside / "noted.json")], cwd=folder, capture_output=True, check=True
    )
    return done, json.loads((aside / "noted.json").read_text()), list(folder.rglob("*"))


def test_it_prints_nothing(process):
    assert (process[0].stdout, process[0].stderr) == (b"", b"")


def test_it_leaves_the_handlers_of_signals_alone(process):
    assert process[1]["same"] is True


def test_it_writes_no_file_where_it_runs(process):
    assert process[2] == []


def test_it_leaves_no_thread_that_keeps_the_process_alive(process):
    assert process[1]["threads"] == []
