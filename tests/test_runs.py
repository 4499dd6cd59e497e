"""Many runs at once are the runs one by one; what diverges is told; a problem is solved."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models import models
from nlp_models.analysis import solving
from nlp_models.errors import InputError
from nlp_models.training import objectives, runs
from nlp_models.training.optimizers import build_optimizer, build_schedule
from nlp_models.training.step import init_state, make_train_step

SETTING = {'distance': 3, 'alphabet': 4, 'fillers': 16}
PROBLEM = solving.problem('delayed', SETTING)
OPTIMIZER = ConfigDict(base.optimizer(learning_rate=3e-3, schedule='linear', warmup_steps=3))
GRID = runs.grid((0, 1, 2), (1e-3, 1e-2))
STEPS, SIZE = 10, 8


@functools.cache
def model():
    config = ConfigDict(base.model('rnn', hidden_size=8))
    return solving.build(config, PROBLEM)


def batches(seed, first, count):
    index = np.arange(first * SIZE, (first + count) * SIZE)
    batch = PROBLEM.sample(seed, index, split='train')._asdict()
    return {name: array.reshape(count, SIZE, *array.shape[1:]) for name, array in batch.items()}


def train(**options):
    options = {'steps': STEPS, 'chunk': 5, 'num_devices': 1, **options}
    objective = objectives.labelling(model())
    return runs.train(model().init, objective, OPTIMIZER, GRID, batches, **options)


@functools.cache
def one_by_one():
    """Parameters and the losses of both halves of each run, by a loop over runs and steps."""
    transformation = build_optimizer(OPTIMIZER)
    objective = objectives.labelling(model())
    unit = build_schedule(OPTIMIZER)

    @jax.jit
    def step(state, batch, rate):
        def schedule(s, n):
            return unit(s, n) * rate / OPTIMIZER.learning_rate

        return make_train_step(objective, transformation, schedule, seed=0)(state, batch)

    found = []
    for run in GRID:
        params = jax.jit(model().init)(jax.random.key(run.seed))
        state, losses = init_state(params, transformation, STEPS), []
        data = batches(run.seed, 0, STEPS)
        for i in range(STEPS):
            batch = {name: array[i] for name, array in data.items()}
            state, sums = step(state, batch, run.learning_rate)
            losses.append(float(sums.loss / sums.weight))
        found.append((state.params, np.mean(losses[:5]), np.mean(losses[5:])))
    return found


@pytest.mark.parametrize(('devices', 'in_turn'), [(1, False), (2, True), (4, False)])
def test_runs_at_once_are_runs_one_by_one(devices, in_turn):
    trained = train(num_devices=devices, in_turn=in_turn)
    assert trained.steps == STEPS
    assert not trained.diverged.any()
    for i, (params, first, second) in enumerate(one_by_one()):
        mine = jax.tree.map(lambda a, i=i: a[i], trained.params)
        for ours, theirs in zip(jax.tree.leaves(mine), jax.tree.leaves(params), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(trained.losses[i], [first, second], rtol=1e-5)
    rates = trained.losses[:, 1].reshape(2, 3)
    assert np.abs(rates[0] - rates[1]).min() > 1e-3  # the learning rates took part


def test_runs_end_where_they_are_told_to():
    seen = []

    def stop(losses):
        seen.append(losses.shape)
        return True

    trained = train(stop=stop)
    assert (trained.steps, trained.losses.shape, seen) == (5, (6, 1), [(6,)])


def test_what_diverged_is_told_run_by_run():
    def objective(params, carry, batch, key=None):
        loss, _ = objectives.labelling(model())(params, carry, batch, key)
        bad = jnp.where(batch['bad'].any(), jnp.inf, 0.0)
        return loss._replace(loss=loss.loss + bad), None

    def spoiled(seed, first, count):
        bad = np.zeros((count, SIZE), bool)
        bad[-1] = seed == 1
        return batches(seed, first, count) | {'bad': bad}

    trained = runs.train(
        model().init, objective, OPTIMIZER, GRID, spoiled, steps=5, chunk=5, num_devices=2
    )
    assert trained.diverged.tolist() == [False, True, False] * 2


def test_an_evaluation_is_of_every_run():
    params = jax.vmap(model().init)(jax.vmap(jax.random.key)(jnp.arange(5)))
    data = PROBLEM.sample(0, np.arange(6), split='test')._asdict()
    objective = objectives.labelling(model())
    one = jax.jit(lambda p: objective(p, None, jax.tree.map(jnp.asarray, data))[0].loss)
    expected = [float(one(jax.tree.map(lambda a, i=i: a[i], params))) for i in range(5)]
    for devices, in_turn in ((1, True), (2, False)):
        found = runs.evaluate(
            lambda p, b: objective(p, None, b)[0].loss,
            params,
            data,
            num_devices=devices,
            in_turn=in_turn,
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_steps_are_whole_chunks():
    with pytest.raises(InputError, match='must be a multiple of 4'):
        train(chunk=4)


def training(**fields):
    common = dict(
        batch_size=16,
        steps=300,
        chunk=100,
        learning_rates=(1e-9, 1e-2),
        stop_below=0.05,
        test_examples=200,
        optimizer=base.optimizer(warmup_steps=5),
    )
    return ConfigDict({**common, **fields})


def test_a_problem_is_solved_by_the_rate_that_can():
    config = ConfigDict(base.model('gru', hidden_size=16))
    found, params = solving.solve(config, PROBLEM, training(), seeds=(0, 1), num_devices=2)
    assert found.learning_rate == 1e-2
    assert min(found.scores) > 0.95
    assert found.exact == found.scores  # one place is scored
    assert found.swept['1e-09'] < 0.6 < found.swept['0.01']
    assert found.diverged == 0
    assert jax.tree.leaves(params)[0].shape[0] == 2
    assert found.parameters == solving.costs.count_parameters(solving.build(config, PROBLEM))


def test_a_regression_is_scored_by_its_squared_error():
    problem = solving.problem('adding', {'length': 4})
    config = ConfigDict(base.model('rnn', hidden_size=4))
    few = training(steps=5, chunk=5, learning_rates=(1e-9,), stop_below=0.0)
    found, params = solving.solve(config, problem, few, seeds=(0,), num_devices=1)
    built = solving.build(config, problem)
    examples = problem.sample(0, np.arange(200), split='test')
    one = jax.tree.map(lambda a: a[0], params)
    _, y = jax.jit(built.apply)(one, built.start(one, 200), jnp.asarray(examples.inputs))
    error = np.mean((np.asarray(y)[:, -1, 0] - examples.targets) ** 2)
    assert found.scores[0] == pytest.approx(error, rel=1e-5)
    assert np.isnan(found.exact[0])


def test_a_model_is_matched_in_size():
    for family, multiple in (('lstm', 1), ('transformer', 8)):
        config: Any = ConfigDict(base.model(family))
        found = solving.match(config, PROBLEM, 200_000, multiple=multiple)
        assert abs(found / 200_000 - 1) < 0.15
        assert config.hidden_size % multiple == 0
        assert found == solving.costs.count_parameters(solving.build(config, PROBLEM))


def test_problems_know_their_sizes():
    assert PROBLEM[1:] == (3, 1 + 4 + 16)
    assert solving.problem('adding', {'length': 9})[1:] == (9, 0)
    with pytest.raises(InputError, match="task is 'sums'"):
        solving.problem('sums', {})


def test_a_vector_model_reads_out_a_linear_map():
    config = ConfigDict(base.model('gru', hidden_size=6, embed_size=5))
    built = models.build_vector_model(config, input_size=3, output_size=2, max_length=4)
    body = models.build_body(config, max_length=4)
    params = built.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 4, 3))
    _, y = built.apply(params, built.start(params, 2), x)
    _, inner = body.apply(
        params['body'], body.start(params['body'], 2), x @ params['embed']['kernel']
    )
    head = params['head']
    np.testing.assert_allclose(y, inner @ head['kernel'] + head['bias'], rtol=1e-5, atol=1e-6)
    assert (y.shape, inner.shape) == ((2, 4, 2), (2, 4, 6))


@pytest.mark.parametrize(('field', 'value'), [('family', 'ngram'), ('architecture', 'encoder')])
def test_a_body_is_a_decoders(field, value):
    config = ConfigDict(base.model('gru'))
    config[field] = value
    with pytest.raises(InputError, match=f'model.{field}'):
        models.build_body(config, max_length=4)
