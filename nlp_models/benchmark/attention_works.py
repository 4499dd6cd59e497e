"""Our side of the rows about attention: by itself, as one layer, and with its feed-forward."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nlp_models import costs, models
from nlp_models.attention.attend import attend
from nlp_models.attention.config import BlockConfig
from nlp_models.attention.decoder import make_decoder
from nlp_models.attention.masks import Mask
from nlp_models.benchmark.works import (
    Work,
    forward_backward,
    make_passes,
    planned_bytes,
    random_rows,
)


def attention_layer(
    batch_size: int,
    length: int,
    width: int,
    num_heads: int,
    *,
    passes: int,
    implementation: str = 'auto',
    dtype: str = 'float32',
    seed: int = 0,
) -> Work:
    """One layer of causal self-attention with its projections Q, K, V and output.

    Args:
      batch_size: B.
      length: T.
      width: D.
      num_heads: H.
      passes: as for `works.recurrent`.
      implementation: of the attention.
      dtype: of everything.
      seed: of parameters, inputs and cotangent.

    Returns:
      The work.
    """
    shape = (batch_size, length, width)
    matrices = random_rows(seed, dtype, (width, 3 * width), (width, width))
    qkv, out = (a / width**0.5 for a in matrices)
    params = {'qkv': qkv, 'out': out}

    def forward(params: Any, x: jax.Array) -> jax.Array:
        qkv = (x @ params['qkv']).reshape(*x.shape[:2], 3 * num_heads, -1)
        q, k, v = jnp.split(qkv, 3, axis=2)  # [B, T, H, K]
        y = attend(q, k, v, Mask(causal=True), implementation=implementation)
        return y.reshape(x.shape) @ params['out']

    flops = costs.attention_layer_flops(batch_size, length, width, passes=passes)
    rows = random_rows(seed + 1, dtype, shape, shape)
    return make_passes(forward, params, rows, passes=passes, flops=flops, num_devices=0)


def attention_forward(implementation: str) -> Callable:
    """Causal attention alone, `(unused, (q, k, v)) -> y`, all `[B, T, H, K]`."""

    def forward(_: Any, qkv: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        return attend(*qkv, Mask(causal=True), implementation=implementation)

    return forward


def attention(
    batch_size: int,
    length: int,
    num_heads: int,
    head_size: int,
    *,
    passes: int,
    implementation: str,
    dtype: str = 'float32',
    seed: int = 0,
    num_devices: int = 0,
) -> Work:
    """Causal attention alone, of queries, keys and values that are arrays of their own.

    Args:
      batch_size: B.
      length: T.
      num_heads: H.
      head_size: K.
      passes: as for `works.recurrent`.
      implementation: of the attention.
      dtype: of everything.
      seed: of inputs and cotangent.
      num_devices: 0 for all that divide the batch.

    Returns:
      The work.
    """
    q, k, v, cotangent = random_rows(seed, dtype, *[(batch_size, length, num_heads, head_size)] * 4)
    width = num_heads * head_size
    flops = costs.attention_flops(batch_size, length, width, passes=passes)
    forward = attention_forward(implementation)
    rows = (q, k, v), cotangent
    return make_passes(forward, {}, rows, passes=passes, flops=flops, num_devices=num_devices)


def attention_bytes_planned(
    batch_size: int, length: int, num_heads: int, head_size: int, implementation: str, dtype: str
) -> float | None:
    """What forward and backward pass of `attention` plan for; compiled for one device, not run."""
    row = jax.ShapeDtypeStruct((batch_size, length, num_heads, head_size), dtype)
    share = forward_backward(attention_forward(implementation), None)
    return planned_bytes(jax.jit(share).lower({}, ((row, row, row), row)).compile())


def transformer_layer(
    batch_size: int,
    length: int,
    width: int,
    num_heads: int,
    *,
    passes: int,
    implementation: str = 'auto',
    dtype: str = 'float32',
    seed: int = 0,
    num_devices: int = 0,
) -> Work:
    """One whole layer of a transformer: attention and feed-forward, as the language model has it.

    Args:
      batch_size: B.
      length: T.
      width: D.
      num_heads: H.
      passes: as for `works.recurrent`.
      implementation: of the attention.
      dtype: compute dtype.
      seed: of parameters, inputs and cotangent.
      num_devices: 0 for all that divide the batch.

    Returns:
      The work.
    """
    config = BlockConfig(
        width=width,
        num_heads=num_heads,
        feed_forward_size=4 * width,
        num_layers=1,
        attention=implementation,
        dtype=models.DTYPES[dtype],
    )
    decoder = make_decoder(config, max_length=length, positions='none')

    def forward(params: Any, x: jax.Array) -> jax.Array:
        return decoder.apply(params, decoder.start(params, x.shape[0]), x)[1]

    flops = costs.transformer_flops(
        batch_size, length, width=width, num_layers=1, vocab_size=0, passes=passes
    )
    shape = (batch_size, length, width)
    rows = random_rows(seed, models.DTYPES[dtype], shape, shape)
    params = decoder.init(jax.random.key(seed))
    return make_passes(forward, params, rows, passes=passes, flops=flops, num_devices=num_devices)
