"""Copy memory: letters, a long silence, then the same letters."""

import math

import numpy as np

from nlp_models.data.synthetic import draws
from nlp_models.errors import require

BLANK = 0


def copy(
    seed: int,
    index: np.ndarray,
    *,
    split: str = 'train',
    delay: int,
    symbols: int = 10,
    alphabet: int = 8,
) -> draws.Examples:
    """Copy memory (Hochreiter & Schmidhuber 1997), as in Arjovsky et al. 2016 and Bai et al. 2018.

    S random letters are read, then delay − 1 blanks, a go marker and S blanks, T = delay + 2 S
    tokens. The targets are blanks, and beneath the last S blanks the letters. (Bai et al. read the
    marker at all of the last S + 1 places.) Canonical: 10 symbols of 8 letters and a delay of 100
    to 2000, so T is delay + 20.

    Tokens: 0 is the blank, 1 to `alphabet` the letters, `alphabet` + 1 the marker. Every place
    counts for the loss, so that knowing when but not what has that of `copy_baseline`; the letters
    alone are scored. The letters alone decide on the split, so that it is the same at every delay.

    Args:
      seed: of the run.
      index: `[B]` integers, which examples.
      split: train, validation or test.
      delay: tokens between the last letter and the place where the first is to be written, at
        least 1.
      symbols: S, at least 1.
      alphabet: different letters, at least 2.

    Returns:
      `inputs` and `targets` int32 `[B, T]`, `weights` and `scored` float32 `[B, T]`.

    Raises:
      InputError: a setting is out of its range, or has too few examples for the split.
    """
    require(delay >= 1, 'delay', delay, 'must be at least 1')
    require(symbols >= 1, 'symbols', symbols, 'must be at least 1')
    require(alphabet >= 2, 'alphabet', alphabet, 'must be at least 2')

    def draw(streams):
        return (1 + draws.below(draws.words(streams, symbols), alphabet)).astype(np.int32)

    setting = f'copy with symbols={symbols}, alphabet={alphabet}'
    letters, _ = draws.first_in_split(seed, index, split, draw, setting)
    inputs = np.full((len(letters), delay + 2 * symbols), BLANK, np.int32)
    targets = inputs.copy()
    inputs[:, :symbols] = letters
    inputs[:, -symbols - 1] = alphabet + 1
    targets[:, -symbols:] = letters
    scored = np.zeros(inputs.shape, np.float32)
    scored[:, -symbols:] = 1
    return draws.Examples(inputs, targets, np.ones_like(scored), scored)


def copy_baseline(delay: int, symbols: int = 10, alphabet: int = 8) -> float:
    """The loss of who knows when to write but none of the letters, nats a token: S ln A / T."""
    return symbols * math.log(alphabet) / (delay + 2 * symbols)
