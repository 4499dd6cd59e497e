"""Jacobians, decay rates, recorded trainings and depths against closed forms."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models import models
from nlp_models.analysis import clipping, decay, jacobians, solving, trainability
from nlp_models.errors import InputError
from nlp_models.recurrent.cells import Cell, rnn
from nlp_models.recurrent.stack import init_cell

N, T, B, R = 6, 20, 2, 2


def draw(cell: Cell, radius: float = 1.0, **options: Any) -> dict[str, np.ndarray]:
    """R sets of a cell's parameters, biases random."""
    found = []
    for seed in range(R):
        params = jax.device_get(init_cell(cell, jax.random.key(seed), N, N, **options))
        noise = np.random.default_rng(seed).normal(size=params['b'].shape) / 3
        params = {**params, 'b': (params['b'] + noise).astype(np.float32)}
        found.append({k: a * (radius if k in ('W', 'W_h') else 1) for k, a in params.items()})
    return {name: np.stack([params[name] for params in found]) for name in found[0]}


def gaussian(std: float = 1.0) -> np.ndarray:
    return std * np.random.default_rng(9).normal(size=(R, B, T, N))


@pytest.mark.parametrize('radius', [0.5, 1.0, 2.0])
def test_a_linear_rnn_has_the_closed_form(radius):
    cell = Cell(rnn, gates=1)
    for orthogonal in (True, False):
        params = draw(cell, radius, orthogonal=orthogonal)
        exact = np.full(R, radius) if orthogonal else None
        assert np.all(jacobians.linear_error(params, gaussian(), exact) < 1e-5)
    wrong = jacobians.linear_error(draw(cell, radius), gaussian(), np.full(R, 1.01 * radius))
    assert np.all(wrong > 0.1)  # 1.01^20


def test_products_neither_under_nor_overflow():
    one = np.array([[0.0, 2.0], [0.5, 0.0]])
    for scale in (1e-30, 1e30):
        steps = np.broadcast_to(scale * one, (400, 2, 2))
        logs = jacobians.log_products(steps, ((slice(0, 1), slice(1, 2)),))
        k = np.arange(1, 401)
        np.testing.assert_allclose(
            logs[0], k * np.log(scale) + np.log(2) * (k % 2), rtol=1e-12, atol=1e-9
        )
        assert np.all(np.isneginf(logs[1][1::2]))  # even powers of `one` are the identity
        np.testing.assert_allclose(logs[1][::2], (k * np.log(scale) + np.log(2))[::2], rtol=1e-12)


@pytest.mark.filterwarnings('error')
def test_what_is_not_finite_is_nan_and_no_error():
    steps = np.broadcast_to(0.5 * np.eye(2), (4, 3, 2, 2)).copy()
    steps[0, 1, 0, 1], steps[1, 2, 1, 1] = np.nan, np.inf
    steps[2, 0] = -np.inf
    block = (slice(0, 1), slice(0, 1))
    exact = np.broadcast_to(np.arange(1, 4) * np.log(0.5), (2, 4, 3)).copy()
    exact[:, 0, 1:], exact[:, 1], exact[:, 2, 2] = np.nan, np.nan, np.nan
    np.testing.assert_allclose(jacobians.log_products(steps, (block,)), exact, rtol=1e-12)
    fit = decay.fit_decay(np.arange(1, 4), exact[0])
    assert np.isnan(fit.rate).tolist() == [True, True, True, False]
    assert np.isnan(fit.fit).tolist() == np.isnan(fit.power_fit).tolist() == [True] * 3 + [False]
    params, x = np.array([1.0, np.nan, np.inf], np.float32), np.ones((3, 1, 5, 3), np.float32)

    def apply(params, x):
        return params * jnp.cumsum(x, axis=1)

    found = jacobians.log_input_jacobians(apply, params, x)
    np.testing.assert_allclose(found[0], 0, atol=1e-6)
    assert np.isnan(found[1:]).all()


@pytest.mark.parametrize('family', ['rnn_tanh', 'rnn_sigmoid', 'lstm', 'gru'])
def test_products_are_the_derivative_of_the_whole_scan(family):
    name, _, activation = family.partition('_')
    fields = {'activation': activation} if activation else {}
    cell = models.find_cell(ConfigDict(base.model(name, **fields)))
    params, x = draw(cell), gaussian()
    steps, before = jacobians.step_jacobians(cell, params, x)
    blocks = jacobians.lstm_blocks(N) if family == 'lstm' else {}
    logs = jacobians.log_products(steps, tuple(blocks.values()))
    first, distance = jax.tree.map(lambda a: a[0], params), 7
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), first)

        def end(flat):
            carry = tuple(part[None] for part in jnp.split(flat, cell.carries))
            carry = carry if cell.carries > 1 else carry[0]
            for t in range(T - distance, T):
                carry, _ = cell.step(wide, carry, jnp.asarray(x[0, 0, t : t + 1]))
            return jnp.concatenate(jax.tree.leaves(carry), axis=1)[0]

        whole = np.asarray(jax.jacfwd(end)(jnp.asarray(before[0, 0, T - distance])))
    parts = [whole, *(whole[rows, columns] for rows, columns in blocks.values())]
    exact = [np.log(np.linalg.norm(part, 2)) for part in parts]
    np.testing.assert_allclose(logs[:, 0, 0, distance - 1], exact, rtol=1e-10)
    if not activation:
        return
    f = models.RNN_ACTIVATIONS[activation]
    derivatives = jacobians.rnn_derivatives(f, params, x, before)
    after = np.concatenate([before[:, :, 1:], before[:, :, :1]], axis=2)[:, :, :-1]
    closed = 1 - after**2 if activation == 'tanh' else after * (1 - after)
    np.testing.assert_allclose(derivatives[:, :, :-1], closed, rtol=1e-9)
    np.testing.assert_allclose(
        jacobians.with_weights(derivatives, params['W']), steps, rtol=1e-9, atol=1e-14
    )
    largest, typical = jacobians.log_derivative_products(derivatives)
    product = np.prod(derivatives[:, :, T - distance :], axis=2)
    np.testing.assert_allclose(largest[:, :, distance - 1], np.log(product.max(-1)), rtol=1e-10)
    logs = np.log(product).mean(-1)
    np.testing.assert_allclose(typical[:, :, distance - 1], logs, rtol=1e-10)


def test_the_last_input_comes_first():
    """y_t = Σ_s a^(t−s) A x_s: what is measured falls as a^distance, in both instruments."""
    a, matrix = 0.5, np.diag([3.0, 1.0, 0.5]).astype(np.float32)

    def apply(params, x):
        place = jnp.arange(x.shape[1])
        weights = jnp.tril(a ** (place[:, None] - place).astype(x.dtype))
        return params * jnp.einsum('ts,bsd,de->bte', weights, x, jnp.asarray(matrix, x.dtype))

    params, x = np.array([1.0, 2.0], np.float32), np.ones((R, B, 5, 3), np.float32)
    exact = np.log([3.0, 6.0])[:, None, None] + np.arange(5) * np.log(a)
    found = jacobians.log_input_jacobians(apply, params, x)
    np.testing.assert_allclose(found, np.broadcast_to(exact, found.shape), atol=1e-5)
    losses = jacobians.log_loss_gradients(lambda p, x: apply(p, x)[:, -1, 0], params, x)
    np.testing.assert_allclose(losses, np.broadcast_to(exact, losses.shape), atol=1e-12)


def test_fits_tell_exponentials_from_powers():
    k = np.arange(1, 65)
    lines = np.stack([-0.3 * k + 2, -2.5 * np.log(k), np.full(64, 1.5)])
    fit = decay.fit_decay(k, lines)
    np.testing.assert_allclose(fit.rate[[0, 2]], [-0.3, 0], atol=1e-12)
    np.testing.assert_allclose([fit.fit[0], fit.power_fit[1], fit.fit[2]], 1)
    assert fit.fit[1] < 0.9 < fit.power_fit[1]
    assert fit.power_fit[0] < 0.9
    noisy = lines[0] + np.random.default_rng(0).normal(size=64)
    slope, constant = np.polyfit(k[2:], noisy[2:], 1)
    found = decay.fit_decay(k, noisy, first=3)
    rest = noisy[2:] - slope * k[2:] - constant
    np.testing.assert_allclose(found.rate, slope)
    np.testing.assert_allclose(found.fit, 1 - rest.var() / noisy[2:].var())
    assert np.isnan(decay.fit_decay(k, np.where(k > 60, -np.inf, lines)).rate).all()
    with pytest.raises(InputError, match='distance'):
        decay.fit_decay(np.array([1, 2]), np.zeros(2))
    different = decay.relative_difference(np.array([-1.0, 0, 2, 0]), np.array([-0.9, 0, -2, 1]))
    np.testing.assert_allclose(different, [0.1, 0, 2, 1])


def test_recorded_norms_are_those_before_clipping():
    """Gradient descent on Σ w: the gradient is all ones, whatever w is."""
    from nlp_models.training.objectives import Sums

    def objective(params, carry, batch, key):
        del carry, key
        return Sums(jnp.sum(params['w']) * batch['one'], batch['one']), None

    optimizer = ConfigDict(base.optimizer(name='sgd', b1=0.0, learning_rate=0.5, warmup_steps=0))
    for clip, moved in ((0.0, 0.5 * 3), (1.0, 0.5 * 3 / 2)):
        optimizer.clip_norm = clip
        run = clipping.train_recording_norms(
            lambda key: {'w': jax.random.normal(key, (4,))},
            objective,
            optimizer,
            lambda seed: {'one': np.ones(3, np.float32)},
            seeds=(0, 1),
            steps=3,
        )
        start = np.stack([jax.random.normal(jax.random.key(s), (4,)) for s in (0, 1)])
        np.testing.assert_allclose(run.norms, np.full((2, 3), 2.0), rtol=1e-6)  # ‖(1, 1, 1, 1)‖
        np.testing.assert_allclose(run.params['w'], start - moved, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(run.losses[:, 0], start.sum(axis=1), rtol=1e-5, atol=1e-5)
        assert not run.diverged.any()


def test_the_deepest_that_trains():
    losses = {1: [0.1, 0.1, 0.9], 4: [0.1, 0.9, 0.9], 16: [0.2, 0.9, 0.9]}
    assert trainability.doublings(losses, 0.5) == [4.0, 0.0, -1.0]
    # One that trains below one that does not, and one layer that does not.
    losses = {16: [0.1, 0.1, np.nan], 4: [0.9, 0.1, 0.1], 1: [0.1, 0.9, 0.1]}
    assert trainability.doublings(losses, 0.5) == [0.0, trainability.NOWHERE, 2.0]


def test_a_stack_is_trained_until_it_is_enough():
    problem = solving.problem('delayed', dict(distance=1, alphabet=2, fillers=1))
    training = ConfigDict(
        dict(
            batch_size=8,
            steps=40,
            chunk=20,
            learning_rates=(1e-9, 3e-2),
            optimizer=base.optimizer(warmup_steps=0),
        )
    )
    model = ConfigDict(base.model('rnn', hidden_size=4))
    chance = float(np.log(2))
    options: dict[str, Any] = dict(seeds=(0, 1), chance=chance, num_devices=1)
    found = trainability.train_stack(model, problem, training, enough=0.9 * chance, **options)
    assert (found.learning_rate, found.diverged) == (3e-2, 0)
    assert len(found.losses) == 2
    assert max(found.losses) < chance
    assert found.steps in (20, 40)
