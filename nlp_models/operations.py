"""Operations whose plain form is slow on some kind of device, in the form that is fast there.

`platforms` says which form is taken; all compute the same. What they get around, on a CPU:

- XLA fuses the elementwise work before a dense layer's gradient into a transposed copy of it, which
  it then walks through against the grain. `dense` asks for the product that needs no such copy.
- A sum over devices is a meeting of all of them; one for each parameter means waiting for the
  slower device as many times. `sum_over` meets once.
"""

from typing import Any

import jax
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


def sum_over(tree: Any, axis_name: str) -> Any:
    """Add up arrays over a device axis, leaf by leaf or as one vector.

    Args:
      tree: arrays of one dtype.
      axis_name: the axis.

    Returns:
      The tree of sums, the same on every device.
    """
    if not platforms.choices().flat_reduction:
        return lax.psum(tree, axis_name)
    flat, restore = ravel_pytree(tree)
    return restore(lax.psum(flat, axis_name))
