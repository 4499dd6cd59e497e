"""Symbols at many distances: what is drawn, who reaches what, and n-grams against their reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models import models
from nlp_models.analysis import distances, skill, solving
from nlp_models.data import synthetic
from nlp_models.errors import InputError
from nlp_models.types import LanguageModel

A, F = 4, 3


def test_rows_are_those_of_delayed_each_at_its_distance():
    tried = (5, 9, 7)
    problem = distances.problem(tried, alphabet=A, fillers=F)
    rows = problem.sample(1, np.arange(4, 16), split='test')
    assert problem.length == 9
    assert problem.vocab_size == 1 + A + F
    for i, index in enumerate(range(4, 16)):
        d = tried[index % 3]
        one = synthetic.delayed(
            1, np.array([index]), split='test', distance=d, alphabet=A, fillers=F
        )
        for ours, theirs in zip(rows, one, strict=True):
            np.testing.assert_array_equal(ours[i, :d], theirs[0])
            assert not ours[i, d:].any()


def test_a_text_is_examples_one_after_the_other():
    tokens, answers, order = distances.text(3, (1, 2, 5), 50, alphabet=A, fillers=F)
    assert sorted(order) == [1] * 50 + [2] * 50 + [5] * 50
    assert len(tokens) == 50 * (2 + 3 + 6)
    start = 0
    for at, d in zip(answers, order, strict=True):
        example = tokens[start : at + 1]
        assert len(example) == d + 1
        assert example[0] == example[-1]
        assert 1 <= example[0] <= A
        if d > 1:
            assert example[-2] == 0
            assert ((example[1:-2] > A) & (example[1:-2] <= A + F)).all()
        start = at + 1
    again, _, _ = distances.text(3, (1, 2, 5), 50, alphabet=A, fillers=F)
    np.testing.assert_array_equal(tokens, again)


@pytest.mark.parametrize('order', [2, 4])
def test_ngrams_know_what_they_reach_and_are_at_chance_beyond(order):
    tried, number = (1, 3, 4, 8), 3000
    found = distances.of_ngram(order, 5, tried, number, alphabet=A, fillers=F)
    deviation = np.sqrt(1 / A * (1 - 1 / A) / number)
    for d in tried:
        if d < order:
            assert found[d] > 0.99
        else:
            # What does not see the key is right by chance: 4.5 deviations are passed by 1 in 10⁵.
            assert abs(found[d] - 1 / A) < 4.5 * deviation


def test_accuracy_by_distance():
    hits = np.array([[1, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1]], np.float32)
    assert distances.by_distance(hits, (3, 8)) == {
        3: [1.0, 0.0],
        8: pytest.approx([1 / 3, 1 / 3]),
    }
    with pytest.raises(InputError, match='examples'):
        distances.by_distance(hits[:, :1], (3, 8))


def last_tokens(number):
    """A model whose logits are a sum over its last `number` tokens: it reaches just these."""

    def apply(params, state, tokens, **_):
        one_hot = jax.nn.one_hot(tokens, 5)
        shifted = [
            jnp.pad(one_hot, ((0, 0), (k, 0), (0, 0)))[:, : tokens.shape[1]] for k in range(number)
        ]
        return state, jnp.sum(jnp.stack(shifted), axis=0)

    return LanguageModel(lambda key: {}, lambda params, size, length=0: (), apply, None)


@pytest.mark.parametrize('number', [1, 4, 7])
def test_reach_is_the_number_of_tokens_that_count(number):
    tokens = np.array([0, 1, 2, 3, 4, 0, 1])
    assert distances.reach(last_tokens(number), {}, tokens, (tokens + 1) % 5) == number


@pytest.mark.parametrize(('layers', 'window'), [(1, 3), (2, 3), (3, 2)])
def test_windows_reach_as_far_as_the_formula_says(layers, window):
    model = ConfigDict(
        base.model('transformer', hidden_size=8, num_heads=2, num_layers=layers, window=window)
    )
    built = models.build_language_model(model, vocab_size=5, max_length=10)
    tokens = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    params = built.init(jax.random.key(0))
    found = distances.reach(built, params, tokens, (tokens + 2) % 5)
    assert found == distances.windowed_reach(layers, window) < 10


def test_right_is_the_hit_at_the_scored_place():
    problem = distances.problem((5, 6), alphabet=A, fillers=F)
    data = problem.sample(0, np.arange(20), split='train')._asdict()
    model = last_tokens(1)  # always says the token just read
    said = distances.right(model)({}, data)
    assert said.shape == (20,)
    assert not np.asarray(said).any()
    copied = {**data, 'targets': data['inputs']}
    assert np.asarray(distances.right(model)({}, copied)).all()


def test_skill_is_0_for_guessers_and_1_for_the_perfect():
    assert skill.skill('adding', {}, [1 / 6, 0.0, 1 / 3]) == pytest.approx([0, 1, -1])
    assert skill.skill('delayed', {'alphabet': 4}, [0.25, 1.0]) == pytest.approx([0, 1])
    assert skill.skill('copy', {}, [0.125, 1.0]) == pytest.approx([0, 1])
    assert np.isnan(skill.skill('delayed', {'alphabet': 4}, [np.nan])).all()
    with pytest.raises(InputError, match='must be one of'):
        skill.skill('parity', {}, [0.5])
    assert solving.problem('adding', {'length': 4}).vocab_size == 0
