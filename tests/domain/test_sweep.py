import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llem.domain.sweep import (
    Alternative,
    Dimension,
    NoSectionError,
    Point,
    expand,
    flat,
    most_points,
    overlay,
    source_of,
    with_value,
)

SECTIONS = frozenset({"prompts", "generation", "e1", "e2"})
NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
BLOCKS = st.dictionaries(NAMES, VALUES, max_size=3)
# Every value at "deep" is a mapping, so that dotted keys below it always have somewhere to land.
BASES = st.fixed_dictionaries(
    {"deep": st.fixed_dictionaries({"er": BLOCKS})},
    optional={"size": VALUES, "model": VALUES, "generation": BLOCKS, "prompts": BLOCKS},
)
KEYS = ["size", "model", "new", "deep.x", "deep.er.a", "deep.er.b", "fresh.branch.leaf", "generation.a", "prompts.b"]


@st.composite
def alternatives(draw):
    """Values for some keys; a section is given whole, or by its dotted keys, and not both."""
    keys = draw(st.lists(st.sampled_from(KEYS), max_size=3, unique=True))
    # As in a study: only sections, models and what lies below them hold mappings.
    values = {key: draw(SCALARS | st.lists(SCALARS) if key in ("size", "new") else VALUES) for key in keys}
    if draw(st.booleans()):
        values = {key: value for key, value in values.items() if not key.startswith("generation")}
        values["generation"] = draw(BLOCKS)
    return Alternative(values)


DIMENSIONS = st.lists(
    st.builds(Dimension, NAMES, st.lists(alternatives(), min_size=1, max_size=3).map(tuple)), max_size=3
)


def axis(key, *values):
    return Dimension(key, tuple(Alternative({key: value}) for value in values))


def of_engines(name, *choices):
    """Return a dimension of (values, engine, whether one of the values is the engine)."""
    return Dimension(name, tuple(Alternative(values, {}, engine, sets) for values, engine, sets in choices))


def trees(base, dimensions):
    return [point.over(base, SECTIONS) for point in expand(base, dimensions, "e1")]


@given(BASES, DIMENSIONS)
def test_a_sweep_changes_neither_its_base_nor_its_alternatives_however_deep(base, dimensions):
    before = copy.deepcopy((base, dimensions))
    for point in expand(base, dimensions, "e1"):
        point.over(base, SECTIONS)
        assert point.values is not None
    assert (base, dimensions) == before


@given(BLOCKS, st.lists(VALUES, min_size=1, max_size=4))
def test_a_block_that_base_and_axes_share_keeps_its_values_at_every_point(block, values):
    shared = {"x": 0, **block}
    before = copy.deepcopy(shared)
    base = {"deep": shared, "generation": shared, "model": {"rope": shared}}
    dimensions = [
        axis("deep.x", *values),
        axis("generation.x", *values),
        axis("other", shared),
        axis("other.x", *values),
        axis("model.rope.x", *values),
    ]
    found = trees(base, dimensions)
    assert len(found) == len(values) ** 4
    for tree, (first, second, third, last) in zip(
        found, [(a, b, c, d) for a in values for b in values for c in values for d in values], strict=True
    ):
        assert tree["deep"] == {**before, "x": first}
        assert tree["generation"] == {**before, "x": second}
        assert tree["other"] == {**before, "x": third}
        assert tree["model"] == {"rope": {**before, "x": last}}
    assert shared == before


@given(BASES, DIMENSIONS)
def test_a_sweep_has_as_many_points_as_were_promised_where_no_engine_is_swept(base, dimensions):
    points = list(expand(base, dimensions, "e1"))
    assert len(points) == most_points(base, dimensions, "e1")
    assert len(points) == math.prod(len(dimension.alternatives) for dimension in dimensions)
    assert {point.engine for point in points} == {"e1"}


CHOICES = st.builds(
    lambda values, engine, sets: Alternative(values, {}, engine, sets and engine is not None),
    st.dictionaries(st.sampled_from(["size", "dtype"]), SCALARS, max_size=1),
    st.sampled_from([None, "e1", "e2", "e3"]),
    st.booleans(),
)
ENGINE_DIMENSIONS = st.lists(
    st.builds(Dimension, NAMES, st.lists(CHOICES, min_size=1, max_size=3).map(tuple)), max_size=3
)


@given(st.sampled_from([{}, {"engine": "e1"}, {"engine": "e2"}]), ENGINE_DIMENSIONS)
def test_no_point_of_one_engine_takes_what_belongs_to_another(base, dimensions):
    points = list(expand(base, dimensions, "e1"))
    assert len(points) <= most_points(base, dimensions, "e1")
    for point in points:
        assert {choice.engine for choice in point.taken} <= {None, point.engine}
        chosen = any(choice.sets_engine for choice in point.taken)
        assert chosen or point.engine == base.get("engine", point.engine)
        assert point.over(base, SECTIONS)["engine"] == point.engine


@given(BASES, DIMENSIONS)
def test_each_value_lands_where_its_key_names_and_nowhere_else(base, dimensions):
    for point in expand(base, dimensions, "e1"):
        expected = copy.deepcopy(base)
        for alternative in point.taken:
            for key, value in copy.deepcopy(dict(alternative.values)).items():
                *branches, leaf = key.split(".")
                branch = expected
                for part in branches:
                    if branch.get(part) is None:
                        branch[part] = {}
                    branch = branch[part]
                merges = key == "generation" and isinstance(branch.get(leaf), dict)
                branch[leaf] = {**branch[leaf], **value} if merges else value
        assert point.over(base, SECTIONS) == {**expected, "engine": "e1"}


@given(BASES, DIMENSIONS)
def test_the_values_of_a_point_are_those_that_its_configuration_has(base, dimensions):
    for point in expand(base, dimensions, "e1"):
        tree = point.over(base, SECTIONS)
        # What a later dimension gave again, whole or in part, is the later one's.
        last = list(point.values)
        for place, (key, value) in enumerate(point.values.items()):
            if any(key.startswith(f"{other}.") or other.startswith(f"{key}.") for other in last[place + 1 :]):
                continue
            assert at(tree, key) == value


def at(tree, key):
    for part in key.split("."):
        tree = tree[part]
    return tree


def test_the_last_dimension_runs_fastest():
    points = [point.values for point in expand({}, [axis("a", 1, 2), axis("b.c", "x", "y")], "e1")]
    assert points == [
        {"a": 1, "b.c": "x"},
        {"a": 1, "b.c": "y"},
        {"a": 2, "b.c": "x"},
        {"a": 2, "b.c": "y"},
    ]


def test_without_dimensions_the_base_is_the_only_point():
    (point,) = expand({"a": 1}, [], "e1")
    assert (point, point.values) == (Point("e1", ()), {})
    assert point.over({"a": 1}, SECTIONS) == {"a": 1, "engine": "e1"}


def test_an_empty_alternative_is_the_base_as_it_is():
    dimension = Dimension("g", (Alternative({}), Alternative({"a": 2})))
    assert trees({"a": 1}, [dimension]) == [{"a": 1, "engine": "e1"}, {"a": 2, "engine": "e1"}]


def test_a_later_dimension_lands_inside_what_an_earlier_one_gave():
    assert trees({}, [axis("model", {"config": "llama"}), axis("model.seed", 1, 2)]) == [
        {"model": {"config": "llama", "seed": 1}, "engine": "e1"},
        {"model": {"config": "llama", "seed": 2}, "engine": "e1"},
    ]


def test_what_is_done_to_a_point_of_the_grid_leaves_the_base_and_the_other_points_alone():
    base = {"a": 1}
    for dimensions in ([], [axis("b", 1, 2)]):
        for tree in trees(base, dimensions):
            tree["spoiled"] = True
        assert base == {"a": 1}
        assert all("spoiled" not in tree for tree in trees(base, dimensions))


SCOPED = [of_engines("x", ({"e1.x": 1}, "e1", False), ({"e1.x": 2}, "e1", False))]
SWEPT = [of_engines("engine", ({"engine": "e2"}, "e2", True), ({"engine": "e1"}, "e1", True))]


@pytest.mark.parametrize(
    ("base", "dimensions", "expected"),
    [
        ({}, SCOPED, [("e1", {"e1.x": 1}), ("e1", {"e1.x": 2})]),
        ({"engine": "e2"}, SCOPED, [("e2", {})]),
        ({"engine": "e1"}, SWEPT, [("e2", {"engine": "e2"}), ("e1", {"engine": "e1"})]),
        (
            {},
            [*SWEPT, *SCOPED],
            [("e2", {"engine": "e2"}), ("e1", {"engine": "e1", "e1.x": 1}), ("e1", {"engine": "e1", "e1.x": 2})],
        ),
        (
            {},
            [of_engines("g", ({}, None, False), ({"e2.y": 1}, "e2", False)), axis("size", 1, 2)],
            [
                ("e1", {"size": 1}),
                ("e1", {"size": 2}),
                ("e2", {"e2.y": 1, "size": 1}),
                ("e2", {"e2.y": 1, "size": 2}),
            ],
        ),
        (
            {},
            [of_engines("y", ({"e2.y": 1}, "e2", False)), of_engines("z", ({"e3.z": 1}, "e3", False))],
            [("e2", {"e2.y": 1}), ("e3", {"e3.z": 1})],
        ),
    ],
    ids=["options imply", "named overrules", "swept in its order", "swept and scoped", "group", "two others"],
)
def test_what_belongs_to_an_engine_applies_to_its_points_only(base, dimensions, expected):
    assert [(point.engine, point.values) for point in expand(base, dimensions, "e1")] == expected


@pytest.mark.parametrize(
    ("tree", "changes", "expected"),
    [
        ({"generation": {"a": 1}}, {"generation": {"b": 2}}, {"generation": {"a": 1, "b": 2}}),
        ({"generation": {"a": 1}}, {"generation": {}}, {"generation": {"a": 1}}),
        ({"generation": {"a": {"x": 1}}}, {"generation": {"a": {"y": 2}}}, {"generation": {"a": {"y": 2}}}),
        ({"generation": None}, {"generation.b": 2}, {"generation": {"b": 2}}),
        ({"generation": {"a": 1}}, {"generation": None}, {"generation": None}),
        ({"model": {"a": 1}}, {"model": {"b": 2}}, {"model": {"b": 2}}),
        ({"prompts": {"count": 1}}, {"prompts": {"seed": 2}}, {"prompts": {"count": 1, "seed": 2}}),
        ({"prompts": {"count": 1}}, {"prompts": {"path": "p"}}, {"prompts": {"path": "p"}}),
        ({"prompts": {"path": "p", "count": 1}}, {"prompts": {"path": "q"}}, {"prompts": {"path": "q", "count": 1}}),
        ({"prompts": {"path": "p"}}, {"prompts": {"source": "synthetic"}}, {"prompts": {"source": "synthetic"}}),
        ({"prompts": {"path": "p"}}, {"prompts": {"count": 3}}, {"prompts": {"path": "p", "count": 3}}),
        ({"e1": {"x": 1}}, {"e1": {"path": "p"}}, {"e1": {"x": 1, "path": "p"}}),
        ({"e1": {"x": 1}}, {"e1": {"source": "s"}}, {"e1": {"x": 1, "source": "s"}}),
    ],
)
def test_sections_merge_key_by_key_and_prompts_of_another_source_replace_those_before(tree, changes, expected):
    before = copy.deepcopy((tree, changes))
    assert overlay(tree, changes, SECTIONS) == expected
    assert (tree, changes) == before


@pytest.mark.parametrize(
    ("prompts", "source"),
    [({}, None), ({"count": 1}, None), ({"path": "p"}, "jsonl"), ({"source": "synthetic", "path": "p"}, "synthetic")],
)
def test_prompts_with_a_path_are_texts_unless_they_say_otherwise(prompts, source):
    assert source_of(prompts) == source


def test_flat_keys_reach_into_sections_but_not_into_a_model():
    assert flat(
        {"batch_size": 1, "generation": {"seed": 2}, "generation.top_k": 5, "model": {"config": "llama"}}
    ) == {
        "batch_size": 1,
        "generation.seed": 2,
        "generation.top_k": 5,
        "model": {"config": "llama"},
    }


def test_a_mapping_at_a_dotted_key_is_a_value_of_its_own_even_if_it_is_empty():
    alternatives = [{"e1.compile": True}, {"e1.compile": {"mode": "default"}}, {"e1.compile": {}}]
    dimension = Dimension("e1.compile", tuple(Alternative(values, {}, "e1") for values in alternatives))
    assert [point.values for point in expand({}, [dimension], "e1")] == alternatives


@pytest.mark.parametrize(
    ("tree", "key", "part"),
    [
        ({"model": "gpt2"}, "model.seed", "model"),
        ({"a": {"b": 1}}, "a.b.c", "a.b"),
        ({"a": {"b": [1]}}, "a.b.c.d", "a.b"),
    ],
)
def test_a_key_below_a_value_that_is_no_mapping_is_refused_by_name(tree, key, part):
    with pytest.raises(NoSectionError) as refused:
        with_value(tree, key, 1)
    assert refused.value.path == part
