"""The adding problem: the sum of the two numbers that are marked."""

import numpy as np

from nlp_models.data.synthetic import draws
from nlp_models.errors import require

ADDING_BASELINE = 1 / 6
"""The mean squared error of always saying 1: the variance of the sum of two U[0, 1)."""


def adding(seed: int, index: np.ndarray, *, split: str = 'train', length: int) -> draws.Examples:
    """The adding problem (Hochreiter & Schmidhuber 1997), as in Arjovsky et al. 2016.

    T numbers, two of them marked: one at a random place of the first half, one of the second. The
    target is their sum. (Hochreiter's numbers are of [−1, 1], his places both in the first half,
    his target scaled.) Canonical: T of 400 or 600, and numbers of U[0, 1]; here multiples of 2⁻²⁴
    below 1, which are exact in float32. The bits of all numbers, and the places, decide on the
    split.

    Args:
      seed: of the run.
      index: `[B]` integers, which examples.
      split: train, validation or test.
      length: T, at least 2; of an odd one the first half is the shorter.

    Returns:
      `inputs` float32 `[B, T, 2]`, the numbers and the markers (1 at the two places, else 0);
      `targets` float32 `[B]`; `weights` and `scored` float32 `[B]`, all ones.

    Raises:
      InputError: the length or another argument is out of its range.
    """
    require(length >= 2, 'length', length, 'must be at least 2')
    half = length // 2

    def draw(streams):
        random = draws.words(streams, length + 2)
        numbers = (random[:, :length] >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
        first = draws.below(random[:, length], half)
        second = half + draws.below(random[:, length + 1], length - half)
        places = np.stack([first, second], axis=1).astype(np.uint32)
        return np.concatenate([numbers.view(np.uint32), places], axis=1)

    content, _ = draws.first_in_split(seed, index, split, draw, f'adding with length={length}')
    places = content[:, length:].astype(np.int64)
    inputs = np.zeros((len(content), length, 2), np.float32)
    inputs[..., 0] = np.ascontiguousarray(content[:, :length]).view(np.float32)
    np.put_along_axis(inputs[..., 1], places, np.float32(1), axis=1)
    # Of two numbers in float32, whose sum is rounded in one way alone.
    marked = np.take_along_axis(inputs[..., 0], places, axis=1)
    ones = np.ones(len(content), np.float32)
    return draws.Examples(inputs, marked[:, 0] + marked[:, 1], ones, ones.copy())
