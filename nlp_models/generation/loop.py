"""The loop on the device: one token after the other, for all rows of a batch. To be traced."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from nlp_models.generation import stopping
from nlp_models.generation.prompts import Model, read
from nlp_models.generation.sampling import Sampling, penalise, pick
from nlp_models.types import Params, State


class Plan(NamedTuple):
    """What a loop is compiled for.

    Attributes:
      sampling: how tokens are drawn.
      num_tokens: how many, at most.
      room: tokens the state must be able to hold.
      context: tokens that a row can read; None where no row comes to that.
      slides: whether a row that has read them goes on from the last half of them, read anew; it
        ends otherwise.
    """

    sampling: Sampling
    num_tokens: int
    room: int
    context: int | None
    slides: bool


class Given(NamedTuple):
    """What the loop looks up and leaves alone.

    Attributes:
      tokens: of the prompts, `[B, P]` int32.
      lengths: real tokens of each, `[B]` int32.
      key: random key; None where nothing is random.
      first_row: what the rows' numbers, which their keys are folded from, begin with.
      stops: `stopping.table`, or None.
      condition: what `start` is given besides.
    """

    tokens: Any
    lengths: Any
    key: Any
    first_row: Any
    stops: Any
    condition: Any


class Texts(NamedTuple):
    """What is carried from token to token, beside the model's state.

    What nothing asks for is None: greedy decoding is then the model and an argmax.

    Attributes:
      index: tokens drawn so far, int32.
      token: the last token of each row, `[B]` int32; the state has not read it yet.
      drawn: `[B, num_tokens]` int32, the first `index` of them drawn.
      seen: which tokens each row holds, `[B, V]` bool, for the repetition penalty.
      recent: the last tokens drawn, `[B, L]` int32, for stop sequences.
      alive: which rows have not ended, `[B]` bool, where rows may end early.
      counts: tokens that each row has drawn until it ended, `[B]` int32, likewise.
      held: tokens of each row that the state has read, `[B]` int32, where the context may end.
    """

    index: Any
    token: Any
    drawn: Any
    seen: Any
    recent: Any
    alive: Any
    counts: Any
    held: Any


def begin(model: Model, plan: Plan, params: Params, given: Given) -> tuple[State, Texts]:
    """Read the prompts, but for their last tokens.

    Args:
      model: the model.
      plan: the plan.
      params: parameters of the model.
      given: the prompts and the rest.

    Returns:
      What `go_on` goes on from.
    """
    tokens, lengths, stops = jnp.asarray(given.tokens), jnp.asarray(given.lengths), given.stops
    batch_size, rows = len(tokens), jnp.arange(len(tokens))
    state = read(model, params, tokens, lengths, plan.room, given.condition)
    last = tokens[rows, lengths - 1]
    seen = None
    if plan.sampling.repetition_penalty != 1:
        vocab_size = jax.eval_shape(model.apply, params, state, last[:, None])[1].shape[-1]
        real = jnp.arange(tokens.shape[1]) < lengths[:, None]
        seen = jnp.zeros((batch_size, vocab_size), bool)
        seen = seen.at[rows[:, None], jnp.where(real, tokens, vocab_size)].set(True, mode='drop')
    ends = stops is not None or (plan.context is not None and not plan.slides)
    texts = Texts(
        index=jnp.int32(0),
        token=last,
        drawn=jnp.zeros((batch_size, plan.num_tokens), jnp.int32),
        seen=seen,
        recent=None if stops is None else jnp.full((batch_size, stops.shape[1]), stopping.NOTHING),
        alive=jnp.ones(batch_size, bool) if ends else None,
        counts=jnp.zeros(batch_size, jnp.int32) if ends else None,
        held=None if plan.context is None else lengths - 1,
    )
    return state, texts


def go_on(
    model: Model, plan: Plan, params: Params, given: Given, state: State, texts: Texts, limit: Any
) -> tuple[State, Texts]:
    """Draw tokens until there are `limit` of them in all, or every row has ended.

    Args:
      model: the model.
      plan: the plan.
      params: parameters of the model.
      given: the prompts and the rest.
      state: the model's.
      texts: the rest of what is carried.
      limit: int32.

    Returns:
      State and texts after.
    """
    keys = None
    if not plan.sampling.greedy:
        rows = given.first_row + jnp.arange(len(given.tokens))
        keys = jax.vmap(jax.random.fold_in, (None, 0))(given.key, rows)

    def unfinished(carry):
        texts = carry[1]
        more = texts.index < limit
        return more if texts.alive is None else more & jnp.any(texts.alive)

    def in_window(carry):
        return unfinished(carry) & ~jnp.any(_full(plan, carry[1]))

    def draw(carry):
        return _draw(model, plan, params, given.stops, keys, *carry)

    def slide(carry):
        return _slide(model, plan, params, given, *carry)

    def window(carry):
        carry = lax.while_loop(in_window, draw, carry)
        return lax.cond(unfinished(carry), slide, lambda carry: carry, carry)

    one = window if plan.slides else draw
    return lax.while_loop(unfinished, one, (state, texts))


def _draw(
    model: Model, plan: Plan, params: Params, stops: Any, keys: Any, state: State, texts: Texts
) -> tuple[State, Texts]:
    """One token for every row."""
    index, alive, bounded = texts.index, texts.alive, plan.context is not None
    # A row that has ended reads nothing where it might read too much.
    lengths = alive.astype(jnp.int32) if bounded and alive is not None else None
    state, logits = model.apply(params, state, texts.token[:, None], lengths=lengths)
    logits = logits[:, 0]
    if texts.seen is not None:
        logits = penalise(logits, texts.seen, plan.sampling.repetition_penalty)
    if keys is not None:
        keys = jax.vmap(jax.random.fold_in, (0, None))(keys, index)
    token = pick(logits, keys, plan.sampling)
    drawn = lax.dynamic_update_slice(texts.drawn, token[:, None], (0, index))
    new = texts._replace(index=index + 1, token=token, drawn=drawn)
    if texts.seen is not None:
        new = new._replace(seen=texts.seen.at[jnp.arange(len(token)), token].set(True))
    if bounded:
        new = new._replace(held=texts.held + (1 if lengths is None else lengths))
    if alive is not None:
        new = new._replace(counts=texts.counts + alive)
        if stops is not None:
            recent = jnp.concatenate([texts.recent[:, 1:], token[:, None]], axis=1)
            alive &= ~stopping.matched(recent, stops)
            new = new._replace(recent=recent)
        if bounded and not plan.slides:
            alive &= new.held < plan.context
        new = new._replace(alive=alive)
    return state, new


def _full(plan: Plan, texts: Texts) -> Bool[Array, 'B']:
    """Which rows cannot read their next token."""
    full = texts.held >= plan.context
    return full if texts.alive is None else full & texts.alive


def _slide(
    model: Model, plan: Plan, params: Params, given: Given, state: State, texts: Texts
) -> tuple[State, Texts]:
    """Rows that are full go on from the last half of what they can read; the others stay."""
    full = _full(plan, texts)
    kept = max(1, (plan.context or 0) // 2) - 1  # all of it but the last token, still to be read
    tokens = jnp.concatenate([given.tokens, texts.drawn], axis=1)
    begin = given.lengths + texts.index - 1 - kept
    places = begin[:, None] + jnp.arange(kept)
    # What has been drawn does not lie right behind a prompt but behind its padding.
    padding = given.tokens.shape[1] - given.lengths[:, None]
    places = jnp.where(places < given.lengths[:, None], places, places + padding)
    fresh = model.start(params, len(tokens), plan.room)
    if kept > 0:
        window = jnp.take_along_axis(tokens, jnp.maximum(places, 0), axis=1)
        fresh, _ = model.apply(params, fresh, window)

    def choose(new, old):
        return jnp.where(full.reshape(-1, *[1] * (old.ndim - 1)), new, old)

    state = jax.tree.map(choose, fresh, state)
    return state, texts._replace(held=jnp.where(full, kept, texts.held))
