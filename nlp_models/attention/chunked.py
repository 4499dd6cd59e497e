"""Scaled dot-product attention block by block: memory grows with T, not with T × S."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from nlp_models import platforms
from nlp_models.attention.masks import Mask
from nlp_models.errors import require

LOWEST = float(jnp.finfo(jnp.float32).min)  # the score of what is hidden

RESIDUALS = 'attention'  # how rematerialisation knows what is dear to compute again

dot = partial(jnp.einsum, preferred_element_type=jnp.float32)


def chunked_attention(
    q: Float[Array, 'B T H K'],
    k: Float[Array, 'B S H K'],
    v: Float[Array, 'B S H K'],
    mask: Mask = Mask(),  # noqa: B008 (frozen)
    *,
    block: int = 0,
) -> Float[Array, 'B T H K']:
    """Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V without ever holding the `[T, S]` scores.

    Dao 2023 (FlashAttention-2), algorithms 1 and 2. The queries of a block go over the keys block
    by block, with the largest score m, the sum l of exp(s − m) and the weighted values y so far:

        m′ = max(m, max_s s),   l ← e^(m−m′) l + Σ_s e^(s−m′),   y ← e^(m−m′) y + Σ_s e^(s−m′) v_s

    and end as y / l. The backward pass keeps the output and L = m + log l, computes each block's
    weights p = exp(s − L) again and, with do the gradient of the output o:

        dv = pᵀ do,   ds = p ⊙ (do vᵀ − Σ_K (do ⊙ o)),   dq = ds k / √d_k,   dk = dsᵀ q / √d_k

    A pair of blocks that the mask hides whole is not computed: half of them where it is causal.

    Args:
      q: queries `[B, T, H, K]`.
      k: keys `[B, S, H, K]`.
      v: values `[B, S, H, K]`.
      mask: which keys a query may look at.
      block: the most queries, and the most keys, of a block; 0 to go by T and S.

    Returns:
      `[B, T, H, K]` in q's dtype, as `dot_product_attention` but for rounding: sums in float32, and
      exactly zero for the weights of what the mask forbids and for a query that sees nothing.

    Raises:
      InputError: for a block below 0.
      TypeError: under forward-mode differentiation, as every `jax.custom_vjp`.
      ValueError: where its gradient is differentiated again, through loops of unknown length.
    """
    require(block >= 0, 'block', block, 'must be at least 1, or 0 to go by T and S')
    return _attention(q, k, v, mask, block)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attention(q, k, v, mask: Mask, block: int):
    return _forward(q, k, v, mask, block)[0]


def _forward(q, k, v, mask, block):
    out, log_sum = _by_rows(partial(_forward_rows, block=block), mask, q, k, v)
    out, log_sum = checkpoint_name(out, RESIDUALS), checkpoint_name(log_sum, RESIDUALS)
    return out, (q, k, v, mask, out, log_sum)


def _backward(block, residuals, d_out):
    q, k, v, mask, out, log_sum = residuals
    d_qkv = _by_rows(partial(_backward_rows, block=block), mask, q, k, v, out, log_sum, d_out)
    return *d_qkv, None


_attention.defvjp(_forward, _backward)


def _by_rows(function: Callable, mask: Mask, *arrays: Any) -> Any:
    """`function(mask, *arrays)`; on a CPU one row of the batch after the other.

    So the blocks of all heads stay in the cache, and each row skips what its own start and length
    hide. In ms, 2 CPU cores, (B, T, H, K): (8, 1024, 4, 64) 160 at once, 121 by rows; (4, 1024,
    12, 64) 257 and 230; (8, 256, 6, 64) 28 and 18.
    """
    if platforms.choices().platform != 'cpu' or len(arrays[0]) == 1:
        return function(mask, *arrays)

    def one(row):
        mask, *arrays = jax.tree.map(lambda a: a[None], row)
        return jax.tree.map(lambda a: a[0], function(mask, *arrays))

    return lax.map(one, (mask, *arrays))


class Grid(NamedTuple):
    """How T queries and S keys are cut.

    Attributes:
      query_blocks: how many blocks of queries.
      query_block: queries of a block.
      key_blocks: how many blocks of keys.
      key_block: keys of a block.
    """

    query_blocks: int
    query_block: int
    key_blocks: int
    key_block: int


def _grid(mask: Mask, steps: int, size: int, batch_size: int, block: int) -> tuple[Grid, Mask]:
    """Blocks of about equal size, and the mask with the last one's padding hidden.

    At least four blocks, of which a causal mask hides 6 pairs of 16, but none below 128, where
    each operation is too short, or above 512, where a block leaves the cache. In ms, causal,
    forward and backward, with one CPU device on 2 cores | two devices, which share XLA's threads
    (B is of all devices):

        (B, T, H, K)            128        256        512
        (8, 256, 6, 64)      23 | 15    21 | 18
        (8, 512, 6, 64)      70 | 39    66 | 48    65 | 76
        (1 | 4, 1024, 4, 64) 18 | 41    16 | 45    14 | 60
        (1 | 2, 2048, 4, 64) 68 | 69    62 | 71    47 | 88
        (1 | 2, 4096, 4, 64) 250 | 277  185 | 278  147 | 326
    """

    def cut(length):
        most = block or min(max(length // 4, 128), 512)
        count = -(-length // most)
        each = -(-length // count)
        return count, each if count == 1 else -(-each // 16) * 16  # 16: a vector of float32

    grid = Grid(*cut(steps), *cut(size))
    if grid.key_blocks * grid.key_block > size:
        real = jnp.full(batch_size, size, jnp.int32)
        lengths = real if mask.lengths is None else jnp.minimum(mask.lengths, real)
        mask = replace(mask, lengths=lengths)
    return grid, mask


def _sweep(mask: Mask, grid: Grid, i: Any, step: Callable, carry: Any) -> Any:
    """`carry = step(j, allowed, carry)` for every block j of keys that query block i looks at.

    `allowed` is the mask of the pair, to be broadcast to `[B, H, query_block, key_block]`; None
    where every query sees the whole block (to mask there too costs 5 to 9 %).
    """
    starts = (0, 0) if mask.start is None else (mask.start.min(), mask.start.max())
    first = starts[0] + i * grid.query_block  # the least position in the block, over all rows
    last = starts[1] + (i + 1) * grid.query_block - 1  # and the greatest
    padded = grid.key_blocks * grid.key_block
    short, long = padded, padded
    if mask.lengths is not None:
        short, long = mask.lengths.min(), mask.lengths.max()
    # Reach grows with position and length: what some query sees, and what all do.
    begin, end = mask.reach(first, long)[0], mask.reach(last, long)[1]
    all_begin, all_end = mask.reach(last, short)[0], mask.reach(first, short)[1]
    if mask.first is not None:
        all_begin = jnp.maximum(all_begin, mask.first.max())

    begin = jnp.minimum(begin // grid.key_block, grid.key_blocks)  # from keys to blocks
    end = jnp.clip(-(-end // grid.key_block), begin, grid.key_blocks)
    all_begin = jnp.clip(-(-all_begin // grid.key_block), begin, end)
    all_end = jnp.clip(all_end // grid.key_block, all_begin, end)

    def partly(j, carry):
        queries = i * grid.query_block + jnp.arange(grid.query_block)
        keys = j * grid.key_block + jnp.arange(grid.key_block)
        return step(j, mask.allows(queries, keys, padded), carry)

    if mask.hides_begin:
        carry = lax.fori_loop(begin, all_begin, partly, carry)
    carry = lax.fori_loop(all_begin, all_end, lambda j, carry: step(j, None, carry), carry)
    return lax.fori_loop(all_end, end, partly, carry) if mask.hides else carry


def _forward_rows(mask, q, k, v, *, block):
    """(out `[B, T, H, K]`, L `[B, H, T]` of the padded T)."""
    steps, scale = q.shape[1], 1 / math.sqrt(q.shape[-1])
    grid, mask = _grid(mask, steps, k.shape[1], len(q), block)
    bq, bk = grid.query_block, grid.key_block
    q = _padded(q, grid.query_blocks * bq)
    k, v = (_padded(x, grid.key_blocks * bk) for x in (k, v))

    def queries(i, carry):
        q_i = _heads(q, i, bq)

        def keys(j, allowed, carry):
            top, total, y = carry
            s = _hide(allowed, dot('BHTK,BHSK->BHTS', q_i, _heads(k, j, bk)) * scale, LOWEST)
            new_top = jnp.maximum(top, s.max(-1))
            p = _hide(allowed, jnp.exp(s - new_top[..., None]), 0)
            shrink = jnp.exp(top - new_top)
            seen = dot('BHTS,BHSK->BHTK', p.astype(v.dtype), _heads(v, j, bk))
            return new_top, shrink * total + p.sum(-1), shrink[..., None] * y + seen

        rows = q_i.shape[:3]
        start = jnp.full(rows, LOWEST), jnp.zeros(rows), jnp.zeros(q_i.shape)
        top, total, y = _sweep(mask, grid, i, keys, start)
        total = jnp.where(total > 0, total, 1)  # 0 for a query that saw nothing: y is 0 too
        out, log_sum = carry
        y = (y / total[..., None]).astype(q.dtype)
        return _put_heads(out, i, y), _put(log_sum, i, top + jnp.log(total))

    start = jnp.zeros_like(q), jnp.zeros((len(q), q.shape[2], q.shape[1]))
    out, log_sum = lax.fori_loop(0, grid.query_blocks, queries, start)
    return out[:, :steps], log_sum


def _backward_rows(mask, q, k, v, out, log_sum, d_out, *, block):
    """(dq, dk, dv), like q, k and v."""
    steps, size, scale = q.shape[1], k.shape[1], 1 / math.sqrt(q.shape[-1])
    grid, mask = _grid(mask, steps, size, len(q), block)
    bq, bk = grid.query_block, grid.key_block
    q, out, d_out = (_padded(x, grid.query_blocks * bq) for x in (q, out, d_out))
    k, v = (_padded(x, grid.key_blocks * bk) for x in (k, v))

    def queries(i, carry):
        q_i, out_i, d_out_i = (_heads(x, i, bq) for x in (q, out, d_out))
        log_sum_i = _take(log_sum, i, bq)
        d_total_i = (out_i.astype(jnp.float32) * d_out_i.astype(jnp.float32)).sum(-1)

        def keys(j, allowed, carry):
            dq_i, dk, dv = carry
            k_j, v_j = _heads(k, j, bk), _heads(v, j, bk)
            s = dot('BHTK,BHSK->BHTS', q_i, k_j) * scale
            p = _hide(allowed, jnp.exp(s - log_sum_i[..., None]), 0)
            dp = dot('BHTK,BHSK->BHTS', d_out_i, v_j)
            ds = _hide(allowed, p * (dp - d_total_i[..., None]), 0).astype(q.dtype)
            # dk and dv are kept transposed: a product that would transpose p takes three times as
            # long (XLA on a CPU, 110 against 330 GFLOP/s).
            dv_j = dot('BHTK,BHTS->BHKS', d_out_i, p.astype(v.dtype))
            dk_j = dot('BHTK,BHTS->BHKS', q_i, ds)
            dv = _put(dv, j, _take(dv, j, bk, axis=3) + dv_j, axis=3)
            dk = _put(dk, j, _take(dk, j, bk, axis=3) + dk_j, axis=3)
            return dq_i + dot('BHTS,BHSK->BHTK', ds, k_j), dk, dv

        dq, dk, dv = carry
        dq_i, dk, dv = _sweep(mask, grid, i, keys, (jnp.zeros(q_i.shape), dk, dv))
        return _put_heads(dq, i, (dq_i * scale).astype(q.dtype)), dk, dv

    batch, length, heads, width = k.shape
    transposed = jnp.zeros((batch, heads, width, length))
    start = jnp.zeros_like(q), transposed, transposed
    dq, dk, dv = lax.fori_loop(0, grid.query_blocks, queries, start)

    def along_keys(x, dtype):
        return jnp.transpose(x, (0, 3, 1, 2))[:, :size].astype(dtype)

    return dq[:, :steps], along_keys(dk * scale, k.dtype), along_keys(dv, v.dtype)


def _padded(x, size: int):
    """`[B, T, H, K]` to `[B, size, H, K]`, with zeros."""
    return jnp.pad(x, ((0, 0), (0, size - x.shape[1]), (0, 0), (0, 0)))


def _heads(x, index, size: int):
    """A block of `[B, T, H, K]` as `[B, H, size, K]`: no copy of the whole lies heads first."""
    return jnp.swapaxes(_take(x, index, size, axis=1), 1, 2)


def _put_heads(x, index, block):
    return _put(x, index, jnp.swapaxes(block, 1, 2), axis=1)


def _take(x, index, size: int, axis: int = 2):
    return lax.dynamic_slice_in_dim(x, index * size, size, axis)


def _put(x, index, block, axis: int = 2):
    return lax.dynamic_update_slice_in_dim(x, block, index * block.shape[axis], axis)


def _hide(allowed, x, value):
    return x if allowed is None else jnp.where(allowed, x, value)
