"""How far results are apart: seeds of parameters crossed with orders of data, churn, and draws.

Every run of a crossed design has one seed for its parameters and one for the order of its data, in
all combinations, so that what each contributes can be told apart.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import special

from nlp_models.errors import require
from nlp_models.training import objectives, runs


class Components(NamedTuple):
    """Where the spread of a table comes from, as variances.

    Attributes:
      rows: of what rows have in common.
      columns: likewise of columns.
      rest: of what is left: the interaction of both, as the runs themselves repeat exactly.
    """

    rows: float
    columns: float
    rest: float


def components(table: Any) -> Components:
    """Variance components of y_ij = μ + a_i + b_j + e_ij, all of them random.

    From the mean squares of the two-way layout with one value a cell: σ²_e = MS_e,
    σ²_a = (MS_a − MS_e) / columns, σ²_b = (MS_b − MS_e) / rows (Searle, Casella & McCulloch 1992,
    chapter 4), where what comes out below 0 is 0.

    Args:
      table: y, `[rows, columns]`, at least two of each, finite.

    Returns:
      The variances, in the square of the unit.
    """
    y = np.asarray(table, np.float64)
    require(y.ndim == 2 and min(y.shape) >= 2, 'table', y.shape, 'must be [2 or more, 2 or more]')
    require(bool(np.isfinite(y).all()), 'table', table, 'must be finite')
    i, j = y.shape
    a, b = y.mean(axis=1, keepdims=True), y.mean(axis=0, keepdims=True)
    left = y - a - b + y.mean()
    error = float(np.sum(left**2)) / ((i - 1) * (j - 1))
    of_rows = float(np.var(a, ddof=1)) - error / j
    of_columns = float(np.var(b, ddof=1)) - error / i
    return Components(max(0.0, of_rows), max(0.0, of_columns), error)


def deviations(table: Any) -> tuple[list[float], list[float]]:
    """Standard deviations as shares of the table's mean: down each column, and along each row.

    Args:
      table: `[rows, columns]`, at least two of each.

    Returns:
      (one a column, over its rows; one a row, over its columns).
    """
    y = np.asarray(table, np.float64)
    require(y.ndim == 2 and min(y.shape) >= 2, 'table', y.shape, 'must be [2 or more, 2 or more]')
    down, along = (np.std(y, axis=axis, ddof=1) / y.mean() for axis in (0, 1))
    return down.tolist(), along.tolist()


def churn(predicted: np.ndarray, losses: Any, equal: float) -> float:
    """Share of predictions that differ between two runs of equal loss, over all such pairs.

    Prediction churn (Milani Fard et al. 2016, "Launch and iterate").

    Args:
      predicted: by each run `[R, n]`.
      losses: of each run `[R]`; one that is not finite is equal to none.
      equal: losses are so where they differ by at most this share of their mean.

    Returns:
      A share; NaN where no two losses are equal.
    """
    found = [
        float(np.mean(predicted[a] != predicted[b]))
        for a, b in itertools.combinations(range(len(predicted)), 2)
        if abs(losses[a] - losses[b]) <= equal * (losses[a] + losses[b]) / 2
    ]
    return float(np.mean(found)) if found else math.nan


def crossed(
    init: Callable[[jax.Array], Any],
    objective: objectives.Objective,
    training: Any,
    draw: runs.Batches,
    *,
    steps: int,
    seeds: Sequence[int],
    orders: Sequence[int],
    num_devices: int = 0,
) -> runs.Trained:
    """Train every seed of parameters on every order of the data, all at one learning rate.

    Args:
      init: as in `runs.train`.
      objective: likewise.
      training: `learning_rate`, `chunk`, `optimizer`.
      draw: as in `runs.train`, its seed being the order.
      steps: of each run; a multiple of `chunk`.
      seeds: of parameters, P of them.
      orders: of data, O of them.
      num_devices: as in `runs.train`.

    Returns:
      P · O runs, all orders of the first seed first.
    """
    every = [runs.Run(seed, training.learning_rate, order) for seed in seeds for order in orders]
    return runs.train(
        init,
        objective,
        training.optimizer,
        every,
        draw,
        steps=steps,
        chunk=training.chunk,
        num_devices=num_devices,
    )


class Judged(NamedTuple):
    """What runs say of the same examples.

    Attributes:
      losses: mean cross-entropy of each run `[R]`, nats.
      accuracies: share of right predictions of each run `[R]`.
      predicted: the likeliest token at each place `[R, n]`.
      probabilities: of all tokens at each place, float32 `[R, n, V]`, where they were asked for.
    """

    losses: np.ndarray
    accuracies: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None


def judge(
    logits: Callable[[Any, Any], jax.Array],
    params: Any,
    data: Any,
    targets: np.ndarray,
    *,
    counted: np.ndarray | None = None,
    whole: bool = False,
    num_devices: int = 0,
) -> Judged:
    """Ask every run the same.

    Args:
      logits: `(params, data) -> [n, V]`.
      params: of the runs, leaves `[R, …]`.
      data: the same for all.
      targets: right tokens `[n]`; any where they are not counted.
      counted: which places loss and accuracy are of `[n]`; None for all.
      whole: whether probabilities are kept.
      num_devices: as in `runs.evaluate`.

    Returns:
      What they say.
    """
    counts = np.ones(len(targets), bool) if counted is None else counted
    known = np.where(counts, targets, 0)

    def read(params: Any, data: Any) -> dict[str, jax.Array]:
        found = logits(params, data['asked'])
        nats = objectives.cross_entropy(found[None], data['targets'][None])[0]
        kept = {'nats': nats, 'predicted': jnp.argmax(found, axis=-1)}
        return kept | ({'probabilities': jax.nn.softmax(found)} if whole else {})

    data = {'asked': data, 'targets': known.astype(np.int32)}
    said = runs.evaluate(read, params, data, num_devices=num_devices)
    right = said['predicted'] == known
    return Judged(
        said['nats'][:, counts].mean(axis=1),
        right[:, counts].mean(axis=1),
        said['predicted'],
        said.get('probabilities'),
    )


def draws_differ(probabilities: Float[np.ndarray, 'n V'], temperature: float) -> np.ndarray:
    """How likely two independent draws are to differ: 1 − Σ p_i², the index of Gini and Simpson.

    Args:
      probabilities: at temperature 1 `[n, V]`.
      temperature: T of p_i^(1/T) / Σ_j p_j^(1/T), above 0.

    Returns:
      `[n]`, exact: nothing is drawn.
    """
    return 1 - np.sum(heated(probabilities, temperature) ** 2, axis=1)


def heated(probabilities: Float[np.ndarray, 'n V'], temperature: float) -> np.ndarray:
    """The distributions at another temperature, float64 `[n, V]`."""
    require(temperature > 0, 'temperature', temperature, 'must be above 0')
    with np.errstate(divide='ignore'):  # a probability of 0 stays 0
        logs = np.log(np.asarray(probabilities, np.float64))
    return special.softmax(logs / temperature, axis=1)


def wrong_draws(
    probabilities: Float[np.ndarray, 'n V'], targets: np.ndarray, temperature: float
) -> float:
    """How likely a draw is to be wrong where the likeliest token is right.

    Args:
      probabilities: at temperature 1 `[n, V]`.
      targets: right tokens `[n]`.
      temperature: as in `draws_differ`.

    Returns:
      A mean over the places where the likeliest is right, exact; NaN where there are none.
    """
    right = probabilities.argmax(axis=1) == targets
    if not right.any():
        return math.nan
    hot = heated(probabilities[right], temperature)
    return float(np.mean(1 - hot[np.arange(len(hot)), targets[right]]))


def part_at(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The first place at which rows of two arrays `[B, N]` differ; N where they do not."""
    differ = one != other
    return np.where(differ.any(axis=1), differ.argmax(axis=1), one.shape[1])
