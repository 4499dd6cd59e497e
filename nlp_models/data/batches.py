"""Batches as pure functions of the step: nothing to save, nothing to replay.

A batch is int32 `[B, T + 1]`: columns 0 to T−1 are read, columns 1 to T are predicted.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nlp_models.errors import InputError, require


def check(tokens: np.ndarray, length: int, split: str = 'split') -> None:
    """Raise an InputError where a split of the text is shorter than one window, T + 1 tokens."""
    if len(tokens) < length + 1:
        raise InputError(
            f'the {split} part of the text has {len(tokens)} tokens: one window needs '
            f'sequence_length + 1, {length + 1}'
        )


def check_shares(batch_size: int, process_count: int) -> None:
    """Raise an InputError where a batch cannot be shared out over the processes."""
    divides = batch_size % process_count == 0
    require(divides, 'batch_size', batch_size, f'must be shared out over {process_count} processes')


def random_generator(seed: int, *words: int) -> np.random.Generator:
    """A generator that depends on its arguments alone, the same on every platform."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words])))


def permute(index: np.ndarray, size: int, key: bytes) -> np.ndarray:
    """A keyed pseudo-random permutation of 0 … size − 1, computed point by point.

    A Feistel network of four rounds over the next even power of two, walked until it lands inside
    (Black & Rogaway 2002, section 4). It takes no memory, so the order of a billion windows is as
    cheap as that of ten.

    Args:
      index: integers in [0, size).
      size: at least 1.
      key: which permutation.

    Returns:
      Integers in [0, size), uint64, a permutation of `index` if it holds all of them.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    rounds = np.frombuffer(hashlib.sha256(key).digest(), np.uint64)  # four round keys

    def encrypt(x):
        left, right = x >> np.uint64(half), x & mask
        for round_key in rounds:
            mixed = (right ^ round_key) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
            mixed *= np.uint64(0xBF58476D1CE4E5B9)
            left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
        return (left << np.uint64(half)) | right

    x = encrypt(np.asarray(index, np.uint64))
    while (outside := x >= size).any():
        x = np.where(outside, encrypt(x), x)
    return x


def random_windows(
    tokens: np.ndarray,
    *,
    batch_size: int,
    length: int,
    seed: int,
    step: int,
    process_index: int = 0,
    process_count: int = 1,
) -> np.ndarray:
    """The batch of a step: windows of the text in a random order, each once an epoch.

    An epoch cuts the text into windows side by side, from an offset of its own, and reads them in
    an order of its own.

    Args:
      tokens: the text `[M]`.
      batch_size: B over all processes.
      length: T.
      seed: of the run.
      step: from 0.
      process_index: which share of the batch.
      process_count: how many shares; it must divide `batch_size`.

    Returns:
      int32 `[B / process_count, T + 1]`, a function of the arguments alone.

    Raises:
      InputError: where the text is shorter than one window.
    """
    check(tokens, length)
    check_shares(batch_size, process_count)
    share = batch_size // process_count
    rows = step * batch_size + process_index * share + np.arange(share)
    # One window fewer than would fit, so that every offset leaves room for all of them.
    windows = max((len(tokens) - 1) // length - 1, 1)
    slack = min(length, len(tokens) - windows * length)
    starts = np.empty(share, np.int64)
    for epoch in np.unique(rows // windows):
        mine = rows // windows == epoch
        key = b'%d/%d' % (seed, epoch)
        offset = int(random_generator(seed, int(epoch)).integers(slack))
        starts[mine] = offset + length * permute(rows[mine] % windows, windows, key).astype(int)
    return tokens[starts[:, None] + np.arange(length + 1)].astype(np.int32)


def streams(
    tokens: np.ndarray,
    *,
    batch_size: int,
    length: int,
    step: int,
    process_index: int = 0,
    process_count: int = 1,
) -> tuple[np.ndarray, bool]:
    """The batch of a step where the state is carried on: row b continues row b of the step before.

    The text is cut into B streams of equal length, read from their beginnings; at their end they
    start again.

    Args:
      tokens: the text `[M]`.
      batch_size: B over all processes.
      length: T.
      step: from 0.
      process_index: which share of the batch.
      process_count: how many shares.

    Returns:
      (int32 `[B / process_count, T + 1]`, whether the streams start here, so that the state must).

    Raises:
      InputError: where a stream is shorter than one window.
    """
    size = (len(tokens) - 1) // batch_size
    if size < length:
        raise InputError(
            f'the text has {len(tokens)} tokens: {batch_size} streams of one window '
            f'each need {batch_size * length + 1}'
        )
    check_shares(batch_size, process_count)
    share = batch_size // process_count
    rows = process_index * share + np.arange(share)
    windows = size // length
    starts = rows * size + (step % windows) * length
    batch = tokens[starts[:, None] + np.arange(length + 1)].astype(np.int32)
    return batch, step % windows == 0


class ScoredBatch(NamedTuple):
    """A batch of windows to be scored.

    Attributes:
      tokens: int32 `[B, T + 1]`.
      weights: float32 `[B, T]`, 1 for the predictions that count and 0 for the others.
    """

    tokens: np.ndarray
    weights: np.ndarray


def evaluation_batches(
    tokens: np.ndarray,
    *,
    batch_size: int,
    length: int,
    stride: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[ScoredBatch]:
    """Windows that score every token but the first exactly once.

    With a stride below T the windows overlap: each scores only what the one before did not reach,
    so every token but the first T has at least T − stride tokens of context.

    Args:
      tokens: the text `[M]`.
      batch_size: B over all processes; the last batch is filled up with weight zero.
      length: T.
      stride: from window to window; T (side by side) by default.
      process_index: which share of each batch.
      process_count: how many shares.

    Yields:
      `ScoredBatch`, all of one shape.

    Raises:
      InputError: where the text is shorter than one window.
    """
    check(tokens, length)
    stride = length if stride is None else stride
    require(1 <= stride <= length, 'stride', stride, f'must be from 1 to the length, {length}')
    predictions = len(tokens) - 1
    windows = 1 + max(0, -(-(predictions - length) // stride))
    share = batch_size // process_count
    for first in range(0, windows, batch_size):
        window = first + process_index * share + np.arange(share)
        begin = window * stride
        places = begin[:, None] + np.arange(length + 1)  # [B, T + 1]
        targets = places[:, 1:]  # which token each column predicts
        new = np.where(window == 0, 0, begin - stride + length)[:, None] < targets
        weights = new & (targets <= predictions)  # false in windows past the last, too
        batch = tokens[np.minimum(places, predictions)].astype(np.int32)
        yield ScoredBatch(batch, weights.astype(np.float32))
