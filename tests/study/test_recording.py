import sys

import pytest

from llem.domain.errors import SensorError
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
