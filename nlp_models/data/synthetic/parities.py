"""Parity: is the number of ones odd?"""

import numpy as np

from nlp_models.data.synthetic import draws
from nlp_models.errors import require

_WORD = np.uint64(64)  # bits of one


def parity(
    seed: int,
    index: np.ndarray,
    *,
    split: str = 'train',
    max_length: int,
    min_length: int = 1,
    every_step: bool = False,
) -> draws.Examples:
    """The parity of strings of bits (Minsky & Papert 1969), here read one by one.

    The target at each bit is the parity of the bits so far, itself among them: 1 if an odd number
    of them are ones. By default only the last one counts, a label for the whole string. Canonical
    (Delétang et al. 2023): trained on lengths to 40, tested on longer ones, to 100 and 500.

    Tokens: 0 is behind a string's end, 1 the bit 0, 2 the bit 1. Lengths are uniform, but for the
    few strings of the shortest, which may all be of other splits.

    Args:
      seed: of the run.
      index: `[B]` integers, which examples.
      split: train, validation or test.
      max_length: T.
      min_length: at least 1, at most `max_length`.
      every_step: whether the parity so far counts at every bit.

    Returns:
      `inputs` and `targets` int32 `[B, T]`; `weights` and `scored` float32 `[B, T]`, which are 1
      at the last bit, or at every one.

    Raises:
      InputError: a setting is out of its range, or has too few examples for the split.
    """
    require(min_length >= 1, 'min_length', min_length, 'must be at least 1')
    right = max_length >= min_length
    require(right, 'max_length', max_length, f'must be at least min_length, {min_length}')
    places = np.arange(max_length)
    word, shift = np.divmod(places.astype(np.uint64), _WORD)

    def draw(streams):
        random = draws.words(streams, 2 + (max_length - 1) // int(_WORD))
        lengths = min_length + draws.below(random[:, 0], max_length - min_length + 1)
        bits = (random[:, 1 + word.astype(np.int64)] >> shift) & np.uint64(1)
        return (bits.astype(np.int32) + 1) * (places < lengths[:, None])

    setting = f'parity with min_length={min_length}, max_length={max_length}'
    inputs, _ = draws.first_in_split(seed, index, split, draw, setting)
    present = inputs > 0
    targets = np.cumsum(inputs == 2, axis=1, dtype=np.int32) % 2 * present
    lengths = present.sum(axis=1)
    counts = present if every_step else places == lengths[:, None] - 1
    weights = counts.astype(np.float32)
    return draws.Examples(inputs, targets, weights, weights.copy())
