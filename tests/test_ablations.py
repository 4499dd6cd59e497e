"""The LSTM with parts taken out, against loops in float64: one example, unit and gate at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import lm
from nlp_models import costs, models
from nlp_models.recurrent import ablations, stack
from nlp_models.training import objectives

B, T, D, N = 2, 5, 3, 4
GATES = {name: cell.gates for name, cell in ablations.CELLS.items()}
every_cell = pytest.mark.parametrize('name', GATES)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def total(params, block, unit, h, x, recurrent=None):
    """What one unit of one block adds up: W h + U x + b."""
    column = block * N + unit
    recurrent = params['W'][:, column] if recurrent is None else recurrent[:, unit]
    a = params['b'][column]
    for i in range(N):
        a += recurrent[i] * h[i]
    for i in range(D):
        a += params['U'][i, column] * x[i]
    return a


def step(name, p, h, c, x):
    """(h_t, C_t) of one example, as column vectors; cells without a C leave it."""
    new_h, new_c = np.empty(N), np.array(c)
    for n in range(N):
        a = [total(p, g, n, h, x) for g in range(p['W'].shape[1] // N)]
        match name:
            case 'lstm_without_forget':  # i, o, C̃
                new_c[n] = c[n] + sigmoid(a[0]) * np.tanh(a[2])
                new_h[n] = sigmoid(a[1]) * np.tanh(new_c[n])
            case 'lstm_without_input':  # f, o, C̃
                new_c[n] = sigmoid(a[0]) * c[n] + np.tanh(a[2])
                new_h[n] = sigmoid(a[1]) * np.tanh(new_c[n])
            case 'lstm_without_output':  # f, i, C̃
                new_c[n] = sigmoid(a[0]) * c[n] + sigmoid(a[1]) * np.tanh(a[2])
                new_h[n] = np.tanh(new_c[n])
            case 'lstm_coupled':  # f, o, C̃
                new_c[n] = sigmoid(a[0]) * c[n] + (1 - sigmoid(a[0])) * np.tanh(a[2])
                new_h[n] = sigmoid(a[1]) * np.tanh(new_c[n])
            case 'lstm_not_additive':  # f, i, o and, by W_h, C̃
                kept = np.array([sigmoid(total(p, 0, m, h, x)) * h[m] for m in range(N)])
                candidate = np.tanh(total(p, 3, n, kept, x, p['W_h']))
                new_h[n] = sigmoid(a[2]) * np.tanh(sigmoid(a[1]) * candidate)
            case 'rnn_residual':
                new_h[n] = h[n] + np.tanh(a[0])
    return new_h, new_c


def model(name):
    return ConfigDict({**lm.recurrent(name), 'hidden_size': 6, 'embed_size': 5})


@every_cell
def test_cells_are_their_equations(name):
    cell = ablations.CELLS[name]
    with jax.enable_x64(True):
        random = np.random.default_rng(len(name))
        start = stack.init_cell(cell, jax.random.key(0), D, N)
        params = {k: random.normal(size=a.shape) for k, a in start.items()}
        xs, carries = random.normal(size=(T, B, D)), random.normal(size=(cell.carries, B, N))
        rows = [(carries[0, b], carries[-1, b]) for b in range(B)]
        carry = tuple(map(jnp.asarray, carries)) if cell.carries > 1 else jnp.asarray(carries[0])
        for x in xs:
            carry, y = cell.step(params, carry, jnp.asarray(x))
            rows = [step(name, params, h, c, x[b]) for b, (h, c) in enumerate(rows)]
            assert y.dtype == np.float64
            np.testing.assert_allclose(y, [h for h, _ in rows], rtol=1e-12, atol=1e-13)
        if cell.carries > 1:
            np.testing.assert_allclose(carry[0], [h for h, _ in rows], rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(carry[1], [c for _, c in rows], rtol=1e-12, atol=1e-13)


@every_cell
def test_parameters_are_counted_by_their_gates(name):
    params = stack.init_cell(ablations.CELLS[name], jax.random.key(0), D, N)
    count = sum(a.size for a in params.values())
    blocks = {'lstm_not_additive': 4, 'rnn_residual': 1}.get(name, 3)
    assert count == blocks * (N * D + N**2 + N)


@every_cell
def test_gates_that_the_state_must_pass_alone_start_open(name):
    params = stack.init_cell(ablations.CELLS[name], jax.random.key(0), D, N, forget_bias=1.0)
    b = np.asarray(params['b']).reshape(-1, N)
    passed = {'lstm_without_forget': 0, 'rnn_residual': 0, 'lstm_not_additive': 3}.get(name, 1)
    assert (b[:passed] == 1).all()
    assert (b[passed:] == 0).all()


@every_cell
def test_a_language_model_of_it_has_finite_gradients(name):
    built = models.build(model(name), vocab_size=7, max_length=8)
    params = built.init(jax.random.key(1))
    tokens = jax.random.randint(jax.random.key(2), (2, 9), 0, 7)
    objective = objectives.language_modelling(built)

    def loss(params):
        sums, _ = objective(params, None, {'tokens': tokens})
        return sums.loss / sums.weight

    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    assert 0 < value < 10
    norms = [float(jnp.linalg.norm(g)) for g in jax.tree.leaves(gradient)]
    assert np.isfinite(norms).all()
    assert min(norms) > 0
    n, d = 6, 5
    blocks = {'lstm_not_additive': 4, 'rnn_residual': 1}.get(name, 3)
    ends = 7 * d + 7 * n + 7  # embedding, head and its bias
    assert costs.count_parameters(built) == blocks * (n * d + n**2 + n) + ends


def test_cells_differ_from_one_another_and_from_what_they_are_taken_from():
    names = [*GATES, 'lstm', 'rnn']
    tokens = jnp.arange(8)[None] % 7
    logits = []
    for name in names:
        built = models.build(model(name), vocab_size=7, max_length=8)
        params = built.init(jax.random.key(1))
        logits.append(np.asarray(built.apply(params, built.start(params, 1), tokens)[1]))
    for i, a in enumerate(logits):
        assert all(np.abs(a - b).max() > 1e-3 for b in logits[:i])
