"""Where a token stands: attention itself does not see the order, so it is told."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def sinusoidal(positions: Int[Array, '*shape'], width: int) -> Float[Array, '*shape D']:
    """PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i+1) = cos(p / 10000^(2i/D)).

    Vaswani et al. 2017, section 3.5. Here all sines come first, then all cosines: the same vectors
    up to a permutation of the axes.

    Args:
      positions: in tokens from 0.
      width: D, even.

    Returns:
      float32, positions' shape with D appended.
    """
    frequencies = 10000.0 ** (-jnp.arange(0, width, 2) / width)
    angles = positions[..., None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def rotary(
    x: Float[Array, 'B T H K'], positions: Int[Array, 'B T'] | Int[Array, '1 T']
) -> Float[Array, 'B T H K']:
    """Turn each pair of components by an angle that grows with the position.

        (x_i, x_{i+K/2}) ← R(p θ_i) (x_i, x_{i+K/2}),    θ_i = 10000^(−2i/K)

    Su et al. 2021 (RoFormer), equation 34, so that the product of a query and a key depends on
    their distance alone. The pairs are (i, i + K/2), as in Llama, where the paper has (2i, 2i+1).

    Args:
      x: queries or keys `[B, T, H, K]`, K even.
      positions: `[B, T]` in tokens from 0; B may be 1.

    Returns:
      `[B, T, H, K]` in x's dtype; the angles are float32.
    """
    half = x.shape[-1] // 2
    theta = 10000.0 ** (-jnp.arange(half) / half)
    angles = positions[..., None, None] * theta  # [B, T, 1, K/2]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1).astype(x.dtype)
