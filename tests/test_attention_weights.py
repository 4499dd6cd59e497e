"""Weights that give back what attention gave; how different heads are, by hand; the mean memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import seq2seq
from configs.studies import base
from nlp_models import models
from nlp_models.analysis import attention_weights, pooled_memory
from nlp_models.attention.blocks import Block
from nlp_models.attention.fields import block_config
from nlp_models.errors import InputError

TOKENS = jnp.array([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]], jnp.int32)
WHERE = jnp.arange(TOKENS.shape[1])[None]


def group(**fields):
    return ConfigDict(base.model('transformer', num_layers=2, hidden_size=8, num_heads=4, **fields))


@pytest.mark.parametrize(
    'fields', [{}, {'positions': 'none', 'window': 3}, {'num_kv_heads': 2}], ids=str
)
def test_weights_times_values_through_the_projection_are_what_attention_gave(fields):
    model = group(**fields)
    config = block_config(model)
    params = models.build(model, vocab_size=10, max_length=6).init(jax.random.key(0))
    found = np.asarray(attention_weights.weights(model, params, TOKENS))
    assert found.shape == (2, 2, 4, 6, 6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
    assert (found[..., np.triu(np.ones((6, 6), bool), 1)] == 0).all()
    if window := int(fields.get('window', 0)):
        assert (found[..., np.tril(np.ones((6, 6), bool), -window)] == 0).all()
    x = params['embed']['embedding'][TOKENS]
    for i in range(2):
        mine = params['body'][f'layer_{i}']
        (x, _), caught = Block(config).apply(
            {'params': mine},
            x,
            None,
            WHERE,
            None,
            None,
            None,
            capture_intermediates=lambda module, name: module.name in ('qkv', 'out'),
            mutable=['intermediates'],
        )
        caught = caught['intermediates']['attention']
        qkv = np.asarray(caught['qkv']['__call__'][0], np.float64)
        v = qkv[..., (4 + config.kv_heads) * config.head :].reshape(2, 6, config.kv_heads, 2)
        v = np.repeat(v, 4 // config.kv_heads, axis=2)
        y = np.einsum('BHTS,BSHK->BTHK', found[i].astype(np.float64), v).reshape(2, 6, 8)
        out = mine['attention']['out']
        given = y @ np.asarray(out['kernel'], np.float64) + np.asarray(out['bias'], np.float64)
        np.testing.assert_allclose(given, np.asarray(caught['out']['__call__'][0]), atol=1e-5)


def test_other_layers_are_refused():
    for fields in ({'positions': 'learned'}, {'scan_layers': True}):
        with pytest.raises(InputError):
            attention_weights.weights(group(**fields), {}, TOKENS)


def test_the_difference_of_heads_by_hand():
    alike = np.tile(np.array([0.7, 0.2, 0.1], np.float32), (2, 3, 1))
    assert float(attention_weights.diversity(jnp.asarray(alike))) == pytest.approx(0, abs=1e-6)
    apart = np.stack([np.tile(row, (3, 1)) for row in np.eye(3, dtype=np.float32)[:2]])
    assert float(attention_weights.diversity(jnp.asarray(apart))) == pytest.approx(1, abs=1e-6)
    # One head at key 0, one half at 0 and half at 1: H(3/4, 1/4) − ½ H(1/2, 1/2), over ln 2.
    half = np.stack([np.tile(row, (3, 1)) for row in ([1, 0, 0], [0.5, 0.5, 0])]).astype('f')
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    wanted = (entropy - 0.5 * np.log(2)) / np.log(2)
    assert float(attention_weights.diversity(jnp.asarray(half))) == pytest.approx(wanted, abs=1e-6)
    # Queries that see fewer keys than there are heads say nothing: the first of two heads.
    first = half.copy()
    first[:, 0] = [1, 0, 0]
    assert float(attention_weights.diversity(jnp.asarray(first))) == pytest.approx(wanted, abs=1e-6)
    for shape in ((1, 3, 3), (4, 3, 3)):
        with pytest.raises(InputError):
            attention_weights.diversity(jnp.full(shape, 1 / 3, jnp.float32))


def test_a_pooled_memory_is_the_mean_over_real_tokens():
    model = ConfigDict(seq2seq.transformer())
    model.update(hidden_size=8, num_heads=2, num_layers=1, max_positions=0)
    built = models.build(model, vocab_size=10, max_length=4, source_length=6)
    pooled = pooled_memory.pool(built)
    params = built.init(jax.random.key(0))
    lengths = jnp.array([6, 2], jnp.int32)
    options = {'source': TOKENS, 'source_lengths': lengths}
    plain, mean = (one.start(params, 2, **options) for one in (built, pooled))
    for whole, one in zip(plain.memories, mean.memories, strict=True):
        assert one.k.shape == (2, 1, 2, 4)
        np.testing.assert_array_equal(one.lengths, 1)
        for a, b in ((whole.k, one.k), (whole.v, one.v)):
            np.testing.assert_allclose(b[0, 0], np.mean(a[0], axis=0), atol=1e-6)
            np.testing.assert_allclose(b[1, 0], np.mean(a[1, :2], axis=0), atol=1e-6)
