"""The training step: losses, optimizer, accumulation, devices, repeats."""

import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import lm
from nlp_models import models, platforms, trees
from nlp_models.errors import InputError
from nlp_models.training import optimizers, parallel
from nlp_models.training.objectives import cross_entropy, language_modelling
from nlp_models.training.step import TrainState, init_state, make_train_step

V, T, B = 11, 6, 8


@cache
def small(family, **fields):
    model = lm.get_config(family).model
    model.update(hidden_size=8, num_layers=1)
    if family == 'transformer':
        model.update(num_heads=2)
    model.update(**fields)
    return models.build(model, vocab_size=V, max_length=T)


def optimizer_config(**fields):
    config = lm.base().optimizer
    config.update(warmup_steps=2, learning_rate=0.01)
    config.update(**fields)
    return config


@cache
def initial(model):
    """Its parameters, made once: `init` makes them operation by operation."""
    return jax.tree.map(np.asarray, model.init(jax.random.key(0)))


def run(model, config, *, num_devices, steps=10, accumulate=1, carry=False, seed=0, dropout=False):
    """Train for some steps and return the state on the host."""
    devices = parallel.choose(num_devices, B)
    optimizer, schedule = optimizers.build_optimizer(config), optimizers.build_schedule(config)
    params = initial(model)
    state = init_state(params, optimizer, steps, model.start(params, B) if carry else None)
    state = jax.tree.map(np.asarray, state)
    placed = devices.replicate(state._replace(carry=None))._replace(
        carry=devices.place_shards(state.carry)
    )
    step = make_train_step(
        language_modelling(model, dropout=dropout),
        optimizer,
        schedule,
        seed=seed,
        accumulate=accumulate,
        log_every=100,
        axis_name=devices.axis_name,
    )
    rng = np.random.default_rng(1)
    compiled = None
    for index in range(steps):
        batch: dict[str, Any] = {'tokens': rng.integers(V, size=(B, T + 1), dtype=np.int32)}
        if carry:
            batch['restart'] = np.full(B, index % 4 == 0, np.float32)
        else:  # unequal counts on the devices: a mean of means would show
            batch['weights'] = np.asarray(rng.random((B, T)) < np.linspace(0.1, 1, B)[:, None], 'f')
        sharded = devices.shard(batch)
        if compiled is None:
            compiled, _ = devices.compile(step, placed, sharded)
        placed, _ = compiled(placed, sharded)
    host = devices.first(placed._replace(carry=None))
    return TrainState(*host)._replace(carry=devices.gather(placed.carry))


def largest_difference(a, b):
    return max(
        float(np.max(np.abs(x - y)))
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def test_cross_entropy_is_minus_the_log_of_the_softmax():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, V)).astype(np.float32) * 5
    targets = rng.integers(V, size=(2, 3), dtype=np.int32)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(p, targets[..., None], -1)[..., 0])
    got = cross_entropy(jnp.asarray(logits), jnp.asarray(targets))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda z: cross_entropy(z, jnp.asarray(targets)).sum())(jnp.asarray(logits))
    np.testing.assert_allclose(gradient, p - np.eye(V)[targets], rtol=0, atol=1e-6)
    outside = jnp.asarray([[V, -1, 0]] * 2)
    lost = np.isnan(cross_entropy(jnp.asarray(logits), outside))
    np.testing.assert_array_equal(lost, np.asarray(outside) != 0)


@cache
def run_with_sgd(model, num_devices):
    return run(model, optimizer_config(name='sgd', learning_rate=0.5), num_devices=num_devices)


@cache
def run_with_adamw(model, num_devices):
    return run(model, optimizer_config(), num_devices=num_devices)


@pytest.mark.parametrize('family', ['rnn', 'lstm', 'gru', 'transformer'])
@pytest.mark.parametrize('num_devices', [2, 4])
def test_devices_agree_with_sgd(family, num_devices):
    model = small(family)
    one, many = (run_with_sgd(model, n) for n in (1, num_devices))
    assert largest_difference(one.params, initial(model)) > 1e-2  # it did train
    assert largest_difference(one.params, many.params) <= 1e-6
    assert abs(float(one.sums.loss) - float(many.sums.loss)) <= 1e-5 * float(one.sums.loss)


@pytest.mark.parametrize('num_devices', [2, 4])
def test_devices_agree_with_adamw_where_no_gradient_is_zero_by_symmetry(num_devices):
    # With biases the keys' has a true gradient of zero, whose rounding Adam would blow up.
    model = small('transformer', use_bias=False)
    one, many = (run_with_adamw(model, n) for n in (1, num_devices))
    assert largest_difference(one.params, many.params) <= 1e-6


def test_stacked_layers_train_as_layers_one_by_one():
    """The same start, and decay on matrices alone: a gain of each of two layers is no matrix."""
    config = optimizer_config(weight_decay=0.3, clip_norm=0.1)
    fields = {'use_bias': False, 'num_layers': 2}
    both = (small('transformer', scan_layers=scan, **fields) for scan in (False, True))
    plain, scanned = (run(model, config, num_devices=2) for model in both)
    body = trees.unstack_layers(scanned.params['body'])
    assert largest_difference(plain.params, {**scanned.params, 'body': body}) <= 1e-6


def test_accumulation_is_the_whole_batch_cut_up():
    model, config = small('lstm'), optimizer_config(name='sgd', learning_rate=0.5)
    whole, parts = run_with_sgd(model, 2), run(model, config, num_devices=2, accumulate=4)
    assert largest_difference(whole.params, parts.params) <= 1e-6


def test_carried_state_is_shared_out_by_rows_and_put_together_again():
    model, config = small('lstm'), optimizer_config(name='sgd', learning_rate=0.5)
    states = [run(model, config, num_devices=n, carry=True) for n in (1, 2, 4)]
    accumulated = run(model, config, num_devices=2, carry=True, accumulate=2)
    for other in [*states[1:], accumulated]:
        assert largest_difference(states[0].params, other.params) <= 1e-6
        assert largest_difference(states[0].carry, other.carry) <= 1e-6
    assert np.max(np.abs(jax.tree.leaves(states[0].carry)[0])) > 0.01
    assert jax.tree.leaves(states[0].carry)[0].shape == (B, 8)


def test_carried_state_is_that_of_the_text_read_without_a_break():
    model = small('gru')
    params = model.init(jax.random.key(0))
    tokens = jnp.asarray(np.random.default_rng(0).integers(V, size=(2, 2 * T + 1)), jnp.int32)
    objective = language_modelling(model)
    carry, nats = model.start(params, 2), 0.0
    for begin in (0, T):
        batch = {'tokens': tokens[:, begin : begin + T + 1], 'restart': np.zeros(2, np.float32)}
        sums, carry = objective(params, carry, batch, None)
        nats += float(sums.loss)
    whole, _ = objective(params, None, {'tokens': tokens}, None)
    assert nats == pytest.approx(float(whole.loss), rel=1e-5)
    fresh = {'tokens': tokens[:, : T + 1], 'restart': np.ones(2, np.float32)}
    restarted, _ = objective(params, carry, fresh, None)
    alone, _ = objective(params, None, {'tokens': tokens[:, : T + 1]}, None)
    assert float(restarted.loss) == float(alone.loss)


@pytest.mark.parametrize('num_devices', [1, 2])
def test_what_is_donated_is_gone_and_changes_nothing(num_devices):
    devices = parallel.choose(num_devices, B)

    def gone(donate):
        with platforms.assume(platforms.choices()._replace(donate=donate)):
            state, x = (
                devices.replicate(np.ones(3, 'f')),
                devices.place_shards(np.ones((B, 3), 'f')),
            )
            compiled, _ = devices.compile(lambda s, x: s + x.sum(), state, x, donate=True)
            compiled(state, x)
            trained = run(
                small('transformer'), optimizer_config(), num_devices=num_devices, steps=3
            )
        return state.is_deleted(), trained

    kept, given = gone(donate=False), gone(donate=True)
    assert (kept[0], given[0]) == (False, True)
    for a, b in zip(jax.tree.leaves(kept[1]), jax.tree.leaves(given[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_repeats_are_bit_identical_and_seeds_matter_only_with_dropout():
    config = optimizer_config()
    model = small('gru', num_layers=2, dropout_rate=0.5)
    a, b, c = (run(model, config, num_devices=2, steps=3, seed=s, dropout=True) for s in (0, 0, 1))
    assert largest_difference(a.params, b.params) == 0
    assert largest_difference(a.params, c.params) > 1e-4


def test_the_step_is_adamw_with_clipping_as_optax_has_it():
    model = small('rnn')
    config = optimizer_config(clip_norm=0.1, weight_decay=0.3, warmup_steps=0, schedule='constant')
    ours = run(model, config, num_devices=1, steps=4).params
    params = initial(model)
    reference = optax.chain(
        optax.clip_by_global_norm(0.1),
        optax.adamw(
            0.01, 0.9, 0.99, weight_decay=0.3, mask=lambda p: jax.tree.map(lambda x: x.ndim > 1, p)
        ),
    )
    state = reference.init(params)
    rng = np.random.default_rng(1)

    @jax.jit
    def step(params, state, tokens, weights):
        def loss(p):
            _, logits = model.apply(p, model.start(p, B), tokens[:, :-1])
            nats = optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:])
            return jnp.sum(nats * weights) / jnp.sum(weights)

        updates, state = reference.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(4):
        tokens = jnp.asarray(rng.integers(V, size=(B, T + 1), dtype=np.int32))
        weights = np.asarray(rng.random((B, T)) < np.linspace(0.1, 1, B)[:, None], 'f')
        params, state = step(params, state, tokens, weights)
    assert largest_difference(ours, params) <= 1e-6


def test_schedules():
    config = optimizer_config(learning_rate=2.0, warmup_steps=10, final_learning_rate_ratio=0.1)
    cosine = optimizers.build_schedule(config)
    steps = np.arange(100)
    done = (steps[10:] - 10) / 90
    expected = np.r_[2 * (steps[:10] + 1) / 10, 2 * (0.1 + 0.9 * (1 + np.cos(np.pi * done)) / 2)]
    np.testing.assert_allclose([cosine(s, 100) for s in steps], expected, rtol=1e-5)
    config.schedule = 'linear'
    linear = optimizers.build_schedule(config)
    assert float(linear(55, 100)) == pytest.approx(2 * (1 - 0.9 / 2))
    assert float(linear(100, 100)) == pytest.approx(0.2)
    config.schedule = 'constant'
    assert float(optimizers.build_schedule(config)(99, 100)) == 2.0


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('name', 'adamx'),
        ('schedule', 'step'),
        ('learning_rate', 0.0),
        ('learning_rate', -1.0),
        ('b1', 1.0),
        ('b2', -0.1),
        ('weight_decay', -1.0),
        ('clip_norm', -1.0),
        ('warmup_steps', -1),
        ('final_learning_rate_ratio', 2.0),
    ],
)
def test_optimizer_values_out_of_range_are_named(field, value):
    config = optimizer_config(**{field: value})
    build = lambda: (optimizers.build_optimizer(config), optimizers.build_schedule(config))  # noqa: E731
    with pytest.raises(InputError, match=f'optimizer.{field}'):
        build()


def test_the_default_number_of_devices_divides_the_batch():
    cores = min(parallel.num_cores(), len(jax.local_devices()))
    for rows in (1, 6, 7, 8):
        number = len(parallel.choose(0, rows).devices)
        assert rows % number == 0
        assert number == max(n for n in range(1, cores + 1) if rows % n == 0)
    with pytest.raises(InputError, match='must divide the batch, 6'):
        parallel.choose(4, 6)
    with pytest.raises(InputError, match='num_devices is 99'):
        parallel.choose(99, 99)


def test_a_step_that_is_not_finite_is_remembered():
    model, config = small('rnn'), optimizer_config()
    optimizer = optimizers.build_optimizer(config)
    params = model.init(jax.random.key(0))
    state = init_state(params, optimizer, 10)
    step = jax.jit(
        make_train_step(language_modelling(model), optimizer, lambda s, t: jnp.float32(0.0), seed=0)
    )
    tokens = np.zeros((B, T + 1), np.int32)
    good = {'tokens': tokens, 'weights': np.ones((B, T), np.float32)}
    bad = {'tokens': tokens, 'weights': np.full((B, T), np.nan, np.float32)}
    for batch, expected in ((good, -1), (bad, 2), (good, 2)):
        state, _ = step(state, batch)
        assert int(state.bad_step) == expected


def test_bfloat16_computes_low_and_keeps_high():
    model = small('transformer', dtype='bfloat16')
    state = run(model, optimizer_config(), num_devices=1, steps=3)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype(np.float32)}
    exact = run(small('transformer'), optimizer_config(), num_devices=1, steps=3)
    assert 0 < abs(float(state.sums.loss) - float(exact.sums.loss)) < 0.01 * float(exact.sums.loss)
    assert math.isfinite(float(state.grad_norm))
