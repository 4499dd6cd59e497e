"""In-context linear regression: points of a function that was never seen, one after the other."""

from typing import Any, NamedTuple

import numpy as np
from scipy import special

from nlp_models.data.synthetic import draws
from nlp_models.errors import require

LAYOUTS = ('whole', 'alternating')
"""How points are read, see `as_sequences`."""


class Points(NamedTuple):
    """Linear functions, each with its points.

    Attributes:
      x: float32 `[B, P, D]`.
      y: float32 `[B, P]`, w · x with noise.
      clean: float32 `[B, P]`, w · x.
      w: float32 `[B, D]`, one for all points of a row.
    """

    x: np.ndarray
    y: np.ndarray
    clean: np.ndarray
    w: np.ndarray


def regression(
    seed: int,
    index: np.ndarray,
    *,
    split: str = 'train',
    dimension: int = 5,
    points: int = 11,
    noise: float = 0.25,
    input_scale: float = 1.0,
    stretch: float = 1.0,
    weight_scale: float = 1.0,
) -> Points:
    """Noisy linear regression (Garg et al. 2022, sections 3 and 5): y = w · x + ε.

        x ~ N(0, s² diag(a²)),   w ~ N(0, c² I),   ε ~ N(0, σ²)

    What is trained on is s = c = 1 and a = 1; the rest is for what lies off that distribution. All
    settings of an example are of the same random bits, which alone decide on the split: what is
    tested under one was trained under none.

    Args:
      seed: of the run.
      index: `[B]` integers, which examples.
      split: train, validation or test.
      dimension: D, at least 1.
      points: P, at least 1.
      noise: σ², the variance of ε, at least 0.
      input_scale: s, above 0.
      stretch: the largest a over the smallest, above 0; between them a falls by the same factor
        from axis to axis, and the mean of a² is 1.
      weight_scale: c, above 0.

    Returns:
      The points.

    Raises:
      InputError: a setting or another argument is out of its range.
    """
    require(dimension >= 1, 'dimension', dimension, 'must be at least 1')
    require(points >= 1, 'points', points, 'must be at least 1')
    require(noise >= 0, 'noise', noise, 'must be at least 0')
    scales = {'input_scale': input_scale, 'stretch': stretch, 'weight_scale': weight_scale}
    for name, value in scales.items():
        require(value > 0, name, value, 'must be above 0')
    ends = np.cumsum([points * dimension, points, dimension])

    def draw(streams):
        return (draws.words(streams, int(ends[-1])) >> np.uint64(32)).astype(np.uint32)

    setting = f'regression with dimension={dimension}, points={points}'
    bits, _ = draws.first_in_split(seed, index, split, draw, setting)
    # The quantile of the middle of each of 2³² equal parts.
    normal = special.ndtri((bits.astype(np.float64) + 0.5) * 2.0**-32)
    x, error, w = np.split(normal, ends[:-1], axis=1)
    x = x.reshape(-1, points, dimension) * (input_scale * _axes(dimension, stretch))
    w = weight_scale * w
    clean = np.einsum('BPD,BD->BP', x, w)
    y = clean + np.sqrt(noise) * error
    return Points(*(each.astype(np.float32) for each in (x, y, clean, w)))


def as_sequences(points: Points, layout: str = 'whole') -> draws.Examples:
    """Points as what a sequence model reads, in one of two layouts.

    'alternating' is that of Garg et al. 2022, x_1, y_1, x_2, y_2, … x_P: vectors (x, 0) and (0, y).
    In 'whole' the i-th vector is (x_i, x_{i−1}, y_{i−1}), a question and the whole of the point
    before it, with zeros before the first: half as many vectors, and no need to find out which x a
    y is of. Either way the model has read i − 1 whole points where it is asked about x_i.

    Args:
      points: of `regression`.
      layout: one of `LAYOUTS`.

    Returns:
      `inputs` float32 `[B, T, C]`, with T of P and C of 2 D + 1, or alternating T of 2 P − 1 and C
      of D + 1; `targets` float32 `[B, T]`, y_i at the place of x_i; `weights` and `scored`
      likewise, 1 there.
    """
    require(layout in LAYOUTS, 'layout', layout, f'must be one of {", ".join(LAYOUTS)}')
    rows, number, dimension = points.x.shape
    if layout == 'whole':
        inputs = np.zeros((rows, number, 2 * dimension + 1), np.float32)
        inputs[:, :, :dimension] = points.x
        inputs[:, 1:, dimension:-1] = points.x[:, :-1]
        inputs[:, 1:, -1] = points.y[:, :-1]
    else:
        inputs = np.zeros((rows, 2 * number - 1, dimension + 1), np.float32)
        inputs[:, 0::2, :-1] = points.x
        inputs[:, 1::2, -1] = points.y[:, :-1]
    asked = places(points.x.shape[1], layout)
    targets = np.zeros(inputs.shape[:2], np.float32)
    targets[:, asked] = points.y
    weights = np.zeros_like(targets)
    weights[:, asked] = 1
    return draws.Examples(inputs, targets, weights, weights.copy())


def places(points: int, layout: str) -> np.ndarray:
    """Where in a sequence of a layout each of its P points is asked for, `[P]`."""
    return np.arange(points) * (1 if layout == 'whole' else 2)


def trivial_error(**setting: Any) -> float:
    """The mean squared error of always saying 0, against w · x: D s² c².

    Args:
      **setting: of `regression`.
    """
    scales = setting.get('input_scale', 1.0) * setting.get('weight_scale', 1.0)
    return setting.get('dimension', 5) * scales**2


def _axes(dimension: int, stretch: float) -> np.ndarray:
    """A `[D]`, a geometric row whose mean square is 1."""
    rising = stretch ** (np.arange(dimension) / max(dimension - 1, 1))
    return rising / np.sqrt(np.mean(np.square(rising)))
