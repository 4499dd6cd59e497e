"""Scaled dot-product attention."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def dot_product_attention(
    q: Float[Array, 'B T H K'],
    k: Float[Array, 'B S H K'],
    v: Float[Array, 'B S H K'],
    mask: Bool[Array, '#B #H #T S'] | None = None,
) -> Float[Array, 'B T H K']:
    """Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V, for each head.

    Vaswani et al. 2017, equation 1; the tutorial's section 5.

    Args:
      q: queries `[B, T, H, K]`.
      k: keys `[B, S, H, K]`.
      v: values `[B, S, H, K]`.
      mask: true where a query may look at a key, broadcast to `[B, H, T, S]`. Each query must be
        allowed at least one key.

    Returns:
      `[B, T, H, K]` in q's dtype; the softmax is taken in float32. What the mask forbids has a
      weight of exactly zero, so it cannot change a single bit of the result.
    """
    scores = jnp.einsum('BTHK,BSHK->BHTS', q, k, preferred_element_type=jnp.float32)
    scores = scores / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    return jnp.einsum('BHTS,BSHK->BTHK', weights, v)
