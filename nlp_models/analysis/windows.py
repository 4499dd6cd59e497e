"""Text as a problem of `solving`: the next token of windows of a corpus."""

from typing import Any

import numpy as np

from nlp_models.analysis.solving import Problem
from nlp_models.data.synthetic import draws
from nlp_models.errors import require


def problem(dataset: Any, length: int) -> Problem:
    """Windows of T + 1 tokens, of which each one but the first is to be guessed.

    Args:
      dataset: with `train`, `validation` and `test` `[tokens]` and `tokenizer`
        (`data.store.Dataset`).
      length: T.

    Returns:
      The problem. Training windows begin anywhere, drawn by seed and index; those of the other
      splits are spread evenly over the split, and are the same for every seed.
    """

    def sample(seed: int, index: np.ndarray, *, split: str = 'train') -> draws.Examples:
        tokens = getattr(dataset, split)
        last = len(tokens) - length - 1
        require(last >= 0, split, len(tokens), f'must hold at least {length + 1} tokens')
        if split == 'train':
            streams = draws.mix(draws.mix(np.array([seed], np.uint64)) + index.astype(np.uint64))
            starts = draws.below(streams, last + 1)
        else:
            starts = index * last // max(int(index.max(initial=0)), 1)
        rows = tokens[starts[:, None] + np.arange(length + 1)].astype(np.int32)
        ones = np.ones((len(rows), length), np.float32)
        return draws.Examples(rows[:, :-1], rows[:, 1:], ones, ones)

    return Problem(sample, length, dataset.tokenizer.vocab_size)
