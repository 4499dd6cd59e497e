"""Models trained on many tasks of a kind, and asked about another one from examples alone.

train_regressors      functions w · x, one a sequence: errors by how many points were read
train_recallers       pairs of keys and values: answers by how many pairs there are
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nlp_models import models
from nlp_models.analysis import regressors, solving
from nlp_models.analysis.solving import Outcome, Problem
from nlp_models.data.synthetic import regression
from nlp_models.training import objectives, runs
from nlp_models.training.placewise import placewise_regression


class Learned(NamedTuple):
    """What came of a family.

    Attributes:
      outcome: of the best learning rate; its scores are of test examples as those trained on.
      tested: name of a setting to what was measured there, one row a seed.
    """

    outcome: Outcome
    tested: dict[str, Any]


def weighted(draw: runs.Batches, power: float) -> runs.Batches:
    """Batches whose t-th place of T counts (t / T)^power as much as the last: 0 leaves them alike.

    The error after many points is small, and so is its gradient; where that is what counts, it is
    given more weight.

    Args:
      draw: batches with `weights` `[…, T]`.
      power: at least 0.
    """

    def draw_weighted(seed: int, first: int, count: int) -> dict[str, np.ndarray]:
        batch = draw(seed, first, count)
        number = batch['weights'].shape[-1]
        factor = (np.arange(1, number + 1) / number) ** power
        return {**batch, 'weights': (batch['weights'] * factor).astype(np.float32)}

    return draw_weighted


def points_of(
    name: str, settings: Mapping[str, Mapping[str, Any]], number: int, split: str = 'test'
) -> regression.Points:
    """The points that all models are tested on in a setting."""
    return regression.regression(0, np.arange(number), split=split, **settings[name])


def train_regressors(
    group: Any,
    settings: Mapping[str, Mapping[str, Any]],
    training: Any,
    *,
    layout: str,
    power: float,
    seeds: Sequence[int],
    num_devices: int = 0,
) -> Learned:
    """Train on functions of the first setting, and test on those of all.

    Args:
      group: a `model` group.
      settings: name to arguments of `regression.regression`, all with the same points and
        dimension; the first is trained on.
      training: `batch_size`, `steps`, `chunk`, `learning_rates`, `optimizer`, `test_examples`.
      layout: of `regression.as_sequences`.
      power: of `weighted`.
      seeds: of parameters and data.
      num_devices: see `runs.train`.

    Returns:
      What came of it; tested are the mean squared errors against w · x without its noise, `[seeds]
      [points]`, by the number of points read before. The score that picks the rate is the mean of
      those over all points, weighted as in training.
    """
    first = next(iter(settings))
    problem = regressors.problem(settings[first], layout)
    built = solving.build(group, problem)
    points = settings[first]['points']
    predict = regressors.predictor(built, points, layout)
    factor = (np.arange(1, points + 1) / points) ** power

    def errors(params: Any, name: str, split: str) -> np.ndarray:
        drawn = points_of(name, settings, training.test_examples, split)
        inputs = regression.as_sequences(drawn, layout).inputs
        said = runs.evaluate(predict, params, inputs, num_devices=num_devices)
        return regressors.errors(np.asarray(said), drawn.clean)

    def score(params: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
        found = np.average(errors(params, first, split), axis=-1, weights=factor)
        return found, np.full_like(found, np.nan)

    outcome, params = solving.train_and_test(
        built,
        placewise_regression(built),
        weighted(solving.batches(problem, training.batch_size), power),
        score,
        training,
        steps=training.steps,
        seeds=seeds,
        errors=True,
        num_devices=num_devices,
    )
    tested = {name: errors(params, name, 'test').tolist() for name in settings}
    return Learned(outcome, tested)


def known_estimators(points: regression.Points, penalty: float) -> dict[str, list[float]]:
    """Errors of those who know that functions are linear, by the number of points read before.

    Args:
      points: the points.
      penalty: λ of ridge regression, the noise's variance over that of the weights.

    Returns:
      `ridge`, `least_squares` and `trivial` (always 0), as `regressors.errors` has them.
    """
    said = {
        'ridge': regressors.ridge(points.x, points.y, penalty),
        'least_squares': regressors.least_squares(points.x, points.y),
        'trivial': np.zeros(points.y.shape),
    }
    return {name: regressors.errors(y, points.clean).tolist() for name, y in said.items()}


def train_recallers(
    group: Any,
    pairs: Sequence[int],
    trained: int,
    training: Any,
    *,
    vocab_size: int,
    seeds: Sequence[int],
    num_devices: int = 0,
) -> Learned:
    """Train on associative recall of so many pairs, and test with fewer and more.

    Args:
      group: a `model` group.
      pairs: numbers of pairs to test with.
      trained: pairs in training; one of them.
      training: as in `solving.solve`.
      vocab_size: V of the task.
      seeds: of parameters and data.
      num_devices: see `runs.train`.

    Returns:
      What came of it; tested are shares of right answers, `[seeds]`, by the number of pairs, as a
      text.
    """
    problems = {number: recall_problem(number, vocab_size) for number in pairs}
    longest = max(problem.length for problem in problems.values())
    built = models.build_language_model(group, vocab_size=vocab_size, max_length=longest)

    def score(problem: Problem) -> Callable[[Any, str], tuple[np.ndarray, np.ndarray]]:
        return lambda params, split: solving.score(
            built, problem, params, training, split, num_devices
        )

    outcome, params = solving.train_and_test(
        built,
        objectives.labelling(built),
        solving.batches(problems[trained], training.batch_size),
        score(problems[trained]),
        training,
        steps=training.steps,
        seeds=seeds,
        stop=solving.some_rate_below(training.stop_below, training.learning_rates),
        num_devices=num_devices,
    )
    tested = {str(number): score(p)(params, 'test')[0].tolist() for number, p in problems.items()}
    return Learned(outcome, tested)


def recall_problem(pairs: int, vocab_size: int) -> Problem:
    """Associative recall with as little filler as there can be, T = 4 P."""
    return solving.problem(
        'recall', {'length': 4 * pairs, 'pairs': pairs, 'vocab_size': vocab_size}
    )
