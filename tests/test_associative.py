"""The parallel linear recurrence by itself: any sign, logarithms, extremes, long sequences."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models.errors import InputError
from nlp_models.recurrent import associative, sequential, stack
from nlp_models.recurrent.cells import inputs
from tests.test_cells import library_cell, longer_arrays

T, B, N = 13, 2, 3  # not a power of two


def loop(a, b, h0, reverse):
    """The recurrence in NumPy, one step after the other."""
    h, steps = h0, np.empty(b.shape)
    for t in range(len(a))[::-1] if reverse else range(len(a)):
        h = a[t] * h + b[t]
        steps[t] = h
    return steps


def terms(sign: bool) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(0)
    low = -1 if sign else 0.05
    a, b = (random.uniform(low, 1, size=(T, B, N)) for _ in range(2))
    return a, b, random.normal(size=(B, N))


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('backward', ['custom', 'autodiff'])
def test_diagonal_is_the_loop_whatever_the_signs(reverse, backward):
    a, b, h0 = terms(sign=True)
    with jax.enable_x64(True):
        h = associative.diagonal(*map(jnp.asarray, (a, b, h0)), reverse=reverse, backward=backward)
    np.testing.assert_allclose(h, loop(a, b, h0, reverse), rtol=0, atol=1e-13)


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('backward', ['custom', 'autodiff'])
@pytest.mark.parametrize('log', [False, True])
def test_gradients_are_finite_differences(reverse, backward, log):
    arrays, weights = terms(sign=not log), np.random.default_rng(1).normal(size=(T, B, N))

    def mine(a, b, h0):
        run = associative.log_diagonal if log else associative.diagonal
        a, b = (jnp.log(a), jnp.log(b)) if log else (a, b)
        return (weights * run(a, b, h0, reverse=reverse, backward=backward)).sum()

    with jax.enable_x64(True):
        gradients = jax.grad(mine, argnums=(0, 1, 2))(*map(jnp.asarray, arrays))
    step = 1e-6
    for which, gradient in enumerate(gradients):
        for place in np.ndindex(gradient.shape):
            values = []
            for move in (step, -step):
                a, b, h0 = moved = [array.copy() for array in arrays]
                moved[which][place] += move
                values.append((weights * loop(a, b, h0, reverse)).sum())
            np.testing.assert_allclose(
                gradient[place], (values[0] - values[1]) / (2 * step), rtol=1e-6, atol=1e-8
            )


@pytest.mark.parametrize('reverse', [False, True])
def test_logarithms_are_the_linear_form(reverse):
    a, b, h0 = terms(sign=False)
    b[3] = 0  # log 0 is −∞
    with jax.enable_x64(True), np.errstate(divide='ignore'):
        logs = jnp.asarray(np.log(a)), jnp.asarray(np.log(b))
        h = associative.log_diagonal(logs[0], logs[1], jnp.asarray(h0), reverse=reverse)

        def total(log_b):
            h = associative.log_diagonal(logs[0], log_b, jnp.asarray(h0), reverse=reverse)
            return h.sum()

        assert np.all(np.isfinite(jax.grad(total)(logs[1])))
    np.testing.assert_allclose(h, loop(a, b, h0, reverse), rtol=0, atol=1e-13)


@pytest.mark.parametrize('name', ['mingru', 'minlstm', 'linear'])
@pytest.mark.parametrize('scale', [pytest.param(1.0, marks=pytest.mark.slow), 30.0])
def test_long_sequences_and_hard_gates_keep_their_digits(name, scale):
    """At T = 4096, against the scan in float64; ± 30 saturates every gate."""
    cell, steps, size = library_cell(name), 4096, 4
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: stack.init_cell(cell, jax.random.key(0), size, size))
    arrays = {
        'params': {
            key: (1.0 if key == 'nu' else scale) * random.normal(size=leaf.shape)
            for key, leaf in shapes.items()
        },
        'carry': random.normal(size=(2, size)),
        'x': random.normal(size=(2, steps, size)),
    }

    def results_and_gradient(scan, arrays):
        def loss(arrays):
            carry, y = scan(cell, arrays['params'], arrays['carry'], arrays['x'])
            return (y**2).mean(), (carry, y)

        (_, results), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(arrays)
        return [np.asarray(leaf) for leaf in jax.tree.leaves((results, gradients))]

    # The same float32 numbers for both.
    arrays = jax.tree.map(lambda a: np.asarray(a, np.float32), arrays)
    mine = results_and_gradient(associative.scan, jax.tree.map(jnp.asarray, arrays))
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), arrays)
        want = results_and_gradient(sequential.scan, exact)
    for have, wanted in zip(mine, want, strict=True):
        assert np.all(np.isfinite(have))
        # A gate's argument of size 100 is itself only known to 1e-5 in float32.
        assert np.abs(have - wanted).max() <= 1e-6 * scale * np.abs(wanted).max() + 1e-30


@pytest.mark.parametrize('name', ['mingru', 'minlstm'])
def test_a_start_from_zeros_is_exact_and_has_a_gradient(name):
    cell, arrays = library_cell(name), longer_arrays(name)
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), arrays)

    def last(carry):
        return associative.scan(cell, arrays['params'], carry, arrays['x'])[0]

    zeros = jnp.zeros_like(arrays['carry'])
    slope = jax.grad(lambda carry: last(carry).sum())(zeros)
    assert cell.terms is not None
    a, _ = cell.terms(arrays['params'], inputs(arrays['params'], arrays['x']))
    np.testing.assert_allclose(slope, np.exp(np.asarray(a).sum(1)), rtol=1e-5)
    negative = last(-jnp.ones_like(zeros))
    np.testing.assert_allclose(negative, last(zeros) - slope, rtol=1e-5, atol=1e-6)


def test_a_cell_with_recurrent_weights_is_refused():
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays('gru'))
    with pytest.raises(InputError, match='must be linear in its carry'):
        associative.scan(library_cell('gru'), arrays['params'], arrays['carry'], arrays['x'])
