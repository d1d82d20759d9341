import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.fitting import USABLE, Peak, shortage_of, what_fits

GIB = 1 << 30
H100 = (
    "CUDA out of memory. Tried to allocate 64.00 GiB. GPU 0 has a total capacity of 79.18 GiB of which 43.26 GiB is "
    "free. Process 1234 has 35.91 GiB memory in use. Of the allocated memory 35.20 GiB is allocated by PyTorch."
)
OLDER = (
    "CUDA out of memory. Tried to allocate 512.00 MiB (GPU 0; 79.18 GiB total capacity; 78.10 GiB already allocated; "
    "100.00 MiB free; 78.50 GiB reserved in total by PyTorch)"
)
ON_CPU = (
    "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."
)
NUMPY = "Unable to allocate 8.00 GiB for an array with shape (1073741824,) and data type float64"
CGROUP = "its cgroup, whose processes have a total capacity of 8.00 GiB: oom_kill in memory.events rose from 0 to 1"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (H100, (64 * GIB, 79.18 * GIB, 43.26 * GIB)),
        (OLDER, (GIB / 2, 79.18 * GIB, 100 * (1 << 20))),
        (ON_CPU, (64, None, None)),
        (NUMPY, (8 * GIB, None, None)),
        (CGROUP, (None, 8 * GIB, None)),
        ("CUDA error: out of memory", (None, None, None)),
    ],
)
def test_the_numbers_of_a_message_are_found(message, told):
    assert shortage_of(message) == told


@pytest.mark.parametrize(
    ("peaks", "said"),
    [
        ([], "What may fit: batch_size 5 at most, by proportion; or lower prompts.input_tokens"),
        (
            [Peak(1, 10 * GIB)],
            "What fits: batch_size 1 of this experiment did (10.00 GiB at its peak), and by proportion 7",
        ),
        (
            [Peak(1, 10 * GIB), Peak(2, 30 * GIB)],
            "2 of this experiment did (30.00 GiB at its peak), and by proportion 4",
        ),
        ([Peak(4, None)], "What fits: batch_size 4 of this experiment did; or lower"),
        (
            [Peak(4, 70 * GIB), Peak(5, None, fitted=False)],
            "4 of this experiment did (70.00 GiB at its peak); or lower",
        ),
        ([Peak(4, None, fitted=False)], "What may fit: batch_size 3 at most"),
    ],
)
def test_what_would_fit_is_told_with_the_numbers_that_are_known(peaks, said):
    assert said in what_fits(H100, "warmup", 8, peaks)


def test_where_no_number_is_known_the_ways_out_are_told():
    assert what_fits("no memory", "measure", 8, []) == (
        "Lower batch_size, prompts.input_tokens or generation.output_tokens, or use a smaller dtype."
    )
    assert what_fits(H100, "measure", 1, [Peak(2, GIB)]).startswith("batch_size is 1 already: lower prompts.")
    assert "whatever batch_size" in what_fits(H100, "load", 8, [Peak(1, GIB)])


sizes = st.integers(1, 10_000)
peaks = st.lists(
    st.builds(Peak, sizes, st.none() | st.floats(0, 1e13), st.booleans()), max_size=6, unique_by=lambda peak: peak[0]
)
amounts = st.none() | st.floats(0, 9999.99).map(lambda value: round(value, 2))


def message(asked=None, capacity=None, free=None):
    parts = {"Tried to allocate {} GiB": asked, "total capacity of {} GiB": capacity, "{} GiB is free": free}
    return "; ".join(text.format(f"{value:.2f}") for text, value in parts.items() if value is not None)


def suggested(text):
    found = re.search(r"by proportion (\d+)|batch_size (\d+) at most", text)
    return int(found[1] or found[2]) if found else None


@given(sizes, peaks, st.tuples(amounts, amounts, amounts))
def test_nothing_is_suggested_that_is_known_not_to_fit_or_less_than_what_is_known_to(batch, known, told):
    text = what_fits(message(*told), "measure", batch, known)
    refused = min([batch, *(peak.batch_size for peak in known if not peak.fitted)])
    fitted = [peak.batch_size for peak in known if peak.fitted and peak.batch_size < refused]
    likely = suggested(text)
    if batch > 1 and fitted:
        assert f"batch_size {max(fitted)} of this experiment did" in text
    if likely is not None:
        assert max(fitted, default=0) < likely < refused
    assert text.endswith(".")
    assert "\n" not in text


@given(
    st.floats(0.1, 40), st.floats(0.01, 5), st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True), sizes
)
def test_where_memory_grows_evenly_what_is_suggested_fits(weights_gib, per_request_gib, measured, more):
    """Whether one batch size is known or several: with one, all is taken to grow, which is more than the truth."""

    def needs(batch_size):
        return (weights_gib + per_request_gib * batch_size) * GIB

    capacity = math.ceil(needs(max(measured)) / GIB * 100 / USABLE) / 100 + 1
    known = [Peak(batch_size, needs(batch_size)) for batch_size in measured]
    likely = suggested(what_fits(message(1.0, capacity, 0.5), "measure", max(measured) + more, known))
    assert likely is None or needs(likely) <= capacity * GIB * (1 + 1e-6)


@given(st.floats(0, 60), st.floats(0.1, 5), st.integers(2, 10_000))
def test_without_any_that_fitted_no_more_is_suggested_than_the_failure_itself_leaves_room_for(
    weights, per_request, batch
):
    needed = weights + per_request * batch
    capacity = 80.0
    if needed <= capacity:
        return
    likely = suggested(what_fits(message(round(needed - 50, 2), capacity, 30.0), "measure", batch, []))
    assert likely is None or likely <= batch * capacity / (needed - 0.01)
