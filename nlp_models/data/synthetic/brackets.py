"""Dyck-(k,m): brackets of several kinds, well nested and never deep."""

import functools

import numpy as np

from nlp_models.data.synthetic import draws
from nlp_models.errors import require

START = 0


def dyck(
    seed: int,
    index: np.ndarray,
    *,
    split: str = 'train',
    length: int,
    kinds: int,
    depth: int,
) -> draws.Examples:
    """The language Dyck-(k,m) (Hewitt et al. 2020): which bracket closes next.

    Strings of T brackets of k kinds, well nested, at most m open at a time. The input is a start
    token and the string without its last bracket, the target the string: at each place the next
    bracket. Only those that close count, for their kind is known, that of the innermost open one;
    what opens is not. Every such string is equally likely, which is a walk that opens or closes by
    how many ways to end there are from either. (Hewitt et al. flip a coin at every step and so
    have strings of many lengths.) Canonical: k of 2 or 8, m of 3 to 5.

    Tokens: 0 is the start, 1 to k open, k + 1 to 2 k close, in the same order.

    Args:
      seed: of the run.
      index: `[B]` integers, which examples.
      split: train, validation or test.
      length: T, even, at least 2.
      kinds: k, at least 1.
      depth: m, at least 1.

    Returns:
      `inputs` and `targets` int32 `[B, T]`; `weights` and `scored` float32 `[B, T]`, which are 1
      where the target closes.

    Raises:
      InputError: a setting is out of its range, or has too few examples for the split.
    """
    require(length >= 2 and length % 2 == 0, 'length', length, 'must be even and at least 2')
    require(kinds >= 1, 'kinds', kinds, 'must be at least 1')
    require(depth >= 1, 'depth', depth, 'must be at least 1')
    opening = _opening(length, min(depth, length // 2))

    def draw(streams):
        random = draws.words(streams, length)
        opens = _walk(random, opening)
        # The lower halves of the words, of which the walk has used the upper.
        kind = draws.below(random[:, : length // 2] << np.uint64(32), kinds)
        kind = _paired(opens, kind.astype(np.int32))
        return np.where(opens, kind + 1, kind + (kinds + 1))

    setting = f'dyck with length={length}, kinds={kinds}, depth={depth}'
    strings, _ = draws.first_in_split(seed, index, split, draw, setting)
    inputs = np.roll(strings, 1, axis=1)
    inputs[:, 0] = START
    weights = (strings > kinds).astype(np.float32)
    return draws.Examples(inputs, strings, weights, weights.copy())


@functools.lru_cache(maxsize=16)
def _opening(length: int, depth: int) -> np.ndarray:
    """How likely the next bracket opens: of the ways to end from here, the share that do so.

    Args:
      length: T.
      depth: m.

    Returns:
      uint64 `[T, m + 1]`, in units of 2⁻³², by brackets written and brackets open.
    """
    ways = [1] + [0] * depth  # by brackets open, with none to come; exact, however large
    rows = []
    for _ in range(length):
        opened = [*ways[1:], 0]
        ways = [more + less for more, less in zip(opened, [0, *ways[:-1]], strict=True)]
        rows.append([(more << 32) // max(all_, 1) for more, all_ in zip(opened, ways, strict=True)])
    return np.array(rows[::-1], np.uint64)


def _walk(random: np.ndarray, opening: np.ndarray) -> np.ndarray:
    """Which brackets open.

    Args:
      random: words `[B, T]`.
      opening: `[T, m + 1]`.

    Returns:
      `[B, T]` bool.
    """
    steps = np.ascontiguousarray((random >> np.uint64(32)).T)
    opens = np.empty(steps.shape, bool)
    height = np.zeros(len(random), np.int64)
    for step in range(len(steps)):
        np.less(steps[step], opening[step].take(height), out=opens[step])
        height += 2 * opens[step] - 1
    return np.ascontiguousarray(opens.T)


def _paired(opens: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Gives each pair of brackets that belong together one kind.

    Among the brackets of one level, in their order, one that opens and the one that closes it take
    turns; so sorted by level, and otherwise left in order, partners are side by side.

    Args:
      opens: `[B, T]` bool.
      kind: `[B, T / 2]`, of each pair.

    Returns:
      `[B, T]`, of each bracket.
    """
    height = np.cumsum(2 * opens.astype(np.int16) - 1, axis=1, dtype=np.int16)  # behind each one
    order = np.argsort(height - opens, axis=1, kind='stable')
    paired = np.empty(opens.shape, kind.dtype)
    np.put_along_axis(paired, order, np.repeat(kind, 2, axis=1), axis=1)
    return paired
