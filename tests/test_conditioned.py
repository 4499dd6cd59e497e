"""Recurrent decoders with attention and without: the equations in NumPy, float64."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models.recurrent import attending
from nlp_models.recurrent.conditioned import make_conditioned_stack
from tests.generation_models import random_params
from tests.test_cells import STEPS, N, library_cell

B, T, S = 3, 5, 6
M = 2 * N
SOURCE_LENGTHS = np.array([4, 6, 1], np.int32)


def assert_close(actual, desired, tolerance=2e-5):
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


def softmax(scores):
    scores = np.exp(scores - scores.max())
    return scores / scores.sum()


def additive_loop(params, s, m):
    """Bahdanau et al. 2015, one place after the other: m `[S, M]` has real places alone."""
    w, u, v = params['W'].T, params['U'].T, params['v']
    weights = softmax(np.array([v @ np.tanh(w @ s + u @ m_j) for m_j in m]))
    return sum(weight * m_j for weight, m_j in zip(weights, m, strict=True))


def multiplicative_loop(params, h, m):
    """Luong et al. 2015."""
    weights = softmax(np.array([h @ params['W'] @ m_j for m_j in m]))
    return sum(weight * m_j for weight, m_j in zip(weights, m, strict=True))


def doubles(tree):
    return jax.tree.map(lambda a: np.asarray(a, np.float64), tree)


def random_memory():
    memory = np.random.default_rng(5).normal(size=(B, S, M))
    return memory, jnp.asarray(memory, jnp.float32), jnp.arange(S) < SOURCE_LENGTHS[:, None]


def test_bahdanau_is_its_loop():
    params = attending.init_bahdanau(jax.random.key(0), N, M)
    memory, m, real = random_memory()
    state = np.random.default_rng(6).normal(size=(B, N))
    s = jnp.asarray(state, jnp.float32)
    found = attending.bahdanau(params, s, m, m @ params['U'], real)
    truth = doubles(params)
    want = [
        additive_loop(truth, state[b], memory[b, :length])
        for b, length in enumerate(SOURCE_LENGTHS)
    ]
    assert found.shape == (B, M)
    assert_close(found, want)
    same = attending.bahdanau(params, s, m.at[0, 5].set(9.0), m @ params['U'], real)
    np.testing.assert_array_equal(same, found)  # a weight of exactly zero


def test_luong_is_its_loop():
    params = attending.init_luong(jax.random.key(0), N, M)
    memory, m, real = random_memory()
    states = np.random.default_rng(6).normal(size=(B, T, N))
    found = attending.luong(params, jnp.asarray(states, jnp.float32), m, real)
    truth = doubles(params)
    want = [
        [multiplicative_loop(truth, states[b, t], memory[b, :length]) for t in range(T)]
        for b, length in enumerate(SOURCE_LENGTHS)
    ]
    assert found.shape == (B, T, M)
    assert_close(found, want)


@pytest.mark.parametrize('size', [8, 64])
def test_attention_starts_with_scores_of_order_one(size):
    keys = jax.random.split(jax.random.key(0), 4)
    m = jax.random.normal(keys[0], (200, 5, 2 * size))
    s = jax.random.normal(keys[1], (200, size))
    luong = attending.init_luong(keys[2], size, 2 * size)
    scores = np.asarray(jnp.einsum('BM,BSM->BS', s @ luong['W'], m)) / np.sqrt(2 * size)
    assert 0.7 < scores.std() < 1.4
    additive = attending.init_bahdanau(keys[3], size, 2 * size)
    assert 0.7 < np.asarray(s @ additive['W']).std() < 1.4
    assert 0.7 < np.asarray(m @ additive['U']).std() < 1.4
    assert 0.5 < float(jnp.linalg.norm(additive['v'])) < 2


@pytest.mark.parametrize('attention', ['none', 'luong', 'bahdanau'])
@pytest.mark.parametrize(('cell', 'layers'), [('gru', 1), ('lstm', 2), ('mingru', 2)])
def test_a_conditioned_stack_is_the_equations(cell, layers, attention):
    width = 3
    body = make_conditioned_stack(
        library_cell(cell),
        attention=attention,
        num_layers=layers,
        input_size=width,
        hidden_size=N,
        memory_size=M,
    )
    params = random_params(cast(Any, body), seed=1)
    memory, m, _ = random_memory()
    x = np.random.default_rng(7).normal(size=(B, T, width))

    @jax.jit
    def run(params, m, x):
        state = body.start(params, m, jnp.asarray(SOURCE_LENGTHS))
        return state[0], body.apply(params, state, x)[1]

    carries, y = run(params, m, jnp.asarray(x, jnp.float32))
    truth = doubles(params)
    parts = 2 if cell == 'lstm' else 1
    for b, length in enumerate(SOURCE_LENGTHS):
        real = memory[b, :length]
        ends = np.concatenate([real[-1][:N], real[0][N:]])
        first = np.tanh(truth['start']['kernel'].T @ ends + truth['start']['bias'])
        pieces = list(np.split(first, layers * parts))
        layered = [tuple(pieces[i * parts : (i + 1) * parts]) for i in range(layers)]
        state: list[Any] = [each if parts == 2 else each[0] for each in layered]
        for mine, want in zip(jax.tree.leaves(carries), pieces, strict=True):
            assert_close(mine[b], want)
        for t in range(T):
            below, top = x[b, t], state[-1][0] if parts == 2 else state[-1]
            if attention == 'bahdanau':
                c = additive_loop(truth['attention'], top, real)
                below = np.concatenate([below, c])
            for i in range(layers):
                state[i], below = STEPS[cell](truth[f'layer_{i}'], state[i], below)
            if attention == 'luong':
                c = multiplicative_loop(truth['attention'], below, real)
            if attention != 'none':
                below = np.tanh(truth['out']['kernel'].T @ np.concatenate([c, below]))
            assert_close(y[b, t], below)
