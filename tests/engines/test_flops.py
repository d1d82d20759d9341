"""The floating-point operations that the engine counts, against the definition of a product of matrices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.model
SIZES = st.integers(1, 6)


@pytest.fixture(scope="module")
def adapter():
    from llem.engines import transformers_adapter

    return transformers_adapter


@given(SIZES, SIZES, st.sampled_from([1, 2, 4]), SIZES, SIZES, SIZES, SIZES)
def test_attention_takes_two_products_for_each_head_of_the_queries(adapter, batch, heads, shared, q, k, size, out):
    """Four heads of queries that share one of the keys take as much as four that share none."""
    from torch.utils.flop_counter import sdpa_flop_count

    query, key, value = (batch, heads * shared, q, size), (batch, heads, k, size), (batch, heads, k, out)
    alone = (batch, heads * shared, k, size), (batch, heads * shared, k, out)
    assert adapter.attention_flops(query, key, value) == sdpa_flop_count(query, *alone)


def test_keys_that_several_heads_share_are_counted_in_a_whole_model(adapter, make, tmp_path):
    counted = {heads: flops(adapter, make, tmp_path, num_key_value_heads=heads) for heads in (1, 4)}
    assert all(found.reason is None for found in counted.values())
    # The projections to keys and values are smaller, and nothing else: 2 of them, 2 operations a term.
    rows, layers, lost = 2 * (8 + 3), 1, (4 - 1) * 16
    assert counted[4].per_pass - counted[1].per_pass == rows * layers * 2 * 2 * 64 * lost


def test_a_counter_that_fails_costs_the_count_and_not_the_trial(adapter, make, tmp_path):
    engine = loaded(adapter, make, tmp_path)
    engine._model.register_forward_pre_hook(fails)
    found = engine.count_flops()
    assert found.per_pass is None
    assert found.reason == "torch's counter failed: AssertionError: shapes are incompatible"


def fails(*_):
    raise AssertionError("shapes are incompatible")


def loaded(adapter, make, folder, **model):
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = make.config(
        model={"config": "llama", **sizes, "vocab_size": 256, **model},
        batch_size=2,
        prompts={"source": "synthetic", "count": 2, "input_tokens": 8},
        generation={"output_tokens": 4},
    )
    engine = adapter.TransformersEngine(config, folder)
    engine.load()
    engine.prepare()
    return engine


def flops(adapter, make, folder, **model):
    return loaded(adapter, make, folder, **model).count_flops()
