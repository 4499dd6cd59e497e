"""Where a token stands: attention itself does not see the order, so it is told."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from nlp_models.attention.config import Rotary


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


def rotary_frequencies(head_size: int, config: Rotary) -> np.ndarray:
    """θ_i = base^(−2i/K), in radians a token, stretched for texts longer than those trained on.

    linear (Chen et al. 2023, equation 3): every θ_i is divided by the factor. llama3 (Llama 3.1):
    with r_i = original_length · θ_i / 2π, the turns that θ_i makes over the length trained on,
    those above `high_frequency` stay, those below `low_frequency` are divided, and between them

        θ_i ← (1 − m) θ_i / factor + m θ_i,    m = (r_i − low) / (high − low)

    Args:
      head_size: K, even.
      config: base and scaling.

    Returns:
      float32 `[K/2]`.
    """
    theta = config.base ** (-np.arange(0, head_size, 2, dtype=np.float64) / head_size)
    if config.scaling == 'linear':
        theta = theta / config.factor
    elif config.scaling == 'llama3':
        low, high = config.low_frequency, config.high_frequency
        turns = config.original_length * theta / (2 * math.pi)
        kept = np.clip((turns - low) / (high - low), 0, 1)
        theta = (1 - kept) * theta / config.factor + kept * theta
    return theta.astype(np.float32)


def rotary(
    x: Float[Array, 'B T H K'],
    positions: Int[Array, 'B T'] | Int[Array, '1 T'],
    frequencies: np.ndarray,
) -> Float[Array, 'B T H K']:
    """Turn each pair of components by an angle that grows with the position.

        (x_i, x_{i+K/2}) ← R(p θ_i) (x_i, x_{i+K/2})

    Su et al. 2021 (RoFormer), equation 34, so that the product of a query and a key depends on
    their distance alone. The pairs are (i, i + K/2), as in Llama, where the paper has (2i, 2i+1).

    Args:
      x: queries or keys `[B, T, H, K]`, K even.
      positions: `[B, T]` in tokens from 0; B may be 1.
      frequencies: θ `[K/2]`, from `rotary_frequencies`.

    Returns:
      `[B, T, H, K]` in x's dtype; the angles are float32.
    """
    half = x.shape[-1] // 2
    angles = positions[..., None, None] * frequencies  # [B, T, 1, K/2]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1).astype(x.dtype)
