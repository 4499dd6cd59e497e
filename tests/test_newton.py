"""Newton's method over a sequence: how it converges, what it does where it does not, its parts."""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models.errors import InputError
from nlp_models.recurrent import newton, sequential, stack
from nlp_models.recurrent.cells import Cell, inputs
from tests.test_cells import SETTINGS, assert_close, library_cell, random_arrays, weighted_sum

NONLINEAR = ('rnn_tanh', 'rnn_sigmoid', 'lstm', 'gru', 'gru_reset_after')
T, SIZE = 4096, 16


def draw(name: str, steps: int, scale: float = 1.0) -> Any:
    """(cell, arrays): weights as they start, times a scale, and random inputs."""
    cell, random = library_cell(name), np.random.default_rng(0)
    params = stack.init_cell(cell, jax.random.key(0), SIZE, SIZE)
    params = {key: leaf if key == 'b' else scale * leaf for key, leaf in params.items()}
    x = jnp.asarray(random.normal(size=(1, steps, SIZE)), jnp.float32)
    return cell, {'params': params, 'carry': sequential.start(cell, 1, SIZE), 'x': x}


def in_order(arrays: Any) -> tuple:
    """What `scan` and `solve` take after the cell (a traced dict's own order is another)."""
    return arrays['params'], arrays['carry'], arrays['x']


def results_and_gradients(cell: Cell, arrays: Any, scan: Any) -> Any:
    """((carry, y), gradients) under a loss with random weights, so that nothing cancels."""
    random = np.random.default_rng(1)

    def loss(arrays):
        results = scan(cell, *in_order(arrays))
        leaves = jax.tree.leaves(results)
        weights = [random.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]
        return weighted_sum(weights, results), results

    (_, results), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(arrays)
    return results, gradients


# Weights three times as large as they start are about as large as training makes them: by then an
# LSTM's or GRU's recurrent matrices of this size have entries of 2 to 6.
@pytest.mark.parametrize(
    ('name', 'scale', 'jacobian', 'most'),
    [
        ('gru', 1.0, 'full', 8),
        pytest.param(*('lstm', 1.0, 'full', 10), marks=pytest.mark.slow),
        pytest.param(*('gru', 3.0, 'full', 30), marks=pytest.mark.slow),
        ('lstm', 3.0, 'full', 20),
        pytest.param(*('gru', 1.0, 'diagonal', 25), marks=pytest.mark.slow),
        ('lstm', 1.0, 'diagonal', 50),
    ],
)
def test_long_sequences_are_the_scans(name, scale, jacobian, most):
    cell, arrays = draw(name, T, scale)
    want = results_and_gradients(cell, arrays, sequential.scan)
    mine = results_and_gradients(cell, arrays, partial(newton.scan, jacobian=jacobian))
    assert_close(mine[0], want[0], absolute=1e-5)
    assert_close(mine[1], want[1], relative=1e-4)
    solution = jax.jit(partial(newton.solve, cell, jacobian=jacobian))(*in_order(arrays))
    assert solution.converged
    assert 2 <= solution.iterations <= most


@pytest.mark.parametrize('jacobian', newton.JACOBIANS)
def test_weights_that_were_trained(jacobian):
    """A GRU that was trained to say whether a bit has changed an odd number of times."""
    cell, arrays = draw('gru', 512)
    random = np.random.default_rng(2)
    bits = random.integers(2, size=(8, 512))
    x = jnp.asarray(np.repeat(2.0 * bits[..., None] - 1, SIZE, axis=-1), jnp.float32)
    changed = np.cumsum(np.abs(np.diff(bits, axis=1, prepend=0)), axis=1) % 2
    carry = sequential.start(cell, 8, SIZE)

    def loss(params):
        _, y = sequential.scan(cell, params, carry, x)
        return jnp.mean((y[..., 0] - (2.0 * changed - 1)) ** 2)

    @jax.jit
    def step(params, momentum):
        value, gradient = jax.value_and_grad(loss)(params)
        momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, gradient)
        return value, jax.tree.map(lambda p, m: p - 0.1 * m, params, momentum), momentum

    params, momentum = arrays['params'], jax.tree.map(jnp.zeros_like, arrays['params'])
    first = float(loss(params))
    for _ in range(200):
        value, params, momentum = step(params, momentum)
    assert float(value) < 0.5 * first  # it has learned something
    trained = {'params': params, 'carry': carry[:1], 'x': arrays['x']}
    want = results_and_gradients(cell, trained, sequential.scan)
    mine = results_and_gradients(cell, trained, partial(newton.scan, jacobian=jacobian))
    assert_close(mine[0], want[0], absolute=1e-5)
    assert_close(mine[1], want[1], relative=1e-4)
    assert jax.jit(partial(newton.solve, cell, jacobian=jacobian))(*in_order(trained)).converged


@pytest.mark.parametrize('jacobian', newton.JACOBIANS)
def test_an_iteration_makes_a_step_exact(jacobian):
    """So T iterations always suffice, and fewer are not claimed to have converged."""
    cell, arrays = draw('rnn_tanh', 12, scale=4.0)
    with jax.enable_x64(True):
        arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), arrays)
        want = sequential.scan(cell, *in_order(arrays))
        solve = partial(newton.solve, cell, jacobian=jacobian)
        enough = solve(*in_order(arrays), max_iterations=13)  # the last of them sees no change
        few = solve(*in_order(arrays), max_iterations=2)
    assert enough.converged
    assert enough.iterations <= 13
    assert not few.converged
    assert few.iterations == 2
    assert_close(tuple(enough[:2]), want, absolute=1e-12)
    assert_close(tuple(few[:2]), want, absolute=1e-12)  # the scan's


@pytest.mark.parametrize('jacobian', newton.JACOBIANS)
def test_where_it_does_not_converge_the_scan_answers(jacobian):
    """A chaotic network: the largest Lyapunov exponent is far above zero."""
    cell, arrays = draw('rnn_tanh', 300, scale=8.0)
    solution = jax.jit(partial(newton.solve, cell, jacobian=jacobian))(*in_order(arrays))
    assert not solution.converged
    want = sequential.scan(cell, *in_order(arrays), backward='autodiff')
    # Two programs for one scan differ in the last digit, which chaos makes the first after a while.
    head = slice(0, 5)
    np.testing.assert_allclose(solution.y[:, head], want[1][:, head], atol=1e-5)
    states = jnp.concatenate([arrays['carry'][:, None], solution.y[:, :-1]], axis=1)
    _, again = cell.step(arrays['params'], states.reshape(-1, SIZE), arrays['x'][0])
    np.testing.assert_allclose(solution.y[0], again, atol=1e-5)  # each step follows from the last
    gradients = jax.jit(
        jax.grad(lambda a: newton.scan(cell, *in_order(a), jacobian=jacobian)[1][:, head].sum())
    )(arrays)
    plain = jax.jit(jax.grad(lambda a: sequential.scan(cell, *in_order(a))[1][:, head].sum()))(
        arrays
    )
    assert_close(gradients, plain, relative=1e-4)


@pytest.mark.parametrize('name', NONLINEAR)
def test_diagonals_are_the_jacobians(name):
    cell, arrays = library_cell(name), random_arrays(name)
    with jax.enable_x64(True):
        arrays = jax.tree.map(jnp.asarray, arrays)
        params, carry, x = arrays['params'], arrays['carry'], arrays['x'][:, 0]
        recurrent = {key: leaf for key, leaf in params.items() if key not in ('U', 'b')}
        u = inputs(params, x)

        def one(carry, u):
            carry = jax.tree.map(lambda a: a[None], carry)
            new, _ = cell.step(recurrent, carry, u[None])
            return jnp.concatenate([leaf[0] for leaf in jax.tree.leaves(new)])

        full = jax.vmap(jax.jacfwd(one))(carry, u)
        full = jnp.concatenate(jax.tree.leaves(full), axis=-1)  # [B, S, S]
        assert cell.diagonal is not None
        mine = jnp.concatenate(jax.tree.leaves(cell.diagonal(recurrent, carry, u)), axis=-1)
    np.testing.assert_allclose(mine, np.diagonal(full, axis1=1, axis2=2), rtol=1e-12, atol=1e-14)


def test_a_cell_without_a_diagonal_of_its_own():
    cell, arrays = draw('gru', 64)
    own = newton.solve(cell, *in_order(arrays), jacobian='diagonal')
    probed = newton.solve(cell._replace(diagonal=None), *in_order(arrays), jacobian='diagonal')
    assert own.iterations == probed.iterations
    np.testing.assert_allclose(own.y, probed.y, atol=1e-6)


def test_y_may_look_at_the_carry_before():
    """A cell whose output is not its new carry: the gradient through y counts too."""

    def step(params, carry, x):
        h = jnp.tanh(inputs(params, x) + carry @ params['W'])
        return h, h * carry

    cell, (_, arrays) = Cell(step, gates=1), draw('rnn_tanh', 20)
    want = results_and_gradients(cell, arrays, partial(sequential.scan, backward='autodiff'))
    for jacobian in newton.JACOBIANS:
        mine = results_and_gradients(cell, arrays, partial(newton.scan, jacobian=jacobian))
        assert_close(mine, want, relative=1e-5)


def test_quasi_newton_keeps_no_matrices():
    """No array of S² numbers a step, forward or backward, unlike with full Jacobians."""
    cell, arrays = draw('lstm', 64)

    def sizes(jacobian):
        def loss(arrays):
            return newton.scan(cell, *in_order(arrays), jacobian=jacobian)[1].sum()

        lowered = jax.jit(jax.grad(loss)).lower(arrays)
        return cast(Any, lowered.compile().memory_analysis()).temp_size_in_bytes

    matrices = 64 * (2 * SIZE) ** 2 * 4
    assert sizes('diagonal') < matrices < sizes('full')


@pytest.mark.parametrize(
    ('field', 'value'), [('jacobian', 'sparse'), ('tolerance', 0.0), ('max_iterations', 0)]
)
def test_a_bad_value_is_named(field, value):
    cell, arrays = draw('gru', 4)
    with pytest.raises(InputError, match=f'^{field} is {value!r}: '):
        newton.solve(cell, *in_order(arrays), **{field: value})


def test_every_nonlinear_cell_has_its_diagonal():
    assert {name for name in SETTINGS if library_cell(name).diagonal is not None} == set(NONLINEAR)
