"""What may be drawn, and how often, against definitions in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models.errors import InputError
from nlp_models.generation.sampling import Sampling, filter_logits, penalise, pick

NONE = -np.inf
SETTINGS = [
    Sampling(),
    Sampling(temperature=0.3),
    Sampling(temperature=4.0),
    Sampling(top_k=1),
    Sampling(top_k=5),
    Sampling(top_k=1000),
    Sampling(top_p=0.05),
    Sampling(top_p=0.5),
    Sampling(top_p=0.999),
    Sampling(min_p=0.001),
    Sampling(min_p=0.2),
    Sampling(temperature=0.7, top_k=12, top_p=0.8, min_p=0.05),
    Sampling(temperature=2.5, top_k=3, top_p=0.9, min_p=0.3),
]


def softmax(x):
    p = np.exp(x - x.max())
    return p / p.sum()


def definition(logits, sampling):
    """The filtered logits of a row, in float64; None where rounding decides what is let through."""
    x = logits.astype(np.float64)
    x = (x - x.max()) / sampling.temperature
    if sampling.top_k > 0:
        kth = np.sort(x)[::-1][min(sampling.top_k, len(x)) - 1]
        x = np.where(x >= kth, x, NONE)
    if sampling.top_p < 1:
        p = softmax(x)
        likeliest = sorted(range(len(x)), key=lambda i: (-p[i], i))
        mass, kept = 0.0, []
        for token in likeliest:
            kept.append(token)
            mass += p[token]
            if abs(mass - sampling.top_p) < 1e-5:
                return None
            if mass >= sampling.top_p:
                break
        x = np.where(np.isin(np.arange(len(x)), kept), x, NONE)
    if sampling.min_p > 0:
        p = softmax(x)
        least = sampling.min_p * p.max()
        if np.any(np.abs(p / least - 1) < 1e-5) and sampling.min_p < 1:
            return None
        x = np.where(p >= least, x, NONE)
    return x


def logits_of(kind, rows=40, vocab_size=53, seed=0):
    random = np.random.default_rng(seed)
    normal = 3 * random.normal(size=(rows, vocab_size))
    match kind:
        case 'normal':
            logits = normal
        case 'ties':
            logits = random.integers(-2, 3, size=(rows, vocab_size))
        case 'flat':
            logits = np.zeros((rows, vocab_size))
        case 'peaked':
            logits = normal + 200 * (np.arange(vocab_size) == random.integers(vocab_size))
        case 'huge':
            logits = 1e30 * normal
        case 'forbidden':
            logits = np.where(random.random((rows, vocab_size)) < 0.8, NONE, normal)
            logits[:, 0] = 0
        case 'many':
            logits = 2 * random.normal(size=(3, 20_000))
    return logits.astype(np.float32)


@pytest.mark.parametrize('kind', ['normal', 'ties', 'flat', 'peaked', 'huge', 'forbidden', 'many'])
@pytest.mark.parametrize('sampling', SETTINGS, ids=repr)
def test_what_is_left_is_what_the_definition_leaves(kind, sampling):
    logits = logits_of(kind)
    filtered = jax.jit(filter_logits, static_argnums=1)(logits, sampling)
    got = np.asarray(jax.nn.softmax(filtered, axis=-1))
    compared = 0
    for row in range(len(logits)):
        want = definition(logits[row], sampling)
        if want is None:
            continue
        compared += 1
        np.testing.assert_array_equal(np.isfinite(filtered[row]), np.isfinite(want))
        np.testing.assert_allclose(got[row], softmax(want), rtol=1e-4, atol=1e-7)
    # Of so many, the ones that 0.999 is reached by are all but equally likely.
    hopeless = kind == 'many' and sampling.top_p == 0.999
    assert compared > 0.7 * len(logits) or hopeless


def test_examples_by_hand():
    logits = jnp.log(jnp.asarray([[0.1, 0.4, 0.2, 0.2, 0.1]]))

    def kept(**settings: Any):
        filtered = filter_logits(logits, Sampling(**settings))
        return np.flatnonzero(np.isfinite(np.asarray(filtered)[0])).tolist()

    assert kept() == [0, 1, 2, 3, 4]
    assert kept(top_k=2) == [1, 2, 3]  # ties with the second stay
    assert kept(top_p=0.3) == [1]
    assert kept(top_p=0.45) == [1, 2]  # the token that crosses stays; of equals the first
    assert kept(top_p=0.65) == [1, 2, 3]
    assert kept(top_p=0.85) == [0, 1, 2, 3]
    assert kept(top_p=1e-9) == [1]
    assert kept(min_p=0.45) == [1, 2, 3]
    assert kept(min_p=1.0) == [1]
    assert kept(temperature=100.0, min_p=0.9) == [0, 1, 2, 3, 4]  # temperature comes first
    assert kept(top_k=1, top_p=0.99) == [1]
    assert kept(top_k=2, top_p=0.7) == [1, 2]  # of what top-k has left: 0.5, 0.25, 0.25
    assert kept(temperature=0.0) == [1]
    cold = jax.nn.softmax(filter_logits(logits, Sampling(temperature=1e-29)))
    assert np.asarray(cold)[0].tolist() == [0, 1, 0, 0, 0]
    assert kept(temperature=1e-40) == [1]


@pytest.mark.parametrize(
    'sampling',
    [Sampling(), Sampling(temperature=0.5, top_k=8), Sampling(top_p=0.8, min_p=0.1)],
    ids=repr,
)
def test_tokens_are_drawn_as_often_as_they_should(sampling):
    logits, draws = logits_of('normal', rows=1, vocab_size=12, seed=4), 20_000
    keys = jax.random.split(jax.random.key(0), draws)
    rows = jnp.broadcast_to(logits, (draws, 12))
    tokens = np.asarray(jax.jit(pick, static_argnums=2)(rows, keys, sampling))
    assert tokens.dtype == np.int32
    want = definition(logits[0], sampling)
    assert want is not None
    want = softmax(want)
    drawn, possible = np.bincount(tokens, minlength=12), want > 0
    assert drawn[~possible].sum() == 0
    statistic = np.sum((drawn - draws * want)[possible] ** 2 / (draws * want[possible]))
    freedom = possible.sum() - 1
    # χ² has mean `freedom` and variance 2 · `freedom`.
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_a_rows_token_is_its_keys_alone():
    logits, keys = logits_of('normal'), jax.random.split(jax.random.key(3), 40)
    draw = jax.jit(pick, static_argnums=2)
    sampling = Sampling(temperature=2.0, top_k=20, top_p=0.9, min_p=0.01)
    tokens = np.asarray(draw(logits, keys, sampling))
    some = np.asarray([7, 3, 30])
    np.testing.assert_array_equal(draw(logits[some], keys[some], sampling), tokens[some])
    assert np.any(tokens != np.asarray(draw(logits, keys[::-1], sampling)))
    greedy = draw(logits, None, Sampling(temperature=0.0))
    np.testing.assert_array_equal(greedy, logits.argmax(axis=1))
    assert greedy.dtype == np.int32


def test_the_penalty_is_its_definition():
    logits = logits_of('normal')
    seen = np.random.default_rng(1).random(logits.shape) < 0.5
    for penalty in (1.0, 1.3, 0.5):
        want = logits.astype(np.float64)
        for row, token in zip(*np.nonzero(seen), strict=True):
            x = want[row, token]
            want[row, token] = x / penalty if x > 0 else x * penalty
        got = penalise(jnp.asarray(logits), jnp.asarray(seen), penalty)
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_no_more_is_computed_than_was_asked_for():
    logits = jnp.zeros((2, 30))

    def primitives(sampling):
        keys = jax.random.split(jax.random.key(0), 2)
        return str(jax.make_jaxpr(lambda x: pick(x, keys, sampling))(logits))

    assert 'random_bits' not in primitives(Sampling(temperature=0.0, top_k=3, top_p=0.5))
    plain = primitives(Sampling())
    assert 'random_bits' in plain
    for sampling, name in ((Sampling(top_k=3), 'top_k'), (Sampling(top_p=0.5), 'cumsum')):
        assert name not in plain
        assert name in primitives(sampling)
    assert 'div' not in plain  # neither temperature nor softmax


@pytest.mark.parametrize(
    ('field', 'value', 'should'),
    [
        ('temperature', -0.1, 'must be at least 0 and finite'),
        ('temperature', float('inf'), 'must be at least 0 and finite'),
        ('temperature', float('nan'), 'must be at least 0 and finite'),
        ('top_k', -1, 'must be at least 1, or 0 for all'),
        ('top_p', 0.0, 'must be above 0 and at most 1'),
        ('top_p', 1.1, 'must be above 0 and at most 1'),
        ('min_p', -0.1, 'must be from 0 to 1'),
        ('min_p', 1.5, 'must be from 0 to 1'),
        ('repetition_penalty', 0.0, 'must be above 0 and finite'),
        ('repetition_penalty', float('inf'), 'must be above 0 and finite'),
    ],
)
def test_a_setting_out_of_range_is_named(field, value, should):
    with pytest.raises(InputError) as error:
        Sampling(**{field: value})
    assert str(error.value) == f'{field} is {value!r}: it {should}'


def test_keys_are_asked_for():
    with pytest.raises(InputError, match='keys is None'):
        pick(jnp.zeros((1, 3)), None, Sampling())
