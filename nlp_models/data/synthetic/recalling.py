"""Associative recall of many keys: pairs are shown, then keys alone."""

import decimal
import functools

import numpy as np

from nlp_models.data.synthetic import draws
from nlp_models.errors import require

FILLER = 0


def recall(
    seed: int,
    index: np.ndarray,
    *,
    split: str = 'train',
    length: int,
    pairs: int,
    vocab_size: int = 8192,
    power: float = 0.01,
    random_filler: bool = False,
) -> draws.Examples:
    """Multi-query associative recall, MQAR (Arora et al. 2023, "Zoology").

    The first 2 P tokens are P pairs of a key and a value; all keys differ, and all values. Behind
    them each key comes once more, at place 2 P + 2 g, and the target at that same place is its
    value, which is not read there. The P gaps g of an example differ; they are drawn one by one,
    in the order of the pairs, from 0 to (T − 2 P) / 2 − 1 with a probability that goes as
    (g + 1)^(power − 1). The rest of the input is filler and counts nothing.

    Canonical: 8192 tokens, power .01, (T, P) = (64, 4), (128, 8), (256, 16), (512, 64). The
    paper's code knows two fillers: 0, which its figure 2 has, and random tokens of the whole
    vocabulary, keys and values among them, here with `random_filler`.

    Tokens: 0 is the filler, 1 to V // 2 − 1 the keys, V // 2 to V − 1 the values. The pairs
    alone decide on the split.

    Args:
      seed: of the run.
      index: `[B]` integers, which examples.
      split: train, validation or test.
      length: T, even, at least 4 P.
      pairs: P, at least 1.
      vocab_size: V; it must have P keys.
      power: of the gaps, above 0; 1 makes them uniform, less brings the queries nearer to the
        pairs.
      random_filler: random tokens in place of 0.

    Returns:
      `inputs` and `targets` int32 `[B, T]`, `weights` and `scored` float32 `[B, T]`, which are 1
      at the P queries.

    Raises:
      InputError: a setting is out of its range, or has too few examples for the split.
    """
    require(pairs >= 1, 'pairs', pairs, 'must be at least 1')
    require(length % 2 == 0, 'length', length, 'must be even')
    require(length >= 4 * pairs, 'length', length, f'must be at least 4 · pairs, {4 * pairs}')
    enough = vocab_size // 2 - 1 >= pairs
    require(enough, 'vocab_size', vocab_size, f'must be at least 2 · pairs + 2, {2 * pairs + 2}')
    require(0 < power < 100, 'power', power, 'must be above 0 and below 100')
    half = vocab_size // 2
    likely = _likely((length - 2 * pairs) // 2, power)

    def draw(streams):
        random = draws.words(streams, 2 * pairs)
        keys = 1 + draws.distinct(random[:, :pairs], half - 1)
        values = half + draws.distinct(random[:, pairs:], vocab_size - half)
        return np.concatenate([keys, values], axis=1).astype(np.int32)

    setting = f'recall with pairs={pairs}, vocab_size={vocab_size}'
    content, streams = draws.first_in_split(seed, index, split, draw, setting)
    keys, values = np.split(content, 2, axis=1)
    gaps = _gaps(draws.words(streams, pairs, first=2 * pairs), likely)
    inputs = np.full((len(content), length), FILLER, np.int32)
    if random_filler:
        inputs[:] = draws.below(draws.words(streams, length, first=3 * pairs), vocab_size)
    inputs[:, 0 : 2 * pairs : 2] = keys
    inputs[:, 1 : 2 * pairs : 2] = values
    places = 2 * pairs + 2 * gaps
    np.put_along_axis(inputs, places, keys, axis=1)
    targets = np.zeros_like(inputs)
    np.put_along_axis(targets, places, values, axis=1)
    weights = np.zeros(inputs.shape, np.float32)
    np.put_along_axis(weights, places, np.float32(1), axis=1)
    return draws.Examples(inputs, targets, weights, weights.copy())


@functools.lru_cache(maxsize=16)
def _likely(gaps: int, power: float) -> np.ndarray:
    """(g + 1)^(power − 1) as integers that sum to about 2³¹.

    In decimal arithmetic, which is the same on every platform; a library's pow is not.
    """
    with decimal.localcontext(decimal.Context(prec=20)):
        likely = [
            decimal.Decimal(gap) ** (decimal.Decimal(power) - 1) for gap in range(1, gaps + 1)
        ]
        scale = 2**31 / sum(likely, decimal.Decimal(0))
        return np.array([max(int(each * scale), 1) for each in likely])


def _gaps(random: np.ndarray, likely: np.ndarray) -> np.ndarray:
    """Different gaps, each drawn in proportion to `likely` among those that are left.

    Args:
      random: words `[B, P]`.
      likely: `[G]` integers, their sum below 2³².

    Returns:
      `[B, P]` int64.
    """
    left = np.tile(likely, (len(random), 1))
    drawn = np.empty(random.shape, np.int64)
    for place in range(random.shape[1]):
        ends = left.cumsum(axis=1)
        at = draws.below(random[:, place], ends[:, -1])
        drawn[:, place] = (ends <= at[:, None]).sum(axis=1)
        np.put_along_axis(left, drawn[:, place, None], 0, axis=1)
    return drawn
