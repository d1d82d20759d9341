import os
import sys

import pytest

from llem.domain.errors import SensorError, StudyError
from llem.domain.result import RecorderCost
from llem.study.recording import RecorderClient

LATE = """
import sys
from llem.domain.recording import Ready, Started, Stopped, Temperatures
from llem.domain.result import RecorderCost
from llem.domain.sensing import SensorReport

def reply(message):
    print(message.model_dump_json(), flush=True)

reply(Ready(report=SensorReport()))
sys.stdin.readline()
reply(Started())
sys.stdin.readline()
reply(Temperatures(devices=()))
reply(Stopped(sha256="a" * 64, cost=RecorderCost(cpu_s=0.5, wall_s=2.0, edges=7)))
"""


def test_a_recorder_that_floods_its_pipe_fails_before_it_fills_the_memory(tmp_path):
    flood = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    with pytest.raises(SensorError, match="floods its pipe"):
        RecorderClient([], tmp_path / "recorder.log", None, command=(sys.executable, "-c", flood))


def test_a_temperature_that_comes_too_late_is_not_taken_for_the_end_of_the_record(tmp_path):
    client = RecorderClient([], tmp_path / "recorder.log", None, command=(sys.executable, "-c", LATE))
    try:
        client.begin(tmp_path / "a.jsonl.gz")
        assert client.finish().cost == RecorderCost(cpu_s=0.5, wall_s=2.0, edges=7)
    finally:
        client.close()


FULL = """
import sys
from llem.domain.recording import Ready, RecorderFailed, Started
from llem.domain.sensing import SensorReport

def reply(message):
    print(message.model_dump_json(), flush=True)

reply(Ready(report=SensorReport()))
sys.stdin.readline()
reply(Started())
reply(RecorderFailed(reason="the raw edges cannot be written", errno=28))
sys.stdin.readline()
"""


@pytest.fixture
def full(tmp_path):
    """Return the client of a recorder whose disk fills up as soon as it records."""
    client = RecorderClient([], tmp_path / "recorder.log", None, command=(sys.executable, "-c", FULL))
    client.begin(tmp_path / "a.json.gz")
    yield client
    client.close()


def test_a_disk_that_fills_up_is_told_while_it_records_and_is_no_missing_figure(full, tmp_path, until):
    def told():
        try:
            full.check()
        except StudyError as error:
            return error

    error = until(told, "what the recorder says unasked")
    assert error.message.startswith(f"The raw edges {tmp_path}/a.json.gz cannot be written: the disk is full")
    full.check()


def test_a_disk_that_filled_up_is_told_by_the_end_of_the_record(full):
    with pytest.raises(StudyError, match="the disk is full"):
        full.finish()


def test_a_recorder_that_says_nothing_or_died_is_left_to_the_end_of_the_record(full, until):
    with pytest.raises(StudyError):
        full.finish()
    full.check()
    full._process.kill()
    os.waitid(os.P_PID, full._process.pid, os.WEXITED | os.WNOWAIT)
    full.check()
    with pytest.raises(SensorError, match="died"):
        full.finish()


def test_a_recorder_whose_log_cannot_be_written_is_the_disk_s_fault(tmp_path):
    with pytest.raises(StudyError, match=r"recorder\.log cannot be written: its folder is gone"):
        RecorderClient([], tmp_path / "gone" / "recorder.log", None)
