"""The forms that one kind of device wants, against the plain ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import lm
from nlp_models import models, operations, platforms
from nlp_models.training import parallel
from nlp_models.training.objectives import language_modelling

FAST = platforms.TABLE['cpu']
PLAIN = platforms.Choices('cpu')


def test_the_cpu_has_choices_of_its_own():
    assert platforms.choices() is FAST
    with platforms.assume(PLAIN):
        assert platforms.choices() is PLAIN
    assert platforms.choices() is FAST
    assert FAST.dense_backward
    assert FAST.flat_reduction


@pytest.mark.parametrize('choice', [FAST, PLAIN])
@pytest.mark.parametrize('shape', [(5, 7), (3, 5, 7), (2, 3, 5, 7)])
def test_dense_is_the_product_and_its_gradients(choice, shape):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape), rng.normal(size=(7, 4))
    dy = rng.normal(size=(*shape[:-1], 4))
    with platforms.assume(choice), jax.enable_x64(True):
        y, pull = jax.vjp(operations.dense, jnp.asarray(x), jnp.asarray(w))
        dx, dw = pull(jnp.asarray(dy))
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
        y, pull = jax.vjp(operations.dense, x, w)
        mine = y, *pull(dy)
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


@pytest.mark.parametrize('choice', [FAST, PLAIN])
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
def test_the_sum_of_a_tree_is_the_sum_of_its_leaves(dtype):
    rng = np.random.default_rng(0)
    shapes = {'scalar': (), 'one': (1,), 'nested': [(3, 5), (), (7, 1, 2)], 'none': (0, 3)}
    draw = lambda shape: jnp.asarray(rng.normal(size=(2, *shape)), dtype)  # noqa: E731
    tree = jax.tree.map(draw, shapes, is_leaf=lambda node: isinstance(node, tuple))

    def both(tree):
        leaf_by_leaf = jax.tree.map(lambda leaf: jax.lax.psum(leaf, parallel.AXIS), tree)
        return operations.sum_over(tree, parallel.AXIS), leaf_by_leaf

    with platforms.assume(FAST):
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


@pytest.mark.parametrize('family', ['transformer', 'lstm', 'gru', 'rnn'])
def test_a_models_gradient_is_the_same_with_every_choice_and_with_none(family):
    config = lm.get_config(family).model
    config.update(hidden_size=16, num_layers=2)
    model = models.build(config, vocab_size=11, max_length=40)
    params = model.init(jax.random.key(0))
    batch = {'tokens': jax.random.randint(jax.random.key(1), (3, 41), 0, 11)}
    objective = language_modelling(model)

    def gradient(choice):
        with platforms.assume(choice):
            return jax.jit(jax.grad(lambda p: objective(p, None, batch)[0].loss))(params)

    fast, plain = gradient(FAST), gradient(PLAIN)
    for a, b in zip(jax.tree.leaves(fast), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * float(np.abs(b).max()) + 1e-6)
