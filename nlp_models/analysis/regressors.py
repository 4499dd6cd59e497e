"""In-context linear regression: what estimators that know the task predict, and what models do."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from nlp_models.analysis.solving import Problem
from nlp_models.data.synthetic import draws, regression
from nlp_models.errors import require
from nlp_models.types import SequenceModel


def ridge(
    x: Float[np.ndarray, 'B P D'], y: Float[np.ndarray, 'B P'], penalty: float
) -> Float[np.ndarray, 'B P']:
    """What ridge regression predicts of each point from those before it (Hoerl & Kennard 1970).

        ŵ = (Xᵀ X + λ I)⁻¹ Xᵀ y,   ŷ = ŵ · x

    With w ~ N(0, c² I) and noise of variance σ², λ = σ² / c² makes ŵ the mean of w given the
    points: no predictor has a smaller expected squared error.

    Args:
      x: the points.
      y: their values, with noise.
      penalty: λ, above 0.

    Returns:
      float64; of the first point, which none is before, 0.
    """
    require(penalty > 0, 'penalty', penalty, 'must be above 0')
    rows, number, dimension = x.shape
    x, y = x.astype(np.float64), y.astype(np.float64)
    products = np.tile(penalty * np.eye(dimension), (rows, 1, 1))
    sums, predicted = np.zeros((rows, dimension)), np.zeros((rows, number))
    for i in range(number):
        w = np.linalg.solve(products, sums[..., None])[..., 0]
        predicted[:, i] = np.einsum('BD,BD->B', w, x[:, i])
        products += x[:, i, :, None] * x[:, i, None, :]
        sums += x[:, i] * y[:, i, None]
    return predicted


def least_squares(
    x: Float[np.ndarray, 'B P D'], y: Float[np.ndarray, 'B P']
) -> Float[np.ndarray, 'B P']:
    """What least squares predict of each point from those before it; of many fits the shortest w.

    Args:
      x: the points.
      y: their values.

    Returns:
      float64; of the first point 0.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    predicted = np.zeros(y.shape)
    for i in range(1, y.shape[1]):
        w = np.einsum('BDP,BP->BD', np.linalg.pinv(x[:, :i]), y[:, :i])
        predicted[:, i] = np.einsum('BD,BD->B', w, x[:, i])
    return predicted


def problem(setting: Mapping[str, Any], layout: str) -> Problem:
    """Regression as a problem of `solving`, with a number wanted at every point.

    Args:
      setting: of `regression.regression`.
      layout: of `regression.as_sequences`.
    """

    def sample(seed: int, index: np.ndarray, *, split: str = 'train') -> draws.Examples:
        points = regression.regression(seed, index, split=split, **setting)
        return regression.as_sequences(points, layout)

    one = sample(0, np.arange(1))
    return Problem(sample, one.inputs.shape[1], 0)


def predictor(model: SequenceModel, points: int, layout: str) -> Callable[[Any, Any], jax.Array]:
    """What a model predicts.

    Args:
      model: from vectors to vectors of width 1.
      points: P.
      layout: of its inputs.

    Returns:
      `(params, inputs [B, T, C]) -> [B, P]`, for `training.runs.evaluate`.
    """
    asked = regression.places(points, layout)

    def predict(params: Any, inputs: Any) -> jax.Array:
        _, y = model.apply(params, model.start(params, inputs.shape[0]), inputs)
        return y[:, asked, 0]

    return predict


def errors(
    predicted: Float[np.ndarray, '*runs B P'], clean: Float[np.ndarray, 'B P']
) -> Float[np.ndarray, '*runs P']:
    """Mean squared error against w · x, without its noise, by the number of points read before.

    Args:
      predicted: of any number of models.
      clean: w · x.

    Returns:
      float64, at i the error with i points.
    """
    return np.mean(np.square(predicted.astype(np.float64) - clean), axis=-2)
