"""Is it exponential? Fits of log-norms against distance: a straight line, and a power law."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from nlp_models.errors import require


class Decay(NamedTuple):
    """How norms fall, or grow, with distance; arrays of whatever shape was given before distance.

    Attributes:
      rate: slope of the log-norm in nats a step; −0.1 is a loss of 10 % a step, above 0 is growth.
      fit: R² of that straight line, 1 where every point lies on it.
      power_fit: R² of the power law, log-norm = c + p log(distance).
    """

    rate: np.ndarray
    fit: np.ndarray
    power_fit: np.ndarray


def fit_decay(
    distance: Real[np.ndarray, 'K'], log_norms: Float[np.ndarray, '*rows K'], first: int = 1
) -> Decay:
    """Fit log ‖∂h_T/∂h_{T−k}‖ by a line in k and by a line in log k, both by least squares.

    A gradient that vanishes exponentially (Bengio et al. 1994, theorem 4) is a straight line in k;
    one that falls as a power of the distance is a straight line in log k. Two parameters each, so
    that their R² may be compared.

    Args:
      distance: k `[K]`, above 0 from `first` on.
      log_norms: `[…, K]` nats; a row that is not finite (a norm of zero, a run that diverged) has
        NaN for a fit.
      first: smaller distances are left out.

    Returns:
      The fits `[…]`.

    Raises:
      InputError: for fewer than three distances.
    """
    kept = distance >= first
    require(int(kept.sum()) >= 3, 'distance', list(distance), f'must hold three from {first} on')
    k, y = distance[kept], log_norms[..., kept]
    y = np.where(np.isfinite(y).all(axis=-1, keepdims=True), y, np.nan)
    rate, fit = _line(k, y)
    _, power_fit = _line(np.log(k), y)
    return Decay(rate, fit, power_fit)


def relative_difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """|a − b| / max(|a|, |b|): 0 where they are alike, 2 at most; 0 where both are 0."""
    larger = np.maximum(np.abs(one), np.abs(other))
    return np.abs(one - other) / np.where(larger > 0, larger, 1.0)


def _line(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and R² of a least-squares line through each row of y."""
    dx, dy = x - x.mean(), y - y.mean(axis=-1, keepdims=True)
    slope = np.asarray((dy @ dx) / (dx @ dx))
    rest = np.sum(np.square(dy - slope[..., None] * dx), axis=-1)
    total = np.sum(np.square(dy), axis=-1)
    return slope, np.where(total == 0, 1.0, 1 - rest / np.where(total == 0, 1.0, total))
