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
from llem.sensors.columns import NOT_FINITE
from llem.sensors.samples import ROWS_IN_A_BLOCK, SampleWriter, read_samples

TIMES = st.lists(st.integers(0, 2**62), max_size=30, unique=True).map(sorted)
VALUES = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(0, 2**53).map(float)
    | st.integers(0, 2**50).map(lambda count: count * 1e-3)
)
CALLS = st.sampled_from(["a", "b", "c", "ab", "abc"])


@pytest.fixture(scope="session")
def channels(make):
    return tuple(make.channel(id=name, wraps_at_j=0.1 + 0.2, note="ü") for name in ("a", "b", "c"))


def written(path, channels, readings=()):
    writer = SampleWriter(path, channels)
    writer.write(readings)
    return writer.finish()


def some(count=100):
    return [Reading("abc"[n % 3], n, n + 1, n * 0.1) for n in range(count)]


@given(st.data())
def test_what_is_written_is_read_again_in_order_and_to_the_bit(channels, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("samples") / "s.json.gz"
    readings = []
    for before_ns in data.draw(TIMES):
        after_ns = before_ns + data.draw(st.integers(0, 10**9))
        for name in data.draw(CALLS):
            value = data.draw(VALUES | st.none())
            reason = data.draw(st.text(max_size=20)) if value is None else None
            readings.append(Reading(name, before_ns, after_ns, value, reason))
    sha256 = written(path, channels, readings)
    samples = read_samples(path)
    assert samples.channels == channels
    kept = {
        name: [Edge(r.before_ns, r.after_ns, r.value) for r in readings if r.channel == name and r.value is not None]
        for name in ("a", "b", "c")
    }
    assert samples.edges == kept
    assert repr(samples.edges) == repr(kept)  # -0.0 too
    assert samples.failures == {r.channel: r.reason for r in readings if r.value is None}
    failed_ns = {name: [r.before_ns for r in readings if r.channel == name and r.value is None] for name in "abc"}
    assert samples.failed_ns == {name: times for name, times in failed_ns.items() if times}
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_channel_that_several_calls_read_is_in_time_order_however_long_the_recording(channels, tmp_path):
    readings = []
    for n in range(3 * ROWS_IN_A_BLOCK):
        together = "ab" if n % 5 == 0 else "a"
        readings += [Reading(name, 10 * n, 10 * n + 1, n * 1e-3) for name in together]
    written(tmp_path / "s", channels, readings)
    edges = read_samples(tmp_path / "s").edges
    assert [edge.before_ns for edge in edges["a"]] == [10 * n for n in range(3 * ROWS_IN_A_BLOCK)]
    assert [edge.value for edge in edges["b"]] == [n * 1e-3 for n in range(0, 3 * ROWS_IN_A_BLOCK, 5)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_finite_number_is_a_failed_reading(channels, tmp_path, value):
    written(tmp_path / "s", channels, [Reading("a", 1, 2, 3.5), Reading("a", 4, 5, value), Reading("b", 4, 5, 6.5)])
    samples = read_samples(tmp_path / "s")
    assert (samples.edges["a"], samples.edges["b"]) == ([Edge(1, 2, 3.5)], [Edge(4, 5, 6.5)])
    assert (samples.failures, samples.failed_ns) == ({"a": NOT_FINITE}, {"a": [4]})


def test_the_file_has_its_name_only_when_it_is_complete(channels, tmp_path):
    path = tmp_path / "s.json.gz"
    writer = SampleWriter(path, channels)
    writer.write(some())
    assert not path.exists()
    writer.finish()
    assert [file.name for file in tmp_path.iterdir()] == ["s.json.gz"]


def test_an_abandoned_file_leaves_nothing(channels, tmp_path):
    writer = SampleWriter(tmp_path / "s.json.gz", channels)
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
    path = tmp_path / "s.json.gz"
    readings = [
        *(Reading("b", 100 + n, 101 + n, 5.001 + n) for n in range(3)),
        Reading("a", 200, 204, None, "GPU is lost"),
        Reading("c", 200, 204, 1 / 3),
    ]
    written(path, channels, readings)
    head, *lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert (head["format"], head["clock"]) == ("llem-samples-2", "CLOCK_MONOTONIC")
    assert [channel["id"] for channel in head["channels"]] == ["a", "b", "c"]
    assert lines == [
        {
            "channels": [1],
            "before_ns": [100, 1, 1],
            "call_ns": [1, 1, 1],
            "values": [{"unit": 0.001, "steps": [5001, 1000, 1000]}],
            "failed": [],
        },
        {
            "channels": [0, 2],
            "before_ns": [200],
            "call_ns": [4],
            "values": [{"unit": 1.0, "steps": []}, {"plain": [1 / 3]}],
            "failed": [[0, 0, "GPU is lost"]],
        },
    ]


def test_what_an_earlier_version_wrote_is_still_read(channels, tmp_path):
    head = {"format": "llem-samples-1", "channels": [channel.model_dump(mode="json") for channel in channels]}
    lines = [head, [1, 1, 2, 3.5], [0, 4, 5, None, "GPU is lost"], [1, 6, 7, 4]]
    (tmp_path / "s").write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    samples = read_samples(tmp_path / "s")
    assert samples.channels == channels
    assert samples.edges == {"a": [], "b": [Edge(1, 2, 3.5), Edge(6, 7, 4)], "c": []}
    assert (samples.failures, samples.failed_ns) == ({"a": "GPU is lost"}, {"a": [4]})


@pytest.fixture(scope="session")
def content(channels, tmp_path_factory):
    """Return the bytes of a good file."""
    path = tmp_path_factory.mktemp("samples") / "s.json.gz"
    written(path, channels, some(300))
    return path.read_bytes()


@given(st.data())
def test_a_truncated_file_is_refused_wherever_it_was_cut(content, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "s.json.gz"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(SensorError, match="cannot be read"):
        read_samples(path)


@given(st.data())
def test_a_damaged_file_is_refused_or_reads_as_it_was_written(content, channels, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "s.json.gz"
    damaged = bytearray(content)
    damaged[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(damaged)
    try:
        samples = read_samples(path)
    except SensorError:
        return
    assert samples.channels == channels
    assert sum(len(edges) for edges in samples.edges.values()) == 300


HEAD = json.dumps(
    {
        "format": "llem-samples-2",
        "channels": [
            {"id": "a", "sensor": "s", "device": "d", "boundary": "gpu", "kind": "power_w", "provenance": "sampled"}
        ],
    }
)
BLOCK = {"channels": [0], "before_ns": [1, 2], "call_ns": [1, 1], "values": [{"plain": [3.5, 4.5]}], "failed": []}
WRONG = (
    {"channels": [1]},
    {"channels": [-1]},
    {"channels": [0, 0]},
    {"before_ns": [1]},
    {"before_ns": [1, 2.5]},
    {"before_ns": "12"},
    {"call_ns": [1, True]},
    {"values": []},
    {"values": [{"plain": [3.5]}]},
    {"values": [{"plain": [3.5, "4.5"]}]},
    {"values": [{"unit": None, "steps": [1, 2]}]},
    {"values": [{"unit": 1.0, "steps": [1, 2.5]}]},
    {"values": [{}]},
    {"failed": [[0, 0, "GPU is lost"]]},
    {"failed": [[2, 0, "GPU is lost"]]},
    {"failed": [[0]]},
    {"failed": None},
)


def test_the_block_that_is_made_wrong_below_is_right(tmp_path):
    (tmp_path / "s").write_bytes(gzip.compress(f"{HEAD}\n{json.dumps(BLOCK)}".encode()))
    assert read_samples(tmp_path / "s").edges == {"a": [Edge(1, 2, 3.5), Edge(3, 4, 4.5)]}


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
        *([HEAD, json.dumps({**BLOCK, **wrong})] for wrong in WRONG),
        [HEAD, json.dumps(BLOCK).replace("3.5", "NaN")],
        [HEAD, "[]"],
    ],
)
def test_a_file_that_something_else_wrote_is_refused(tmp_path, lines):
    path = tmp_path / "s.json.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(SensorError, match="cannot be read"):
        read_samples(path)


@pytest.mark.parametrize("content", [None, b"", b"no gzip"])
def test_a_file_that_is_missing_or_no_gzip_is_refused(tmp_path, content):
    path = tmp_path / "s.json.gz"
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
    script = [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "s.json.gz")]
    done = subprocess.run(script, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
