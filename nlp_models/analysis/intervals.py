"""Student's t intervals of a mean over seeds, and how many seeds would settle a question."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from nlp_models.errors import require

CONFIDENCE = 0.95
POWER = 0.8


class Interval(NamedTuple):
    """A mean and where the mean of the distribution lies.

    Attributes:
      mean: of the values.
      low: lower end; −∞ where one value cannot say.
      high: upper end; likewise.
      deviation: the values' standard deviation, n − 1 below the root; NaN for one value.
      count: how many values there were.
    """

    mean: float
    low: float
    high: float
    deviation: float
    count: int


def student_t(values: Sequence[int | float], confidence: float = CONFIDENCE) -> Interval:
    """The interval mean ± t_{n−1} s / √n (Student 1908).

    It holds the mean with the probability asked for where the values are independent and normally
    distributed. Values that are all alike give the point itself: nothing was seen to vary. For
    pairs, hand over their `differences`.

    Args:
      values: finite, one a seed, at least one.
      confidence: in (0, 1).

    Returns:
      The interval; of a single value it is the whole line.

    Raises:
      InputError: for no values, or one that is not finite.
    """
    array = np.asarray(values, np.float64)
    require(array.size > 0, 'values', values, 'must hold at least one number')
    require(bool(np.isfinite(array).all()), 'values', values, 'must be finite')
    mean, n = float(array.mean()), array.size
    if n == 1:
        return Interval(mean, -math.inf, math.inf, math.nan, 1)
    if array.min() == array.max():  # the mean's own rounding must not make a width
        mean = float(array[0])
        return Interval(mean, mean, mean, 0.0, n)
    deviation = float(array.std(ddof=1))
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, deviation, n)


def differences(ours: Sequence[int | float], others: Sequence[int | float]) -> tuple[float, ...]:
    """Ours − others, seed by seed: what seeds have in common cancels. NaN stays NaN.

    Args:
      ours: one number a seed.
      others: of the same seeds, in the same order.

    Returns:
      One number a seed.

    Raises:
      InputError: where there are not as many of each.
    """
    alike = len(ours) == len(others)
    require(alike, 'others', others, f'must hold as many numbers as the other side, {len(ours)}')
    return tuple(float(a) - float(b) for a, b in zip(ours, others, strict=True))


def seeds_needed(
    deviation: float, distance: float, confidence: float = CONFIDENCE, most: int = 10_000
) -> int | None:
    """How many seeds show a difference with a power of 80 %, by the usual approximation.

    Args:
      deviation: standard deviation of the values.
      distance: of the true mean from what it is compared with.
      confidence: of the interval.
      most: None is returned where more would be needed.

    Returns:
      The smallest n with (t_{0.975, n−1} + t_{0.8, n−1}) s / √n < distance: in four of five
      repetitions such an interval leaves out what the mean is compared with.
    """
    if distance <= 0:
        return None
    tails = 0.5 + confidence / 2, POWER
    for n in range(2, 64):
        both = sum(float(stats.t.ppf(tail, n - 1)) for tail in tails)
        if both * deviation / math.sqrt(n) < distance:
            return n
    z = sum(float(stats.norm.ppf(tail)) for tail in tails)
    n = math.ceil((1.02 * z * deviation / distance) ** 2)  # t is 2 % above z at 64
    return n if n <= most else None
