import copy
import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.sweep import expand, with_value

KEYS = st.sampled_from(["a", "b", "c"])
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
# Every value at "deep" is a mapping, so that dotted keys below it always have somewhere to land.
BASES = st.fixed_dictionaries(
    {"deep": st.fixed_dictionaries({"er": st.dictionaries(KEYS, VALUES)})}, optional={"a": VALUES, "b": VALUES}
)
AXES = st.dictionaries(
    st.sampled_from(["a", "b", "new", "deep.x", "deep.er.a", "deep.er.b", "fresh.branch.leaf"]),
    st.lists(VALUES, min_size=1, max_size=3),
    max_size=3,
)


def at(tree, key):
    for part in key.split("."):
        tree = tree[part]
    return tree


@given(BASES, AXES)
def test_a_sweep_never_changes_the_base_it_starts_from(base, axes):
    before = copy.deepcopy((base, axes))
    list(expand(base, axes))
    assert (base, axes) == before


@given(BASES, AXES)
def test_a_sweep_has_one_point_for_every_combination(base, axes):
    points = [tuple(point.values()) for _, point in expand(base, axes)]
    assert points == list(product(*axes.values()))
    assert len(points) == math.prod(len(values) for values in axes.values())


@given(BASES, AXES)
def test_each_value_lands_where_its_key_names_and_nowhere_else(base, axes):
    for tree, point in expand(base, axes):
        expected = copy.deepcopy(base)
        for key, value in point.items():
            *branches, leaf = key.split(".")
            branch = expected
            for part in branches:
                branch = branch.setdefault(part, {})
            branch[leaf] = value
            assert at(tree, key) == value
        assert tree == expected


def test_a_sweep_beside_a_fixed_sub_block_keeps_every_value():
    base = {"model": "m", "generation": {"output_tokens": 8, "seed": 1}, "measurement": {"guard_s": 0.5}}
    trees = [tree for tree, _ in expand(base, {"generation.output_tokens": [1, 2, 4]})]
    assert trees == [
        {"model": "m", "generation": {"output_tokens": n, "seed": 1}, "measurement": {"guard_s": 0.5}}
        for n in (1, 2, 4)
    ]


def test_the_last_axis_runs_fastest():
    points = [point for _, point in expand({}, {"a": [1, 2], "b.c": ["x", "y"]})]
    assert points == [
        {"a": 1, "b.c": "x"},
        {"a": 1, "b.c": "y"},
        {"a": 2, "b.c": "x"},
        {"a": 2, "b.c": "y"},
    ]


def test_without_axes_the_base_is_the_only_point():
    assert list(expand({"a": 1}, {})) == [({"a": 1}, {})]


def test_a_later_axis_lands_inside_what_an_earlier_one_gave():
    trees = [tree for tree, _ in expand({}, {"model": [{"config": "llama"}], "model.seed": [1, 2]})]
    assert trees == [{"model": {"config": "llama", "seed": 1}}, {"model": {"config": "llama", "seed": 2}}]


def test_the_values_of_an_axis_stay_as_they_are_too():
    shared = {"config": "llama"}
    list(expand({}, {"model": [shared], "model.seed": [1, 2]}))
    assert shared == {"config": "llama"}


@pytest.mark.parametrize(
    ("tree", "key", "part"),
    [
        ({"model": "gpt2"}, "model.seed", "model"),
        ({"a": {"b": 1}}, "a.b.c", "a.b"),
        ({"a": {"b": [1]}}, "a.b.c.d", "a.b"),
    ],
)
def test_a_key_below_a_value_that_is_no_mapping_is_refused_by_name(tree, key, part):
    with pytest.raises(KeyError) as refused:
        with_value(tree, key, 1)
    assert refused.value.args == (part,)


def test_what_is_done_to_a_point_of_the_grid_leaves_the_base_and_the_other_points_alone():
    base = {"a": 1}
    for axes in ({}, {"b": [1, 2]}):
        for tree, _ in expand(base, axes):
            tree["spoiled"] = True
        assert base == {"a": 1}
        assert all("spoiled" not in tree for tree, _ in expand(base, axes))
