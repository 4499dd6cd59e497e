"""What an input of long ago does to where a model is now: change it, and see what becomes of that.

A derivative says what an infinitely small change would do; a token can only be another one. So the
change is a finite one here, and the measure is a distance.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from nlp_models import models
from nlp_models.errors import require
from nlp_models.types import Params

Read = Callable[[jax.Array], jax.Array]


def influence(
    read: Read, tokens: Int[Array, 'B T'], others: Int[Array, 'B T']
) -> Float[Array, 'T']:
    """How far the final vector moves when one input is another, against distance.

        r(d) = E ‖h_T(x) − h_T(x with x_{T−d} replaced)‖ / E ‖h_T(x) − h_T(x with x_T replaced)‖

    r(0) is 1. For a linear recurrence h_t = a h_{t−1} + u x_t with changes of one size it is |a|^d.

    Args:
      read: tokens `[B, T]` to the vectors `[B, N]` after the last of them.
      tokens: x `[B, T]`.
      others: what each is replaced by `[B, T]`, one place at a time.

    Returns:
      r `[T]` by distance d = 0, 1, … T − 1; NaN where replacing the last input does nothing.
    """
    final = read(tokens)

    def moved(place: jax.Array) -> jax.Array:
        here = jnp.arange(tokens.shape[1]) == place
        return jnp.mean(jnp.linalg.norm(read(jnp.where(here, others, tokens)) - final, axis=-1))

    distances = lax.map(moved, jnp.arange(tokens.shape[1])[::-1])
    return distances / distances[0]


def last_vector(model: Any, params: Params, max_length: int) -> Read:
    """Reads tokens into the last vector below the head of a decoder over tokens.

    Of a cell that vector is h_T of the top layer (of an LSTM without its C_T), of a transformer the
    output of its last block at the last token.

    Args:
      model: a config's `model` group, of the architecture 'decoder'.
      params: of `models.build_language_model` of that group.
      max_length: as there.

    Returns:
      A function from tokens `[B, T]` to `[B, hidden_size]` float32.
    """
    body = models.build_body(model, max_length=max_length)

    def read(tokens: jax.Array) -> jax.Array:
        x = params['embed']['embedding'][tokens]
        _, y = body.apply(params['body'], body.start(params['body'], tokens.shape[0]), x)
        return y[:, -1].astype(jnp.float32)

    return read


def replace(tokens: np.ndarray, seed: int, low: int, high: int) -> np.ndarray:
    """For every token another one, each of those from `low` to `high` equally likely.

    Args:
      tokens: any integers `[…]`.
      seed: of the draw.
      low: the smallest token that may be put.
      high: the largest, above `low`.

    Returns:
      int32, the shape of `tokens`, nowhere equal to it.

    Raises:
      InputError: where there are no two tokens to choose from.
    """
    require(high > low, 'high', high, f'must be above low, {low}')
    inside = (tokens >= low) & (tokens <= high)
    drawn = np.random.default_rng(seed).integers(0, high - low + 1 - inside, tokens.shape)
    # Of what is inside, the places from its own on are one further.
    return (low + drawn + (inside & (low + drawn >= tokens))).astype(np.int32)
