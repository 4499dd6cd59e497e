"""The recurrent cells against the tutorial's equations in NumPy, Flax's cells and torch's.

The equations are written here a second time: one example, one step and one gate after the other, as
column vectors. Their gradients are complex steps: f(x + ih) = f(x) + ih f′(x) up to h², so the
imaginary part over h is the derivative to machine precision.
"""

import importlib.util
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.lm import get_config
from nlp_models import models
from nlp_models.recurrent import sequential, stack
from nlp_models.recurrent.cells import Cell, inputs

GOLDEN = Path(__file__).parent / 'golden'
B, T, D, N = 2, 4, 3, 4

SETTINGS: dict[str, tuple[str, dict]] = {
    'rnn_tanh': ('rnn', {'activation': 'tanh'}),
    'rnn_sigmoid': ('rnn', {'activation': 'sigmoid'}),
    'lstm': ('lstm', {}),
    'gru': ('gru', {'reset_after': False}),
    'gru_reset_after': ('gru', {'reset_after': True}),
    'mingru': ('mingru', {}),
    'minlstm': ('minlstm', {}),
    'linear': ('linear', {}),
}
LINEAR = ('mingru', 'minlstm', 'linear')  # in their carry: they have no W
every_cell = pytest.mark.parametrize('name', SETTINGS)


def library_cell(name: str) -> Cell:
    family, fields = SETTINGS[name]
    model = cast(Any, get_config(family)).model
    model.update(fields)
    return models.CELLS[family](model)


# The equations in NumPy.


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gate(params, index, h, x):
    """W h + U x + b of one gate, of one example."""
    here = slice(index * N, (index + 1) * N)
    return params['W'][:, here].T @ h + input_gate(params, index, x)


def input_gate(params, index, x):
    """U x + b of one gate, of one example."""
    here = slice(index * N, (index + 1) * N)
    return params['U'][:, here].T @ x + params['b'][here]


def rnn_step(params, h, x, activation):
    h = activation(gate(params, 0, h, x))
    return h, h


def lstm_step(params, carry, x):
    h, c = carry
    f = sigmoid(gate(params, 0, h, x))
    i = sigmoid(gate(params, 1, h, x))
    o = sigmoid(gate(params, 2, h, x))
    c_tilde = np.tanh(gate(params, 3, h, x))
    c = f * c + i * c_tilde
    h = o * np.tanh(c)
    return (h, c), h


def gru_step(params, h, x):
    z = sigmoid(gate(params, 0, h, x))
    r = sigmoid(gate(params, 1, h, x))
    u_h, b_h = params['U'][:, 2 * N :].T, params['b'][2 * N :]
    h_tilde = np.tanh(params['W_h'].T @ (r * h) + u_h @ x + b_h)
    h = (1 - z) * h + z * h_tilde
    return h, h


def gru_reset_after_step(params, h, x):
    z = sigmoid(gate(params, 0, h, x))
    r = sigmoid(gate(params, 1, h, x))
    w_h, u_h, b_h = params['W'][:, 2 * N :].T, params['U'][:, 2 * N :].T, params['b'][2 * N :]
    h_tilde = np.tanh(r * (w_h @ h + params['b_r']) + u_h @ x + b_h)
    h = (1 - z) * h + z * h_tilde
    return h, h


def positive(a):
    return np.where(a.real >= 0, a + 0.5, sigmoid(a))


def mingru_step(params, h, x):
    z = sigmoid(input_gate(params, 0, x))
    h = (1 - z) * h + z * positive(input_gate(params, 1, x))
    return h, h


def minlstm_step(params, h, x):
    f, i = sigmoid(input_gate(params, 0, x)), sigmoid(input_gate(params, 1, x))
    h = f / (f + i) * h + i / (f + i) * positive(input_gate(params, 2, x))
    return h, h


def linear_step(params, h, x):
    a = np.exp(-np.exp(params['nu']))
    h = a * h + np.sqrt(1 - a**2) * input_gate(params, 0, x)
    return h, h


STEPS = {
    'rnn_tanh': partial(rnn_step, activation=np.tanh),
    'rnn_sigmoid': partial(rnn_step, activation=sigmoid),
    'lstm': lstm_step,
    'gru': gru_step,
    'gru_reset_after': gru_reset_after_step,
    'mingru': mingru_step,
    'minlstm': minlstm_step,
    'linear': linear_step,
}


def loop(name, arrays):
    """The equations over every example and step: (final carry, y), like `scan`."""
    params, start, x = arrays['params'], arrays['carry'], arrays['x']
    finals, rows = [], []
    for b in range(x.shape[0]):
        carry = jax.tree.map(lambda a: a[b], start)  # noqa: B023
        row = []
        for t in range(x.shape[1]):
            carry, y = STEPS[name](params, carry, x[b, t])
            row.append(y)
        finals.append(carry)
        rows.append(np.stack(row))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *finals), np.stack(rows)


def weighted_sum(weights, results):
    """A loss that every output has a part in."""
    return sum((w * r).sum() for w, r in zip(weights, jax.tree.leaves(results), strict=True))


def complex_step_gradient(function, arrays):
    leaves, tree = jax.tree.flatten(arrays)
    leaves = [leaf.astype(np.complex128) for leaf in leaves]
    arrays = jax.tree.unflatten(tree, leaves)
    gradients = []
    for leaf in leaves:
        gradient = np.empty(leaf.shape)
        for place in np.ndindex(leaf.shape):
            kept = leaf[place]
            leaf[place] = kept + 1e-30j
            gradient[place] = function(arrays).imag / 1e-30
            leaf[place] = kept
        gradients.append(gradient)
    return jax.tree.unflatten(tree, gradients)


def random_arrays(name: str) -> dict[str, Any]:
    cell, random = library_cell(name), np.random.default_rng(0)
    params = {
        'U': random.normal(size=(D, cell.gates * N)) / 2,
        'b': random.normal(size=cell.gates * N) / 2,
    }
    if name not in LINEAR:
        params['W'] = random.normal(size=(N, (cell.gates - cell.own_candidate) * N)) / 2
    if name == 'linear':
        params['nu'] = random.normal(size=N)
    if cell.own_candidate:
        params['W_h'] = random.normal(size=(N, N)) / 2
    if cell.reset_bias:
        params['b_r'] = random.normal(size=N)
    carries = tuple(random.normal(size=(B, N)) for _ in range(cell.carries))
    return {
        'params': params,
        'carry': carries if cell.carries > 1 else carries[0],
        'x': random.normal(size=(B, T, D)),
    }


@cache
def truth(name):
    """(arrays, weights of the loss, results, gradients), all from NumPy in float64."""
    arrays, random = random_arrays(name), np.random.default_rng(1)
    results = loop(name, arrays)
    weights = [random.normal(size=leaf.shape) for leaf in jax.tree.leaves(results)]
    gradients = complex_step_gradient(lambda a: weighted_sum(weights, loop(name, a)), arrays)
    return arrays, weights, results, gradients


def run(cell, arrays, **kwargs):
    return sequential.scan(cell, arrays['params'], arrays['carry'], arrays['x'], **kwargs)


def results_and_gradients(function, weights, arrays):
    """Of a JAX function of `arrays`, under the same loss."""

    def loss(arrays):
        results = function(arrays)
        return weighted_sum(weights, results), results

    (_, results), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(arrays)
    return results, gradients


def assert_close(actual, desired, *, absolute=0.0, relative=0.0):
    """To an absolute error, or one relative to the largest magnitude of each array."""
    paths = jax.tree_util.tree_leaves_with_path(desired)
    leaves, tree = jax.tree.flatten(actual)
    assert tree == jax.tree.structure(desired)
    for (path, want), have in zip(paths, leaves, strict=True):
        want, have = np.asarray(want), np.asarray(have)
        assert have.shape == want.shape, path
        bound = absolute + relative * np.abs(want).max()
        assert np.abs(have - want).max() <= bound, jax.tree_util.keystr(path)


def test_complex_steps_are_derivatives():
    x = np.array([0.3, -1.2])
    gradient = complex_step_gradient(lambda a: (np.tanh(a) * a).sum(), x)
    np.testing.assert_allclose(gradient, np.tanh(x) + x / np.cosh(x) ** 2, rtol=1e-15)


@every_cell
def test_float64_is_the_equations_and_their_gradients(name):
    arrays, weights, results, gradients = truth(name)
    with jax.enable_x64(True):
        arrays, weights = jax.tree.map(jnp.asarray, (arrays, weights))
        mine = results_and_gradients(partial(run, library_cell(name)), weights, arrays)
        assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(mine))
    assert_close(mine, (results, gradients), absolute=1e-10)


@every_cell
def test_float32_is_the_equations_and_their_gradients(name):
    arrays, weights, results, gradients = truth(name)
    arrays, weights = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (arrays, weights))
    mine = results_and_gradients(partial(run, library_cell(name)), weights, arrays)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(mine))
    assert_close(mine, (results, gradients), relative=1e-5)


@every_cell
def test_starting_from_zeros(name):
    cell, (arrays, *_) = library_cell(name), truth(name)
    zeros = sequential.start(cell, B, N)
    want = loop(name, {**arrays, 'carry': jax.tree.map(np.zeros_like, arrays['carry'])})
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), arrays)
    assert_close(run(cell, {**arrays, 'carry': zeros}), want, relative=1e-5)


@every_cell
@pytest.mark.parametrize(('n', 'h'), [(3, 4), (5, 2), (1, 1)])
def test_number_of_parameters(name, n, h):
    one = n * h + h**2 + h
    without_w = n * h + h
    expected = {
        'lstm': 4 * one,
        'gru': 3 * one,
        'gru_reset_after': 3 * one + h,
        'mingru': 2 * without_w,
        'minlstm': 3 * without_w,
        'linear': without_w + h,
    }.get(name, one)
    params = jax.eval_shape(lambda: stack.init_cell(library_cell(name), jax.random.key(0), n, h))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


# Flax's cells.


def gates_of(params, names):
    """Our W, U, b by gate."""
    w, u, b = (jnp.split(params[k], len(names), axis=-1) for k in ('W', 'U', 'b'))
    return {name: (w[i], u[i], b[i]) for i, name in enumerate(names)}


def simple_cell_params(params):
    return {'i': {'kernel': params['U'], 'bias': params['b']}, 'h': {'kernel': params['W']}}


def lstm_cell_params(params):
    """Ours are f, i, o, C̃; Flax names each, g is C̃, and the bias is in the recurrent layer."""
    tree = {}
    for gate_name, (w, u, b) in gates_of(params, 'fiog').items():
        tree[f'i{gate_name}'] = {'kernel': u}
        tree[f'h{gate_name}'] = {'kernel': w, 'bias': b}
    return tree


def gru_cell_params(params):
    """Flax's z is one minus ours: sigmoid(−a) = 1 − sigmoid(a), so its weights change sign."""
    tree = {}
    for gate_name, (w, u, b) in gates_of(params, 'zrn').items():
        sign = -1 if gate_name == 'z' else 1
        tree[f'i{gate_name}'] = {'kernel': sign * u, 'bias': sign * b}
        tree[f'h{gate_name}'] = {'kernel': sign * w}
    tree['hn']['bias'] = params['b_r']
    return tree


def swap(carry):
    """Our LSTM carries (h, C), Flax's (C, h)."""
    return carry[::-1] if isinstance(carry, tuple) else carry


def flax_run(module, to_flax, arrays):
    params, carry, outputs = to_flax(arrays['params']), swap(arrays['carry']), []
    for t in range(T):
        carry, y = module.apply({'params': params}, carry, arrays['x'][:, t])
        outputs.append(y)
    return swap(carry), jnp.stack(outputs, axis=1)


@pytest.mark.parametrize(
    ('name', 'module', 'to_flax'),
    [
        ('rnn_tanh', nn.SimpleCell(N), simple_cell_params),
        ('rnn_sigmoid', nn.SimpleCell(N, activation_fn=nn.sigmoid), simple_cell_params),
        ('lstm', nn.LSTMCell(N), lstm_cell_params),
        ('lstm', nn.OptimizedLSTMCell(N), lstm_cell_params),
        ('gru_reset_after', nn.GRUCell(N), gru_cell_params),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_flax_agrees_in_value_and_gradient(name, module, to_flax):
    arrays, weights, *_ = truth(name)
    with jax.enable_x64(True):
        arrays, weights = jax.tree.map(jnp.asarray, (arrays, weights))
        flax = results_and_gradients(partial(flax_run, module, to_flax), weights, arrays)
        mine = results_and_gradients(partial(run, library_cell(name)), weights, arrays)
    assert_close(mine, flax, absolute=1e-10)


# Torch's networks.

TORCH_CELLS = {'rnn': 'rnn_tanh', 'lstm': 'lstm', 'gru': 'gru_reset_after'}


def from_torch(name, torch):
    """Our parameters from torch's: `weight_ih` [G·N, D], `weight_hh` [G·N, N], two biases [G·N].

    Torch orders the LSTM's gates i, f, g, o (ours f, i, o, C̃ = g) and the GRU's r, z, n (ours z, r,
    h̃ = n), and its z is one minus ours. Its two biases add up, but for the GRU's n, where the
    recurrent one is inside the reset: our `b_r`.
    """
    order = {'rnn': [0], 'lstm': [1, 0, 3, 2], 'gru': [1, 0, 2]}[name]
    signs = [-1 if (name, index) == ('gru', 1) else 1 for index in order]

    def reorder(array):
        blocks = jnp.split(array, len(order))
        picked = [sign * blocks[index] for sign, index in zip(signs, order, strict=True)]
        return jnp.concatenate(picked).T

    bias, recurrent_bias = reorder(torch['bias_ih_l0']), reorder(torch['bias_hh_l0'])
    params = {'W': reorder(torch['weight_hh_l0']), 'U': reorder(torch['weight_ih_l0'])}
    if name != 'gru':
        return {**params, 'b': bias + recurrent_bias}
    size = bias.shape[0] // 3
    inside = recurrent_bias[2 * size :]
    return {**params, 'b': bias + recurrent_bias.at[2 * size :].set(0), 'b_r': inside}


@pytest.mark.parametrize('name', TORCH_CELLS)
def test_torch_agrees_in_value_and_gradient(name):
    golden = dict(np.load(GOLDEN / f'torch_{name}.npz'))
    torch_names = [key.removeprefix('grad_') for key in golden if key.startswith('grad_')]
    assert {'x', 'h0', 'weight_ih_l0', 'bias_hh_l0'} <= set(torch_names)
    carries = ('h', 'c') if name == 'lstm' else ('h',)
    cell = library_cell(TORCH_CELLS[name])

    def function(torch):
        carry = tuple(torch[f'{c}0'] for c in carries)
        carry = carry if cell.carries > 1 else carry[0]
        return sequential.scan(cell, from_torch(name, torch), carry, torch['x'])

    with jax.enable_x64(True):
        arrays = {key: jnp.asarray(golden[key]) for key in torch_names}
        weights = [jnp.asarray(golden[f'cot_{key}']) for key in (*carries, 'y')]
        (carry, y), gradients = results_and_gradients(function, weights, arrays)
    final = dict(zip(carries, jax.tree.leaves(carry), strict=True))
    assert_close({**final, 'y': y}, {key: golden[key] for key in (*carries, 'y')}, absolute=1e-10)
    assert_close(gradients, {key: golden[f'grad_{key}'] for key in torch_names}, absolute=1e-10)


@pytest.mark.parametrize('name', TORCH_CELLS)
def test_the_golden_files_are_what_torch_computes(name):
    pytest.importorskip('torch', exc_type=ImportError)
    fresh = load_script(GOLDEN / 'make_torch.py').make(name)
    golden = dict(np.load(GOLDEN / f'torch_{name}.npz'))
    assert_close(fresh, golden, absolute=1e-12)


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The scan.

LENGTHS = np.array([3, 6, 0, 1])


def longer_arrays(name):
    cell, random = library_cell(name), np.random.default_rng(2)
    rows, steps = len(LENGTHS), 6
    carry = tuple(random.normal(size=(rows, N)) for _ in range(cell.carries))
    return {
        'params': random_arrays(name)['params'],
        'carry': carry if cell.carries > 1 else carry[0],
        'x': random.normal(size=(rows, steps, D)),
    }


@every_cell
def test_ragged_rows_are_their_truncations(name):
    arrays = longer_arrays(name)
    with jax.enable_x64(True):
        jax_arrays = jax.tree.map(jnp.asarray, arrays)
        ragged = partial(run, library_cell(name), lengths=jnp.asarray(LENGTHS, jnp.int32))
        weights = [jnp.ones(leaf.shape) for leaf in jax.tree.leaves(ragged(jax_arrays))]
        mine = results_and_gradients(ragged, weights, jax_arrays)
    (carry, y), gradients = jax.tree.map(np.asarray, mine)
    for row, length in enumerate(LENGTHS):
        one = {
            'params': arrays['params'],
            'carry': jax.tree.map(lambda a: a[[row]], arrays['carry']),  # noqa: B023
            'x': arrays['x'][[row], :length],
        }
        final = jax.tree.map(lambda a: a[[row]], carry)  # noqa: B023
        if length == 0:
            np.testing.assert_array_equal(jax.tree.leaves(final), jax.tree.leaves(one['carry']))
        else:
            assert_close((final, y[[row], :length]), loop(name, one), absolute=1e-10)
        assert not np.any(y[row, length:])
        assert not np.any(gradients['x'][row, length:])
        assert np.all(gradients['x'][row, :length] != 0)


def flip(x, lengths):
    """Each row's real part backwards, what is not real where it was."""
    x = np.array(x)
    for row, length in enumerate(lengths):
        x[row, :length] = x[row, :length][::-1]
    return jnp.asarray(x)


@every_cell
@pytest.mark.parametrize('ragged', [False, True])
def test_reverse_is_flipping(name, ragged):
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays(name))
    lengths = jnp.asarray(LENGTHS, jnp.int32) if ragged else None
    flipped = np.full(4, 6) if lengths is None else LENGTHS
    cell = library_cell(name)
    carry, y = run(cell, arrays, lengths=lengths, reverse=True)
    want, backwards = run(cell, {**arrays, 'x': flip(arrays['x'], flipped)}, lengths=lengths)
    assert_close((carry, y), (want, flip(backwards, flipped)), absolute=1e-6)


@pytest.mark.parametrize('name', ['lstm', 'gru'])
@pytest.mark.parametrize('ragged', [False, True])
def test_bidirectional_is_two_runs(name, ragged):
    cell, arrays = library_cell(name), longer_arrays(name)
    x = jnp.asarray(arrays['x'], jnp.float32)
    lengths = jnp.asarray(LENGTHS, jnp.int32) if ragged else None
    flipped = np.full(4, 6) if lengths is None else LENGTHS
    keys = jax.random.split(jax.random.key(0))
    params = {
        side: stack.init_cell(cell, key, D, N)
        for side, key in zip(('forward', 'backward'), keys, strict=True)
    }
    y = sequential.bidirectional(cell, params, x, lengths=lengths)
    zeros = sequential.start(cell, len(x), N)
    _, forward = sequential.scan(cell, params['forward'], zeros, x, lengths=lengths)
    _, back = sequential.scan(cell, params['backward'], zeros, flip(x, flipped), lengths=lengths)
    want = np.concatenate([forward, flip(back, flipped)], axis=-1)
    assert y.shape == (4, 6, 2 * N)
    assert_close(y, want, absolute=1e-6)


# The start of training.


@pytest.mark.parametrize('name', [name for name in SETTINGS if name not in LINEAR])
def test_recurrent_weights_start_orthogonal_gate_by_gate(name):
    cell, size = library_cell(name), 8
    params = stack.init_cell(cell, jax.random.key(0), 5, size)
    w = np.concatenate([params[name] for name in ('W', 'W_h') if name in params], axis=1)
    blocks = np.split(w, cell.gates, axis=1)
    for index, block in enumerate(blocks):
        np.testing.assert_allclose(block @ block.T, np.eye(size), atol=1e-5)
        assert all(np.abs(block - other).max() > 0.1 for other in blocks[:index])
    plain = stack.init_cell(cell, jax.random.key(0), 5, size, orthogonal=False)['W']
    block = np.asarray(plain)[:, :size]
    assert np.abs(block @ block.T - np.eye(size)).max() > 0.1


@every_cell
def test_only_the_forget_gate_starts_with_a_bias(name):
    params = stack.init_cell(library_cell(name), jax.random.key(0), 5, N, forget_bias=0.7)
    b = np.asarray(params['b'])
    if name in ('lstm', 'minlstm'):  # their first gate, as the equations above have it
        np.testing.assert_array_equal(b[:N], np.full(N, 0.7, np.float32))
        assert not b[N:].any()
    else:
        assert not b.any()
        assert not np.any(params.get('b_r', 0))


def test_decays_start_spread_and_keep_the_variance():
    cell, size = library_cell('linear'), 64
    params = stack.init_cell(cell, jax.random.key(0), size, size)
    a = np.sort(np.exp(-np.exp(np.asarray(params['nu'], np.float64))))
    assert 0.1 <= a[0] < 0.3
    assert 0.95 < a[-1] <= 0.999
    x = jax.random.normal(jax.random.key(1), (64, 2000, size))
    last, _ = sequential.scan(cell, params, sequential.start(cell, 64, size), x)
    assert abs(float(jnp.var(last)) - 1) < 0.1  # as x has


# Stacks and dropout.

RATE = 0.3
MIRROR = Cell(lambda params, carry, x: (carry, inputs(params, x)), gates=1)  # y is x U + b


def mirrors(num_layers, size=64):
    model = stack.make_stack(
        MIRROR, num_layers=num_layers, input_size=size, hidden_size=size, dropout_rate=RATE
    )
    layer = {'W': jnp.zeros((size, size)), 'U': jnp.eye(size), 'b': jnp.zeros(size)}
    return model, {f'layer_{i}': layer for i in range(num_layers)}


@pytest.mark.parametrize('num_layers', [1, 2, 3])
def test_dropout_is_between_layers_alone(num_layers):
    model, params = mirrors(num_layers)
    x = 1 + jax.random.uniform(jax.random.key(0), (4, 50, 64))
    state = model.start(params, 4)
    _, without = model.apply(params, state, x)
    np.testing.assert_allclose(without, x, rtol=1e-6)
    _, y = model.apply(params, state, x, key=jax.random.key(1))
    y, places = np.asarray(y), num_layers - 1
    kept = y != 0
    np.testing.assert_allclose(y[kept], np.asarray(x)[kept] / (1 - RATE) ** places, rtol=1e-5)
    expected = (1 - RATE) ** places
    spread = np.sqrt(expected * (1 - expected) / y.size)
    assert abs(kept.mean() - expected) <= 5 * spread
    assert abs((y / np.asarray(x)).mean() - 1) <= 5 * spread / expected
    _, again = model.apply(params, state, x, key=jax.random.key(1))
    np.testing.assert_array_equal(again, y)
    if places:
        _, other = model.apply(params, state, x, key=jax.random.key(2))
        assert np.any(np.asarray(other) != y)


def test_places_drop_independently():
    model, params = mirrors(3)
    x = jnp.ones((4, 50, 64))
    _, y = model.apply(params, model.start(params, 4), x, key=jax.random.key(1))
    kept = np.asarray(y != 0)
    # With the same mask twice, 1 − RATE would be left; over rows, steps and units it varies too.
    assert abs(kept.mean() - (1 - RATE) ** 2) < 0.03
    for axis in range(3):
        assert np.any(kept != kept.take([0], axis=axis))


def test_a_stack_is_its_layers():
    cell = library_cell('lstm')
    model = stack.make_stack(cell, num_layers=2, input_size=D, hidden_size=N)
    params = model.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (B, T, D))
    state, y = model.apply(params, model.start(params, B), x)
    zeros = sequential.start(cell, B, N)
    first, hidden = sequential.scan(cell, params['layer_0'], zeros, x)
    second, want = sequential.scan(cell, params['layer_1'], zeros, hidden)
    assert_close((state, y), ((first, second), want), absolute=1e-6)
