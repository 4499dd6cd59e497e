"""Can a family learn a task? Training over seeds and learning rates, and what came of it.

The rate is picked by the validation examples, alike for every family, and the score is that of test
examples which no training can draw (`data.synthetic`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from nlp_models import costs, models
from nlp_models.data import synthetic
from nlp_models.errors import require
from nlp_models.training import objectives, runs

Sampler = Callable[..., synthetic.Examples]


class Problem(NamedTuple):
    """A task with its setting.

    Attributes:
      sample: `(seed, index, split=…) -> Examples`.
      length: T.
      vocab_size: V; 0 where what is read are vectors and what is wanted a number.
    """

    sample: Sampler
    length: int
    vocab_size: int


class Outcome(NamedTuple):
    """What the best learning rate came to, one value a seed.

    Attributes:
      learning_rate: the best by the validation examples.
      scores: on test examples: share of scored places that are right, or mean squared error.
      exact: share of test examples that are right at every scored place; NaN of a regression.
      losses: mean training loss of the last chunk.
      diverged: how many of its runs did.
      swept: learning rate to validation score, averaged over seeds.
      steps: taken.
      parameters: of the model.
    """

    learning_rate: float
    scores: list[float]
    exact: list[float]
    losses: list[float]
    diverged: int
    swept: dict[str, float]
    steps: int
    parameters: int


def problem(task: str, setting: Mapping[str, Any]) -> Problem:
    """A task of `data.synthetic.TASKS` in a setting (its other arguments).

    Raises:
      InputError: for an unknown task or a setting that it does not have.
    """
    known = ', '.join(synthetic.TASKS)
    require(task in synthetic.TASKS, 'task', task, f'must be one of {known}')
    sample = partial(synthetic.TASKS[task], **setting)
    one = sample(0, np.arange(1), split='train')
    tokens = one.inputs.ndim == 2
    size = synthetic.vocab_size(task, setting) if tokens else 0
    return Problem(sample, one.inputs.shape[1], size)


def build(model: Any, problem: Problem) -> Any:
    """The model for a problem: over tokens, or over vectors with one number read out."""
    if problem.vocab_size:
        return models.build_language_model(
            model, vocab_size=problem.vocab_size, max_length=problem.length
        )
    inputs = problem.sample(0, np.arange(1), split='train').inputs
    return models.build_vector_model(
        model, input_size=inputs.shape[-1], output_size=1, max_length=problem.length
    )


def solve(
    model: Any,
    problem: Problem,
    training: Any,
    *,
    seeds: Sequence[int],
    num_devices: int = 0,
) -> tuple[Outcome, Any]:
    """Train a model on a problem with every learning rate and seed, and test the best rate's runs.

    Args:
      model: a config's `model` group.
      problem: the task.
      training: `batch_size`, `steps`, `chunk`, `learning_rates`, `stop_below` (training ends once
        all seeds of some rate have a loss below it; 0 never), `test_examples`, `optimizer`.
      seeds: of parameters and data.
      num_devices: see `runs.train`.

    Returns:
      (the outcome, parameters of the best rate's runs with the seed as their first axis).
    """
    built = build(model, problem)
    numbers = problem.vocab_size == 0
    return train_and_test(
        built,
        (objectives.regression if numbers else objectives.labelling)(built),
        batches(problem, training.batch_size),
        lambda params, split: score(built, problem, params, training, split, num_devices),
        training,
        steps=training.steps,
        seeds=seeds,
        stop=some_rate_below(training.stop_below, training.learning_rates),
        errors=numbers,
        num_devices=num_devices,
    )


def train_and_test(
    built: Any,
    objective: objectives.Objective,
    draw: runs.Batches,
    score: Callable[[Any, str], tuple[np.ndarray, np.ndarray]],
    training: Any,
    *,
    steps: int,
    seeds: Sequence[int],
    stop: Callable[[np.ndarray], bool] | None = None,
    errors: bool = False,
    num_devices: int = 0,
) -> tuple[Outcome, Any]:
    """Train with every learning rate and seed, and test the best rate's runs.

    Args:
      built: the model.
      objective: what is minimised, as in `runs.train`.
      draw: its batches, as in `runs.train`.
      score: `(params, split) -> (scores, shares of wholly right rows)`, `[R]` each, on the
        'validation' examples, by which the rate is picked, or the 'test' ones.
      training: `chunk`, `learning_rates`, `optimizer`.
      steps: of each run; a multiple of `chunk`.
      seeds: of parameters and data.
      stop: as in `runs.train`.
      errors: whether scores are errors, so that low ones are good.
      num_devices: as in `runs.train`.

    Returns:
      (the outcome, parameters of the best rate's runs with the seed as their first axis).
    """
    rates = training.learning_rates
    trained = runs.train(
        built.init,
        objective,
        training.optimizer,
        runs.grid(seeds, rates),
        draw,
        steps=steps,
        chunk=training.chunk,
        stop=stop,
        num_devices=num_devices,
    )
    scores, _ = score(trained.params, 'validation')
    best = runs.pick(trained, scores, rates, worst=math.inf if errors else 0.0, lowest=errors)
    params = best.of(trained.params)
    tested, exact = score(params, 'test')
    outcome = Outcome(
        learning_rate=best.learning_rate,
        scores=best.known(tested),
        exact=best.known(exact),
        losses=best.of(trained.losses)[:, -1].tolist(),
        diverged=int(best.diverged.sum()),
        swept=best.swept,
        steps=trained.steps,
        parameters=costs.count_parameters(built),
    )
    return outcome, params


def batches(problem: Problem, size: int) -> runs.Batches:
    """Training examples as `runs.train` wants them: of each step the next `size` indices."""

    def draw(seed: int, first: int, count: int) -> dict[str, np.ndarray]:
        index = np.arange(first * size, (first + count) * size)
        batch = problem.sample(seed, index, split='train')._asdict()
        return {name: a.reshape(count, size, *a.shape[1:]) for name, a in batch.items()}

    return draw


def some_rate_below(limit: float, learning_rates: Sequence[float]) -> Callable[[np.ndarray], bool]:
    """For `runs.train`: whether all seeds of some learning rate have a loss below a limit."""

    def stop(losses: np.ndarray) -> bool:
        return bool((losses.reshape(len(learning_rates), -1) < limit).all(axis=1).any())

    return stop


def score(
    built: Any, problem: Problem, params: Any, training: Any, split: str, num_devices: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """How right every run is on examples of a split, the same for all.

    Args:
      built: the model.
      problem: the task.
      params: leaves `[R, …]`.
      training: see `solve`.
      split: 'validation' or 'test'.
      num_devices: see `runs.train`.

    Returns:
      (accuracy over scored places or mean squared error `[R]`, share of wholly right rows `[R]`).
    """
    data = problem.sample(0, np.arange(training.test_examples), split=split)._asdict()
    if problem.vocab_size == 0:
        objective = objectives.regression(built)
        sums = runs.evaluate(
            lambda p, b: objective(p, None, b)[0], params, data, num_devices=num_devices
        )
        error = sums.loss / sums.weight
        return error, np.full_like(error, np.nan)
    objective = objectives.labelling(built, count=True)
    hits = runs.evaluate(
        lambda p, b: objective(p, None, b)[0], params, data, num_devices=num_devices
    )
    return hits.correct / hits.weight, hits.exact / hits.rows


def match(model: Any, problem: Problem, target: int, *, multiple: int = 1) -> int:
    """Set `model.hidden_size` so that the parameters come closest to a number; returns them.

    Args:
      model: a config's `model` group, changed in place.
      problem: the task.
      target: parameters wanted.
      multiple: which the hidden size must be a multiple of (of a transformer, its heads).
    """

    def count(units: int) -> int:
        model.hidden_size = multiple * units
        return costs.count_parameters(build(model, problem))

    return count(costs.closest_size(count, target))
