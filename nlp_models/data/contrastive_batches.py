"""Batches of pairs for contrastive training: which second text belongs to which first.

A batch is a dict: `first` and `second` int32 `[B, S]`, row by row the two texts of a pair, cut off
at S tokens, 0 behind their ends; `first_lengths` and `second_lengths` int32 `[B]`;
`first_numbers` and `second_numbers` int32 `[B]`, equal where the texts are. The texts stand within
the special tokens of the tokenizer where it has them ([CLS] and [SEP]).
"""

import functools
from collections.abc import Iterator

import numpy as np

from nlp_models.data import batches
from nlp_models.data.pair_batches import epoch_order, evaluation_rows, longest, pad
from nlp_models.data.pairs import DrawnPairs, PairDataset, Pairs, Ragged
from nlp_models.data.pieces import Tokenizer, frame_size
from nlp_models.errors import InputError, require


def contrastive_batch(
    dataset: PairDataset,
    *,
    batch_size: int,
    source_length: int = 0,
    seed: int,
    step: int,
    process_index: int = 0,
    process_count: int = 1,
) -> dict[str, np.ndarray]:
    """The training batch of a step, whose B pairs are all different.

    An epoch is as many whole batches as there are pairs for, in an order of its own; the few pairs
    left over are others each time.

    Args:
      dataset: its training split is read; its pairs are finite.
      batch_size: B over all processes.
      source_length: S, special tokens counted; 0 for the longest text of the training split.
      seed: of the run.
      step: from 0.
      process_index: which share of the batch.
      process_count: how many shares; it must divide `batch_size`.

    Returns:
      The share of the batch, a function of the arguments alone.

    Raises:
      InputError: where there are fewer pairs than rows, or the pairs are drawn.
    """
    batches.check_shares(batch_size, process_count)
    pairs = dataset.train
    if isinstance(pairs, DrawnPairs):
        raise InputError(
            f'pairs={dataset.name!r} is no set of texts to be told apart: choose docstring_halves, '
            'or give a path'
        )
    count = len(pairs)
    least = f'must be at most the number of training pairs, {count}'
    require(batch_size <= count, 'batch_size', batch_size, least)
    share = batch_size // process_count
    whole = count // batch_size  # batches of an epoch
    epoch, batch = divmod(step, whole)
    places = epoch * count + batch * batch_size + process_index * share + np.arange(share)
    return _batch(pairs, epoch_order(places, count, seed), _length(pairs, source_length))


def contrastive_evaluation_batches(
    pairs: Pairs,
    *,
    batch_size: int,
    source_length: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Every pair once, in order.

    Args:
      pairs: a split.
      batch_size: B over all processes; the last batch is filled up with the first pair.
      source_length: S, special tokens counted; 0 for the longest text of these pairs.
      process_index: which share of each batch.
      process_count: how many shares.

    Yields:
      Batches of one shape, each with one more entry: `weights` float32 `[B]`, 0 for what a batch is
      filled up with and 1 for the others.
    """
    batches.check_shares(batch_size, process_count)
    length = _length(pairs, source_length)
    for rows, real in evaluation_rows(len(pairs), batch_size, process_index, process_count):
        yield {**_batch(pairs, rows, length), 'weights': real.astype(np.float32)}


@functools.lru_cache(maxsize=16)
def _length(pairs: Pairs, source_length: int) -> int:
    """S."""
    frame = frame_size(pairs.tokenizer)
    if not source_length:
        source, target = longest(pairs)
        return max(source, target - 1) + frame
    least = f'must be at least {frame + 1}, for the {frame} special tokens and one of the text'
    require(source_length > frame, 'source_length', source_length, least)
    return source_length


def _batch(pairs: Pairs, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """The two texts of some pairs."""
    first, first_lengths = _framed(pairs.source, rows, length, pairs.tokenizer)
    second, second_lengths = _framed(pairs.target, rows, length, pairs.tokenizer)
    return {
        'first': first,
        'first_lengths': first_lengths,
        'second': second,
        'second_lengths': second_lengths,
        'first_numbers': pairs.source_numbers[rows],
        'second_numbers': pairs.target_numbers[rows],
    }


def _framed(
    texts: Ragged, rows: np.ndarray, length: int, tokenizer: Tokenizer
) -> tuple[np.ndarray, np.ndarray]:
    """Some texts within the special tokens, padded, and their lengths with those."""
    frame = frame_size(tokenizer)
    ids, lengths = pad(texts, rows, length - frame)
    if not frame:
        return ids, lengths
    framed = np.zeros((len(rows), length), np.int32)
    for row, (text, size) in enumerate(zip(ids, lengths.tolist(), strict=True)):
        framed[row, : size + frame] = tokenizer.frame(text[:size])
    return framed, lengths + np.int32(frame)
