"""Token by token: sampling from a model, whatever its family."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from nlp_models.errors import InputError, require
from nlp_models.types import Key, LanguageModel, Params


def pick(
    logits: Float[Array, 'B V'], key: Key, *, temperature: float = 1.0, top_k: int = 0
) -> Int[Array, 'B']:
    """Draw a token from softmax(logits / temperature), among the k likeliest.

    Args:
      logits: `[B, V]`.
      key: random key.
      temperature: 0 takes the likeliest token.
      top_k: how many tokens may be drawn; 0 for all. Ties with the k-th stay in.

    Returns:
      `[B]` int32.
    """
    if temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    if 0 < top_k < logits.shape[-1]:
        least = lax.top_k(logits, top_k)[0][:, -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return jax.random.categorical(key, logits / temperature).astype(jnp.int32)


def generate(
    model: LanguageModel,
    params: Params,
    prompt: np.ndarray,
    *,
    num_tokens: int,
    key: Key,
    temperature: float = 1.0,
    top_k: int = 0,
) -> np.ndarray:
    """Continue a prompt.

    The prompt is read in one `apply`, then tokens are drawn one by one on the device. A model of
    bounded context that reaches its end goes on from the last half of it, read anew.

    Args:
      model: the model.
      params: its parameters.
      prompt: token ids `[P]`, at least one.
      num_tokens: how many to add.
      key: random key; the same key gives the same text.
      temperature: see `pick`.
      top_k: see `pick`.

    Returns:
      int32 `[num_tokens]`, without the prompt.

    Raises:
      InputError: for an empty prompt or a setting out of range.
    """
    if len(prompt) == 0:
        raise InputError('the prompt is empty: it needs at least one token to go on from')
    require(num_tokens >= 1, 'num_tokens', num_tokens, 'must be at least 1')
    require(temperature >= 0, 'temperature', temperature, 'must be at least 0')
    require(top_k >= 0, 'top_k', top_k, 'must be at least 0')
    draw = partial(pick, temperature=temperature, top_k=top_k)

    @partial(jax.jit, static_argnames='count')
    def extend(params: Any, text: jax.Array, key: Key, count: int) -> jax.Array:
        """Read a text `[1, P]` and draw `count` tokens after it."""
        state = model.start(params, 1, text.shape[1] + count)
        state, logits = model.apply(params, state, text)
        first = draw(logits[:, -1], jax.random.fold_in(key, 0))

        def step(carry, index):
            state, token = carry
            state, logits = model.apply(params, state, token[:, None])
            token = draw(logits[:, 0], jax.random.fold_in(key, index))
            return (state, token), token

        _, rest = lax.scan(step, (state, first), jnp.arange(1, count))
        return jnp.concatenate([first[None], rest])[:, 0]

    text = np.asarray(prompt, np.int32)
    while (missing := len(prompt) + num_tokens - len(text)) > 0:
        window, count = text, missing
        if model.context is not None and len(text) + missing > model.context:
            window = text[-max(1, model.context // 2) :]
            count = max(1, model.context - len(window))
        key, subkey = jax.random.split(key)
        text = np.concatenate([text, extend(params, window[None], subkey, count)])
    return text[len(prompt) : len(prompt) + num_tokens]
