"""What attention keeps of the text so far: the keys and values of every token."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class KVCache(NamedTuple):
    """Keys and values of one layer; it grows with the text, up to a size set beforehand.

    Attributes:
      k: keys `[B, S, H, K]`, the first `length` of each row filled.
      v: values `[B, S, H, K]`.
      length: tokens held by each row `[B]` int32.
    """

    k: Float[Array, 'B S H K']
    v: Float[Array, 'B S H K']
    length: Int[Array, 'B']


def start(
    batch_size: int, max_length: int, num_heads: int, head_size: int, dtype=jnp.float32
) -> KVCache:
    """An empty cache with room for `max_length` tokens a row."""
    k, v = (jnp.zeros((batch_size, max_length, num_heads, head_size), dtype) for _ in range(2))
    return KVCache(k, v, jnp.zeros(batch_size, jnp.int32))


def append(
    cache: KVCache,
    k: Float[Array, 'B T H K'],
    v: Float[Array, 'B T H K'],
    lengths: Int[Array, 'B'] | None = None,
) -> KVCache:
    """Write T new keys and values behind those already held.

    Args:
      cache: the cache before.
      k: new keys `[B, T, H, K]`.
      v: new values `[B, T, H, K]`.
      lengths: how many of the T are real; the rest is written too (it lies behind every position a
        real query looks at) but does not count, so the next call overwrites it.

    Returns:
      The cache after. What would lie beyond its size is dropped.
    """
    batch_size, steps = k.shape[:2]
    rows = jnp.arange(batch_size)[:, None]
    slots = cache.length[:, None] + jnp.arange(steps)  # [B, T]
    added = steps if lengths is None else lengths
    return KVCache(
        cache.k.at[rows, slots].set(k.astype(cache.k.dtype), mode='drop'),
        cache.v.at[rows, slots].set(v.astype(cache.v.dtype), mode='drop'),
        cache.length + added,
    )
