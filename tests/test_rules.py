"""Which parameters are trained, how fast, and that the others are left alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import finetune, lm
from nlp_models import trees
from nlp_models.adaptation import rules
from nlp_models.errors import InputError
from nlp_models.training import optimizers
from nlp_models.training.objectives import Sums
from nlp_models.training.step import init_state, make_train_step

SHAPES = {
    'embed': {'embedding': (5, 3)},
    'body': {
        'layer_0': {'kernel': (3, 3), 'bias': (3,)},
        'layer_1': {'kernel': (3, 3), 'bias': (3,)},
        'layer_2': {'kernel': (3, 3), 'bias': (3,)},
        'final_norm': {'scale': (3,)},
    },
    'classifier': {'kernel': (3, 2), 'bias': (2,)},
}
DEPTHS = dict(classifier=0, final_norm=0, layer_2=1, layer_1=2, layer_0=3, embed=4)


def params(seed=0) -> Any:
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(random.normal(size=shape), jnp.float32),
        SHAPES,
        is_leaf=lambda x: isinstance(x, tuple),
    )


PATHS = sorted(trees.flatten(params()))


def depth(path):
    return next(d for name, d in DEPTHS.items() if name in path)


def group(**fields) -> Any:
    return ConfigDict(
        dict(rules=(('.*', 1.0),), freeze_layers=0, layer_decay=1.0, gradual=0.0) | fields
    )


def plan(**fields):
    return rules.make_plan(group(**fields), params())


def test_the_first_rule_found_decides():
    found = plan(rules=(('^classifier/', 2.0), ('bias$', 0.5), ('layer_1', 0), ('.*', 1.0)))
    assert found.rates == {
        'embed/embedding': 1.0,
        'body/layer_0/kernel': 1.0,
        'body/layer_0/bias': 0.5,
        'body/layer_1/bias': 0.5,
        'body/layer_2/kernel': 1.0,
        'body/layer_2/bias': 0.5,
        'body/final_norm/scale': 1.0,
        'classifier/kernel': 2.0,
        'classifier/bias': 2.0,
    }
    assert not found.trained('body/layer_1/kernel')
    assert set(found.begins.values()) == {0.0}


@pytest.mark.parametrize('method', finetune.METHODS)
def test_a_model_without_what_a_method_trains_is_no_head_trained_alone(method):
    only = {'body/layer_0/kernel': jnp.zeros((3, 3)), 'classifier/bias': jnp.zeros(3)}
    adaptation = finetune.get_config(method).adaptation
    if method in ('full', 'freeze', 'gradual', 'layerwise'):
        assert rules.make_plan(adaptation, trees.unflatten(only)).rates['classifier/bias'] > 0
    else:
        with pytest.raises(InputError, match='is found in no parameter that no rule before it has'):
            rules.make_plan(adaptation, trees.unflatten(only))


def test_lower_layers_are_slower_frozen_or_later():
    slower = plan(layer_decay=1 / 2.6)
    assert sorted(slower.rates) == PATHS
    for path, rate in slower.rates.items():
        np.testing.assert_allclose(rate, 2.6 ** -depth(path))
    frozen = plan(freeze_layers=2)
    assert sorted(frozen.rates) == sorted(
        p for p in PATHS if 'embed' not in p and 'layer_0' not in p and 'layer_1' not in p
    )
    gradual = plan(gradual=0.2)
    for path, begin in gradual.begins.items():
        np.testing.assert_allclose(begin, 0.2 * depth(path))
    # Of three layers, what is above and what is below them, each has its turn.
    assert max(plan(gradual=0.3).begins.values()) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(rules=(('.*', 1.0), ('bias', 0.0))), r"'bias' is found in no parameter that no rule"),
        (dict(rules=(('nonsense', 1.0), ('.*', 0.0))), r"'nonsense' is found in no parameter"),
        (dict(rules=(('^body/', 1.0),)), r'say nothing of classifier/bias and 2 others'),
        (dict(rules=(('(', 1.0),)), r'must be a regular expression and a number'),
        (dict(rules=(('.*', -1.0),)), r"of '\.\*' is -1\.0: it must be a number, at least 0"),
        (dict(rules=('.*',)), r'must be a regular expression and a number'),
        (dict(rules=(('.*', 0.0),)), r'must leave something to be trained'),
        (dict(layer_decay=0.0), r'layer_decay is 0\.0: it must be above 0 and at most 1'),
        (dict(freeze_layers=4), r'freeze_layers is 4: it must be at least 0 and at most the 3'),
        (dict(gradual=1.5), r'gradual is 1\.5: it must be from 0 to 1'),
    ],
)
def test_a_bad_group_is_told(fields, message):
    with pytest.raises(InputError, match=message):
        plan(**fields)


def test_layers_that_lie_stacked_have_no_order():
    stacked = {'body': {'layers': {'kernel': np.zeros((2, 3, 3))}}}
    with pytest.raises(InputError, match=r'model\.scan_layers must be False'):
        rules.make_plan(group(layer_decay=0.5), stacked)
    assert rules.make_plan(group(), stacked).rates == {'body/layers/kernel': 1.0}


# Training by a plan.


def quadratic(p, carry, batch, key):
    """½ Σ (p − batch)², whose gradient is p − batch."""
    del carry, key
    errors = jax.tree.map(lambda a: jnp.sum(jnp.square(a - batch['target'])), p)
    return Sums(jnp.float32(0.5) * sum(jax.tree.leaves(errors)), jnp.float32(1.0)), None


def train(adaptation, steps, *, total=None, **optimizer):
    config = lm.base().optimizer
    config.update(name='sgd', b1=0.0, weight_decay=0.0, clip_norm=0.0, schedule='constant')
    config.update(warmup_steps=0, learning_rate=0.1)
    config.update(optimizer)
    before = params()
    found = rules.make_plan(adaptation, before)
    made = rules.apply_plan(*optimizers.build_parts(config), found)
    schedule = optimizers.build_schedule(config)
    state = init_state(before, made, total or steps, None, found.trained)
    step = jax.jit(make_train_step(quadratic, made, schedule, seed=0, trained=found.trained))
    states = []
    for _ in range(steps):
        state, _ = step(state, {'target': jnp.float32(0.25)})
        states.append(state)
    return before, found, states


def test_rates_are_those_of_the_plan():
    adaptation = group(rules=(('embed', 0.0), ('.*', 1.0)), layer_decay=0.5)
    before, found, (state,) = train(adaptation, 1)
    for path, leaf in trees.flatten(before).items():
        moved = 0.1 * found.rates.get(path, 0.0) * (np.asarray(leaf, np.float64) - 0.25)
        now = trees.flatten(state.params)[path]
        np.testing.assert_allclose(now, leaf - moved, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('name', ['adamw', 'sgd'])
def test_what_is_frozen_is_bit_identical_and_unknown_to_the_optimizer(name):
    adaptation = group(rules=(('bias$', 1.0), ('.*', 0.0)))
    before, found, states = train(adaptation, 3, name=name, b1=0.9, weight_decay=0.1)
    after = trees.flatten(states[-1].params)
    for path, leaf in trees.flatten(before).items():
        same = np.array_equal(leaf, after[path])
        assert same != found.trained(path), path
    held = [a for a in jax.tree.leaves(states[-1].opt_state) if a.ndim]
    memories = {'adamw': 2, 'sgd': 1}[name]
    assert sum(a.size for a in held) == memories * (3 * 3 + 2)


def test_what_is_frozen_does_not_count_in_the_norm_that_is_clipped():
    adaptation = group(rules=(('^classifier/bias', 1.0), ('.*', 0.0)))
    before, _, (state,) = train(adaptation, 1, clip_norm=0.01)
    gradient = np.asarray(before['classifier']['bias'], np.float64) - 0.25
    assert np.linalg.norm(gradient) > 0.01
    np.testing.assert_allclose(state.grad_norm, np.linalg.norm(gradient), rtol=1e-6)
    moved = 0.1 * 0.01 * gradient / np.linalg.norm(gradient)
    np.testing.assert_allclose(
        before['classifier']['bias'] - state.params['classifier']['bias'], moved, rtol=1e-3
    )


def test_a_layer_that_begins_later_stands_still_until_then_and_begins_afresh():
    steps, gradual = 10, 0.2
    before, found, states = train(group(gradual=gradual), steps, name='adamw', b1=0.9, b2=0.999)
    start = trees.flatten(before)
    for path, begin in found.begins.items():
        first = round(begin * steps)  # the step at which it begins
        leaves = [trees.flatten(state.params)[path] for state in states]
        assert all(np.array_equal(leaf, start[path]) for leaf in leaves[:first]), path
        # Adam's first step is the sign of the gradient, whenever it comes.
        moved = np.asarray(start[path] - leaves[first], np.float64)
        wanted = 0.1 * np.sign(np.asarray(start[path]) - 0.25)
        np.testing.assert_allclose(moved, wanted, rtol=1e-3)


def test_what_has_not_begun_does_not_count_in_the_norm_that_is_clipped():
    before, _, (state,) = train(group(gradual=0.25), 1, total=100, clip_norm=0.01)
    begun = [before['classifier']['kernel'], before['classifier']['bias']]
    begun.append(before['body']['final_norm']['scale'])
    norm = np.sqrt(sum(np.sum((np.asarray(a, np.float64) - 0.25) ** 2) for a in begun))
    kernel = np.asarray(before['classifier']['kernel'], np.float64)
    wanted = kernel - 0.1 * 0.01 * (kernel - 0.25) / norm
    np.testing.assert_allclose(state.params['classifier']['kernel'], wanted, rtol=2e-7)


def test_a_plan_for_all_is_training_as_it_was():
    config = lm.base().optimizer
    config.update(warmup_steps=1)
    before, schedule = params(), optimizers.build_schedule(config)
    plain = optimizers.build_optimizer(config)
    state = init_state(before, plain, 5)
    step = jax.jit(make_train_step(quadratic, plain, schedule, seed=0))
    found = rules.make_plan(group(), before)
    made = rules.apply_plan(*optimizers.build_parts(config), found)
    other = init_state(before, made, 5, None, found.trained)
    again = jax.jit(make_train_step(quadratic, made, schedule, seed=0, trained=found.trained))
    for _ in range(5):
        state, _ = step(state, {'target': jnp.float32(0.25)})
        other, _ = again(other, {'target': jnp.float32(0.25)})
    for one, two in zip(jax.tree.leaves(state.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_slanted_triangle_is_the_papers():
    config = lm.base().optimizer
    config.update(schedule='slanted_triangular', warmup_steps=0, learning_rate=0.01)
    config.final_learning_rate_ratio = 1 / 32
    schedule = optimizers.build_schedule(config)
    total, cut_frac, ratio = 200, 0.1, 32
    cut = int(total * cut_frac)
    for t in (0, 1, 10, 19, 20, 21, 100, 199, 200):
        # Howard & Ruder 2018, equation 3.
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        wanted = 0.01 * (1 + p * (ratio - 1)) / ratio
        np.testing.assert_allclose(schedule(t, total), wanted, rtol=1e-5)
    config.warmup_steps = 3
    with pytest.raises(InputError, match=r'warmup_steps is 3: it must be 0 for slanted_triangular'):
        optimizers.build_schedule(config)


def test_trees_are_split_and_merged():
    tree = params()
    some, rest = trees.split(tree, lambda path: path.endswith('bias'))
    assert sorted(trees.flatten(some)) == sorted(p for p in PATHS if p.endswith('bias'))
    assert 'final_norm' not in some['body']
    merged = trees.merge(some, rest)
    assert jax.tree.structure(merged) == jax.tree.structure(tree)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(merged), jax.tree.leaves(tree), strict=True)
    )
    assert trees.flatten(trees.unflatten(trees.flatten(tree))).keys() == trees.flatten(tree).keys()
