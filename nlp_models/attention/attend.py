"""One attention and several implementations of it, named in the call or picked."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from nlp_models import platforms
from nlp_models.attention import kernels
from nlp_models.attention.chunked import chunked_attention
from nlp_models.attention.dot_product import dot_product_attention
from nlp_models.attention.masks import Mask
from nlp_models.errors import require


class Implementation(NamedTuple):
    """One way to compute attention.

    Attributes:
      run: `(q, k, v, mask) -> y`.
      refusal: `(q, k, mask)` to what it lacks for them, or None.
    """

    run: Callable[..., Any]
    refusal: Callable[..., str | None] = lambda q, k, mask: None


IMPLEMENTATIONS = {
    'plain': Implementation(dot_product_attention),
    'chunked': Implementation(chunked_attention),
    'cudnn': Implementation(kernels.cudnn_attention, kernels.cudnn_refusal),
    'pallas_tpu': Implementation(kernels.pallas_tpu_attention, kernels.pallas_tpu_refusal),
}

PALLAS_FROM = (
    512  # queries and keys; below, its blocks of 128 are mostly padding or overhead; not measured
)


def choose(q: Any, k: Any, mask: Mask) -> str:
    """The implementation to use.

    Args:
      q: queries `[B, T, H, K]`, or what has their shape and dtype.
      k: keys `[B, S, H, K]`, likewise.
      mask: which keys a query may look at.

    Returns:
      A name in `IMPLEMENTATIONS`.
    """
    shortest = min(q.shape[1], k.shape[1])
    if kernels.cudnn_refusal(q, k, mask) is None:
        return 'cudnn'
    if kernels.pallas_tpu_refusal(q, k, mask) is None and shortest >= PALLAS_FROM:
        return 'pallas_tpu'
    return 'chunked' if shortest >= platforms.choices().chunked_from else 'plain'


def attend(
    q: Float[Array, 'B T H K'],
    k: Float[Array, 'B S G K'],
    v: Float[Array, 'B S G K'],
    mask: Mask = Mask(),  # noqa: B008 (frozen)
    *,
    implementation: str = 'auto',
) -> Float[Array, 'B T H K']:
    """Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V, for each head, by one of `IMPLEMENTATIONS`.

    Vaswani et al. 2017, equation 1. All compute the same up to rounding: `plain` is the equation,
    `chunked` needs memory linear in T, `cudnn` and `pallas_tpu` are the kernels of their devices.
    Only `plain` has forward-mode and second derivatives.

    Args:
      q: queries `[B, T, H, K]`.
      k: keys `[B, S, G, K]`; G divides H, and query head h looks at key head h · G // H.
      v: values `[B, S, G, K]`.
      mask: which keys a query may look at; its arrays, where given, are `[B]`.
      implementation: a name, or 'auto' to have one picked by device, dtype, mask and length.

    Returns:
      `[B, T, H, K]` in q's dtype; the softmax is taken in float32. What the mask forbids has a
      weight of exactly zero. A query that may look at no key gets zeros.

    Raises:
      InputError: for a name that is unknown, an implementation that cannot do what is asked on this
        device, or a mask of another batch size.
    """
    for name in ('start', 'lengths', 'first'):
        rows = getattr(mask, name)
        shape = None if rows is None else jnp.shape(rows)
        require(shape in (None, (len(q),)), f'shape of mask.{name}', shape, f'must be {(len(q),)}')
    known = ('auto', *IMPLEMENTATIONS)
    require(
        implementation in known, 'attention', implementation, f'must be one of {", ".join(known)}'
    )
    if k.shape[2] != q.shape[2]:  # grouped queries: each head of the keys serves several
        k, v = (jnp.repeat(x, q.shape[2] // k.shape[2], axis=2) for x in (k, v))
    name = choose(q, k, mask) if implementation == 'auto' else implementation
    run, refusal = IMPLEMENTATIONS[name]
    lacks = refusal(q, k, mask)
    require(lacks is None, 'attention', name, str(lacks))
    return run(q, k, v, mask)
