"""Language models trained on a text of one's own, and scored on another by bits a character."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nlp_models import costs
from nlp_models.analysis import solving
from nlp_models.data import batches
from nlp_models.training import objectives, runs
from nlp_models.types import LanguageModel


class Scored(NamedTuple):
    """A text to be scored.

    Attributes:
      tokens: `[M]`.
      characters: of the text; bits are told for each.
    """

    tokens: np.ndarray
    characters: int


def windows(tokens: np.ndarray, batch_size: int, length: int) -> dict[str, np.ndarray]:
    """All windows of a text side by side, each token but the first scored once.

    Args:
      tokens: `[M]`.
      batch_size: B.
      length: T.

    Returns:
      `tokens` int32 `[n, B, T + 1]` and `weights` float32 `[n, B, T]`.
    """
    found = list(batches.evaluation_batches(tokens, batch_size=batch_size, length=length))
    return {
        'tokens': np.stack([batch.tokens for batch in found]),
        'weights': np.stack([batch.weights for batch in found]),
    }


def solve(
    model: LanguageModel,
    texts: Callable[[int], np.ndarray],
    held_out: dict[str, Scored],
    training: Any,
    *,
    length: int,
    steps: int,
    seeds: Sequence[int],
    num_devices: int = 0,
) -> solving.Outcome:
    """Train a model on a text with every learning rate and seed, and score the best rate's runs.

    Args:
      model: the model.
      texts: `(seed) -> tokens [M]` to be trained on, which may differ by seed.
      held_out: 'validation', by whose score the rate is picked, and 'test'.
      training: `batch_size`, `chunk`, `learning_rates` and `optimizer`.
      length: T.
      steps: of each run; a multiple of `chunk`.
      seeds: of parameters, windows and texts.
      num_devices: see `runs.train`.

    Returns:
      The outcome; its `scores` are bits a character of the test text, `exact` is NaN.
    """
    size = training.batch_size
    objective = objectives.language_modelling(model)

    def draw(seed: int, first: int, count: int) -> dict[str, np.ndarray]:
        rows = [
            batches.random_windows(
                texts(seed), batch_size=size, length=length, seed=seed, step=step
            )
            for step in range(first, first + count)
        ]
        return {'tokens': np.stack(rows)}

    def nats(params: Any, data: Any) -> jax.Array:
        return jnp.sum(lax.map(lambda batch: objective(params, None, batch)[0].loss, data))

    def score(params: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
        text = held_out[split]
        data = windows(text.tokens, size, length)
        found = runs.evaluate(nats, params, data, num_devices=num_devices)
        bits = np.asarray(found, np.float64) / (math.log(2) * text.characters)
        return bits, np.full_like(bits, np.nan)

    outcome, _ = solving.train_and_test(
        model,
        objective,
        draw,
        score,
        training,
        steps=steps,
        seeds=seeds,
        errors=True,
        num_devices=num_devices,
    )
    return outcome


def pick_rate(outcomes: Sequence[solving.Outcome]) -> tuple[float, dict[str, float]]:
    """The learning rate that is best on several texts together.

    Args:
      outcomes: one of each text, of the same rates.

    Returns:
      (the rate with the lowest mean validation score, rate to that mean).
    """
    rates = list(outcomes[0].swept)
    means = {rate: float(np.mean([outcome.swept[rate] for outcome in outcomes])) for rate in rates}
    return float(min(rates, key=lambda rate: means[rate])), means


def closest(group: Any, build: Callable[[Any], LanguageModel], parameters: int) -> Any:
    """Sets `group.hidden_size` so that the model comes closest to a number of parameters.

    Args:
      group: a config's `model` group, changed in place.
      build: `(group) -> model`.
      parameters: wanted.

    Returns:
      The group.
    """

    def count(units: int) -> int:
        group.hidden_size = units
        return costs.count_parameters(build(group))

    group.hidden_size = costs.closest_size(count, parameters)
    return group
