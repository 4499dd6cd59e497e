"""Attention by kernels that come with the device: cuDNN's on NVIDIA, Pallas' on TPU.

Each has a function of its own that says why it cannot serve, from what is known while tracing.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nlp_models import platforms
from nlp_models.attention.masks import Mask

LANES = 128  # of a TPU's vector unit: lengths are padded to a multiple


def cudnn_refusal(q: Any, k: Any, mask: Mask) -> str | None:
    """What cuDNN's flash attention lacks for this call, as the end of a sentence; None if nothing.

    Args:
      q: queries `[B, T, H, K]`, or what has their shape and dtype.
      k: keys `[B, S, H, K]`.
      mask: which keys a query may look at.
    """
    platform = platforms.choices().platform
    if platform != 'gpu':
        return f'needs an NVIDIA GPU, not a {platform}'
    if not _is_ampere_or_newer():
        return 'needs an NVIDIA GPU of compute capability 8.0 or above'
    if q.dtype not in (jnp.bfloat16, jnp.float16):
        return f'needs bfloat16 or float16, not {q.dtype}'
    if q.shape[-1] % 8 or q.shape[-1] > 128:
        return f'needs heads of a width up to 128 that is a multiple of 8, not {q.shape[-1]}'
    if mask.start is not None:
        return 'cannot begin in the middle of a text, as a cache does'
    if mask.window > 0 and not mask.causal:
        return 'has windows only where attention is causal'
    if mask.window > 0 and mask.sees(q.shape[1], k.shape[1]) is not None:
        return 'cannot leave a query without any key, as a window may with padding'
    return None


def _is_ampere_or_newer() -> bool:
    """Whether the GPU there is can run it; true where there is none, and code is only lowered."""
    if jax.default_backend() != 'gpu':
        return True
    try:
        return float(jax.devices()[0].compute_capability) >= 8.0
    except (AttributeError, ValueError):  # of another maker
        return False


def cudnn_attention(
    q: Float[Array, 'B T H K'], k: Float[Array, 'B S H K'], v: Float[Array, 'B S H K'], mask: Mask
) -> Float[Array, 'B T H K']:
    """`dot_product_attention` by cuDNN's flash attention, where `cudnn_refusal` has nothing."""
    lengths, window = mask.lengths, mask.window
    y = jax.nn.dot_product_attention(
        q,
        k,
        v,
        is_causal=mask.causal,
        # One key at least, so that no weight is 0/0; a row without any is set to zero below.
        key_value_seq_lengths=None if lengths is None else jnp.maximum(lengths, 1),
        local_window_size=(window - 1, 0) if window > 0 else None,  # keys to the left and right
        implementation='cudnn',
    )
    sees = mask.sees(q.shape[1], k.shape[1])
    return y if sees is None else jnp.where(sees[:, :, None, None], y, 0)


def pallas_tpu_refusal(q: Any, k: Any, mask: Mask) -> str | None:
    """What the Pallas kernel lacks for this call, as `cudnn_refusal` says it."""
    platform = platforms.choices().platform
    if platform != 'tpu':
        return f'needs a TPU, not a {platform}'
    if mask.start is not None:
        return 'cannot begin in the middle of a text, as a cache does'
    if mask.window > 0 and q.shape[1] > k.shape[1]:
        return 'cannot leave a query without any key, as a window may where T is above S'
    return None


def pallas_tpu_attention(
    q: Float[Array, 'B T H K'],
    k: Float[Array, 'B S H K'],
    v: Float[Array, 'B S H K'],
    mask: Mask,
    *,
    interpret: bool = False,
) -> Float[Array, 'B T H K']:
    """`dot_product_attention` by the splash attention kernel of JAX, on TPU.

    T and S are padded to a multiple of 128. Keys that are not real are of another segment than the
    queries; causality and window are part of the kernel, which skips what they hide.

    Args:
      q: queries `[B, T, H, K]`.
      k: keys `[B, S, H, K]`.
      v: values `[B, S, H, K]`.
      mask: which keys a query may look at; `pallas_tpu_refusal` must have nothing against it.
      interpret: run the kernel's steps one by one on any device, for tests.

    Returns:
      `[B, T, H, K]` in q's dtype.
    """
    # Imported here alone: it is experimental, and 0.2 s that only a TPU has use for.
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    (batch_size, steps, num_heads, width), size = q.shape, k.shape[1]
    padded_steps, padded_size = (-(-n // LANES) * LANES for n in (steps, size))
    shape = padded_steps, padded_size
    if mask.window > 0:
        seen = splash.LocalMask(
            shape, (mask.window - 1, 0 if mask.causal else mask.window - 1), offset=0
        )
    else:
        seen = splash.CausalMask(shape) if mask.causal else splash.FullMask(shape)
    blocks = [max(b for b in (128, 256, 512) if n % b == 0) for n in shape]
    kernel = splash.make_splash_mha(
        splash.MultiHeadMask([seen] * num_heads),
        block_sizes=splash.BlockSizes(
            block_q=blocks[0],
            block_kv=blocks[1],
            block_q_dkv=blocks[0],
            block_kv_dkv=blocks[1],
            block_q_dq=blocks[0],
            block_kv_dq=blocks[1],
        ),
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
    )
    segments = None
    if mask.lengths is not None or padded_size > size:
        real = jnp.full(batch_size, size)
        if mask.lengths is not None:
            real = jnp.minimum(real, mask.lengths)
        segments = splash.SegmentIds(
            jnp.ones((batch_size, padded_steps), jnp.int32),
            (jnp.arange(padded_size) < real[:, None]).astype(jnp.int32),
        )

    def heads_first(x, length):
        x = jnp.swapaxes(x, 1, 2)
        return jnp.pad(x, ((0, 0), (0, 0), (0, length - x.shape[2]), (0, 0)))

    scaled = (q.astype(jnp.float32) / math.sqrt(width)).astype(q.dtype)  # the kernel does not
    y = jax.vmap(kernel)(
        heads_first(scaled, padded_steps),
        heads_first(k, padded_size),
        heads_first(v, padded_size),
        segments,
    )
    y = jnp.swapaxes(jnp.asarray(y)[:, :, :steps], 1, 2)
    sees = mask.sees(steps, size)
    return y if sees is None else jnp.where(sees[:, :, None, None], y, 0)
