"""Scaled dot-product attention, as the equation says it."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nlp_models.attention.masks import Mask


def dot_product_attention(
    q: Float[Array, 'B T H K'],
    k: Float[Array, 'B S H K'],
    v: Float[Array, 'B S H K'],
    mask: Mask = Mask(),  # noqa: B008 (frozen)
) -> Float[Array, 'B T H K']:
    """Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V, for each head.

    Vaswani et al. 2017, equation 1; the tutorial's section 5. It holds all weights, `[B, H, T, S]`,
    at once, for the backward pass too.

    Args:
      q: queries `[B, T, H, K]`.
      k: keys `[B, S, H, K]`.
      v: values `[B, S, H, K]`.
      mask: which keys a query may look at.

    Returns:
      `[B, T, H, K]` in q's dtype; the softmax is taken in float32. What the mask forbids has a
      weight of exactly zero, so it cannot change a single bit of the result. A query that may look
      at no key gets zeros.
    """
    steps, size = q.shape[1], k.shape[1]
    allowed = mask.dense(steps, size)  # [B, 1, T, S]
    scores = jnp.einsum('BTHK,BSHK->BHTS', q, k, preferred_element_type=jnp.float32)
    scores = scores / math.sqrt(q.shape[-1])
    if allowed is not None:
        scores = jnp.where(allowed, scores, jnp.finfo(scores.dtype).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    y = jnp.einsum('BHTS,BSHK->BTHK', weights, v)
    sees = mask.sees(steps, size)
    return y if sees is None else jnp.where(sees[:, :, None, None], y, 0)


def single_query_attention(
    q: Float[Array, 'B 1 H K'],
    k: Float[Array, 'B G S K'],
    v: Float[Array, 'B G S K'],
    count: Int[Array, 'B'],
) -> Float[Array, 'B 1 H K']:
    """`dot_product_attention` of one query a row, with keys that lie head by head.

    Args:
      q: queries `[B, 1, H, K]`.
      k: keys `[B, G, S, K]`: query head h looks at head h · G // H.
      v: values `[B, G, S, K]`.
      count: how many keys of each row are seen, from the first on; at least 1.

    Returns:
      `[B, 1, H, K]` in q's dtype.
    """
    batch_size, _, num_heads, width = q.shape
    groups = k.shape[1]
    grouped = q.reshape(batch_size, groups, num_heads // groups, width)
    scores = jnp.einsum('BGQK,BGSK->BGQS', grouped, k, preferred_element_type=jnp.float32)
    seen = jnp.arange(k.shape[2]) < count[:, None, None, None]
    scores = jnp.where(seen, scores / math.sqrt(width), jnp.finfo(scores.dtype).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    return jnp.einsum('BGQS,BGSK->BGQK', weights, v).reshape(q.shape)
