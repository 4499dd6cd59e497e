"""Masks: true where a query may look at a key. They broadcast to `[B, H, T, S]`; join with `&`."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def causal_mask(
    query_positions: Int[Array, 'B T'] | Int[Array, '1 T'],
    key_positions: Int[Array, 'B S'] | Int[Array, '1 S'],
) -> Bool[Array, 'B 1 T S']:
    """Each token looks at itself and at what came before: position of the key ≤ the query's.

    Args:
      query_positions: where in its text each query stands `[B, T]`, in tokens from 0; B may be 1.
      key_positions: the same for the keys `[B, S]`.

    Returns:
      `[B, 1, T, S]`.
    """
    return (key_positions[:, None, :] <= query_positions[:, :, None])[:, None]


def padding_mask(lengths: Int[Array, 'B'], size: int) -> Bool[Array, 'B 1 1 S']:
    """Only real tokens are looked at: the first `lengths` of each row.

    Args:
      lengths: number of real tokens of each row, at least 1.
      size: S.

    Returns:
      `[B, 1, 1, S]`.
    """
    return (jnp.arange(size) < lengths[:, None])[:, None, None]
