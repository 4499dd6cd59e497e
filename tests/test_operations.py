"""The forms that one kind of device wants, against the plain ones."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import lm
from nlp_models import models, operations, platforms
from nlp_models.training import parallel
from nlp_models.training.objectives import language_modelling
from tests.generation_models import random_params

FAST = platforms.TABLE['cpu']
PLAIN = platforms.Choices('cpu')


def test_the_cpu_has_choices_of_its_own():
    assert platforms.choices() is FAST
    with platforms.assume(PLAIN):
        assert platforms.choices() is PLAIN
    assert platforms.choices() is FAST
    assert FAST.dense_backward
    assert FAST.flat_reduction_bytes


@pytest.mark.parametrize('choice', [FAST, PLAIN])
@pytest.mark.parametrize('shape', [(5, 7), (3, 5, 7), (2, 3, 5, 7)])
def test_dense_is_the_product_and_its_gradients(choice, shape):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape), rng.normal(size=(7, 4))
    dy = rng.normal(size=(*shape[:-1], 4))
    with platforms.assume(choice), jax.enable_x64(True):
        y, dx, dw = value_and_pulled(operations.dense, dy, x, w)
    np.testing.assert_allclose(y, x @ w, rtol=1e-12)
    np.testing.assert_allclose(dx, dy @ w.T, rtol=1e-12)
    expected = sum(
        np.outer(row, d) for row, d in zip(x.reshape(-1, 7), dy.reshape(-1, 4), strict=True)
    )
    np.testing.assert_allclose(dw, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('choice', [FAST, PLAIN])
def test_dense_keeps_bfloat16_and_is_near_float32(choice):
    rng = np.random.default_rng(0)
    shapes = [(3, 5, 16), (16, 7), (3, 5, 7)]
    x, w, dy = (jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in shapes)
    with platforms.assume(choice):
        mine = value_and_pulled(operations.dense, dy, x, w)
    assert [a.dtype for a in mine] == [jnp.bfloat16] * 3
    x, w, dy = (np.asarray(a, np.float32) for a in (x, w, dy))
    exact = x @ w, dy @ w.T, np.tensordot(x, dy, ((0, 1), (0, 1)))
    for have, want in zip(mine, exact, strict=True):  # rounded to 2⁻⁹, perhaps more than once
        bound = 0.008 * np.abs(want).max()
        np.testing.assert_allclose(have.astype(jnp.float32), want, rtol=0, atol=bound)


def test_dense_has_forward_mode_in_its_plain_form_alone():
    x, w = jnp.ones((3, 4)), jnp.ones((4, 5))
    with platforms.assume(PLAIN):
        _, tangent = jax.jvp(operations.dense, (x, w), (x, w))
    np.testing.assert_allclose(tangent, 2 * (x @ w))
    with pytest.raises(TypeError):
        jax.jvp(operations.dense, (x, w), (x, w))


def value_and_pulled(function, dy, *arguments):
    """(value, gradients for a cotangent), in one program: op by op each would be compiled."""

    @jax.jit
    def both(dy, *arguments):
        y, pull = jax.vjp(function, *arguments)
        return y, *pull(dy)

    return both(dy, *arguments)


def in_double(choice, function, *arguments):
    """Values and gradients, in float64, for a random cotangent."""
    with platforms.assume(choice), jax.enable_x64(True):
        shape = jax.eval_shape(function, *arguments).shape
        dy = np.random.default_rng(9).normal(size=shape)
        return jax.tree.map(np.asarray, value_and_pulled(function, dy, *arguments)), dy


def plain_gelu(x, approximate):
    """In NumPy; x Φ(x) by the complementary error function, which is exact far below 0, too."""
    if approximate:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x * np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2


@pytest.mark.parametrize('choice', [FAST, PLAIN])
@pytest.mark.parametrize('approximate', [True, False])
def test_gelu_is_its_equation_and_its_slope_what_differences_say(choice, approximate):
    x = np.concatenate([np.linspace(-6, 6, 41), [0.0, 1e-9, -40.0, 40.0]]).reshape(9, 5)
    mine, flaxs = (partial(f, approximate=approximate) for f in (operations.gelu, nn.gelu))
    (y, dx), dy = in_double(choice, mine, x)
    np.testing.assert_allclose(y, plain_gelu(x, approximate), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(y, in_double(choice, flaxs, x)[0][0], rtol=1e-14)
    step = 1e-5
    slope = plain_gelu(x + step, approximate) - plain_gelu(x - step, approximate)
    np.testing.assert_allclose(dx, dy * slope / (2 * step), atol=1e-9)
    np.testing.assert_allclose(dx, in_double(choice, flaxs, x)[0][1], atol=1e-14)


def test_gelu_has_its_own_backward_pass_where_the_device_gains_by_it():
    x = jnp.ones((2, 3))

    def rules(**how):
        text = str(jax.make_jaxpr(lambda x: operations.gelu(x, **how))(x))
        return text.count('custom_vjp_call')

    assert rules() == rules(approximate=False) == 1
    assert rules(approximate=False, backward='autodiff') == 0
    with platforms.assume(PLAIN):
        assert rules(approximate=False) == rules() == 0


def test_rms_norm_is_its_equation_with_its_gradients():
    rng = np.random.default_rng(0)
    x, scale, epsilon = rng.normal(1.0, 2.0, (3, 5, 7)), rng.normal(1.0, 2.0, 7), 0.1
    (y, dx, dscale), dy = in_double(FAST, partial(operations.rms_norm, epsilon=epsilon), x, scale)

    def row_by_row(x, scale):
        rows = [row / np.sqrt((row**2).sum() / 7 + epsilon) * scale for row in x.reshape(-1, 7)]
        return np.reshape(rows, x.shape)

    np.testing.assert_allclose(y, row_by_row(x, scale), rtol=1e-12)
    step = 1e-6
    for place in [(0, 0, 0), (1, 4, 2), (2, 3, 6)]:
        ahead, behind = x.copy(), x.copy()
        ahead[place] += step
        behind[place] -= step
        slope = (row_by_row(ahead, scale) - row_by_row(behind, scale)) / (2 * step)
        np.testing.assert_allclose(dx[place], (dy * slope).sum(), atol=1e-8)
    want = (dy * row_by_row(x, np.ones(7))).sum((0, 1))  # linear in γ
    np.testing.assert_allclose(dscale, want, rtol=1e-12)
    tiny, one = jnp.full((1, 2), 1e-30), jnp.ones(2)
    np.testing.assert_allclose(operations.rms_norm(tiny, one), 1e-30 / math.sqrt(1e-5), rtol=1e-5)


@pytest.mark.parametrize('choice', [FAST, PLAIN])
@pytest.mark.parametrize('with_bias', [True, False])
def test_layer_norm_is_flaxs_with_its_gradients(choice, with_bias):
    rng = np.random.default_rng(0)
    x, scale, bias = (rng.normal(1.0, 2.0, size) for size in ((3, 5, 7), 7, 7))
    arguments = (x, scale, bias) if with_bias else (x, scale)

    def mine(x, scale, bias=None):
        return operations.layer_norm(x, scale, bias)

    def flaxs(x, scale, bias=None):
        params = {'scale': scale} | ({} if bias is None else {'bias': bias})
        norm = nn.LayerNorm(epsilon=1e-5, use_bias=bias is not None, use_fast_variance=False)
        return norm.apply({'params': params}, x)

    have, want = in_double(choice, mine, *arguments)[0], in_double(choice, flaxs, *arguments)[0]
    assert len(have) == len(want) == 1 + len(arguments)
    for a, b in zip(have, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    'function',
    [
        operations.gelu,
        partial(operations.gelu, approximate=False),
        lambda x: operations.layer_norm(x, 1 + x[0], None),
        lambda x: operations.rms_norm(x, 1 + x[0]),
    ],
)
def test_lean_operations_keep_bfloat16_and_are_near_float32(function):
    x, dy = (jnp.asarray(a, jnp.bfloat16) for a in np.random.default_rng(0).normal(size=(2, 6, 16)))

    wide = (np.asarray(a, np.float32) for a in (dy, x))
    both = value_and_pulled(function, dy, x), value_and_pulled(function, *wide)
    for have, want in zip(*both, strict=True):
        assert have.dtype == jnp.bfloat16
        bound = 0.02 * float(jnp.abs(want).max())
        np.testing.assert_allclose(have.astype(jnp.float32), want, rtol=0, atol=bound)


def test_lean_operations_have_forward_mode_in_their_plain_form_alone():
    x = jnp.linspace(-1, 1, 12).reshape(3, 4)
    for function in (
        operations.gelu,
        partial(operations.gelu, approximate=False),
        lambda x, **how: operations.layer_norm(x, x[0], None, **how),
    ):
        plain = partial(function, backward='autodiff')
        jax.jit(partial(jax.jvp, plain))((x,), (x,))
        with pytest.raises(TypeError):
            jax.jvp(function, (x,), (x,))


@pytest.mark.parametrize('choice', [FAST, PLAIN, FAST._replace(flat_reduction_bytes=16)])
def test_a_sum_over_devices(choice):
    devices = parallel.Devices(tuple(jax.local_devices()[:4]))
    rng = np.random.default_rng(0)
    tree = {'a': rng.normal(size=(4, 3, 2)).astype('f'), 'b': rng.normal(size=(4, 1)).astype('f')}
    with platforms.assume(choice):
        compiled, _ = devices.compile(
            lambda t: operations.sum_over(t, parallel.AXIS), devices.place_shards(tree)
        )
    total = compiled(devices.place_shards(tree))
    for name, rows in tree.items():
        for device in range(4):
            np.testing.assert_allclose(np.ravel(total[name][device]), rows.sum(0).ravel(), 1e-6)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('limit', [FAST.flat_reduction_bytes, 20, 0])
def test_the_sum_of_a_tree_is_the_sum_of_its_leaves(dtype, limit):
    rng = np.random.default_rng(0)
    shapes = {'scalar': (), 'one': (1,), 'nested': [(3, 5), (), (7, 1, 2)], 'none': (0, 3)}
    draw = lambda shape: jnp.asarray(rng.normal(size=(2, *shape)), dtype)  # noqa: E731
    tree = jax.tree.map(draw, shapes, is_leaf=lambda node: isinstance(node, tuple))

    def both(tree):
        leaf_by_leaf = jax.tree.map(lambda leaf: jax.lax.psum(leaf, parallel.AXIS), tree)
        return operations.sum_over(tree, parallel.AXIS), leaf_by_leaf

    with platforms.assume(FAST._replace(flat_reduction_bytes=limit)):
        mine, want = jax.pmap(both, parallel.AXIS, devices=jax.local_devices()[:2])(tree)
    jax.tree.map(np.testing.assert_array_equal, mine, want)
    dtypes = jax.tree.map(lambda a: (a.shape, a.dtype), tree)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), mine) == dtypes


def test_all_of_it_on_one_meeting():
    """One reduction, however many parameters there are; XLA may join what is lowered as many."""
    devices = parallel.Devices(tuple(jax.local_devices()[:2]))
    tree = {str(i): np.ones((2, i + 1), np.float32) for i in range(6)}

    def total():  # a new function each time: JAX remembers what it has traced
        return lambda tree: operations.sum_over(tree, parallel.AXIS)

    def lowered(choice):
        with platforms.assume(choice):
            mapped = jax.pmap(total(), parallel.AXIS, devices=list(devices.devices))
            return mapped.lower(tree).as_text().count('stablehlo.all_reduce')

    compiled, _ = devices.compile(total(), devices.place_shards(tree))
    text = compiled.as_text()  # pyright: ignore[reportFunctionMemberAccess]
    assert text.count(' all-reduce(') == lowered(FAST) == 1
    assert lowered(PLAIN) == len(tree)


@pytest.mark.parametrize(
    ('family', 'fields'),
    [
        ('transformer', {}),
        ('transformer', dict(use_bias=False, norm='post', scan_layers=True)),
        ('transformer', dict(activation='gelu', norm_type='rms', gated=True)),
        ('transformer', dict(remat=True)),
        ('lstm', {}),
        ('gru', {}),
        ('rnn', {}),
        ('mingru', {}),  # in residual blocks
    ],
)
def test_a_models_gradient_is_the_same_with_every_choice_and_with_none(family, fields):
    config = lm.get_config(family).model
    config.update(hidden_size=16, num_layers=2, **fields)
    model = models.build(config, vocab_size=11, max_length=40)
    params = random_params(model, seed=0)
    tokens = np.random.default_rng(1).integers(11, size=(3, 41))
    batch = {'tokens': jnp.asarray(tokens, jnp.int32)}
    objective = language_modelling(model)

    def gradient(choice):
        with platforms.assume(choice):
            return jax.jit(jax.grad(lambda p: objective(p, None, batch)[0].loss))(params)

    fast, plain = gradient(FAST), gradient(PLAIN)
    for a, b in zip(jax.tree.leaves(fast), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * float(np.abs(b).max()) + 1e-6)
