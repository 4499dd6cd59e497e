"""Bottleneck adapters: their formula, their places, and that they change nothing at first."""

import math
import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models import trees
from nlp_models.adaptation import building
from nlp_models.attention import bottleneck
from nlp_models.attention.bottleneck import Bottleneck
from nlp_models.errors import InputError
from tests.adapted_models import adapted, base, group_of, grown, outputs, sizes_of, tokens_of

D, SIZE = 8, 3
ADAPTER = re.compile(r'adapter/(up|down)/')
PLACES = [
    *((name, 'houlsby') for name in ('rotary', 'scanned', 'encoder', 'lstm', 'mingru', 'seq2seq')),
    *((name, 'pfeiffer') for name in ('sinusoidal', 'mingru')),
]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def by_formula(params, x):
    down, up = ({k: np.asarray(v, np.float64) for k, v in params[n].items()} for n in params)
    hidden = gelu(x @ down['kernel'] + down['bias'])
    return x + hidden @ up['kernel'] + up['bias']


@cache
def added(name, placement):
    return adapted(name, adapter_size=SIZE, adapter_placement=placement)


@pytest.mark.parametrize('backward', ['custom', 'autodiff'])
def test_the_formula(backward):
    params = bottleneck.init(jax.random.key(0), D, SIZE)
    assert list(params) == ['down', 'up']
    assert [params[n]['kernel'].shape for n in params] == [(D, SIZE), (SIZE, D)]
    x = np.random.default_rng(0).normal(size=(4, 2, D)).astype(np.float32)
    np.testing.assert_array_equal(bottleneck.apply(params, jnp.asarray(x), backward=backward), x)
    assert not params['up']['kernel'].any()
    assert not params['up']['bias'].any()
    assert params['down']['kernel'].std() > 0.1
    params = grown(params, re.compile(''))
    y = bottleneck.apply(params, jnp.asarray(x), backward=backward)
    np.testing.assert_allclose(y, by_formula(params, x.astype(np.float64)), rtol=1e-5, atol=1e-5)
    again = Bottleneck(SIZE, backward).apply({'params': params}, jnp.asarray(x))
    np.testing.assert_array_equal(y, again)


def test_the_gradient_is_that_of_finite_differences():
    params = grown(bottleneck.init(jax.random.key(0), D, SIZE), re.compile(''))
    x = np.random.default_rng(1).normal(size=(5, D)).astype(np.float32)
    weights = np.random.default_rng(2).normal(size=(5, D)).astype(np.float32)
    found = jax.grad(lambda p: jnp.sum(weights * bottleneck.apply(p, jnp.asarray(x))))(params)
    double = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    step = 1e-5
    for path, leaf in trees.flatten(double).items():
        for place in np.ndindex(leaf.shape):
            sides = []
            for sign in (1, -1):
                moved = leaf.copy()
                moved[place] += sign * step
                changed = trees.unflatten({**trees.flatten(double), path: moved})
                sides.append(np.sum(weights * by_formula(changed, x.astype(np.float64))))
            slope = (sides[0] - sides[1]) / (2 * step)
            np.testing.assert_allclose(trees.flatten(found)[path][place], slope, atol=1e-4)


@pytest.mark.parametrize(('name', 'placement'), PLACES)
def test_a_model_with_fresh_adapters_computes_what_it_did(name, placement):
    before, after = added(name, placement)
    tokens = tokens_of()
    np.testing.assert_allclose(outputs(after, tokens), outputs(before, tokens), rtol=0, atol=1e-6)
    # And with others it does not.
    grew = after._replace(params=grown(after.params, ADAPTER))
    assert np.abs(outputs(grew, tokens) - outputs(before, tokens)).max() > 0.01


@pytest.mark.parametrize('name', ['rotary', 'encoder', 'lstm', 'mingru'])
def test_how_many_there_are_and_what_they_count(name):
    layers = 2
    one = 2 * D * SIZE + SIZE + D
    where = {
        'lstm': {'houlsby': [''], 'pfeiffer': ['']},  # a bare layer has one place
        'mingru': {'houlsby': ['cell_', 'feed_forward_'], 'pfeiffer': ['feed_forward_']},
    }.get(name, {'houlsby': ['attention_', 'feed_forward_'], 'pfeiffer': ['feed_forward_']})
    for placement, parts in where.items():
        before, after = added(name, placement)
        new = set(trees.flatten(after.params)) - set(trees.flatten(before.params))
        assert new == {
            f'body/layer_{layer}/{part}adapter/{half}/{leaf}'
            for layer in range(layers)
            for part in parts
            for half in ('down', 'up')
            for leaf in ('kernel', 'bias')
        }
        assert all(building.ADDED.search(path) for path in new)
        assert not any(building.ADDED.search(path) for path in trees.flatten(before.params))
        grew = trees.count(after.params) - trees.count(before.params)
        assert grew == layers * len(parts) * one


def test_a_block_by_hand():
    """A post-norm layer of an encoder: the adapter is between its part and the residual."""
    _, after = adapted('encoder', adapter_size=SIZE)
    group = group_of('encoder', adapter_size=SIZE, norm='post', num_layers=1, positions='none')
    model = building.build(group, **sizes_of('encoder'))
    params = {**after.params, 'body': {'layer_0': after.params['body']['layer_0']}}
    params = grown(params, ADAPTER)
    layer = params['body']['layer_0']
    tokens = tokens_of(1, 1)  # alone, a token's attention is to itself: its value
    x = params['embed']['embedding'][tokens] + params['embed']['segments'][:1]
    double = {path: np.asarray(leaf, np.float64) for path, leaf in trees.flatten(layer).items()}
    x = np.asarray(x, np.float64)[0, 0]

    def dense(name, x):
        return x @ double[f'{name}/kernel'] + double[f'{name}/bias']

    def norm(name, x):
        x = (x - x.mean()) / np.sqrt(x.var() + group.norm_epsilon)
        return x * double[f'{name}/scale'] + double[f'{name}/bias']

    y = dense('attention/out', dense('attention/qkv', x)[2 * D :])
    x = norm('attention_norm', x + by_formula(layer['attention_adapter'], y))
    y = dense('feed_forward/down', gelu(dense('feed_forward/up', x)))
    x = norm('feed_forward_norm', x + by_formula(layer['feed_forward_adapter'], y))
    encoded = jax.jit(model.encode)(params, tokens)
    np.testing.assert_allclose(encoded[0, 0], x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', ['rotary', 'lstm', 'mingru'])
def test_token_by_token_it_computes_what_it_does_at_once(name):
    _, after = added(name, 'houlsby')
    model, params = after.model, grown(after.params, ADAPTER)
    tokens = tokens_of()
    whole, apply = outputs(after._replace(params=params), tokens), jax.jit(model.apply)
    state = model.start(params, 2, tokens.shape[1])
    for t in range(tokens.shape[1]):
        state, logits = apply(params, state, tokens[:, t : t + 1])
        np.testing.assert_allclose(logits[:, 0], whole[:, t], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', ['rotary', 'encoder', 'lstm', 'mingru'])
def test_they_learn_after_one_step_at_all_their_places(name):
    """W_up has a gradient at once, W_down as soon as W_up is not zero."""
    _, after = added(name, 'houlsby')
    tokens = tokens_of()

    def loss(params):
        if name == 'encoder':
            return jnp.sum(after.model.encode(params, tokens) ** 2)
        return jnp.sum(after.model.apply(params, after.model.start(params, 2), tokens)[1] ** 2)

    first = jax.jit(jax.grad(loss))
    gradient = trees.flatten(first(after.params))
    ups = [path for path in gradient if 'adapter/up/' in path]
    downs = [path for path in gradient if 'adapter/down/' in path]
    assert len(ups) == len(downs) > 0
    assert all(jnp.abs(gradient[path]).max() > 0 for path in ups)
    assert not any(jnp.abs(gradient[path]).max() > 0 for path in downs)
    stepped = jax.tree.map(lambda p, g: p - 1e-3 * g, after.params, trees.unflatten(gradient))
    gradient = trees.flatten(first(stepped))
    assert all(jnp.abs(gradient[path]).max() > 0 for path in (*ups, *downs))


@pytest.mark.parametrize('name', ['rotary', 'lstm', 'mingru'])
def test_forward_mode_is_there_where_the_config_asks_for_it(name):
    built = adapted(name, adapter_size=SIZE, backward='autodiff')[1]
    model, params = built.model, grown(built.params, ADAPTER)
    tokens = tokens_of()

    def loss(params):
        return jnp.mean(model.apply(params, model.start(params, 2), tokens)[1] ** 2)

    forward = jax.jit(lambda p: jax.jvp(loss, (p,), (p,))[1])(params)
    gradient = jax.jit(jax.grad(loss))(params)
    reverse = sum(jax.tree.leaves(jax.tree.map(np.vdot, gradient, params)))
    assert float(forward) == pytest.approx(float(reverse), rel=1e-4)


def test_in_half_precision_parameters_stay_whole():
    for name in ('rotary', 'lstm'):
        group = group_of(name, adapter_size=SIZE, dtype='bfloat16')
        model = building.build(group, **sizes_of(name))
        params = jax.jit(model.init)(jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype('float32')}
        plain = {p: v for p, v in trees.flatten(params).items() if not ADAPTER.search(p)}
        before = base(name)._replace(
            model=building.build(group_of(name, dtype='bfloat16'), **sizes_of(name)),
            params=trees.unflatten(plain),
        )
        after = before._replace(model=model, params=params)
        np.testing.assert_array_equal(outputs(after, tokens_of()), outputs(before, tokens_of()))


@pytest.mark.parametrize(
    ('name', 'fields', 'message'),
    [
        ('rotary', dict(adapter_size=-1), r'^model\.adapter_size is -1: it must be at least 1, or'),
        (
            'lstm',
            dict(adapter_size=3, adapter_placement='between'),
            r"^model\.adapter_placement is 'between': it must be one of houlsby, pfeiffer",
        ),
        ('encoder_gru', dict(adapter_size=3), r'^model\.adapter_size is 3: it must be 0'),
        ('luong', dict(adapter_size=3), r'^model\.adapter_size is 3: it must be 0'),
    ],
)
def test_what_cannot_be_is_told(name, fields, message):
    with pytest.raises(InputError, match=message):
        building.build(group_of(name, **fields), **sizes_of(name))


def test_a_base_that_has_some_keeps_those():
    """Others of another size or at another place are told; asking for none is asking for these."""
    has = group_of('rotary', adapter_size=SIZE, adapter_placement='pfeiffer')
    for wanted in ({}, dict(adapter_size=0, adapter_placement='houlsby'), dict(adapter_size=SIZE)):
        found = building.add_fields(has, wanted)
        assert (found.adapter_size, found.adapter_placement) == (SIZE, 'pfeiffer')
    with pytest.raises(InputError, match=r'^model\.adapter_size is 4: it must be 3, which init_'):
        building.add_fields(has, dict(adapter_size=4))
    with pytest.raises(InputError, match=r"^model\.adapter_placement is 'houlsby': it must be 'pf"):
        building.add_fields(has, dict(adapter_size=SIZE, adapter_placement='houlsby'))
