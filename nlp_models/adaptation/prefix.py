"""Prefix tuning: the state that a model begins its texts from, learned.

For a transformer these are keys and values of P tokens that no text has (Li & Liang 2021), for a
recurrent network its h_0.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlp_models import trees
from nlp_models.attention.cache import KVCache
from nlp_models.errors import InputError, require
from nlp_models.types import Key, LanguageModel, Params, State

NAME = 'prefix'  # the subtree of the parameters that holds the state


class _Rows(NamedTuple):
    """The state of a batch before its first token, from which nothing will be handed on."""

    state: State


def begin(model: LanguageModel, params: Params, key: Key, length: int, vocab_size: int) -> Params:
    """The state that the learning starts from.

    A recurrent network's is its own h_0, so that before the first step it computes what it did. No
    keys and values leave attention as it is: a transformer's are those after P tokens drawn at
    random, so that it computes what the model without prefix does after these tokens. Li & Liang
    (section 7.4) find that states of real words are a better start than noise.

    Args:
      model: without prefix.
      params: its parameters.
      key: random key.
      length: P, how many tokens.
      vocab_size: V, what they are drawn from.

    Returns:
      The arrays of the state for one text, by path.
    """
    state = model.start(params, 1, length)
    if _has_cache(state):
        state, _ = model.apply(params, state, draw(key, length, vocab_size))
    return trees.unflatten(_learned(state))


def draw(key: Key, length: int, vocab_size: int) -> jax.Array:
    """The tokens `[1, P]` int32 whose state `begin` takes of a transformer."""
    return jax.random.randint(key, (1, length), 0, vocab_size, jnp.int32)


def extend(model: LanguageModel, *, length: int, vocab_size: int) -> LanguageModel:
    """A language model that begins every text from a learned state.

    Args:
      model: without prefix.
      length: P, of the context that is taken up by the prefix.
      vocab_size: V.

    Returns:
      The model, with the parameters of the other and `prefix`.

    Raises:
      InputError: for a model that has no room for it.
    """
    most = '' if model.context is None else f' and at most {model.context - 1}'
    fits = length >= 1 and (model.context is None or length < model.context)
    require(fits, 'model.prefix_length', length, f'must be at least 1{most}')

    def init(key: Key) -> Params:
        params = model.init(key)
        return {
            **params,
            NAME: begin(model, params, jax.random.fold_in(key, 1), length, vocab_size),
        }

    def start(params: Params, batch_size: int, max_length: int = 0) -> State:
        shapes = jax.eval_shape(lambda p: model.start(p, 1, length), params)
        one = _fill(shapes, trees.flatten(params[NAME]))
        rows = jax.tree.map(lambda a: jnp.broadcast_to(a, (batch_size, *a.shape[1:])), one)
        rows = _caches(rows, lambda c: c._replace(length=jnp.full(batch_size, length, jnp.int32)))
        if not _has_cache(rows):
            return rows
        return _widen(rows, max_length) if max_length else _Rows(rows)

    def run(function: Any) -> Any:
        def apply(params: Params, state: State, tokens: Any, *, lengths=None, key=None):
            if not isinstance(state, _Rows):
                return function(params, state, tokens, lengths=lengths, key=key)
            room = _widen(state.state, tokens.shape[1])
            state, y = function(params, room, tokens, lengths=lengths, key=key)
            return state, y

        return apply

    context = None if model.context is None else model.context - length
    vectors = None if model.vectors is None else run(model.vectors)
    return LanguageModel(init, start, run(model.apply), context, vectors)


def _is_cache(node: Any) -> bool:
    return isinstance(node, KVCache)


def _has_cache(state: State) -> bool:
    return any(map(_is_cache, jax.tree.leaves(state, is_leaf=_is_cache)))


def _caches(state: State, function: Any) -> State:
    """A state with a function applied to each of its key/value caches."""
    return jax.tree.map(lambda n: function(n) if _is_cache(n) else n, state, is_leaf=_is_cache)


def _widen(state: State, tokens: int) -> State:
    """The same state with room for more tokens in its caches."""
    more = [(0, 0), (0, 0), (0, tokens), (0, 0)]
    return _caches(state, lambda c: c._replace(k=jnp.pad(c.k, more), v=jnp.pad(c.v, more)))


def _learned(state: State) -> dict[str, jax.Array]:
    """The arrays of real numbers in a state, by path, in float32 as all parameters are."""
    leaves = trees.flatten(state)
    real = {path: a for path, a in leaves.items() if jnp.issubdtype(a.dtype, jnp.floating)}
    return {path: a.astype(jnp.float32) for path, a in real.items()}


def _fill(shapes: State, learned: dict[str, jax.Array]) -> State:
    """A state of these shapes with the learned arrays in it, and zeros elsewhere."""

    def fill(path: str, leaf: Any) -> jax.Array:
        if path not in learned:
            return jnp.zeros(leaf.shape, leaf.dtype)
        if learned[path].shape != leaf.shape:
            raise InputError(
                f'prefix/{path} is {list(learned[path].shape)}, not {list(leaf.shape)}: it was '
                'learned for another model'
            )
        return learned[path].astype(leaf.dtype)

    return trees.map_with_path(fill, shapes)
