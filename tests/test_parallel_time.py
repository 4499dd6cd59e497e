"""Depths of programs counted by hand, exponents put in, parallel evaluations beside the scan."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models import models
from nlp_models.analysis import parallel_time
from nlp_models.analysis.depth import depth
from nlp_models.errors import InputError

X, M = jnp.ones(10), jnp.ones((8, 8))


def chain(x, times):
    for _ in range(times):
        x = jnp.sin(x)
    return x


@jax.custom_vjp
def own(x):
    return chain(x, 2)


own.defvjp(lambda x: (own(x), x), lambda x, g: (chain(g, 4),))


@pytest.mark.parametrize(
    ('function', 'arguments', 'expected'),
    [
        (lambda x: x, (X,), 0),
        (lambda x: jnp.reshape(x, (2, 5)).T, (X,), 0),
        (lambda x: chain(x, 5), (X,), 5),
        (lambda x: chain(x, 5) + chain(x, 2), (X,), 6),  # side by side: only the longer counts
        (lambda x: (chain(x, 3), chain(x, 4)), (X,), 4),
        (jnp.sum, (X,), 4),  # ⌈log₂ 10⌉
        (jnp.matmul, (M, M), 4),  # products, then three levels of sums
        (partial(lax.cumsum, axis=0), (X,), 4),
        (jax.jit(lambda x: chain(x, 3)), (X,), 3),
        (jax.checkpoint(lambda x: chain(x, 3)), (X,), 3),
        (own, (X,), 2),
        (lambda x: lax.scan(lambda c, a: (jnp.sin(c) + a, c), 0.0, x), (X,), 20),
        # The input's sine need not wait for the carry.
        (lambda x: lax.scan(lambda c, a: (c + jnp.sin(a), c), 0.0, x), (X,), 11),
        # Neither need anything that looks at rows alone.
        (lambda x: lax.map(lambda a: chain(a, 3), x), (X,), 3),
        # Up and down log₂ T levels, each interleaved by one addition more.
        (lambda x: lax.associative_scan(jnp.add, x), (jnp.ones(16),), 3 * 4),
        (lambda x: lax.associative_scan(jnp.add, x), (jnp.ones(256),), 3 * 8),
    ],
)
def test_depths_of_small_programs(function, arguments, expected):
    assert depth(function, *arguments) == expected


def test_loops_and_branches_are_as_long_as_they_are_said_to_be():
    def loop(x):
        return lax.while_loop(lambda c: c[1] < 3, lambda c: (chain(c[0], 5), c[1] + 1), (x, 0))[0]

    with pytest.raises(InputError, match='iterations'):
        depth(loop, X)
    # An iteration waits for the question whether there is one; the next question for the counter.
    assert depth(loop, X, iterations=1) == 1 + 5
    assert depth(loop, X, iterations=4) - depth(loop, X, iterations=3) == 5

    def choice(x):
        return lax.cond(x[0] > 0, lambda: chain(x, 7), lambda: chain(x, 2))

    assert depth(choice, X, branch=1) == 7
    assert depth(choice, X, branch=0) == 2


def test_exponents_are_found_again():
    lengths = (16, 64, 512)
    rows = [[3.0 * t, 0.1 * t**0.5, 7.0] for t in lengths]
    np.testing.assert_allclose(parallel_time.exponents(lengths, rows), [1, 0.5, 0], atol=1e-12)
    noisy = np.random.default_rng(0).lognormal(size=(3, 4))
    found = parallel_time.exponents(lengths, noisy.tolist())
    np.testing.assert_allclose(found, np.polyfit(np.log(lengths), np.log(noisy), 1)[0])
    with pytest.raises(InputError, match='lengths'):
        parallel_time.exponents((8, 8), [[1.0], [1.0]])


def test_every_call_has_its_turns():
    calls = []
    turns = parallel_time.in_turns(
        [lambda name=name: calls.append(name) or X for name in 'ab'], rounds=3, block_seconds=1e-4
    )
    assert [len(turn) for turn in turns] == [3, 3]
    assert set(calls) == {'a', 'b'}


def layer(family):
    model = ConfigDict(base.model(family, hidden_size=8, num_layers=1))
    if family == 'transformer':
        model.update(num_heads=2, attention='plain')
    else:
        model.evaluation = 'sequential'
    return models.build_body(model, max_length=64)


def test_steps_wait_and_attention_does_not():
    count = partial(parallel_time.program_depth, width=8)
    rnn = [count(layer('rnn'), length=t, backward=False) for t in (16, 32, 64)]
    step = 1 + 3 + 1 + 1  # W h over 8 terms, + U x, tanh
    assert rnn == pytest.approx([16 * step, 32 * step, 64 * step], abs=6)
    both = [count(layer('rnn'), length=t) for t in (16, 64)]
    assert both[1] > 3.5 * both[0]
    # All that grows of attention are sums over T terms.
    attention = [count(layer('transformer'), length=t, backward=False) for t in (16, 64)]
    assert 0 <= attention[1] - attention[0] <= 3 * 2


def test_growth_gives_a_number_a_round():
    found = parallel_time.growth(
        layer('rnn'), width=8, shapes=((2, 4), (1, 8)), seed=0, rounds=2, block_seconds=1e-3
    )
    assert np.shape(found) == (2, 2)
    assert np.min(found) > 0


@pytest.mark.parametrize(('family', 'gain'), [('mingru', 1.0), ('gru', 1.0), ('rnn', 0.5)])
def test_parallel_evaluation_is_compared_with_the_scan(family, gain):
    cell = models.find_cell(ConfigDict(base.model(family)))
    draws = parallel_time.random_draws(cell, (0, 1), length=24, size=4, gain=gain)
    for params, x in draws:
        assert x.shape == (1, 24, 4)
        if family == 'rnn':
            np.testing.assert_allclose(np.linalg.svd(params['W'])[1], gain, rtol=1e-5)
    assert not np.array_equal(draws[0].x, draws[1].x)
    found = parallel_time.compare(cell, draws, rounds=2, block_seconds=1e-4)
    assert found.converged == [True, True]
    assert max(found.errors) < 1e-5
    iterations = found.iterations
    assert iterations == [1, 1] if family == 'mingru' else min(iterations) > 1
    assert [len(pair) for pair in found.seconds] == [2, 2]
    more = parallel_time.random_draws(cell, (0,), length=48, size=4, gain=gain)
    longer = parallel_time.compare(cell, more, rounds=1, block_seconds=1e-4)
    assert longer.depth[0][0] > 1.8 * found.depth[0][0]
    assert longer.depth[0][1] / longer.iterations[0] < 1.5 * found.depth[0][1] / iterations[0]


def test_what_was_learned_reads_longer_texts():
    setting = dict(distance=3, alphabet=4, fillers=2)
    task = ConfigDict(dict(name='delayed', setting=setting, grown='distance'))
    task.training = dict(
        batch_size=4,
        steps=2,
        chunk=2,
        learning_rates=(1e-2,),
        stop_below=0.0,
        test_examples=8,
        optimizer=base.optimizer(),
    )
    model = ConfigDict(base.model('rnn', hidden_size=4))
    params, scores = parallel_time.learn(model, task, (0, 1))
    assert len(scores) == 2
    draws = parallel_time.trained_draws(params, task, length=12)
    assert [draw.x.shape for draw in draws] == [(1, 12, 4)] * 2
    np.testing.assert_array_equal(draws[1].params['W'], params['body']['layer_0']['W'][1])
    rows = np.asarray(params['embed']['embedding'][1])
    assert all((rows == x).all(axis=1).any() for x in np.asarray(draws[1].x[0]))
    task.grown = 'alphabet'
    with pytest.raises(InputError, match='alphabet'):
        parallel_time.trained_draws(params, task, length=12)
