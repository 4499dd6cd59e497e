"""Influence of an input long ago, against a linear recurrence and a loop over places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models import models
from nlp_models.analysis import influence
from nlp_models.errors import InputError


@pytest.mark.parametrize('a', [0.5, -0.9, 1.0])
def test_of_a_linear_recurrence_it_is_a_power_of_its_weight(a):
    steps = 12

    def read(tokens):
        powers = a ** jnp.arange(steps)[::-1]
        return (jnp.where(tokens == 1, 0.5, -0.5) * powers).sum(axis=1, keepdims=True)

    tokens = np.random.default_rng(0).integers(1, 3, (7, steps)).astype(np.int32)
    tokens = jnp.asarray(tokens)
    found = influence.influence(read, tokens, 3 - tokens)
    np.testing.assert_allclose(found, np.abs(a) ** np.arange(steps), rtol=2e-5)


def test_of_an_lstm_it_is_what_a_loop_over_places_finds():
    group = ConfigDict(base.model('lstm', hidden_size=5, embed_size=3))
    model = models.build_language_model(group, vocab_size=4, max_length=6)
    params = model.init(jax.random.key(3))
    tokens = np.random.default_rng(1).integers(0, 4, (3, 6)).astype(np.int32)
    others = influence.replace(tokens, 0, 0, 3)

    @jax.jit
    def carried(tokens):
        state, _ = model.apply(params, model.start(params, 3), tokens)
        return jax.tree.leaves(state)

    # The carry holds h and C; h is the one that the head would read.
    read = jax.jit(influence.last_vector(group, params, 6))
    last = read(jnp.asarray(tokens))
    wanted = next(i for i, c in enumerate(carried(jnp.asarray(tokens))) if np.allclose(c, last))

    def final(tokens):
        return np.asarray(carried(jnp.asarray(tokens))[wanted], np.float64)

    moved = []
    for place in range(6):
        changed = tokens.copy()
        changed[:, place] = others[:, place]
        moved.append(np.linalg.norm(final(changed) - final(tokens), axis=1).mean())
    expected = np.array(moved[::-1]) / moved[-1]
    found = influence.influence(read, jnp.asarray(tokens), jnp.asarray(others))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_replacements_differ_and_are_as_likely_as_each_other():
    tokens = np.random.default_rng(0).integers(0, 6, 60_000)
    found = influence.replace(tokens, 1, 2, 4)
    assert found.dtype == np.int32
    assert not (found == tokens).any()
    for token in range(6):
        allowed = [other for other in (2, 3, 4) if other != token]
        counts = [np.sum(found[tokens == token] == other) for other in allowed]
        total = np.sum(tokens == token)
        assert sum(counts) == total
        share = 1 / len(allowed)
        bound = 5 * np.sqrt(total * share * (1 - share))
        assert all(abs(count - total * share) < bound for count in counts)
    with pytest.raises(InputError):
        influence.replace(tokens, 0, 3, 3)
