"""Beam search: the likeliest texts rather than likely tokens, for a batch of prompts at once."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from nlp_models.errors import require
from nlp_models.generation.prompts import Condition, Model, pad, read
from nlp_models.types import Params, Seq2Seq, State

NEVER = -1  # no token: an end that does not come


class Beams(NamedTuple):
    """The best texts found for a prompt, the best first.

    Attributes:
      tokens: token ids of each, int32, without the prompt and the end.
      scores: of each, float32; log p (in nats, of all tokens and of the end, where it came) over
        (their number, the end included) to the power of the length penalty.
    """

    tokens: list[np.ndarray]
    scores: np.ndarray


class _Texts(NamedTuple):
    """W texts for each of B prompts: still being written, or finished.

    Attributes:
      tokens: `[B, W, N]` int32.
      lengths: how many of them are the text's `[B, W]` int32; what follows has no meaning.
      scores: `[B, W]` float32, log p while they are being written; −∞ for no text.
    """

    tokens: Int[Array, 'B W N']
    lengths: Int[Array, 'B W']
    scores: Float[Array, 'B W']


class _Search(NamedTuple):
    """What is carried from token to token; `token` `[B·W]` is the last one of each running text."""

    index: Int[Array, '']
    state: State
    token: Int[Array, 'rows']
    running: _Texts
    finished: _Texts


def beam_search(
    model: Model,
    params: Params,
    prompts: Sequence[np.ndarray],
    *,
    num_beams: int,
    num_tokens: int,
    end: int | None,
    length_penalty: float = 1.0,
    condition: Condition | None = None,
) -> list[Beams]:
    """Search for the texts of the highest score, log p(y | prompt) / |y|^α.

    At each step every running text is continued by every token. Of the W best continuations, those
    that end go to the pool of the W best finished texts; the W best of those that do not end run
    on. A text that has come to `num_tokens` is finished, end or no end. The search for a prompt
    ends when no running text can come to beat the pool: log p only falls, so what a text now at log
    p may yet score is at most log p over the largest |y|^α to come.

    The score is the one that Hugging Face uses; Wu et al. 2016, equation 14, divides by
    ((5 + |y|) / 6)^α instead. W = 1 with α = 0 is greedy decoding.

    Args:
      model: the model.
      params: its parameters.
      prompts: token ids, one array a row.
      num_beams: W.
      num_tokens: the length of the longest text, its end included. A sequence-to-sequence model's
        texts end where its context does.
      end: the token that ends a text; None where there is none.
      length_penalty: α; 0 compares probabilities, 1 those of a token on average; below 0, short
        texts are preferred still more.
      condition: what `model.start` is given besides, with a row a prompt: `source` and
        `source_lengths` of a `Seq2Seq`.

    Returns:
      For each prompt the W best texts found, fewer where there are no more.

    Raises:
      InputError: for a prompt that is empty or too long, or a setting out of range; for a language
        model, too, where prompt and `num_tokens` exceed its context.
    """
    require(num_beams >= 1, 'num_beams', num_beams, 'must be at least 1')
    require(num_tokens >= 1, 'num_tokens', num_tokens, 'must be at least 1')
    require(end is None or end >= 0, 'end', end, 'must be a token id, or None')
    finite = math.isfinite(length_penalty)
    require(finite, 'length_penalty', length_penalty, 'must be finite')
    if len(prompts) == 0:
        return []
    condition = condition or {}
    batch = pad(model, prompts, condition)
    limits = np.full(len(prompts), num_tokens, np.int32)
    if model.context is not None:
        most = model.context - batch.lengths + 1  # the last token is not read
        if isinstance(model, Seq2Seq):
            limits = np.minimum(limits, most)
        least, longest = int(most.min()), int(batch.lengths.max())
        require(
            isinstance(model, Seq2Seq) or num_tokens <= least,
            'num_tokens',
            num_tokens,
            f'must be at most {least} after a prompt of {longest} tokens: '
            f'the model reads at most {model.context}',
        )
    tokens, lengths, scores = jax.device_get(
        _search(
            model,
            num_beams,
            num_tokens,
            batch.room(num_tokens, model.context),
            bool(np.any(limits != limits[0])),
            params,
            *batch,
            limits,
            NEVER if end is None else end,
            length_penalty,
            condition,
        )
    )
    found = []
    for row in range(len(prompts)):
        real = np.isfinite(scores[row])
        texts = zip(tokens[row][real], lengths[row][real], strict=True)
        found.append(Beams([text[:length] for text, length in texts], scores[row][real]))
    return found


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _search(
    model: Model,
    num_beams: int,
    num_tokens: int,
    room: int,
    uneven: bool,
    params: Params,
    tokens: Any,
    lengths: Any,
    limits: Any,
    end: Any,
    alpha: Any,
    condition: Condition,
) -> _Texts:
    """All of it; row b's texts have at most `limits[b]` tokens, `uneven` where these differ."""
    batch_size = len(tokens)
    shape, first = (batch_size, num_beams), jnp.arange(num_beams) == 0
    nothing = _Texts(
        jnp.zeros((*shape, num_tokens), jnp.int32),
        jnp.zeros(shape, jnp.int32),
        jnp.full(shape, -jnp.inf),
    )
    state = read(model, params, tokens, lengths, room, condition)
    carry = _Search(
        jnp.int32(0),
        jax.tree.map(lambda a: jnp.repeat(a, num_beams, axis=0), state),
        jnp.repeat(jnp.take_along_axis(tokens, lengths[:, None] - 1, axis=1)[:, 0], num_beams),
        nothing._replace(scores=jnp.where(first, jnp.zeros(shape), -jnp.inf)),
        nothing,
    )

    def hopeful(search: _Search) -> Array:
        """Which prompts have a running text that can come to beat the worst finished one."""
        longest = jnp.maximum((search.index + 1.0) ** alpha, limits.astype(jnp.float32) ** alpha)
        best = jnp.max(search.running.scores, axis=-1) / longest
        return best > jnp.min(search.finished.scores, axis=-1)

    def step(search: _Search) -> _Search:
        reads = None
        if uneven:  # some prompts are done before others: they must not read on
            alive = jnp.any(search.running.scores > -jnp.inf, axis=-1)
            reads = jnp.repeat(alive.astype(jnp.int32), num_beams)
        state, logits = model.apply(params, search.state, search.token[:, None], lengths=reads)
        log_p = jax.nn.log_softmax(logits[:, 0]).reshape(*shape, -1)
        parents, new, texts = _continuations(search.running, log_p, search.index)
        ended = new == end
        length = search.index + 1
        # Those that end, among the W best; without their end, which is not a part of the text.
        finishing = texts._replace(
            lengths=texts.lengths - 1,
            scores=jnp.where(
                ended & (jnp.arange(new.shape[1]) < num_beams), texts.scores, -jnp.inf
            ),
        )
        ids, running = _best(
            texts._replace(scores=jnp.where(ended, -jnp.inf, texts.scores)), num_beams
        )
        at_limit = (length == limits)[:, None]
        cut_off = running._replace(scores=jnp.where(at_limit, running.scores, -jnp.inf))
        power = length.astype(jnp.float32) ** alpha
        newly = jax.tree.map(lambda *a: jnp.concatenate(a, axis=1), finishing, cut_off)
        newly = newly._replace(scores=newly.scores / power)
        pool = jax.tree.map(lambda *a: jnp.concatenate(a, axis=1), search.finished, newly)
        _, finished = _best(pool, num_beams)
        running = running._replace(scores=jnp.where(at_limit, -jnp.inf, running.scores))
        if num_beams > 1:
            parents = jnp.take_along_axis(parents, ids, axis=1)
            rows = (jnp.arange(batch_size)[:, None] * num_beams + parents).reshape(-1)
            # What `apply` hands on untouched is the same for all texts of a prompt.
            state = jax.tree.map(lambda a, old: a if a is old else a[rows], state, search.state)
        token = jnp.take_along_axis(new, ids, axis=1).reshape(-1)
        return _Search(length, state, token, running, finished)

    return lax.while_loop(lambda s: jnp.any(hopeful(s)), step, carry).finished


def _continuations(
    running: _Texts, log_p: Float[Array, 'B W V'], index: Int[Array, '']
) -> tuple[Int[Array, 'B C'], Int[Array, 'B C'], _Texts]:
    """The 2W best continuations by one token: of them at least W do not end.

    Args:
      running: the texts to continue.
      log_p: of each next token.
      index: their length.

    Returns:
      (which text each continues, the new token, the texts with it); the best first.
    """
    batch_size, num_beams, vocab_size = log_p.shape
    scores = (running.scores[..., None] + log_p).reshape(batch_size, -1)
    scores, ids = lax.top_k(scores, min(2 * num_beams, scores.shape[1]))
    parents, new = ids // vocab_size, ids % vocab_size
    tokens = jnp.take_along_axis(running.tokens, parents[..., None], axis=1)
    tokens = lax.dynamic_update_slice(tokens, new[..., None], (0, 0, index))
    return parents, new, _Texts(tokens, jnp.full(new.shape, index + 1), scores)


def _best(texts: _Texts, number: int) -> tuple[Int[Array, 'B number'], _Texts]:
    """The texts of the highest scores, in order; of equals the first."""
    scores, ids = lax.top_k(texts.scores, number)
    chosen = jnp.take_along_axis(texts.tokens, ids[..., None], axis=1)
    return ids, _Texts(chosen, jnp.take_along_axis(texts.lengths, ids, axis=1), scores)
