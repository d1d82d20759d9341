import pytest

from llem.sensors.visible import visible

UUIDS = ("GPU-aaaa1", "GPU-aaaa2", "GPU-bbbb")
PARTS = {"MIG-1111": "GPU-aaaa2", "MIG-2222": "GPU-bbbb"}


@pytest.mark.parametrize(
    ("asked_for", "shown"),
    [
        (None, UUIDS),
        ("0,1,2", UUIDS),
        ("2,0", ("GPU-bbbb", "GPU-aaaa1")),
        (" 1 , 2 ", ("GPU-aaaa2", "GPU-bbbb")),
        ("0,-1,2", ("GPU-aaaa1",)),
        ("0,9,1", ("GPU-aaaa1",)),
        ("0,0", ()),
        ("", ()),
        ("-1", ()),
        ("GPU-b", ("GPU-bbbb",)),
        ("GPU-aaaa", ()),  # two begin so
        ("GPU-b,GPU-x,GPU-aaaa1", ("GPU-bbbb",)),
        ("MIG-GPU-aaaa2/3/0", ("GPU-aaaa2",)),
        ("MIG-2222", ("GPU-bbbb",)),
        ("MIG-22", ("GPU-bbbb",)),
        ("MIG-1111,MIG-2222", ("GPU-aaaa2", "GPU-bbbb")),
        ("MIG-9999", UUIDS),  # nothing tells whose part it is
    ],
)
def test_what_cuda_shows_is_what_is_read(asked_for, shown):
    assert visible(UUIDS, asked_for, numbered=True, parts=PARTS) == shown


def test_where_numbers_tell_nothing_all_are_read():
    assert visible(UUIDS, "0", numbered=False, parts={}) == UUIDS
    assert visible(UUIDS, "GPU-b", numbered=False, parts={}) == ("GPU-bbbb",)
    assert visible(UUIDS, "", numbered=False, parts={}) == ()


def test_two_parts_of_one_gpu_are_one_gpu():
    assert visible(UUIDS, "MIG-1,MIG-3", numbered=True, parts={"MIG-1": "GPU-bbbb", "MIG-3": "GPU-bbbb"}) == (
        "GPU-bbbb",
    )


def test_no_gpus_are_no_gpus():
    assert visible((), None, numbered=True, parts={}) == visible((), "0", numbered=True, parts={}) == ()
