"""Random examples by hashing, and the split that each belongs to.

Every random number is SplitMix64 (Steele et al. 2014) of (seed, index, attempt, place): there is
no generator with a state, so the example at an index does not depend on its neighbours in a batch,
nor, being all integers, on the platform.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nlp_models.data.procedural import HELD_OUT, part_of
from nlp_models.errors import require

SPLITS = ('train', *HELD_OUT)
"""Each held-out one has a twentieth of the examples, training the rest."""

_ATTEMPTS = 4096  # a split that has a hundredth of the examples is missed once in 10¹⁷ times
_ROWS = 1024  # drawn at once, so that what is between two of NumPy's passes stays in the cache
_HALF = np.uint64(32)


class Examples(NamedTuple):
    """A batch of examples.

    Attributes:
      inputs: int32 `[B, T]` tokens; float32 `[B, T, 2]` of the adding problem.
      targets: int32 `[B, T]`, what is to be said after reading the input at that place and those
        before it, 0 where nothing is; float32 `[B]` of the adding problem.
      weights: float32, like `targets`: 1 where a target counts for the loss, else 0.
      scored: float32, like `targets`: 1 where it counts for the accuracy, else 0.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    scored: np.ndarray


def mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's output for each number of a state, uint64."""
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def words(streams: np.ndarray, number: int, first: int = 0) -> np.ndarray:
    """Random words of 64 bits at consecutive places of each example.

    Args:
      streams: `[B]` uint64, one of each example, from `first_in_split`.
      number: N of words.
      first: the place of the first of them.

    Returns:
      `[B, N]` uint64.
    """
    return mix(streams[:, None] + np.arange(first, first + number, dtype=np.uint64))


def below(random: np.ndarray, bound: int | np.ndarray) -> np.ndarray:
    """Uniform integers from 0 to bound − 1, of the upper halves of random words.

    The upper half times the bound, over 2³²: no number is likelier than another by more than
    bound / 2³² of itself.

    Args:
      random: words, any shape.
      bound: at least 1 and at most 2³², the same for all or one for each.

    Returns:
      int64, the shape of the two broadcast.
    """
    return ((random >> _HALF) * np.asarray(bound, np.uint64) >> _HALF).astype(np.int64)


def distinct(random: np.ndarray, bound: int) -> np.ndarray:
    """Different integers from 0 to bound − 1 in a random order, every such row equally likely.

    Args:
      random: words `[B, N]`.
      bound: at least N.

    Returns:
      `[B, N]` int64.
    """
    number = random.shape[1]
    # First each one's rank among those that the ones before it have left, then the number itself:
    # taken[j] − j untaken numbers are below the j-th taken, which is passed if that is the rank.
    drawn = below(random, bound - np.arange(number))
    for place in range(1, number):
        passed = np.sort(drawn[:, :place], axis=1) - np.arange(place)
        drawn[:, place] += (passed <= drawn[:, place, None]).sum(axis=1)
    return drawn


def first_in_split(
    seed: int,
    index: np.ndarray,
    split: str,
    draw: Callable[[np.ndarray], np.ndarray],
    setting: str,
) -> tuple[np.ndarray, np.ndarray]:
    """The first of each index's attempts whose content is in a split.

    Args:
      seed: not negative.
      index: `[B]` integers, not negative.
      split: train, validation or test.
      draw: contents `[R, L]` of streams `[R]`. What they are like decides on the split.
      setting: what the examples are, for the error's sentence.

    Returns:
      Contents `[B, L]` and the streams `[B]` that they are of, for what else is to be drawn.

    Raises:
      InputError: an argument is wrong, or the split has no example, or so few that they are not
        met in thousands of attempts.
    """
    require(split in SPLITS, 'split', split, f'must be one of {", ".join(SPLITS)}')
    require(0 <= seed < 2**64, 'seed', seed, 'must be from 0 to 2⁶⁴ − 1')
    index = np.asarray(index)
    kind = f'{index.dtype}{list(index.shape)}'
    right = index.ndim == 1 and np.issubdtype(index.dtype, np.integer)
    require(right, 'index', kind, 'must be one row of integers')
    require(not (index < 0).any(), 'index', int(index.min(initial=0)), 'must not be negative')
    keys = mix(mix(np.array([seed], np.uint64)) + index.astype(np.uint64))
    # A held-out split takes twenty attempts on average: several at once are fewer passes.
    at_once = 1 if split == 'train' else 16
    rows = _ROWS // at_once
    blocks = [
        _search(keys[start : start + rows], split, draw, setting, at_once)
        for start in range(0, max(len(keys), 1), rows)
    ]
    contents, streams = zip(*blocks, strict=True)
    return np.concatenate(contents), np.concatenate(streams)


def _search(
    keys: np.ndarray,
    split: str,
    draw: Callable[[np.ndarray], np.ndarray],
    setting: str,
    at_once: int,
) -> tuple[np.ndarray, np.ndarray]:
    """As `first_in_split`, of a block of examples."""
    left = np.arange(len(keys))
    contents, streams = np.empty((0, 0)), np.empty_like(keys)
    for attempt in range(0, _ATTEMPTS, at_once):
        attempts = np.arange(attempt, attempt + at_once, dtype=np.uint64)
        tried = mix(keys[left, None] + attempts)
        drawn = draw(tried.ravel())
        if attempt == 0:
            contents = np.empty((len(keys), drawn.shape[1]), drawn.dtype)
        part = part_of(drawn).reshape(tried.shape)
        inside = part >= len(HELD_OUT) if split == 'train' else part == HELD_OUT[split]
        found = np.flatnonzero(inside.any(axis=1))
        first = inside[found].argmax(axis=1)
        contents[left[found]] = drawn[found * at_once + first]
        streams[left[found]] = tried[found, first]
        left = np.delete(left, found)
        if not left.size:
            break
    require(not left.size, 'split', split, f'has none, or too few, of the examples of {setting}')
    return contents, streams
