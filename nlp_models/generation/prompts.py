"""Ragged prompts read into a model's state by one `apply`, for whatever goes on from there."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nlp_models import trees
from nlp_models.errors import InputError, require
from nlp_models.types import LanguageModel, Params, Seq2Seq, State

Model = LanguageModel | Seq2Seq
Condition = dict[str, Any]  # what `start` is given besides, with one row a prompt

LEAST_WIDTH = 8  # narrower batches of prompts are padded to it


class Prompts(NamedTuple):
    """A batch of prompts.

    Attributes:
      tokens: `[B, W + 1]` int32, padded on the right; W is a power of two, the model's context, or
        0, so that prompts of many lengths share few compiled programs.
      lengths: real tokens of each row `[B]` int32.
    """

    tokens: np.ndarray
    lengths: np.ndarray

    def room(self, num_tokens: int, context: int | None) -> int:
        """What a state must be able to hold to go on by some tokens, as far as the context goes."""
        room = self.tokens.shape[1] - 1 + num_tokens
        return room if context is None else min(room, context)


def pad(model: Model, prompts: Sequence[np.ndarray], condition: Condition) -> Prompts:
    """Check prompts and lay them side by side.

    Args:
      model: the model that is to read them.
      prompts: token ids, one array a row.
      condition: what `start` will be given besides.

    Returns:
      The batch.

    Raises:
      InputError: for a prompt that is empty or longer than the model can read, and for a condition
        that has another number of rows or a source that is too long.
    """
    for prompt in prompts:
        if len(prompt) == 0:
            raise InputError('the prompt is empty: it needs at least one token to go on from')
        _fits('prompt', len(prompt), model.context)
    for name, rows in condition.items():
        if rows is not None:
            should = f'must be that of the prompts, {len(prompts)}'
            require(len(rows) == len(prompts), f'number of rows of {name}', len(rows), should)
    if isinstance(model, Seq2Seq) and 'source' in condition:
        _fits('source', condition['source'].shape[1], model.source_context)
    lengths = np.asarray([len(prompt) for prompt in prompts], np.int32)
    tokens = np.zeros((len(prompts), _width(int(lengths.max()) - 1, model.context) + 1), np.int32)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt)] = prompt
    return Prompts(tokens, lengths)


def _fits(name: str, length: int, most: int | None) -> None:
    if most is not None and length > most:
        raise InputError(f'the {name} has {length} tokens: the model reads at most {most}')


def _width(length: int, context: int | None) -> int:
    """The next power of two, as far as the context goes."""
    if length == 0:
        return 0
    width = max(LEAST_WIDTH, 1 << (length - 1).bit_length())
    return width if context is None else min(width, context)


def read(
    model: Model, params: Params, tokens: Any, lengths: Any, room: int, condition: Condition
) -> State:
    """The state after all of each prompt but its last token; to be traced.

    The last token is for the loop that goes on to read: it wants logits. Nobody looks at those of
    the others, so the head, which for a large vocabulary is much of the work and most of the
    memory, is left out of the compiled program.

    Args:
      model: the model.
      params: its parameters.
      tokens: `Prompts.tokens`.
      lengths: `Prompts.lengths`.
      room: what the state must be able to hold.
      condition: what `start` is given besides.

    Returns:
      The state.
    """
    state = model.start(params, len(tokens), room, **condition)
    if tokens.shape[1] > 1:
        state, _ = model.apply(params, state, tokens[:, :-1], lengths=lengths - 1)
    return state


def state_bytes(
    model: Model,
    params: Params,
    batch_size: int,
    length: int,
    condition: Condition | None = None,
) -> int:
    """What a model keeps of a batch of texts while it goes on with them, in bytes.

    Args:
      model: the model.
      params: its parameters.
      batch_size: B.
      length: tokens of each text.
      condition: what `start` is given besides, as arrays or their shapes.

    Returns:
      Bytes of the state; nothing is computed.
    """

    def start(params: Params, condition: Condition) -> State:
        return model.start(params, batch_size, length, **condition)

    return trees.num_bytes(jax.eval_shape(start, params, condition or {}))
