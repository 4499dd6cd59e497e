"""Which tokens a vector depends on, for every kind; training on pairs finds halves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import architectures as config_file
from configs.studies import base
from nlp_models.analysis import embedders
from nlp_models.data import pairs
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError

MODEL = ConfigDict(base.model('transformer', num_layers=1, hidden_size=8, num_heads=2))
TOKENS = np.array([[3, 1, 4, 1, 5]], np.int32)
LENGTHS = np.array([4], np.int32)


@pytest.mark.parametrize('kind', embedders.KINDS)
def test_what_a_vector_depends_on(kind):
    model = embedders.build(MODEL, kind, vocab_size=10, max_length=5)
    params = model.init(jax.random.key(0))

    def encode(tokens):
        return np.asarray(model.encode(params, jnp.asarray(tokens), lengths=jnp.asarray(LENGTHS)))

    before = encode(TOKENS)
    assert before.shape == (1, 5, 8)
    moved = []
    for place in range(5):
        other = TOKENS.copy()
        other[0, place] = 7
        moved.append(np.abs(encode(other) - before).max(axis=(0, 2)) > 1e-6)
    found = np.array(moved)  # [token changed, vector]
    if kind == 'encoder':
        assert found[:4, :4].all()
    elif kind == 'decoder':
        np.testing.assert_array_equal(found[:4, :4], np.triu(np.ones((4, 4), bool)))
    else:
        assert found[:4].all()
        assert (before == before[:, :1]).all()  # there is but one vector
    assert not found[4, :4].any()  # it is behind the end


def test_another_kind_is_refused():
    with pytest.raises(InputError, match='kind'):
        embedders.build(MODEL, 'both', vocab_size=10, max_length=5)


def made_up_pairs():
    """Pairs of texts that share a letter, the same in all splits."""
    made = [(2 * letter + 'x', 'y' + letter) for letter in 'abcdefghijklmnop']
    tokenizer = learn_tokenizer('chars', [text for pair in made for text in pair], 0)
    split = pairs.make_pairs(made, tokenizer)
    return pairs.PairDataset('made up', '1', '', tokenizer, split, split, split)


def test_pairs_are_told_apart():
    config, dataset = config_file.get_config('quick'), made_up_pairs()
    training = ConfigDict({**config.embedding, 'batch_size': 8, 'chunk': 20, 'sequence_length': 6})
    model = embedders.build(MODEL, 'encoder', vocab_size=dataset.tokenizer.vocab_size, max_length=6)
    found = embedders.solve(
        model, dataset, training, pooling='mean', steps=40, seeds=(0, 1), num_devices=1
    )
    assert (found.candidates, found.steps, found.diverged) == (16, 40, 0)
    guessed = np.mean(1 / np.arange(1, 17))
    assert min(found.reciprocal_rank) > 1.5 * guessed
    assert all(r <= m for r, m in zip(found.recall, found.reciprocal_rank, strict=True))
