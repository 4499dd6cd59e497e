"""Variance components, churn, draws, and other ways of computing the same model."""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models.analysis import rounding, solving, spread
from nlp_models.errors import InputError
from nlp_models.training import objectives, runs

PROBLEM = solving.problem('delayed', {'distance': 3, 'alphabet': 4, 'fillers': 16})
OPTIMIZER = ConfigDict(base.optimizer(learning_rate=1e-2, warmup_steps=3))


@functools.cache
def model():
    return solving.build(ConfigDict(base.model('gru', hidden_size=8)), PROBLEM)


@functools.cache
def params():
    return jax.jit(model().init)(jax.random.key(0))


def test_components_of_a_worked_example():
    # Rows 0 and 2, columns 0, 1 and 5: nothing is left over.
    found = spread.components([[0.0, 1.0, 5.0], [2.0, 3.0, 7.0]])
    assert found.rows == pytest.approx(2.0)  # (0 − 1)² + (2 − 1)²
    assert found.columns == pytest.approx(7.0)  # (4 + 1 + 9) / 2
    assert found.rest == pytest.approx(0.0)
    # Nothing but interaction: means of rows and columns are alike.
    assert spread.components([[1.0, -1.0], [-1.0, 1.0]]) == (0.0, 0.0, 4.0)


def test_components_are_right_on_average():
    random = np.random.default_rng(0)
    tables = (
        random.normal(0, 2, (4000, 6, 1))
        + random.normal(0, 1, (4000, 1, 5))
        + random.normal(0, 1.5, (4000, 6, 5))
    )
    found = np.mean([spread.components(table) for table in tables], axis=0)
    # Cut off at 0 the second is a little high: 1, at a deviation of about 0.75.
    np.testing.assert_allclose(found, [4, 1, 2.25], rtol=0.06)


def test_deviations_go_down_and_along():
    table = [[1.0, 2.0], [3.0, 2.0]]
    down, along = spread.deviations(table)
    np.testing.assert_allclose(down, [math.sqrt(2) / 2, 0])
    np.testing.assert_allclose(along, [math.sqrt(0.5) / 2] * 2)
    for call in (spread.components, spread.deviations):
        with pytest.raises(InputError, match=r'^table is '):
            call([[1.0, 2.0]])
    with pytest.raises(InputError, match=r'^table is '):
        spread.components([[1.0, math.nan], [1.0, 2.0]])


def test_churn_is_counted_over_pairs_of_equal_loss():
    predicted = np.array([[1, 2, 3, 4], [1, 2, 3, 5], [1, 0, 0, 4], [9, 9, 9, 9]])
    losses = [1.0, 1.01, 0.99, 2.0]
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([np.mean(predicted[a] != predicted[b]) for a, b in pairs])
    assert spread.churn(predicted, losses, 0.03) == pytest.approx(expected)
    every = list(itertools.combinations(range(4), 2))
    expected = np.mean([np.mean(predicted[a] != predicted[b]) for a, b in every])
    assert spread.churn(predicted, losses, 1.0) == pytest.approx(expected)
    assert math.isnan(spread.churn(predicted, losses, 1e-3))


def test_draws_are_as_likely_to_differ_as_they_do():
    p = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(spread.draws_differ(p, 1.0), [1 - 0.375, 0])
    # At temperature 1/2 probabilities are squared: 4, 1, 1 of 6.
    np.testing.assert_allclose(spread.heated(p, 0.5)[0], np.array([4, 1, 1]) / 6)
    np.testing.assert_allclose(spread.draws_differ(p, 0.5), [1 - 18 / 36, 0])
    random = np.random.default_rng(0)
    one, other = (random.choice(3, 20_000, p=spread.heated(p, 2.0)[0]) for _ in range(2))
    assert spread.draws_differ(p, 2.0)[0] == pytest.approx(np.mean(one != other), abs=0.02)
    with pytest.raises(InputError, match=r'^temperature is 0'):
        spread.heated(p, 0.0)


def test_wrong_draws_are_asked_where_the_likeliest_is_right():
    p = np.array([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9]])
    assert spread.wrong_draws(p, np.array([0, 1, 1]), 1.0) == pytest.approx((0.3 + 0.1) / 2)
    assert math.isnan(spread.wrong_draws(p, np.array([1, 1, -1]), 1.0))


def test_texts_part_at_their_first_difference():
    one = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3]])
    other = np.array([[1, 2, 3], [1, 0, 0], [0, 2, 3]])
    assert spread.part_at(one, other).tolist() == [3, 1, 0]
    logits = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    logits[1][0, 0, 0] = -0.5
    found = rounding.apart((logits[0], one), (logits[1], other))
    assert found == (1 / 12, 0.5, 2 / 3, 4 / 3)
    same = rounding.apart((logits[0], one), (logits[0], one))
    assert same == (0.0, 0.0, 0.0, 3.0)


def test_crossed_runs_are_of_their_seed_and_their_order():
    training = ConfigDict(dict(learning_rate=1e-2, chunk=2, optimizer=OPTIMIZER))
    draw, objective = solving.batches(PROBLEM, 4), objectives.labelling(model())
    asked = []

    def noted(seed, first, count):
        asked.append(seed)
        return draw(seed, first, count)

    options: dict[str, Any] = dict(steps=2, num_devices=1)
    found = spread.crossed(
        model().init, objective, training, noted, seeds=(0, 7), orders=(3, 0), **options
    )
    assert asked == [3, 0]
    alone = runs.train(
        model().init, objective, OPTIMIZER, [runs.Run(7, 1e-2), runs.Run(0, 1e-2)], draw,
        chunk=2, **options,
    )  # fmt: skip
    for ours, theirs in zip(
        jax.tree.leaves(found.params), jax.tree.leaves(alone.params), strict=True
    ):
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6, atol=1e-7)  # seed 0, order 0
        assert np.abs(ours[3] - theirs[0]).max() > 0  # seed 7, order 0 and order 7
        assert np.abs(ours[0] - ours[1]).max() > 0


def test_runs_are_judged_by_what_counts():
    both = jax.tree.map(lambda a: np.stack([a, 2 * a]), params())
    batch = PROBLEM.sample(0, np.arange(5), split='test')
    targets, counted = batch.targets.ravel(), np.arange(15) % 3 == 2

    def logits(mine, tokens):
        return model().apply(mine, model().start(mine, 5), tokens)[1].reshape(15, -1)

    found = spread.judge(
        logits, both, batch.inputs, np.where(counted, targets, -1), counted=counted, whole=True,
        num_devices=1,
    )  # fmt: skip
    assert found.probabilities is not None
    for run, scale in enumerate((1, 2)):
        mine = jax.tree.map(lambda a, scale=scale: scale * a, params())
        z = np.asarray(jax.jit(logits)(mine, batch.inputs), np.float64)
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        nats = -np.log(p[np.arange(15), targets])[counted]
        assert found.losses[run] == pytest.approx(nats.mean(), rel=1e-5)
        hits = (z.argmax(axis=1) == targets)[counted]
        assert found.accuracies[run] == pytest.approx(hits.mean())
        assert found.predicted[run].tolist() == z.argmax(axis=1).tolist()
        np.testing.assert_allclose(found.probabilities[run], p, rtol=1e-4, atol=1e-7)


def test_every_way_computes_the_same():
    number = 4
    prompts = np.random.default_rng(0).integers(PROBLEM.vocab_size, size=(3, 5)).astype(np.int32)
    together = rounding.together(model(), number)
    logits, texts = together.read(params(), prompts), together.write(params(), prompts)
    # By hand: a token at a time, the whole text read again for each.
    apply = jax.jit(lambda tokens: model().apply(params(), model().start(params(), 3), tokens)[1])
    written = prompts
    for _ in range(number):
        last = np.asarray(apply(jnp.asarray(written)))[:, -1]
        written = np.concatenate([written, last.argmax(axis=1)[:, None].astype(np.int32)], axis=1)
    assert texts.tolist() == written[:, 5:].tolist()
    for way in (rounding.alone(together), rounding.anew(model(), number)):
        np.testing.assert_allclose(way.read(params(), prompts), logits, rtol=1e-4, atol=1e-5)
        assert way.write(params(), prompts).tolist() == texts.tolist()


def test_training_on_devices_is_training():
    objective = objectives.labelling(model())

    def batches(seed):
        data = solving.batches(PROBLEM, 4)(seed, 0, 3)
        return [{name: a[i] for name, a in data.items()} for i in range(3)]

    one, two = (
        rounding.on_devices(
            model().init, objective, OPTIMIZER, batches, seeds=(5,), num_devices=number
        )[0]
        for number in (1, 2)
    )
    expected = runs.train(
        model().init, objective, OPTIMIZER, [runs.Run(5, 1e-2)], solving.batches(PROBLEM, 4),
        steps=3, chunk=3, num_devices=1,
    ).params  # fmt: skip
    for mine, other, theirs in zip(*map(jax.tree.leaves, (one, two, expected)), strict=True):
        np.testing.assert_allclose(mine, theirs[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
