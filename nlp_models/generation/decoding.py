"""Token by token: text out of any language model, through its three functions alone."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from nlp_models.errors import require
from nlp_models.generation import loop, stopping
from nlp_models.generation.loop import Given, Plan
from nlp_models.generation.prompts import Condition, Model, pad
from nlp_models.generation.sampling import Sampling
from nlp_models.types import Key, Params, Seq2Seq

# Of one text and in pieces. The state is nobody else's, so its memory is used again on every kind
# of device: on a CPU, a call that finds 42 MB of keys and values takes 0.3 ms more, not 2.7.
_begin = jax.jit(loop.begin, static_argnums=(0, 1))
_go_on = jax.jit(loop.go_on, static_argnums=(0, 1), donate_argnames='state')


@partial(jax.jit, static_argnums=(0, 1))
def _at_once(model: Model, plan: Plan, params: Params, given: Given) -> tuple[Any, Any]:
    """The tokens drawn `[B, num_tokens]`, and how many of each row's count `[B]`; None for all."""
    state, texts = loop.begin(model, plan, params, given)
    _, texts = loop.go_on(model, plan, params, given, state, texts, plan.num_tokens)
    return texts.drawn, texts.counts


def _prepare(
    model: Model,
    prompts: Sequence[np.ndarray],
    num_tokens: int,
    key: Key | None,
    sampling: Sampling,
    stop: stopping.Stops,
    condition: Condition | None,
    first_row: int,
) -> tuple[Plan, Given]:
    """Check what was asked for and decide what has to be compiled."""
    require(num_tokens >= 1, 'num_tokens', num_tokens, 'must be at least 1')
    require(
        sampling.greedy or key is not None, 'key', key, 'must be given where temperature is above 0'
    )
    stops, condition = stopping.table(stop), condition or {}
    batch, context = pad(model, prompts, condition), model.context
    if context is not None and batch.lengths.max() - 1 + num_tokens <= context:
        context = None  # no row comes to its end
    plan = Plan(
        sampling,
        num_tokens,
        room=batch.room(num_tokens, model.context),
        context=context,
        slides=context is not None and not isinstance(model, Seq2Seq),
    )
    key = None if sampling.greedy else key
    return plan, Given(*batch, key, first_row, stops, condition)


def generate(
    model: Model,
    params: Params,
    prompts: Sequence[np.ndarray],
    *,
    num_tokens: int,
    key: Key | None = None,
    sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
    stop: stopping.Stops = (),
    condition: Condition | None = None,
    first_row: int = 0,
) -> list[np.ndarray]:
    """Go on with a batch of prompts; each row is as if it were alone.

    All prompts are read by one `apply`, then tokens are drawn in a loop on the device, which ends
    with the last row. A language model of bounded context that comes to its end goes on from the
    last half of it, read anew; a sequence-to-sequence model's text ends there.

    Args:
      model: the model.
      params: its parameters.
      prompts: token ids, one array a row, of any lengths from 1 to the model's context. What a
        sequence-to-sequence model starts with is its prompt.
      num_tokens: how many to add, at most.
      key: random key; the same key gives the same texts. Row b draws its token i with a key folded
        from `first_row` + b and i. None will do where the temperature is 0.
      sampling: how tokens are drawn. The repetition penalty counts prompt and drawn tokens.
      stop: token sequences that end a row when it has drawn them; an end-of-text token is one of
        length 1. What of it lies in the prompt does not count.
      condition: what `model.start` is given besides, with a row a prompt: `source` and
        `source_lengths` of a `Seq2Seq`.
      first_row: number of the first row, for its keys: row b by itself, with `first_row=b`, is the
        row that it is in the batch.

    Returns:
      The tokens drawn for each row, int32, without prompt and stop sequence.

    Raises:
      InputError: for a prompt that is empty or too long, or a setting out of range.
    """
    if len(prompts) == 0:
        return []
    plan, given = _prepare(model, prompts, num_tokens, key, sampling, stop, condition, first_row)
    drawn, counts = jax.device_get(_at_once(model, plan, params, given))
    counts = [num_tokens] * len(drawn) if counts is None else counts
    return [stopping.cut(row[:count], stop) for row, count in zip(drawn, counts, strict=True)]


def stream(
    model: Model,
    params: Params,
    prompt: np.ndarray,
    *,
    num_tokens: int,
    every: int = 8,
    key: Key | None = None,
    sampling: Sampling = Sampling(),  # noqa: B008 (frozen)
    stop: stopping.Stops = (),
    condition: Condition | None = None,
) -> Iterator[np.ndarray]:
    """The tokens that `generate` draws for one prompt, in pieces as they come.

    Args:
      model: the model.
      params: its parameters.
      prompt: token ids.
      num_tokens: how many to add, at most.
      every: tokens that are drawn on the device before they are handed out. What may be the
        beginning of a stop sequence is held back until that is known.
      key: see `generate`.
      sampling: see `generate`.
      stop: see `generate`.
      condition: see `generate`; one row.

    Returns:
      The pieces, int32, none of them empty.

    Raises:
      InputError: as `generate`, at once and not at the first piece.
    """
    require(every >= 1, 'every', every, 'must be at least 1')
    plan, given = _prepare(model, [prompt], num_tokens, key, sampling, stop, condition, 0)
    params = jax.device_put(params)  # once, not for every piece

    def pieces() -> Iterator[np.ndarray]:
        state, texts = _begin(model, plan, params, given)
        limit, told, alive = 0, 0, True
        while alive and limit < num_tokens:
            limit = min(limit + every, num_tokens)
            state, texts = _go_on(model, plan, params, given, state, texts, limit)
            alive = texts.alive is None or bool(texts.alive[0])
            row = np.asarray(texts.drawn)[0, : int(texts.index)]
            if alive and limit < num_tokens:
                row = row[: len(row) - stopping.undecided(row, stop)]
            else:
                row = stopping.cut(row, stop)
            if len(row) > told:
                yield row[told:]
            told = len(row)

    return pieces()
