"""Every way to run every cell over a sequence computes the same function.

The truth is the equations in NumPy, float64, with gradients by complex steps (`test_cells`), and
for sequences that are ragged or read backwards JAX's own derivative of the plain scan.
"""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models import platforms
from nlp_models.errors import InputError
from nlp_models.recurrent import sequential
from nlp_models.recurrent.evaluation import make_evaluation
from tests.test_cells import (
    LINEAR,
    assert_close,
    library_cell,
    longer_arrays,
    results_and_gradients,
    truth,
)

# Sequential evaluation has `test_cells` for its own, with the same truth.
PAIRS = [
    *(
        (name, evaluation)
        for name in ('rnn_tanh', 'lstm', 'gru', 'gru_reset_after', 'mingru')
        for evaluation in ('newton', 'quasi_newton')
    ),
    *((name, 'associative') for name in LINEAR),
]
every_pair = pytest.mark.parametrize(
    ('name', 'evaluation'),
    [
        pytest.param(
            *pair, marks=pytest.mark.slow if pair[0] in ('rnn_tanh', 'gru_reset_after') else ()
        )
        for pair in PAIRS
    ],
)

# Where compiling is most of the time and the pairs hardly differ, the others are for `-m slow`.
SOME = [('gru', 'newton'), ('lstm', 'quasi_newton'), ('mingru', 'associative')]
some_pairs = pytest.mark.parametrize(
    ('name', 'evaluation'),
    [pytest.param(*pair, marks=() if pair in SOME else pytest.mark.slow) for pair in PAIRS],
)
LENGTHS = np.array([3, 6, 0, 1])


def runner(name: str, evaluation: str, **kwargs: Any) -> Any:
    """A function of `arrays` that runs a cell in one of the ways."""
    cell = library_cell(name)
    evaluate = make_evaluation(cell, evaluation)

    def run(arrays):
        return evaluate(cell, arrays['params'], arrays['carry'], arrays['x'], **kwargs)

    return run


def plain(name: str, **kwargs: Any) -> Any:
    """JAX's own derivative of the scan."""
    cell = library_cell(name)
    return lambda arrays: sequential.scan(
        cell, arrays['params'], arrays['carry'], arrays['x'], backward='autodiff', **kwargs
    )


@every_pair
def test_float64_is_the_equations_and_their_gradients(name, evaluation):
    arrays, weights, results, gradients = truth(name)
    with jax.enable_x64(True):
        arrays, weights = jax.tree.map(jnp.asarray, (arrays, weights))
        mine = results_and_gradients(runner(name, evaluation), weights, arrays)
    assert_close(mine, (results, gradients), absolute=1e-10)


@some_pairs
def test_float32_is_the_equations_and_their_gradients(name, evaluation):
    arrays, weights, results, gradients = truth(name)
    arrays, weights = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (arrays, weights))
    mine = results_and_gradients(runner(name, evaluation), weights, arrays)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(mine))
    assert_close(mine, (results, gradients), relative=1e-5)


@cache
def plain_results(name: str, ragged: bool, reverse: bool) -> Any:
    """(arrays, weights of the loss, results and gradients) of the plain scan in float64."""
    random = np.random.default_rng(3)
    arrays = jax.tree.map(jnp.asarray, longer_arrays(name))
    lengths = jnp.asarray(LENGTHS, jnp.int32) if ragged else None
    run = plain(name, lengths=lengths, reverse=reverse)
    weights = [
        jnp.asarray(random.normal(size=leaf.shape))
        for leaf in jax.tree.leaves(jax.eval_shape(run, arrays))
    ]
    return arrays, weights, results_and_gradients(run, weights, arrays)


@some_pairs
@pytest.mark.parametrize(('ragged', 'reverse'), [(True, False), (True, True)])
def test_ragged_and_reverse_are_the_plain_scans(name, evaluation, ragged, reverse):
    with jax.enable_x64(True):
        arrays, weights, want = plain_results(name, ragged, reverse)
        lengths = jnp.asarray(LENGTHS, jnp.int32) if ragged else None
        run = runner(name, evaluation, lengths=lengths, reverse=reverse)
        mine = results_and_gradients(run, weights, arrays)
    assert_close(mine, want, absolute=1e-10)
    if ragged:
        (_, y), gradients = mine
        for row, length in enumerate(LENGTHS):
            assert not np.any(y[row, length:])
            assert not np.any(gradients['x'][row, length:])


@some_pairs
def test_bfloat16_is_near_float32(name, evaluation):
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), longer_arrays(name))
    exact = jax.tree.map(lambda a: a.astype(jnp.float32), arrays)
    run = runner(name, evaluation)
    weights = [jnp.ones(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(run, exact))]
    results, gradients = results_and_gradients(run, weights, arrays)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves((results, gradients)))
    want = results_and_gradients(plain(name), weights, exact)
    # bfloat16 rounds to 2⁻⁹ of a number; a few such errors a step add up over six steps, and in
    # gradients, which are sums over rows and steps, over more.
    mine = jax.tree.map(lambda a: np.asarray(a, np.float32), (results, gradients))
    assert_close(mine[0], want[0], relative=0.02)
    assert_close(mine[1], want[1], relative=0.05)


@some_pairs
def test_two_devices_are_one(name, evaluation):
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays(name))
    run = runner(name, evaluation)
    params = arrays.pop('params')

    def loss(params, rows):
        carry, y = run({'params': params, **rows})
        return sum((leaf**2).sum() for leaf in jax.tree.leaves((carry, y))), (carry, y)

    def function(params, rows):
        """(gradients of the weights, what there is one of to a row)."""
        (d_params, d_rows), results = jax.grad(loss, (0, 1), has_aux=True)(params, rows)
        return d_params, (results, d_rows)

    halves = jax.tree.map(lambda a: a.reshape(2, -1, *a.shape[1:]), arrays)
    parts, shares = jax.pmap(function, in_axes=(None, 0))(params, halves)
    mine = (
        jax.tree.map(lambda a: np.asarray(a).sum(0), parts),
        jax.tree.map(lambda a: np.asarray(a).reshape(-1, *a.shape[2:]), shares),
    )
    assert_close(mine, jax.jit(function)(params, arrays), relative=1e-5)


@every_pair
def test_a_single_step_is_the_cell(name, evaluation):
    cell = library_cell(name)
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays(name))
    arrays['x'] = arrays['x'][:, :1]
    run = runner(name, evaluation)
    want, y = cell.step(arrays['params'], arrays['carry'], arrays['x'][:, 0])
    assert_close(run(arrays), (want, y[:, None]), relative=1e-6)
    text = str(jax.make_jaxpr(run)(arrays))
    assert 'while' not in text  # no iteration
    assert 'custom_vjp' not in text  # and no parallel form


@pytest.mark.parametrize(
    ('name', 'evaluation'),
    [('lstm', 'auto'), ('gru', 'sequential'), *((name, 'associative') for name in LINEAR)],
)
def test_autodiff_has_forward_mode_and_custom_the_same_gradient(name, evaluation):
    cell, arrays = library_cell(name), longer_arrays(name)
    with jax.enable_x64(True):
        arrays = jax.tree.map(jnp.asarray, arrays)

        def total(x, backward):
            evaluate = make_evaluation(cell, evaluation, backward)
            _, y = evaluate(cell, arrays['params'], arrays['carry'], x)
            return (y**2).sum()

        direction = jnp.sin(jnp.arange(arrays['x'].size)).reshape(arrays['x'].shape)

        @jax.jit
        def both(x):
            _, along = jax.jvp(partial(total, backward='autodiff'), (x,), (direction,))
            return along, jax.grad(partial(total, backward='custom'))(x)

        along, gradient = both(arrays['x'])
    want = (np.asarray(gradient) * np.asarray(direction)).sum()
    np.testing.assert_allclose(along, want, rtol=1e-10)


def test_newton_has_no_forward_mode():
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays('gru'))
    run = runner('gru', 'newton')
    with pytest.raises(TypeError, match='forward-mode'):
        jax.jvp(lambda x: run({**arrays, 'x': x})[1], (arrays['x'],), (arrays['x'],))


@pytest.mark.parametrize(
    ('name', 'evaluation', 'backward', 'message'),
    [
        ('gru', 'parallel', 'custom', r"model.evaluation is 'parallel': it must be one of auto, "),
        ('gru', 'associative', 'custom', r"model.evaluation is 'associative': it needs a cell "),
        ('gru', 'cudnn', 'custom', r"model.evaluation is 'cudnn': it needs the family lstm"),
        ('lstm', 'cudnn', 'custom', r"model.evaluation is 'cudnn': it needs an NVIDIA GPU"),
        ('lstm', 'auto', 'none', r"model.backward is 'none': it must be one of custom, autodiff"),
        ('lstm', 'newton', 'autodiff', r"model.backward is 'autodiff': it must be custom where "),
    ],
)
def test_what_cannot_be_done_is_said(name, evaluation, backward, message):
    with pytest.raises(InputError, match=f'^{message}'):
        make_evaluation(library_cell(name), evaluation, backward)


@pytest.mark.parametrize('name', LINEAR)
@pytest.mark.parametrize(('platform', 'parallel'), [('cpu', False), ('gpu', True), ('tpu', True)])
def test_auto_is_by_device(name, platform, parallel):
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays(name))
    with platforms.assume(platforms.TABLE[platform]):
        text = str(jax.make_jaxpr(runner(name, 'auto'))(arrays))
    assert ('scan[' in text) != parallel


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
@pytest.mark.parametrize(
    ('name', 'evaluation'),
    [('gru', 'newton'), ('lstm', 'quasi_newton'), ('minlstm', 'auto'), ('linear', 'associative')],
)
def test_it_lowers_for_other_devices(name, evaluation, platform):
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays(name))
    run = runner(name, evaluation)

    def gradient(arrays):
        return jax.grad(lambda a: sum(leaf.sum() for leaf in jax.tree.leaves(run(a))))(arrays)

    with platforms.assume(platforms.TABLE['gpu' if platform == 'cuda' else 'tpu']):
        exported = jax.export.export(jax.jit(gradient), platforms=[platform])(arrays)
    assert exported.platforms == (platform,)
    assert len(exported.mlir_module()) > 1000
