"""What is minimised and counted, against NumPy in float64, one row and token after the other."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models.training import parallel
from nlp_models.training.objectives import (
    contrastive,
    count_hits,
    masked_language_modelling,
    sequence_to_sequence,
)
from nlp_models.types import Seq2Seq, TextEncoder

B, T, V, D = 8, 5, 7, 4

# The plainest models there are: an embedding, and what a key draws in place of dropout.


def noisy(y, key):
    return y if key is None else y + jax.random.normal(key, y.shape)


def encode(params, tokens, *, lengths=None, segments=None, key=None):
    del segments
    y = params['embedding'][tokens]
    if lengths is not None:
        y = jnp.where((jnp.arange(y.shape[1]) < lengths[:, None])[..., None], y, 100.0)
    return noisy(y, key)


ENCODER = TextEncoder(
    init=lambda key: None,
    encode=encode,
    logits=lambda params, y: y @ params['head'],
    context=None,
)


def start(params, batch_size, max_length=0, *, source, source_lengths=None, key=None):
    del batch_size, max_length
    assert source_lengths is not None
    real = jnp.arange(source.shape[1]) < source_lengths[:, None]
    total = jnp.where(real[..., None], params['embedding'][source], 0).sum(1)
    return noisy(total, key)


def apply(params, state, tokens, *, lengths=None, key=None):
    del lengths
    y = state[:, None] + params['embedding'][tokens]
    return state, noisy(y, key) @ params['head']


TRANSLATOR = Seq2Seq(lambda key: None, start, apply, context=None, source_context=None)


def draw(seed=0):
    """Parameters, and what draws the rest."""
    random = np.random.default_rng(seed)
    params = {'embedding': random.normal(size=(V, D)), 'head': random.normal(size=(D, V))}
    return {name: value.astype(np.float32) for name, value in params.items()}, random


def log_softmax(scores):
    scores = np.asarray(scores, np.float64)
    return scores - np.log(np.exp(scores - scores.max()).sum()) - scores.max()


def loop(logits, targets, weights, whole=None):
    """(loss, weight, correct, exact, rows)."""
    loss = weight = correct = exact = rows = 0.0
    for b in range(len(logits)):
        wrong = 0
        for t in range(len(logits[b])):
            if weights[b, t]:
                right = np.argmax(logits[b, t]) == targets[b, t]
                loss -= log_softmax(logits[b, t])[targets[b, t]]
                weight, correct, wrong = weight + 1, correct + right, wrong + (not right)
        counted = weights[b].any()
        rows += counted
        exact += counted and not wrong and (whole is None or whole[b])
    return loss, weight, correct, exact, rows


def assert_sums(found: Any, want: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), want[: len(found)], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('marked', [False, True])
def test_hits_are_counted_one_by_one(marked):
    _, random = draw()
    logits = random.normal(size=(B, T, V)).astype(np.float32)
    targets = logits.argmax(-1).astype(np.int32)
    weights = np.ones((B, T), np.float32)
    targets[1, 2] = (targets[1, 2] + 1) % V  # wrong in one place
    targets[2, 3] = (targets[2, 3] + 1) % V  # wrong where nobody looks
    weights[2, 3:] = 0
    targets[3] = (targets[3] + 1) % V  # wrong everywhere
    weights[4] = 0  # a row of nothing
    targets[5, 0], weights[5, 1:] = (targets[5, 0] + 1) % V, 0  # its only one is wrong
    whole = np.array([True, True, True, True, True, True, False, True]) if marked else None
    want = loop(logits, targets, weights, whole)
    assert want[3:] == (3 if marked else 4, 7)  # rows 0, 2, 7 and, unless it is cut off, 6
    marks = None if whole is None else jnp.asarray(whole)
    found = count_hits(jnp.asarray(logits), jnp.asarray(targets), jnp.asarray(weights), marks)
    assert_sums(found, want)


def both(objective, model, params, batch, **how):
    """(Sums, Hits) of an objective, whose carry is None."""
    params, batch = jax.tree.map(jnp.asarray, (params, batch))
    sums, carry = objective(model, **how)(params, None, batch, None)
    hits, none = objective(model, count=True, **how)(params, None, batch, None)
    assert carry is none is None
    assert sums._fields == hits._fields[:2]
    return sums, hits


def check_keys(objective, model, params, batch, **how):
    """A key counts where it is to be handed on, and nowhere else."""
    key = jax.random.key(0)
    params, batch = jax.tree.map(jnp.asarray, (params, batch))

    def losses(dropout):
        function = objective(model, dropout=dropout, **how)
        return [float(function(params, None, batch, k)[0].loss) for k in (None, key)]

    without, plain = losses(False), losses(True)
    assert without[0] == without[1] == plain[0] != plain[1]


def test_masked_language_modelling_is_its_loop():
    params, random = draw()
    batch: dict[str, Any] = {
        name: random.integers(V, size=(B, T)).astype(np.int32) for name in ('tokens', 'targets')
    }
    batch['weights'] = (random.random((B, T)) < 0.4).astype(np.float32)
    batch['weights'][3] = 0
    sums, hits = both(masked_language_modelling, ENCODER, params, batch)
    logits = params['embedding'][batch['tokens']] @ params['head']
    want = loop(logits, batch['targets'], batch['weights'])
    assert 0 < want[2] < want[1]
    assert_sums(sums, want)
    assert_sums(hits, want)
    check_keys(masked_language_modelling, ENCODER, params, batch)


def test_sequence_to_sequence_is_its_loop():
    params, random = draw(seed=1)
    lengths = random.integers(1, T + 1, size=B)
    batch = {
        'source': random.integers(V, size=(B, 3)).astype(np.int32),
        'source_lengths': random.integers(1, 4, size=B).astype(np.int32),
        'tokens': random.integers(V, size=(B, T + 1)).astype(np.int32),
        'weights': (np.arange(T) < lengths[:, None]).astype(np.float32),
    }
    embedding, tokens = params['embedding'], batch['tokens']
    logits = np.zeros((B, T, V), np.float32)
    for b, length in enumerate(batch['source_lengths']):
        state = sum(embedding[i] for i in batch['source'][b, :length])
        for t in range(T):  # it has read the right token before the one it is asked for
            logits[b, t] = (state + embedding[tokens[b, t]]) @ params['head']
            if b in (0, 2, 6):
                tokens[b, t + 1] = logits[b, t].argmax()
    sums, hits = both(sequence_to_sequence, TRANSLATOR, params, batch)
    want = loop(logits, tokens[:, 1:], batch['weights'])
    assert 3 <= want[3] < want[4] == B
    assert_sums(sums, want)
    assert_sums(hits, want)
    check_keys(sequence_to_sequence, TRANSLATOR, params, batch)
    marked = {**batch, 'whole': np.arange(B) != 2}
    _, hits = both(sequence_to_sequence, TRANSLATOR, params, marked)
    assert_sums(hits, (*want[:3], want[3] - 1, want[4]))


# Contrastive.

HOW: dict[str, Any] = dict(pooling='mean', temperature=0.3)


def pairs(seed=2, fillers=()):
    """A batch, whose first texts end with what their second ones begin with."""
    params, random = draw(seed)
    batch: dict[str, Any] = {}
    for name in ('first', 'second'):
        batch[name] = random.integers(V, size=(B, T)).astype(np.int32)
        batch[f'{name}_lengths'] = random.integers(1, T + 1, size=B).astype(np.int32)
    batch['second'][: B // 2] = batch['first'][: B // 2]
    batch['first_numbers'] = batch['second_numbers'] = np.arange(B, dtype=np.int32)
    if fillers:
        batch['weights'] = np.ones(B, np.float32)
        batch['weights'][[*fillers]] = 0
    return params, batch


def contrastive_loop(params, batch):
    """(loss, pairs, right partners, both ways right, pairs)."""
    vectors = {}
    for name in ('first', 'second'):
        rows = zip(batch[name], batch[f'{name}_lengths'], strict=True)
        means = [params['embedding'][row[:n]].astype(np.float64).mean(0) for row, n in rows]
        vectors[name] = [mean / np.sqrt(mean @ mean) for mean in means]
    real = np.flatnonzero(batch.get('weights', np.ones(B)))
    loss = correct = 0.0
    for mine, other in (('first', 'second'), ('second', 'first')):
        for place, i in enumerate(real):
            scores = [vectors[mine][i] @ vectors[other][j] / 0.3 for j in real]
            for where, j in enumerate(real):
                alike = any(batch[f'{n}_numbers'][i] == batch[f'{n}_numbers'][j] for n in vectors)
                if alike and where != place:
                    scores[where] = -np.inf
            loss -= log_softmax(scores)[place] / 2
            correct += (np.argmax(scores) == place) / 2
    return loss, len(real), correct


@pytest.mark.parametrize('fillers', [(), (0, 5, 7)])
def test_contrastive_is_its_loop(fillers):
    params, batch = pairs(fillers=fillers)
    sums, hits = both(contrastive, ENCODER, params, batch, **HOW)
    want = contrastive_loop(params, batch)
    assert 0 < want[2] < want[1]
    assert_sums(sums, want)
    assert_sums(hits[:3], want)
    assert float(hits.rows) == want[1]
    check_keys(contrastive, ENCODER, params, batch, **HOW)


def test_what_is_as_right_as_the_right_one_is_no_negative():
    params, batch = pairs()
    plain = contrastive_loop(params, batch)
    batch['first_numbers'] = np.array([0, 1, 1, 3, 4, 5, 6, 7], np.int32)
    batch['second_numbers'] = np.array([0, 1, 2, 3, 0, 5, 5, 5], np.int32)
    sums, _ = both(contrastive, ENCODER, params, batch, **HOW)
    want = contrastive_loop(params, batch)
    assert want[0] < plain[0] - 1
    assert_sums(sums, want)


def test_fillers_are_nobodys_partner():
    fillers = (3, 5)
    params, batch = pairs(fillers=fillers)
    changed = {name: value.copy() for name, value in batch.items()}
    for name in ('first', 'second'):  # what would be the best of all partners
        changed[name][[*fillers]] = batch[name][:2]
        changed[f'{name}_lengths'][[*fillers]] = batch[f'{name}_lengths'][:2]
    rest = {name: np.delete(value, fillers, axis=0) for name, value in batch.items()}

    def loss(params, batch):
        return contrastive(ENCODER, **HOW)(params, None, batch, None)[0].loss

    value = jax.jit(jax.value_and_grad(loss))
    found, other, without = (value(params, each) for each in (batch, changed, rest))
    for a, b, c in zip(*map(jax.tree.leaves, (found, other, without)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('fillers', [(), (1, 6, 7)])
@pytest.mark.parametrize('count', [False, True])
def test_four_devices_are_each_others_negatives(count, fillers):
    params, batch = pairs(fillers=fillers)
    devices = parallel.Devices(tuple(jax.local_devices()[:4]))

    def function(axis_name):
        objective = contrastive(ENCODER, axis_name=axis_name, count=count, **HOW)

        def loss(params, batch):
            sums, _ = objective(params, None, batch, None)
            return sums.loss, sums

        return jax.grad(loss, has_aux=True)

    def share(params, batch):
        gradients, sums = function(parallel.AXIS)(params, batch)
        return jax.lax.psum((gradients, sums), parallel.AXIS)

    one = jax.jit(function(None))(params, batch)
    placed = devices.replicate(params), devices.shard(batch)
    compiled, _ = devices.compile(share, *placed)
    many = devices.first(compiled(*placed))
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(one[0]))
    assert largest > 0.1
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert_sums(many[1][:3], contrastive_loop(params, batch)[: len(many[1][:3])])


def test_the_two_texts_are_dropped_from_differently():
    params, batch = jax.tree.map(jnp.asarray, pairs())
    for name in ('', '_lengths'):
        batch[f'second{name}'] = batch[f'first{name}']
    seen: list[Any] = []

    def keep(params, tokens, *, lengths=None, segments=None, key=None):
        seen.append(key)
        return encode(params, tokens, lengths=lengths, key=key)

    objective = contrastive(ENCODER._replace(encode=keep), dropout=True, **HOW)
    objective(params, None, batch, jax.random.key(0))
    one, other = map(jax.random.key_data, seen)
    assert np.any(one != other)


@pytest.mark.parametrize('pooling', ['mean', 'cls', 'last'])
def test_contrastive_training_brings_partners_together(pooling):
    params, batch = jax.tree.map(jnp.asarray, pairs())
    how = {**HOW, 'pooling': pooling}

    @jax.jit
    def step(params):
        def loss(params):
            return contrastive(ENCODER, **how)(params, None, batch, None)[0].loss / B

        value, gradients = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda p, g: p - 0.5 * g, params, gradients)

    first, _ = step(params)
    for _ in range(30):
        last, params = step(params)
    assert float(last) < 0.9 * float(first)
