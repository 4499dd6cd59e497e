"""The hand-derived backward passes: the gradient of the plain scan, whatever is done to it.

Most comparisons are in float64, where a wrong equation and rounding cannot be mistaken for each
other. There the arithmetic is under test and not the compiler, which is told to hurry.
"""

import itertools
import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models import platforms
from nlp_models.errors import InputError
from nlp_models.recurrent import sequential, stack
from nlp_models.training import parallel
from tests.test_cells import (
    SETTINGS,
    STEPS,
    D,
    N,
    assert_close,
    complex_step_gradient,
    library_cell,
    results_and_gradients,
    run,
    weighted_sum,
)

CHOICES = {
    name: platforms.TABLE['cpu']._replace(scan_chunk_bytes=chunk, scan_block_bytes=block)
    for name, chunk, block in [
        ('whole', 0, 0),  # all T steps at a time, as GPU and TPU have it
        ('chunks', 1, 0),  # of 8 steps, the fewest
        ('blocks', 1, 1),  # and recurrent weights in blocks of columns
    ]
}

# Real inputs of the rows: none, one, and the ends of chunks as read from either side of 37 steps.
LENGTHS = np.array([0, 1, 7, 8, 9, 28, 29, 64], np.int32)
B = len(LENGTHS)

HURRY: dict[str, Any] = {'xla_backend_optimization_level': 0}
if jax.__version_info__ < (0, 11):  # gone in 0.11; without it compiling takes four times as long
    HURRY['xla_cpu_use_fusion_emitters'] = False
    HURRY['xla_cpu_parallel_codegen_split_count'] = 1

CELLS = [name for name in SETTINGS if library_cell(name).adjoint is not None]
every_cell = pytest.mark.parametrize('name', CELLS)


class Case(NamedTuple):
    steps: int
    choices: str
    ragged: bool = False
    reverse: bool = False


CASES = {
    'two steps': Case(2, 'chunks'),
    'a short chunk, ragged': Case(5, 'chunks', ragged=True),
    'two chunks, reverse': Case(16, 'chunks', reverse=True),
    'chunks and one step': Case(17, 'chunks', ragged=True, reverse=True),
    'chunks and a rest': Case(37, 'blocks'),
    'chunks and a rest, ragged, reverse': Case(37, 'chunks', ragged=True, reverse=True),
    'all at a time, ragged, reverse': Case(37, 'whole', ragged=True, reverse=True),
    'blocks, ragged, reverse': Case(37, 'blocks', ragged=True, reverse=True),
    'eight chunks, ragged': Case(64, 'chunks', ragged=True),
    'all at a time': Case(64, 'whole'),
}


@cache
def problem(name: str, steps: int, *, inputs: int = D, hidden: int = N, seed: int = 0):
    """(arrays, weights of the loss: those of the final carry, then y's), in float64."""
    cell, random = library_cell(name), np.random.default_rng(seed)
    params = stack.init_cell(cell, jax.random.key(seed), inputs, hidden)
    params = {k: np.asarray(a) + random.normal(size=a.shape) / 4 for k, a in params.items()}
    carry = tuple(random.normal(size=(B, hidden)) for _ in range(cell.carries))
    arrays: dict[str, Any] = {
        'params': params,
        'carry': carry if cell.carries > 1 else carry[0],
        'x': random.normal(size=(B, steps, inputs)),
    }
    weights = [random.normal(size=(B, hidden)) for _ in carry]
    return arrays, [*weights, random.normal(size=(B, steps, hidden))]


def lengths_of(steps: int) -> jax.Array:
    return jnp.minimum(LENGTHS, steps)


def cast(tree, dtype):
    return jax.tree.map(lambda a: jnp.asarray(a, dtype), tree)


hurried = partial(jax.jit, compiler_options=HURRY)


@cache
def differentiated(
    name: str,
    backward: str = 'custom',
    choices: str = 'chunks',
    *,
    reverse: bool = False,
    hurry: bool = True,
) -> Callable:
    """`(weights, arrays, lengths) -> (results, gradients)` of the scan, compiled."""

    def function(weights, arrays, lengths=None):
        scan = partial(run, library_cell(name), lengths=lengths, reverse=reverse, backward=backward)
        with platforms.assume(CHOICES[choices]):
            return results_and_gradients(scan, weights, arrays)

    return hurried(function) if hurry else jax.jit(function)


@pytest.fixture
def ragged(name):
    """(scan, weights, arrays, lengths, results and gradients) of 11 ragged steps, in float64."""
    arrays, weights = problem(name, 11)
    with jax.enable_x64(True), platforms.assume(CHOICES['chunks']):
        weights, arrays, lengths = *cast((weights, arrays), jnp.float64), lengths_of(11)
        scan = partial(run, library_cell(name), lengths=lengths)
        yield scan, weights, arrays, lengths, differentiated(name)(weights, arrays, lengths)


def test_the_cells_with_a_backward_pass_of_their_own():
    assert set(CELLS) == {'rnn_tanh', 'rnn_sigmoid', 'lstm', 'gru', 'gru_reset_after'}


# The same function, in float64.


@every_cell
@pytest.mark.parametrize('case', CASES)
def test_it_is_the_gradient_of_the_plain_scan(name, case):
    steps, choices, ragged, reverse = CASES[case]
    arrays, weights = problem(name, steps)
    with jax.enable_x64(True):
        custom = differentiated(name, 'custom', choices, reverse=reverse)
        plain = differentiated(name, 'autodiff', reverse=reverse)
        lengths = lengths_of(steps) if ragged else None
        mine, want = (f(weights, arrays, lengths) for f in (custom, plain))
        assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(mine))
    assert_close(mine, want, relative=1e-12)


def ragged_loop(name, lengths, arrays):
    """The equations, each row from its last real input to its first: (final carry, y)."""
    x, carries = arrays['x'], []
    y = np.zeros((*x.shape[:2], N), x.dtype)
    for b, length in enumerate(lengths):
        carry = jax.tree.map(lambda a: a[b], arrays['carry'])  # noqa: B023
        for t in reversed(range(length)):
            carry, y[b, t] = STEPS[name](arrays['params'], carry, x[b, t])
        carries.append(carry)
    return jax.tree.map(lambda *rows: np.stack(rows), *carries), y


@every_cell
def test_it_is_the_derivative_of_the_equations(name):
    steps, lengths = 11, np.array([9, 0, 11], np.int32)
    arrays, weights = problem(name, steps)
    rows = lambda tree: jax.tree.map(lambda a: a[: len(lengths)], tree)  # noqa: E731
    arrays = {**arrays, 'carry': rows(arrays['carry']), 'x': rows(arrays['x'])}
    weights = rows(weights)
    loop = partial(ragged_loop, name, lengths)
    gradients = complex_step_gradient(lambda a: weighted_sum(weights, loop(a)), arrays)
    for backward in sequential.BACKWARDS:
        function = differentiated(name, backward, reverse=True)
        with jax.enable_x64(True):
            mine = function(weights, arrays, lengths)
        assert_close(mine, (loop(arrays), gradients), relative=1e-12)


# What the device's choices make of it.


def traced(name: str, steps: int, **choices) -> str:
    arrays, _ = cast(problem(name, steps), jnp.float32)
    with platforms.assume(CHOICES['whole']._replace(**choices)):
        return str(jax.make_jaxpr(partial(run, library_cell(name)))(arrays))


@pytest.mark.parametrize(
    ('steps', 'limit', 'loops'),
    [
        (37, 1, {4, 8, 5}),  # four chunks of 8 steps, the fewest, and 5 steps
        (37, 12 * B * 4 * N * 4, {3, 12, 1}),  # as many as hold 12 steps' gates, in float32
        (64, 2**30, {2, 32}),  # two chunks of 32 steps, the most
        (5, 1, {5}),
        (64, 0, {64}),
    ],
)
def test_the_steps_of_a_chunk(steps, limit, loops):
    jaxpr = traced('lstm', steps, scan_chunk_bytes=limit)
    assert {int(length) for length in re.findall(r'\blength=(\d+)', jaxpr)} == loops


@pytest.mark.parametrize(
    ('name', 'joined', 'blocks'), [('lstm', 1, 4), ('gru', 2, 3), ('gru_reset_after', 1, 3)]
)
def test_weights_in_blocks_of_columns(name, joined, blocks):
    one = N * N * 4  # bytes of a block
    for limit, products in ((0, joined), (one, blocks), (10 * one, joined)):
        jaxpr = traced(name, 5, scan_block_bytes=limit)
        assert jaxpr.count('dot_general') == 1 + products  # one for the inputs


# Rounding.


@every_cell
def test_bfloat16_is_no_further_off_than_autodiff(name):
    """Both round the state of every step to 8 bits; to sum the weights' gradients must add none."""
    arrays, weights = cast(problem(name, 64, inputs=16, hidden=32), jnp.bfloat16)
    with jax.enable_x64(True):
        exact = differentiated(name, 'autodiff')(*cast((weights, arrays), jnp.float64))
    plain = differentiated(name, 'autodiff')(weights, arrays)
    mine = differentiated(name)(weights, arrays)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(mine))

    def error(leaf, want):
        leaf, want = np.asarray(leaf, np.float64), np.asarray(want)
        return np.linalg.norm(leaf - want) / np.linalg.norm(want)

    theirs, ours = (jax.tree.map(error, tree, exact) for tree in (plain, mine))
    over = jax.tree.map(lambda have, want: have - (1.5 * want + 1e-4), ours, theirs)
    assert max(jax.tree.leaves(over)) <= 0, over


@every_cell
def test_float32_compiled_as_users_programs_are(name):
    """With every optimization; states of 20 numbers are a vector of 512 bits and a rest."""
    arrays, weights = cast(problem(name, 37, hidden=20), jnp.float32)
    lengths = lengths_of(37)
    with jax.enable_x64(True):
        exact = cast((weights, arrays), jnp.float64)
        want = differentiated(name, 'autodiff', reverse=True)(*exact, lengths)
    mine = differentiated(name, reverse=True, hurry=False)(weights, arrays, lengths)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(mine))
    assert_close(mine, want, relative=5e-6)


@every_cell
def test_saturated_gates(name):
    """One gate so far open or shut that its activation is 0, 1 or −1 to the last bit, or nearly.

    A gate is right to a rounding of one, whether it is open or shut, and so gradients are to what
    that makes of them: where autodiff has 1e-18, there may be 1e-8.
    """
    arrays, weights = problem(name, 11)
    custom, plain = (differentiated(name, backward) for backward in sequential.BACKWARDS)
    places = itertools.product(range(library_cell(name).gates), (-1e4, -40.0, 40.0, 1e4))
    for gate, a in places:
        b = arrays['params']['b'].copy()
        b[gate * N : (gate + 1) * N] = a
        now = cast((weights, {**arrays, 'params': {**arrays['params'], 'b': b}}), jnp.float32)
        want = plain(*now)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(want))
        assert_close(custom(*now), want, relative=2e-6, absolute=1e-6)


# Under JAX's transformations.


@every_cell
def test_checkpoint(ragged):
    scan, weights, arrays, _, want = ragged
    function = partial(results_and_gradients, jax.checkpoint(scan))
    assert_close(hurried(function)(weights, arrays), want, relative=1e-12)


@pytest.mark.parametrize('name', ['lstm', 'gru'])
def test_without_jit(ragged):
    scan, weights, arrays, _, want = ragged
    results, transpose = jax.vjp(scan, arrays)
    gradients = transpose(jax.tree.unflatten(jax.tree.structure(results), weights))[0]
    assert_close((results, gradients), want, relative=1e-12)


@every_cell
def test_vmap_over_seeds(name, ragged):
    lengths, function = ragged[3], differentiated(name)
    seeds = []
    for seed in range(3):
        arrays, weights = problem(name, 11, seed=seed)
        seeds.append((weights, arrays, np.roll(lengths, seed)))
    mine = jax.vmap(function)(*jax.tree.map(lambda *leaves: np.stack(leaves), *seeds))
    for seed, arguments in enumerate(seeds):
        one = jax.tree.map(lambda a: a[seed], mine)  # noqa: B023
        assert_close(one, function(*arguments), relative=1e-12)


@every_cell
def test_second_derivatives(ragged):
    """Reverse over reverse, against forward over reverse of the plain scan."""
    scan, weights, arrays, *_ = ragged

    def gradient(backward):
        return jax.grad(lambda arrays: weighted_sum(weights, scan(arrays, backward=backward)))

    mine = hurried(jax.jacrev(gradient('custom')))(arrays)
    want = hurried(jax.jacfwd(gradient('autodiff')))(arrays)
    assert_close(mine, want, relative=1e-10)


@pytest.mark.parametrize(
    ('name', 'number'), [('lstm', 2), ('gru', 2), *((name, 4) for name in CELLS)]
)
def test_devices_share_the_rows_and_sum_the_gradients_of_the_weights(name, number, ragged):
    _, weights, arrays, lengths, want = ragged
    devices = parallel.choose(number, B)
    assert devices.axis_name is not None

    def function(params, rows):
        weights, arrays, lengths = rows
        scan = partial(run, library_cell(name), lengths=lengths)
        results, gradients = results_and_gradients(scan, weights, {'params': params, **arrays})
        return jax.lax.psum(gradients.pop('params'), devices.axis_name), (results, gradients)

    params = devices.replicate(arrays['params'])
    of_rows = {key: arrays[key] for key in ('carry', 'x')}
    rows = devices.place_shards((weights, of_rows, lengths))
    summed, shares = devices.compile(function, params, rows)[0](params, rows)
    results, gradients = devices.gather(shares)
    gradients['params'] = devices.first(summed)
    assert_close((results, gradients), want, relative=1e-12)


@every_cell
def test_forward_mode_is_for_autodiff_alone(name, ragged):
    """⟨w, J v⟩ of the plain scan's forward mode is ⟨Jᵀ w, v⟩ of the custom backward pass."""
    scan, weights, arrays, _, (_, transposed) = ragged
    tangent = cast(problem(name, 11, seed=1)[0], jnp.float64)
    with pytest.raises(TypeError, match="backward='autodiff'"):
        jax.jvp(scan, (arrays,), (tangent,))
    plain = partial(scan, backward='autodiff')
    _, forward = hurried(lambda *pair: jax.jvp(plain, pair[:1], pair[1:]))(arrays, tangent)

    def inner(one, other):
        return sum(map(np.vdot, jax.tree.leaves(one), jax.tree.leaves(other)))

    assert inner(transposed, tangent) == pytest.approx(inner(weights, forward), rel=1e-12)


def test_an_unknown_backward_pass_is_named():
    arrays, _ = cast(problem('lstm', 2), jnp.float32)
    with pytest.raises(InputError, match=r"^backward is 'manual': it must be one of custom, auto"):
        run(library_cell('lstm'), arrays, backward='manual')


# The compiled program.


def gradient_of(name: str, rows: int, steps: int, size: int, backward: str, choices):
    """The gradient by parameters and inputs, jitted, and the shapes of its arguments."""
    cell = library_cell(name)

    def loss(params, x):
        with platforms.assume(choices):
            zeros = sequential.start(cell, rows, size)
            return jnp.sum(sequential.scan(cell, params, zeros, x, backward=backward)[1])

    params = jax.eval_shape(lambda: stack.init_cell(cell, jax.random.key(0), size, size))
    x = jax.ShapeDtypeStruct((rows, steps, size), jnp.float32)
    return jax.jit(jax.grad(loss, argnums=(0, 1))), (params, x)


def test_memory_of_the_gradient():
    """What is kept grows with T and no faster, and it is less than autodiff keeps."""

    def temporary(steps, backward):
        function, shapes = gradient_of('lstm', 16, steps, 64, backward, platforms.TABLE['cpu'])
        memory = function.lower(*shapes).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    short, long = temporary(128, 'custom'), temporary(256, 'custom')
    kept = 16 * 64 * 4 * (4 + 1 + 1)  # a step's f, i, o, C̃; its C; its y
    assert 128 * kept <= long - short
    assert long <= 2.2 * short
    assert long < temporary(256, 'autodiff')


@every_cell
@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_it_lowers_for_other_devices(name, platform):
    choices = platforms.TABLE['gpu' if platform == 'cuda' else 'tpu']
    function, shapes = gradient_of(name, 16, 100, 64, 'custom', choices)
    exported = jax.export.export(function, platforms=[platform])(*shapes)
    assert exported.platforms == (platform,)
    given = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(shapes)]
    assert [(leaf.shape, leaf.dtype) for leaf in exported.out_avals] == given
