"""Batches of pairs for sequence-to-sequence models, as pure functions of the step.

A batch is a dict: `source` int32 `[B, S]`, 0 behind the sources' ends; `source_lengths` int32
`[B]`; `tokens` int32 `[B, T + 1]`, which are BEGIN y_1 … y_n END and then 0; `weights` float32
`[B, T]`, 1 for the predictions of y_1 … y_n END and 0 for the others. As everywhere columns 0 to
T − 1 of the tokens are read and columns 1 to T are predicted.
"""

import functools
from collections.abc import Iterator

import numpy as np
from absl import logging

from nlp_models.data import batches, procedural
from nlp_models.data.pairs import DrawnPairs, PairDataset, Pairs, Ragged, begin_id, end_id
from nlp_models.data.tokenizers import Tokenizer
from nlp_models.errors import InputError, require


@functools.lru_cache(maxsize=16)
def longest(pairs: Pairs | DrawnPairs) -> tuple[int, int]:
    """The lengths that no pair exceeds.

    Args:
      pairs: of any split.

    Returns:
      (tokens of the longest source, tokens of the longest target and its END); (1, 1) where there
      are no pairs.
    """
    if isinstance(pairs, DrawnPairs):
        return pairs.max_length, pairs.max_length + 1
    return (
        int(pairs.source.lengths.max(initial=1)),
        int(pairs.target.lengths.max(initial=0)) + 1,
    )


def pair_batch(
    dataset: PairDataset,
    *,
    batch_size: int,
    source_length: int = 0,
    target_length: int = 0,
    seed: int,
    step: int,
    process_index: int = 0,
    process_count: int = 1,
) -> dict[str, np.ndarray]:
    """The training batch of a step; of finite pairs each once an epoch, in an order of its own.

    Pairs that are longer than the lengths given are left out; how many is logged.

    Args:
      dataset: its training split is read.
      batch_size: B over all processes.
      source_length: S; 0 for the longest in the training split.
      target_length: T, END counted; 0 likewise.
      seed: of the run.
      step: from 0.
      process_index: which share of the batch.
      process_count: how many shares; it must divide `batch_size`.

    Returns:
      The share of the batch, a function of the arguments alone.

    Raises:
      InputError: where no pair is short enough, or strings are drawn that may be too long.
    """
    batches.check_shares(batch_size, process_count)
    share = batch_size // process_count
    begin = process_index * share
    pairs = dataset.train
    sizes = longest(pairs)
    if isinstance(pairs, DrawnPairs):
        _check_drawn(pairs, source_length, target_length)
        drawn = procedural.training_strings(
            batch_size=batch_size,
            min_length=pairs.min_length,
            max_length=pairs.max_length,
            seed=seed,
            step=step,
        )
        strings = drawn[begin : begin + share]
        source = _letters(strings, pairs.tokenizer)
        target = _letters(procedural.apply_rule(pairs.rule, strings), pairs.tokenizer)
        rows = np.arange(share)
    else:
        source, target = pairs.source, pairs.target
        fitting = _fitting(pairs, source_length, target_length)
        places = step * batch_size + begin + np.arange(share)
        rows = fitting[epoch_order(places, len(fitting), seed)]
    return _batch(
        source,
        target,
        rows,
        source_length or sizes[0],
        target_length or sizes[1],
        pairs.tokenizer,
    )


def pair_evaluation_batches(
    pairs: Pairs,
    *,
    batch_size: int,
    source_length: int = 0,
    target_length: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Every pair once, in order: row r of batch i is pair iB + r, so `target_texts` go alongside.

    Args:
      pairs: a split.
      batch_size: B over all processes; the last batch is filled up with rows of weight zero, each
        with a source of one token.
      source_length: S; 0 for the longest of these pairs.
      target_length: T, END counted; 0 likewise.
      process_index: which share of each batch.
      process_count: how many shares.

    Yields:
      Batches of one shape, each with one more entry: `whole` bool `[B]`, false where a pair is too
      long for S or T, and for what a batch is filled up with. Such a pair is cut off at its end and
      counts as wrong, whatever is predicted for it.
    """
    batches.check_shares(batch_size, process_count)
    source_length = source_length or longest(pairs)[0]
    target_length = target_length or longest(pairs)[1]
    for rows, real in evaluation_rows(len(pairs), batch_size, process_index, process_count):
        batch = _batch(
            pairs.source, pairs.target, rows, source_length, target_length, pairs.tokenizer
        )
        fits = (pairs.source.lengths[rows] <= source_length) & (
            pairs.target.lengths[rows] < target_length
        )
        batch['source'][~real] = 0
        batch['source_lengths'][~real] = 1
        batch['weights'][~real] = 0
        yield {**batch, 'whole': fits & real}


def epoch_order(places: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Which of `size` things are at some places of an endless sequence of epochs.

    Args:
      places: from 0.
      size: of an epoch, in which each thing is once, in an order of the epoch's own.
      seed: of the run.

    Returns:
      int64 of the shape of `places`, from 0 to size − 1.
    """
    chosen = np.empty(places.shape, np.int64)
    for epoch in np.unique(places // size):
        mine = places // size == epoch
        key = b'%d/%d' % (seed, epoch)
        chosen[mine] = batches.permute(places[mine] % size, size, key).astype(np.int64)
    return chosen


def evaluation_rows(
    count: int, batch_size: int, process_index: int, process_count: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows of each batch that together hold `count` of them once, in order.

    Yields:
      (rows `[B / process_count]`, whether each is real `[B / process_count]`: those past the last
      are not, and are 0).
    """
    share = batch_size // process_count
    for first in range(0, count, batch_size):
        rows = first + process_index * share + np.arange(share)
        yield np.where(rows < count, rows, 0), rows < count


def pad(texts: Ragged, rows: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Some texts as rows of equal length, 0 behind their ends, cut off where they are longer.

    Args:
      texts: all of them.
      rows: which, `[B]`.
      length: of the rows.

    Returns:
      (ids int32 `[B, length]`, how many of each row are the text's, int32 `[B]`).
    """
    starts = texts.offsets[rows]
    lengths = np.minimum(texts.offsets[rows + 1] - starts, length)
    places = np.arange(length)
    ids = texts.ids[np.minimum(starts[:, None] + places, len(texts.ids) - 1)]
    padded = np.where(places < lengths[:, None], ids, 0)
    return padded.astype(np.int32), lengths.astype(np.int32)


def _batch(
    source: Ragged,
    target: Ragged,
    rows: np.ndarray,
    source_length: int,
    target_length: int,
    tokenizer: Tokenizer,
) -> dict[str, np.ndarray]:
    """A batch of some pairs."""
    sources, source_lengths = pad(source, rows, source_length)
    targets, target_lengths = pad(target, rows, target_length)
    tokens = np.zeros((len(rows), target_length + 2), np.int32)
    tokens[:, 0] = begin_id(tokenizer)
    tokens[:, 1:-1] = targets
    # Where the target fills all T places its END is in the column that is cut off here.
    tokens[np.arange(len(rows)), target_lengths + 1] = end_id(tokenizer)
    weights = np.arange(target_length) <= target_lengths[:, None]
    return {
        'source': sources,
        'source_lengths': source_lengths,
        'tokens': tokens[:, :-1],
        'weights': weights.astype(np.float32),
    }


def _letters(strings: np.ndarray, tokenizer: Tokenizer) -> Ragged:
    """Strings of the numbers of letters as token ids."""
    table = np.concatenate([np.zeros(1, tokenizer.dtype), tokenizer.encode(procedural.ALPHABET)])
    lengths = (strings > 0).sum(axis=1)
    return Ragged(table[strings[strings > 0]], np.concatenate([[0], np.cumsum(lengths)]))


def _check_drawn(pairs: DrawnPairs, source_length: int, target_length: int) -> None:
    """Refuse lengths that the longest string does not fit into."""
    source, target = longest(pairs)
    for name, given, needed in (
        ('source_length', source_length, source),
        ('target_length', target_length, target),
    ):
        fits = given == 0 or given >= needed
        require(fits, name, given, f'must be at least {needed} for strings of {source} letters')


@functools.lru_cache(maxsize=16)
def _fitting(pairs: Pairs, source_length: int, target_length: int) -> np.ndarray:
    """Which pairs are within the lengths; told once how many are not."""
    fits = pairs.source.lengths <= (source_length or np.inf)
    fits &= pairs.target.lengths < (target_length or np.inf)
    left_out = len(fits) - int(fits.sum())
    if left_out == len(fits):
        raise InputError(
            f'source_length={source_length} and target_length={target_length}: every training pair '
            f'is longer; the longest have {longest(pairs)}, END counted'
        )
    if left_out:
        logging.info('%d of %d training pairs are too long and left out', left_out, len(fits))
    return np.flatnonzero(fits)
