"""Leaks are found where they are, to the pair, and nowhere else."""

import jax
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models.analysis import leaks
from nlp_models.errors import InputError
from nlp_models.types import LanguageModel

T = 6
PAIRS = T * (T - 1) // 2


def group(**fields):
    return ConfigDict(base.model('transformer', num_layers=1, hidden_size=8, num_heads=2, **fields))


@pytest.mark.parametrize('window', [0, 2])
def test_none_with_a_mask_and_every_one_without(window):
    model = group(window=window)
    built = leaks.build(model, vocab_size=2 * T, max_length=T)
    found = leaks.count(built, built.init(jax.random.key(0)), T, 0)
    assert found == leaks.Leaks(gradients=0, bits=0, pairs=PAIRS)
    bare = leaks.build(model, vocab_size=2 * T, max_length=T, causal=False)
    found = leaks.count(bare, bare.init(jax.random.key(0)), T, 0)
    if window:  # one layer whose tokens see one neighbour on each side
        assert found == leaks.Leaks(gradients=T - 1, bits=T - 1, pairs=PAIRS)
    else:
        assert found == leaks.Leaks(gradients=PAIRS, bits=PAIRS, pairs=PAIRS)


def test_a_leak_of_one_token_among_all_is_found():
    vocab_size = 2 * T

    def init(key):
        keys = jax.random.split(key)
        return {
            'embed': {'embedding': jax.random.normal(keys[0], (vocab_size, 4))},
            'head': {'kernel': jax.random.normal(keys[1], (4, vocab_size))},
        }

    def apply(params, state, tokens, *, lengths=None, key=None):
        x = params['embed']['embedding'][tokens]
        x = x.at[:, 1].add(1e-3 * x[:, 4])  # place 1 sees place 4
        return state, x @ params['head']['kernel']

    plain = leaks.build(group(), vocab_size=vocab_size, max_length=T)
    model = plain._replace(init=init, apply=apply, start=lambda params, batch_size, *a, **b: ())
    assert isinstance(model, LanguageModel)
    found = leaks.count(model, init(jax.random.key(0)), T, 0)
    # By bits: place 1 changes wherever the tokens from 2, 3 or 4 on are others.
    assert found == leaks.Leaks(gradients=1, bits=3, pairs=PAIRS)


def test_what_cannot_be_searched_is_refused():
    built = leaks.build(group(), vocab_size=2 * T - 1, max_length=T)
    with pytest.raises(InputError, match='vocab_size'):
        leaks.count(built, built.init(jax.random.key(0)), T, 0)
    tied = leaks.build(group(tie_embeddings=True), vocab_size=2 * T, max_length=T)
    params = tied.init(jax.random.key(0))
    with pytest.raises(InputError, match='tie_embeddings'):
        leaks.count(tied, params, T, 0)


def test_plain_and_chunked_attention_are_there():
    assert {'plain', 'chunked'} <= set(leaks.available(group(), 144))
