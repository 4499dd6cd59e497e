"""Reading the n-gram trie: next-token probabilities behind the three functions, in JAX.

Integers are int32 and shapes are static, so all of it compiles. Two ideas carry it:

- *Every place starts a gram.* Let one node per place of the text read, at first the empty gram,
  step down the trie together, each by its own next token. After k steps, the node of the place
  k−1 tokens back is the context of k tokens that ends here. So n−1 steps find all contexts of all
  places.
- *A window as wide as the widest context.* The words that have followed a context are a contiguous
  range of its order's table. A window of fixed width is read from where the range begins, and what
  lies beyond its end is dropped.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nlp_models.errors import InputError
from nlp_models.ngram.counting import check_sizes, fit
from nlp_models.types import Key, LanguageModel, Params

# Distributions made at once: enough of them to fill vectors, few enough to stay in cache.
_CHUNK_ELEMENTS = 2**20


def build(order: int, vocab_size: int) -> LanguageModel:
    """The n-gram language model as three functions; `fit` makes its parameters.

    - `init(key)` draws nothing: an n-gram has no random parameters. It returns those of the model
      that has seen no text, `fit` of nothing, for which every token has probability 1/V. The
      tables of a fitted model are larger; restore a checkpoint by its own shapes, not by these.
    - `start(params, batch_size, max_length=0)` returns the last n−1 tokens, `[B, n−1]` int32, all
      −1: nothing before. −1 is in no gram, so the first tokens are predicted by the lower orders.
    - `apply(params, state, tokens, *, lengths=None, key=None)` returns the tokens to remember and
      log p(w | the last n−1 tokens up to and including t), `[B, T, V]` float32, in nats; these are
      already normalised, so `log_softmax` leaves them as they are. A token outside [0, V) is like
      one never seen. `key` is not used: nothing is random.

    Args:
      order: n, the length of the longest gram, in tokens.
      vocab_size: V.

    Returns:
      The model; `context` is None, since it reads on for ever. `apply` raises `InputError` where
      its parameters were fitted for another order or vocabulary.

    Raises:
      InputError: order or vocab_size below 1.
    """
    check_sizes(order, vocab_size)

    def init(key: Key) -> Params:
        del key
        return fit(np.zeros(0, np.int32), order=order, vocab_size=vocab_size)

    def start(params: Params, batch_size: int, max_length: int = 0) -> Int[Array, 'B memory']:
        del params, max_length
        return jnp.full((batch_size, order - 1), -1, jnp.int32)

    def apply(
        params: Params,
        state: Int[Array, 'B memory'],
        tokens: Int[Array, 'B T'],
        *,
        lengths: Int[Array, ' B'] | None = None,
        key: Key | None = None,
    ) -> tuple[Int[Array, 'B memory'], Float[Array, 'B T V']]:
        del key
        levels = _levels(params, order, vocab_size)
        batch_size, length = tokens.shape
        read = jnp.concatenate([state, tokens.astype(jnp.int32)], axis=1)  # [B, n−1+T]

        contexts = _contexts(levels, read)  # [B, T, n]
        # Orders 0 and 1 look at no context: they are the same for every place.
        uniform = jnp.asarray(params['order_0']['distribution'])
        unigram = _interpolate(levels[0], jnp.int32(0), uniform)

        def log_probabilities(context: Int[Array, ' order']) -> Float[Array, ' V']:
            p = unigram
            for k in range(1, order):
                p = _interpolate(levels[k], context[k], p)
            return jnp.log(p)

        logits = jax.lax.map(
            log_probabilities,
            contexts.reshape(batch_size * length, order),
            batch_size=max(1, min(_CHUNK_ELEMENTS // vocab_size, batch_size * length)),
        )
        if lengths is None:
            lengths = jnp.full(batch_size, length, jnp.int32)
        last = lengths[:, None] + jnp.arange(order - 1, dtype=jnp.int32)[None]
        state = jnp.take_along_axis(read, last, axis=1)
        return state, logits.reshape(batch_size, length, vocab_size)

    return LanguageModel(init, start, apply, context=None)


def _levels(params: Params, order: int, vocab_size: int) -> list[dict[str, Array]]:
    """The tables of orders 1..n, from parameters that must have been fitted for this model."""
    fitted = (len(params) - 1, params['order_0']['distribution'].shape[0])
    if fitted != (order, vocab_size):
        raise InputError(
            f'the parameters are of order {fitted[0]} over {fitted[1]} tokens, the model is of '
            f'order {order} over {vocab_size}: fit and build must agree'
        )
    return [jax.tree.map(jnp.asarray, params[f'order_{k}']) for k in range(1, order + 1)]


def _contexts(
    levels: list[dict[str, Array]], read: Int[Array, 'B places']
) -> Int[Array, 'B T order']:
    """Finds the contexts of 0..n−1 tokens that end at each new token.

    Args:
      levels: the tables of orders 1..n.
      read: the n−1 tokens before, and the T new ones.

    Returns:
      At [b, t, k], the number, among the grams of k tokens, of the one that ends at new token t;
      that of "a gram never seen" where the model's text did not hold it.
    """
    order = len(levels)
    # By the place where a gram starts: the last T columns are those that end at the new tokens.
    node = jnp.zeros((read.shape[0], read.shape[1] + 1), jnp.int32)  # the empty gram, k = 0
    found = [node[:, order:]]
    for k in range(1, order):
        node = _child(levels[k - 1], node[:, :-1], read[:, k - 1 :])
        found.append(node[:, order - k :])
    return jnp.stack(found, axis=2)


def _child(
    level: dict[str, Array], context: Int[Array, 'B places'], token: Int[Array, 'B places']
) -> Int[Array, 'B places']:
    """Steps from contexts to the grams that extend them by one token, by binary search.

    Args:
      level: the table of the grams to find.
      context: the numbers of their contexts.
      token: their last words.

    Returns:
      Their numbers; that of "a gram never seen" where there is none.
    """
    begin, end = level['first'][context], level['first'][context + 1]

    def halve(_: Int[Array, ''], bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = low + (high - low) // 2  # low + high could pass 2^31
        below = (low < high) & (level['token'][middle] < token)
        return jnp.where(below, middle + 1, low), jnp.where(below, high, middle)

    num_halvings = level['window'].shape[0].bit_length()
    found, _ = jax.lax.fori_loop(0, num_halvings, halve, (begin, end))
    is_gram = (found < end) & (level['token'][found] == token)
    return jnp.where(is_gram, found, level['token'].shape[0] - 1)


def _interpolate(
    level: dict[str, Array], context: Int[Array, ''], lower: Float[Array, ' V']
) -> Float[Array, ' V']:
    """One order of the recursion: p_k(·|h) = mass(h·) + γ(h) p_{k−1}(·|h').

    Args:
      level: the table of order k.
      context: the number of h.
      lower: p_{k−1}(·|h').

    Returns:
      p_k(·|h); `lower` itself where nothing has followed h.
    """
    begin, end = level['first'][context], level['first'][context + 1]
    gram = begin + level['window']
    # Past the range's end, write past the vocabulary's end, where `drop` drops it. Never the same
    # place twice and always rising: XLA may then skip its care for collisions.
    vocab_size = lower.shape[0]
    word = jnp.where(
        gram < end, level['token'].at[gram].get(mode='clip'), vocab_size + level['window']
    )
    return (
        (level['backoff'][context] * lower)
        .at[word]
        .add(
            level['mass'].at[gram].get(mode='clip'),
            mode='drop',
            indices_are_sorted=True,
            unique_indices=True,
        )
    )
