"""Token sequences that end a text: matched on the device, cut off on the host."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from nlp_models.errors import require

ANY = -1  # matches every token: what the shorter sequences are padded with
NOTHING = -2  # no token: what stands before the first one drawn

Stops = Sequence[Sequence[int]]


def table(stop: Stops) -> np.ndarray | None:
    """The stop sequences as one array.

    Args:
      stop: sequences of token ids.

    Returns:
      int32 `[number, length of the longest]`, padded on the left with `ANY`; None for none.

    Raises:
      InputError: for an empty sequence or a negative id.
    """
    for sequence in stop:
        fine = len(sequence) > 0 and min(sequence) >= 0
        require(fine, 'stop', [*map(int, sequence)], 'must be token ids, at least one a sequence')
    if len(stop) == 0:
        return None
    longest = max(map(len, stop))
    padded = [[ANY] * (longest - len(sequence)) + [*map(int, sequence)] for sequence in stop]
    return np.asarray(padded, np.int32)


def matched(recent: Int[Array, 'B L'], stops: Int[Array, 'number L']) -> Bool[Array, 'B']:
    """Whether the last tokens drawn, the newest at the end, end with one of the sequences."""
    same = (recent[:, None] == stops) | (stops == ANY)  # [B, number, L]
    return jnp.any(jnp.all(same, axis=-1), axis=-1)


def cut(tokens: np.ndarray, stop: Stops) -> np.ndarray:
    """The tokens without the stop sequence that they end with, the longest if several."""
    ends = [len(s) for s in stop if 0 < len(s) <= len(tokens) and [*s] == [*tokens[-len(s) :]]]
    return tokens[: len(tokens) - max(ends, default=0)]


def undecided(tokens: np.ndarray, stop: Stops) -> int:
    """How many of the last tokens may yet turn out to begin a stop sequence."""
    longest = max(map(len, stop), default=1) - 1
    for length in range(min(longest, len(tokens)), 0, -1):
        end = [*tokens[-length:]]
        if any(len(s) > length and [*s[:length]] == end for s in stop):
            return length
    return 0
