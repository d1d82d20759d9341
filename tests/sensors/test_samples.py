import gzip
import hashlib
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.edges import Edge
from llem.domain.errors import SensorError
from llem.sensors.base import Reading
from llem.sensors.samples import SampleWriter, read_samples

TIMES = st.integers(0, 2**62)
VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 2**53)
READINGS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), TIMES, TIMES, VALUES | st.none(), st.text(max_size=20)), max_size=30
)


@pytest.fixture(scope="session")
def channels(make):
    return tuple(make.channel(id=name, wraps_at_j=0.1 + 0.2, note="ü") for name in ("a", "b", "c"))


def written(path, channels, readings=()):
    writer = SampleWriter(path, channels)
    writer.write(readings)
    return writer.finish()


def some(count=100):
    return [Reading("abc"[n % 3], n, n + 1, n * 0.1) for n in range(count)]


@given(READINGS)
def test_what_is_written_is_read_again_in_order(channels, tmp_path_factory, drawn):
    path = tmp_path_factory.mktemp("samples") / "s.jsonl.gz"
    readings = [Reading(c, t0, t1, value, reason if value is None else None) for c, t0, t1, value, reason in drawn]
    sha256 = written(path, channels, readings)
    samples = read_samples(path)
    assert samples.channels == channels
    assert samples.edges == {
        name: [Edge(r.before_ns, r.after_ns, r.value) for r in readings if r.channel == name and r.value is not None]
        for name in ("a", "b", "c")
    }
    assert samples.failures == {r.channel: r.reason for r in readings if r.value is None}
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_file_has_its_name_only_when_it_is_complete(channels, tmp_path):
    path = tmp_path / "s.jsonl.gz"
    writer = SampleWriter(path, channels)
    writer.write(some())
    assert not path.exists()
    writer.finish()
    assert [file.name for file in tmp_path.iterdir()] == ["s.jsonl.gz"]


def test_an_abandoned_file_leaves_nothing(channels, tmp_path):
    writer = SampleWriter(tmp_path / "s.jsonl.gz", channels)
    writer.write(some())
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_equal_readings_make_equal_files(channels, tmp_path):
    assert written(tmp_path / "one", channels, some()) == written(tmp_path / "other", channels, some())


def test_the_writer_counts_its_edges(channels, tmp_path):
    writer = SampleWriter(tmp_path / "s", channels)
    writer.write(some(7))
    writer.write(some(5))
    writer.finish()
    assert writer.edges == 12


def test_the_file_is_plain_json_lines_that_anything_can_read(channels, tmp_path):
    path = tmp_path / "s.jsonl.gz"
    written(path, channels, [Reading("b", 1, 2, 3.5), Reading("a", 4, 5, None, "GPU is lost")])
    head, *lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert (head["format"], head["clock"]) == ("llem-samples-1", "CLOCK_MONOTONIC")
    assert [channel["id"] for channel in head["channels"]] == ["a", "b", "c"]
    assert lines == [[1, 1, 2, 3.5], [0, 4, 5, None, "GPU is lost"]]


@pytest.fixture(scope="session")
def content(channels, tmp_path_factory):
    """Return the bytes of a good file."""
    path = tmp_path_factory.mktemp("samples") / "s.jsonl.gz"
    written(path, channels, some(300))
    return path.read_bytes()


@given(st.data())
def test_a_truncated_file_is_refused_wherever_it_was_cut(content, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "s.jsonl.gz"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(SensorError, match="cannot be read"):
        read_samples(path)


@given(st.data())
def test_a_damaged_file_is_refused_or_reads_as_it_was_written(content, channels, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "s.jsonl.gz"
    damaged = bytearray(content)
    damaged[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(damaged)
    try:
        samples = read_samples(path)
    except SensorError:
        return
    assert samples.channels == channels
    assert sum(len(edges) for edges in samples.edges.values()) == 300


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["garbage"],
        ["[]"],
        ['{"format": "llem-samples-9", "channels": []}'],
        ['{"channels": []}'],
        ['{"format": "llem-samples-1", "channels": [{"id": "a"}]}'],
        ['{"format": "llem-samples-1", "channels": []}', "[0, 1, 2, 3.0]"],
        ['{"format": "llem-samples-1", "channels": []}', "[0, 1]"],
        ['{"format": "llem-samples-1", "channels": []}', "{}"],
    ],
)
def test_a_file_that_something_else_wrote_is_refused(tmp_path, lines):
    path = tmp_path / "s.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(SensorError, match="cannot be read"):
        read_samples(path)


@pytest.mark.parametrize("content", [None, b"", b"no gzip"])
def test_a_file_that_is_missing_or_no_gzip_is_refused(tmp_path, content):
    path = tmp_path / "s.jsonl.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SensorError, match="cannot be read"):
        read_samples(path)


FILL_THE_DISK = """
import random, resource, sys
from pathlib import Path
from llem.domain.sensing import Channel
from llem.sensors.base import Reading
from llem.sensors.samples import SampleWriter

channel = Channel(id="a", sensor="s", device="d", boundary="gpu", kind="energy_j", provenance="counter")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # a small disk
writer = SampleWriter(Path(sys.argv[1]), [channel])
try:
    while True:
        writer.write([Reading("a", 1, 2, random.random())])
except OSError:
    writer.abandon()
"""


def test_a_file_that_fills_the_disk_can_be_abandoned_and_leaves_nothing(tmp_path):
    script = [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "s.jsonl.gz")]
    done = subprocess.run(script, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
