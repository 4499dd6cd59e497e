"""Reversing and sorting strings of letters: training draws them afresh, some are held out for good.

A string is held out by a hash of itself, so there is no list of them to keep, and no seed, step or
length of training ever draws one. Strings are rows of the numbers 1 to 26, 0 behind their ends.
"""

import string

import numpy as np

from nlp_models.data import batches
from nlp_models.errors import require

ALPHABET = string.ascii_lowercase

RULES = ('reverse', 'sort')
"""What is done to a string."""

HELD_OUT = {'validation': 0, 'test': 1}
"""Which twentieth of the strings of each length each split is; training draws from the rest."""

_PARTS = np.uint64(20)
_SALT = np.uint64(105)  # of which each held-out part has one string of one letter, and 33 of two
_LISTED = 4  # up to this length all strings there are can be listed


def training_strings(
    *, batch_size: int, min_length: int, max_length: int, seed: int, step: int
) -> np.ndarray:
    """The strings of a step: lengths uniform, letters uniform among the strings not held out.

    Args:
      batch_size: B.
      min_length: letters, at least 1.
      max_length: letters.
      seed: of the run.
      step: from 0.

    Returns:
      int64 `[B, max_length]`, a function of the arguments alone.
    """
    generator = batches.random_generator(seed, step, 1)
    lengths = generator.integers(min_length, max_length + 1, batch_size)
    strings = _draw(generator, lengths, max_length)
    while (held := np.flatnonzero(part_of(strings) < len(HELD_OUT))).size:
        strings[held] = _draw(generator, lengths[held], max_length)
    return strings


def held_out_strings(split: str, *, number: int, min_length: int, max_length: int) -> np.ndarray:
    """Strings that training never draws, all different, in equal numbers of every length.

    Of a length that has fewer (there are 26 strings of one letter) all are taken and the other
    lengths have more. The same strings for every seed.

    Args:
      split: validation or test, which share no string.
      number: of strings; fewer come back if there are no more.
      min_length: letters, at least 1; equal to `max_length` for one length alone.
      max_length: letters.

    Returns:
      int64 `[number, max_length]`, by length.
    """
    require(1 <= number <= 10_000, 'number', number, 'must be from 1 to 10000')
    found, left = [], number
    for length in range(min_length, max_length + 1):
        share = -(-left // (max_length + 1 - length))
        strings = _held_out(split, share, length)
        found.append(np.pad(strings, ((0, 0), (0, max_length - length))))
        left -= len(strings)
    return np.concatenate(found)


def apply_rule(rule: str, strings: np.ndarray) -> np.ndarray:
    """What a rule makes of strings.

    Args:
      rule: reverse or sort.
      strings: `[B, L]`, 0 behind their ends.

    Returns:
      `[B, L]`, likewise.
    """
    present = strings > 0
    if rule == 'sort':
        ordered = np.sort(np.where(present, strings, len(ALPHABET) + 1), axis=1)
        return np.where(present, ordered, 0)
    places = present.sum(axis=1, keepdims=True) - 1 - np.arange(strings.shape[1])
    return np.where(present, np.take_along_axis(strings, np.maximum(places, 0), axis=1), 0)


def part_of(strings: np.ndarray) -> np.ndarray:
    """Which of the twenty parts each string is in, by a hash of its letters.

    Σ_i w_i x_i modulo 2⁶⁴ with a random odd w_i for each place, its bits then mixed (the finalizer
    of SplitMix64, Steele et al. 2014): the zeros behind a string's end count nothing.

    Args:
      strings: `[B, L]`.

    Returns:
      `[B]` uint64, 0 to 19.
    """
    weights = _mix(np.arange(1, strings.shape[1] + 1, dtype=np.uint64)) | np.uint64(1)
    mixed = _mix((strings.astype(np.uint64) * weights).sum(axis=1) + _SALT)
    return (mixed >> np.uint64(32)) % _PARTS


def as_text(strings: np.ndarray) -> list[str]:
    """Strings of numbers as strings of letters."""
    letters = np.array(['', *ALPHABET], object)
    return [''.join(row) for row in letters[strings].tolist()]


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's output for each state."""
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _draw(generator: np.random.Generator, lengths: np.ndarray, max_length: int) -> np.ndarray:
    """Random strings of the given lengths."""
    letters = generator.integers(1, len(ALPHABET) + 1, (len(lengths), max_length))
    return letters * (np.arange(max_length) < lengths[:, None])


def _held_out(split: str, number: int, length: int) -> np.ndarray:
    """Different held-out strings of a length, as many as wanted or as there are."""
    part = HELD_OUT[split]
    generator = batches.random_generator(part, length, 2)
    if length <= _LISTED:
        places = [np.arange(1, len(ALPHABET) + 1)] * length
        listed = np.stack(np.meshgrid(*places, indexing='ij'), axis=-1).reshape(-1, length)
        listed = listed[part_of(listed) == part]
        return listed[generator.permutation(len(listed))[:number]]
    found = np.zeros((0, length), np.int64)
    while len(found) < number:
        drawn = _draw(generator, np.full(25 * min(number, 1000), length), length)
        both = np.concatenate([found, drawn[part_of(drawn) == part]])
        _, first = np.unique(both, axis=0, return_index=True)
        found = both[np.sort(first)]
    return found[:number]
