"""Operations whose plain form is slow on some kind of device, in the form that is fast there.

`platforms` says which form is taken; all compute the same. What they get around, on a CPU:

- XLA fuses the elementwise work before a dense layer's gradient into a transposed copy of it, which
  it then walks through against the grain. `dense` asks for the product that needs no such copy.
- JAX keeps every intermediate array that a derivative mentions: a GELU's tanh beside its input, a
  LayerNorm's γ copied out to every row. `gelu` and `layer_norm` keep their inputs (and two numbers
  a row) and work the rest out again, which takes less time than fetching it.
- A sum over devices is a meeting of all of them; one for each parameter means waiting for the
  slower device as many times. `sum_over` joins the small ones.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from nlp_models import platforms


def dense(
    x: Float[Array, '*rows D'], w: Float[Array, 'D F'], *_: Any, **__: Any
) -> Float[Array, '*rows F']:
    """The product x W of many rows.

    Args:
      x: `[…, D]`.
      w: `[D, F]`.
      *_: dimension numbers, for Flax, which calls it in place of `lax.dot_general`.
      **__: precision, likewise.

    Returns:
      `[…, F]`.
    """
    return _dense(x, w) if platforms.choices().dense_backward else x @ w


@jax.custom_vjp
def _dense(x, w):
    return x @ w


def _dense_forward(x, w):
    return x @ w, (x, w)


def _dense_backward(saved, dy):
    """δx = δy Wᵀ and δW = xᵀ δy, each one product of two matrices over all rows."""
    x, w = saved
    rows, dy = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    dw = lax.dot_general(rows, dy, (((0,), (0,)), ((), ())))
    return (dy @ w.T).reshape(x.shape), dw


_dense.defvjp(_dense_forward, _dense_backward)


def gelu(
    x: Float[Array, '*rows F'], *, approximate: bool = True, backward: str = 'custom'
) -> Float[Array, '*rows F']:
    """GELU: x Φ(x), with Φ the normal distribution's; or its tanh form, as GPT-2 has it.

        approximate    x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))

    Hendrycks & Gimpel 2016, section 2.

    Args:
      x: `[…, F]`.
      approximate: the tanh form.
      backward: 'custom' for the backward passes below where the device gains by them; 'autodiff'.

    Returns:
      `[…, F]`.
    """
    lean = backward == 'custom' and platforms.choices().lean_residuals
    return _gelu(x, approximate) if lean else jax.nn.gelu(x, approximate=approximate)


GELU_SCALE, GELU_CUBE = math.sqrt(2 / math.pi), 0.044715


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _gelu(x, approximate):
    return jax.nn.gelu(x, approximate=approximate)


def _gelu_forward(x, approximate):
    return _gelu(x, approximate), x


def _gelu_backward(approximate, x, dy):
    """δx = δy · ∂(x Φ(x))/∂x = δy · (Φ(x) + x φ(x)), φ the normal density.

    In the tanh form, with a = √(2/π) (x + 0.044715 x³):
    δx = δy · ((1 + tanh a)/2 + x/2 (1 − tanh² a) ∂a/∂x).
    """
    if not approximate:
        density = jnp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return (dy * (0.5 * (1 + lax.erf(x / math.sqrt(2))) + x * density),)
    square = x * x
    t = jnp.tanh(GELU_SCALE * x * (1 + GELU_CUBE * square))
    slope = GELU_SCALE * (1 + 3 * GELU_CUBE * square)
    return (dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope),)


_gelu.defvjp(_gelu_forward, _gelu_backward)


def rms_norm(
    x: Float[Array, '*rows D'], scale: Float[Array, 'D'], *, epsilon: float = 1e-5
) -> Float[Array, '*rows D']:
    """RMSNorm(x) = γ ⊙ x / √(mean(x²) + ε), over the last axis.

    Zhang & Sennrich 2019, equation 4.

    Args:
      x: `[…, D]`.
      scale: γ `[D]`.
      epsilon: ε.

    Returns:
      `[…, D]` in x's dtype; the mean is taken in float32.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = (wide * wide).mean(-1, keepdims=True)
    return (wide * lax.rsqrt(mean + epsilon) * scale).astype(x.dtype)


def layer_norm(
    x: Float[Array, '*rows D'],
    scale: Float[Array, 'D'],
    bias: Float[Array, 'D'] | None,
    *,
    epsilon: float = 1e-5,
    backward: str = 'custom',
) -> Float[Array, '*rows D']:
    """LN(x) = γ ⊙ (x − mean) / √(variance + ε) + β, over the last axis.

    Ba et al. 2016, equation 4.

    Args:
      x: `[…, D]`.
      scale: γ `[D]`.
      bias: β `[D]`, or None.
      epsilon: ε.
      backward: 'custom' for the backward pass below where the device gains by it; 'autodiff'.

    Returns:
      `[…, D]` in x's dtype; mean and variance are taken in float32.
    """
    if backward == 'custom' and platforms.choices().lean_residuals:
        return _layer_norm(x, scale, bias, epsilon)
    return _layer_norm_forward(x, scale, bias, epsilon)[0]


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _layer_norm(x, scale, bias, epsilon):
    return _layer_norm_forward(x, scale, bias, epsilon)[0]


def _layer_norm_forward(x, scale, bias, epsilon):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = wide.mean(-1, keepdims=True)
    variance = jnp.maximum((wide * wide).mean(-1, keepdims=True) - mean * mean, 0)
    inverse = lax.rsqrt(variance + epsilon)
    y = (wide - mean) * inverse * scale
    y = y if bias is None else y + bias
    return y.astype(x.dtype), (x, scale, bias, mean, inverse)


def _layer_norm_backward(epsilon, saved, dy):
    """With x̂ = (x − mean) / √(variance + ε) and g = γ ⊙ δy:

    δx = (g − mean(g) − x̂ ⊙ mean(g ⊙ x̂)) / √(variance + ε),  δγ = Σ δy ⊙ x̂,  δβ = Σ δy.
    """
    del epsilon
    x, scale, bias, mean, inverse = saved
    dy = dy.astype(mean.dtype)
    normal = (x - mean) * inverse
    g = dy * scale
    by_mean, by_normal = g.mean(-1, keepdims=True), (g * normal).mean(-1, keepdims=True)
    dx = (g - by_mean - normal * by_normal) * inverse
    rows = tuple(range(x.ndim - 1))
    dscale = (dy * normal).sum(rows).astype(scale.dtype)
    dbias = None if bias is None else dy.sum(rows).astype(bias.dtype)
    return dx.astype(x.dtype), dscale, dbias


_layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)


def sum_over(tree: Any, axis_name: str) -> Any:
    """Add up arrays over a device axis; small ones together, as one vector.

    Args:
      tree: arrays, the small ones of one dtype.
      axis_name: the axis.

    Returns:
      The tree of sums, the same on every device.
    """
    limit = platforms.choices().flat_reduction_bytes
    leaves, structure = jax.tree.flatten(tree)
    small = [i for i, leaf in enumerate(leaves) if leaf.nbytes < limit]
    apart = [leaf for i, leaf in enumerate(leaves) if i not in small]
    if not small:
        return jax.tree.unflatten(structure, lax.psum(apart, axis_name))
    flat, restore = ravel_pytree([leaves[i] for i in small])
    flat, apart = lax.psum((flat, apart), axis_name)
    together, rest = dict(zip(small, restore(flat), strict=True)), iter(apart)
    sums = [together[i] if i in together else next(rest) for i in range(len(leaves))]
    return jax.tree.unflatten(structure, sums)
