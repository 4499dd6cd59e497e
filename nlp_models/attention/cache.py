"""What attention keeps of the text so far: keys and values of every token, or of a window's."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nlp_models import platforms
from nlp_models.attention.attend import attend
from nlp_models.attention.dot_product import single_query_attention
from nlp_models.attention.masks import Mask


class KVCache(NamedTuple):
    """Keys and values of one layer, of a size set beforehand.

    Heads come before tokens: a query then reads each head's keys as one piece of memory. (The
    other way round, one query at 4 layers of 4 heads takes 3 times as long with 64 tokens held and
    8 times with 4096, on a CPU.)

    Where attention looks through a window no larger than the text, the cache has the window's size
    and rolls: token p lies in slot p mod S, over the token that nobody sees any more.

    Attributes:
      k: keys `[B, H, S, K]`; the first `length` slots of each row are filled.
      v: values `[B, H, S, K]`.
      length: tokens read by each row `[B]` int32.
    """

    k: Float[Array, 'B H S K']
    v: Float[Array, 'B H S K']
    length: Int[Array, 'B']


def start(
    batch_size: int,
    max_length: int,
    num_heads: int,
    head_size: int,
    dtype: Any = jnp.float32,
    *,
    window: int = 0,
) -> KVCache:
    """An empty cache for `max_length` tokens, of which the last `window` are seen (0: all)."""
    size = min(max_length, window) if window > 0 else max_length
    k, v = (jnp.zeros((batch_size, num_heads, size, head_size), dtype) for _ in range(2))
    return KVCache(k, v, jnp.zeros(batch_size, jnp.int32))


def append(
    cache: KVCache,
    k: Float[Array, 'B T H K'],
    v: Float[Array, 'B T H K'],
    lengths: Int[Array, 'B'] | None = None,
    *,
    window: int = 0,
) -> KVCache:
    """Write T new keys and values behind those already held.

    Args:
      cache: the cache before.
      k: new keys `[B, T, H, K]`.
      v: new values `[B, T, H, K]`.
      lengths: how many of the T are real; the rest is not written.
      window: as `start` was told.

    Returns:
      The cache after. What would lie beyond the size of one that does not roll is dropped.
    """
    batch_size, steps = k.shape[:2]
    size = cache.k.shape[2]
    new = jnp.arange(steps)
    slots = cache.length[:, None] + new  # [B, T]
    added = jnp.full(batch_size, steps, jnp.int32) if lengths is None else lengths
    written = new < added[:, None]
    if rolls(cache, window):
        slots = slots % size
        written &= new >= added[:, None] - size  # of several for one slot, the last
    slots = jnp.where(written, slots, size)  # beyond the end: dropped
    if batch_size == steps == 1 and platforms.choices().scatter_one_token:
        slots = jnp.concatenate([slots, jnp.full_like(slots, size)], axis=1)
        k, v = (jnp.concatenate([x, x], axis=1) for x in (k, v))
    rows = jnp.arange(batch_size)[:, None]
    return KVCache(
        cache.k.at[rows, :, slots].set(k.astype(cache.k.dtype), mode='drop'),
        cache.v.at[rows, :, slots].set(v.astype(cache.v.dtype), mode='drop'),
        cache.length + added,
    )


def rolls(cache: KVCache, window: int) -> bool:
    """Whether new tokens take the slots of those that have left the window."""
    return window > 0 and cache.k.shape[2] == window


def attend_and_append(
    cache: KVCache,
    q: Float[Array, 'B T H K'],
    k: Float[Array, 'B T G K'],
    v: Float[Array, 'B T G K'],
    lengths: Int[Array, 'B'] | None,
    *,
    window: int = 0,
    implementation: str = 'auto',
) -> tuple[Float[Array, 'B T H K'], KVCache]:
    """Causal attention of new tokens to those held and to themselves.

    Args:
      cache: the cache before.
      q: queries of the new tokens.
      k: their keys.
      v: their values.
      lengths: how many of the T are real.
      window: of the attention, 0 for none; as `start` was told.
      implementation: of `attend`, where T is above 1.

    Returns:
      (`[B, T, H, K]`, the cache after).
    """
    size, steps = cache.k.shape[2], q.shape[1]
    after = append(cache, k, v, lengths, window=window)
    if steps == 1:
        held = jnp.minimum(cache.length + 1, size)
        keys, values = after.k.astype(q.dtype), after.v.astype(q.dtype)
        return single_query_attention(q, keys, values, held), after
    if rolls(cache, window):
        # What the new tokens overwrite is still seen by the first of them.
        order = (cache.length[:, None] + jnp.arange(size)) % size  # from the oldest slot on
        keys, values = (
            jnp.concatenate([jnp.swapaxes(_in_order(old, order), 1, 2).astype(q.dtype), new], 1)
            for old, new in ((cache.k, k), (cache.v, v))
        )
        mask = Mask(
            causal=True,
            window=window,
            start=jnp.full_like(cache.length, size),
            first=jnp.maximum(size - cache.length, 0),
        )
    else:
        keys, values = (jnp.swapaxes(x, 1, 2).astype(q.dtype) for x in (after.k, after.v))
        mask = Mask(causal=True, start=cache.length)  # none of it has left the window
    return attend(q, keys, values, mask, implementation=implementation), after


def _in_order(x: jax.Array, order: jax.Array) -> jax.Array:
    """Each row's slots `[B, H, S, K]` in the order `[B, S]`."""
    return jnp.take_along_axis(x, order[:, None, :, None], axis=2)
