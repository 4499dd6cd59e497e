"""Batches of labelled texts, as pure functions of the step.

A batch is a dict: `tokens` int32 `[B, S]`, a text within the special tokens of the tokenizer, 0
behind its end; `lengths` int32 `[B]`, special tokens counted; `targets` int32 `[B]`, its label; and
of pairs `segments` int32 `[B, S]`, 0 for the first text, 1 for the second, and 0 behind the end.

The two texts of a pair follow each other as BERT has them (Devlin et al. 2019, section 3),
`[CLS] first [SEP] second [SEP]`, the second [SEP] of segment 1; where the tokenizer has no such
tokens, as the texts with a line end between them.
"""

import functools
from collections.abc import Iterator

import numpy as np

from nlp_models.data import batches
from nlp_models.data.labelled import Labelled
from nlp_models.data.pair_batches import epoch_order, evaluation_rows
from nlp_models.data.pairs import Ragged
from nlp_models.data.pieces import Tokenizer, frame_size
from nlp_models.errors import require


def labelled_batch(
    labelled: Labelled,
    *,
    batch_size: int,
    length: int = 0,
    seed: int,
    step: int,
    process_index: int = 0,
    process_count: int = 1,
) -> dict[str, np.ndarray]:
    """The training batch of a step: each text once an epoch, in an order of the epoch's own.

    Args:
      labelled: the texts, at least one.
      batch_size: B over all processes.
      length: S, special tokens counted; 0 for the longest of these texts. What is longer is cut at
        its end, of a pair the longer text first.
      seed: of the run.
      step: from 0.
      process_index: which share of the batch.
      process_count: how many shares; it must divide `batch_size`.

    Returns:
      The share of the batch, a function of the arguments alone.

    Raises:
      InputError: where there is no text, or S leaves no room for one.
    """
    batches.check_shares(batch_size, process_count)
    require(len(labelled) >= 1, 'the number of training texts', len(labelled), 'must be at least 1')
    share = batch_size // process_count
    places = step * batch_size + process_index * share + np.arange(share)
    return _batch(labelled, epoch_order(places, len(labelled), seed), _length(labelled, length))


def labelled_evaluation_batches(
    labelled: Labelled,
    *,
    batch_size: int,
    length: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Every text once, in order: row r of batch i is text iB + r.

    Args:
      labelled: the texts.
      batch_size: B over all processes; the last batch is filled up with the first text.
      length: S, as in `labelled_batch`.
      process_index: which share of each batch.
      process_count: how many shares.

    Yields:
      Batches of one shape, each with one more entry: `weights` float32 `[B]`, 0 for what a batch is
      filled up with and 1 for the others.
    """
    batches.check_shares(batch_size, process_count)
    length = _length(labelled, length)
    for rows, real in evaluation_rows(len(labelled), batch_size, process_index, process_count):
        yield {**_batch(labelled, rows, length), 'weights': real.astype(np.float32)}


@functools.lru_cache(maxsize=16)
def longest_labelled(labelled: Labelled) -> int:
    """Tokens of the longest text, or pair of texts, special tokens counted."""
    special = _special_tokens(labelled)
    lengths = labelled.first.lengths
    if labelled.second is not None:
        lengths = lengths + labelled.second.lengths
    return int(lengths.max(initial=1)) + special


def cut_pair(first: int, second: int, room: int) -> tuple[int, int]:
    """How much of two texts fits: tokens are taken from the end of the longer until both do.

    Where they have become equally long, the one that was shorter, or else the first, is cut next,
    as the library `tokenizers` does under the name `longest_first`.

    Args:
      first: tokens of the first text.
      second: tokens of the second.
      room: tokens for both together, at least 2.

    Returns:
      (tokens kept of the first, tokens kept of the second).
    """
    if first > second:
        kept = min(first, max(room - second, room - room // 2))
        return kept, min(second, room - kept)
    kept = min(second, max(room - first, room - room // 2))
    return min(first, room - kept), kept


def _length(labelled: Labelled, length: int) -> int:
    """S."""
    if not length:
        return longest_labelled(labelled)
    special = _special_tokens(labelled)
    texts = 1 if labelled.second is None else 2
    should = (
        f'must be at least {special + texts}, for {special} special tokens and one of each text'
    )
    require(length >= special + texts, 'sequence_length', length, should)
    return length


def _special_tokens(labelled: Labelled) -> int:
    """How many tokens of a row are of no text."""
    between = 0 if labelled.second is None else len(_between(labelled.tokenizer))
    return frame_size(labelled.tokenizer) + between


def _is_berts(tokenizer: Tokenizer) -> bool:
    """Whether texts stand between [CLS] and [SEP]."""
    return 'cls' in tokenizer.special and 'sep' in tokenizer.special


def _between(tokenizer: Tokenizer) -> np.ndarray:
    """What stands between the texts of a pair; BERT's way, what is added for the second text."""
    if _is_berts(tokenizer):
        return np.array([tokenizer.special['sep']])
    line_end = tokenizer.encode('\n')
    # A tokenizer of words passes over blanks; the bar is then a word, most often an unknown one.
    return line_end if len(line_end) else tokenizer.encode('|')


def _batch(labelled: Labelled, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """A batch of some texts."""
    tokens = np.zeros((len(rows), length), np.int32)
    segments = np.zeros((len(rows), length), np.int32)
    lengths = np.zeros(len(rows), np.int32)
    room = length - _special_tokens(labelled)
    for row, text in enumerate(rows.tolist()):
        first = _text(labelled.first, text)
        if labelled.second is None:
            ids, start = labelled.tokenizer.frame(first[:room]), length
        else:
            second = _text(labelled.second, text)
            kept, other = cut_pair(len(first), len(second), room)
            ids, start = _join(labelled.tokenizer, first[:kept], second[:other])
        tokens[row, : len(ids)] = ids
        segments[row, start : len(ids)] = 1
        lengths[row] = len(ids)
    batch = {'tokens': tokens, 'lengths': lengths, 'targets': labelled.targets[rows]}
    return batch if labelled.second is None else {**batch, 'segments': segments}


def _join(tokenizer: Tokenizer, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, int]:
    """The two texts of a pair as one row, and where the second segment starts in it."""
    between = _between(tokenizer)
    if _is_berts(tokenizer):
        framed = tokenizer.frame(first)
        return np.concatenate([framed, second, between]), len(framed)
    ids = tokenizer.frame(np.concatenate([first, between, second]))
    # Two texts of one token differ in their frames where the text stands.
    zero, one = (tokenizer.frame(np.array([number])) for number in (0, 1))
    return ids, int(np.argmax(zero != one)) + len(first) + len(between)


def _text(texts: Ragged, index: int) -> np.ndarray:
    """A text's ids."""
    return texts.ids[texts.offsets[index] : texts.offsets[index + 1]]
