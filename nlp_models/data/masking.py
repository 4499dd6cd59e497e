"""Masked language modelling: which tokens are hidden, and what a guess without a model is worth."""

from collections.abc import Sequence

import numpy as np

from nlp_models.data import batches
from nlp_models.errors import require

MASKED, REPLACED = 0.8, 0.1
"""Shares of the chosen tokens that become the mask and that become a random token."""


def mask_tokens(
    tokens: np.ndarray,
    *,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
    seed: int,
    step: int,
    special_ids: Sequence[int] = (),
    process_index: int = 0,
    process_count: int = 1,
) -> dict[str, np.ndarray]:
    """Hides some tokens of each row, to be predicted from the others.

    Of each row's tokens that may be chosen, `rate` are, rounded, and at least one. A chosen token
    becomes the mask with probability 0.8, a random token with 0.1, and stays with 0.1 (Devlin et
    al. 2019, section 3.1 and appendix A.1). A random token is none of `special_ids`, nor the mask.

    Args:
      tokens: integers `[B, T]`, this process's share of the batch.
      mask_id: the mask; for a tokenizer that has none it is V, and the model's vocabulary V + 1.
      vocab_size: V, of which random tokens are taken.
      rate: share of the tokens chosen, above 0 and at most 1.
      seed: of the run.
      step: from 0.
      special_ids: tokens that are never chosen, such as padding.
      process_index: which share of the batch this is.
      process_count: how many shares there are.

    Returns:
      `tokens` int32 `[B, T]`, what the model reads; `targets` int32 `[B, T]`, the tokens as they
      were; `weights` float32 `[B, T]`, 1 where one was chosen. A function of the arguments alone,
      and of each row whatever the number of processes.

    Raises:
      InputError: where the rate is no such share.
    """
    require(0 < rate <= 1, 'mask_rate', rate, 'must be above 0 and at most 1')
    rows, length = tokens.shape
    targets = tokens.astype(np.int32)
    generator = batches.random_generator(seed, step, 3)
    # Drawn for the whole batch, so that a row's are the same however many processes share it.
    mine = slice(process_index * rows, (process_index + 1) * rows)
    order, action, other = generator.random((3, rows * process_count, length))[:, mine]
    plain = np.ones(max(vocab_size, 1 + max(mask_id, *special_ids, int(targets.max()))), bool)
    plain[[mask_id, *special_ids]] = False
    maskable = plain[targets]
    order[~maskable] = np.inf
    possible = maskable.sum(axis=1)
    wanted = np.minimum(np.maximum(np.rint(rate * possible), 1), possible)
    rank = order.argsort(axis=1).argsort(axis=1)
    chosen = rank < wanted[:, None]
    choices = np.flatnonzero(plain[:vocab_size])
    replacement = choices[(other * len(choices)).astype(np.int64)]
    read = np.where(chosen & (action < MASKED), mask_id, targets)
    replaced = chosen & (action >= MASKED) & (action < MASKED + REPLACED)
    read = np.where(replaced, replacement, read)
    return {
        'tokens': read.astype(np.int32),
        'targets': targets,
        'weights': chosen.astype(np.float32),
    }


def unigram_loss(training: np.ndarray, tokens: np.ndarray, vocab_size: int) -> float:
    """What a model loses that knows only how frequent each token is: the baseline of masked ones.

    −1/N Σ_i log p(x_i), p(x) = (n(x) + 1) / (M + V): the training tokens counted, one added.

    Args:
      training: `[M]`, the tokens that are counted.
      tokens: of any shape, N of them, those predicted.
      vocab_size: V.

    Returns:
      Nats a token.
    """
    counts = _count(training, vocab_size) + 1
    found = _count(tokens, vocab_size)
    return float(-(found * np.log(counts / counts.sum())).sum() / found.sum())


def _count(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """How often each token occurs, int64 `[V]`, a piece at a time as the text may be mapped."""
    tokens = tokens.reshape(-1)
    counts = np.zeros(vocab_size, np.int64)
    for first in range(0, len(tokens), 1 << 22):
        counts += np.bincount(tokens[first : first + (1 << 22)], minlength=vocab_size)
    return counts
