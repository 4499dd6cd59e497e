"""One cell over a sequence, one step after the other, with `lax.scan`.

The recurrence h_t = f(h_{t−1}, x_t) is followed literally: T dependent steps. Only what does not
depend on the carry, the product of the inputs with U, is done for all time steps at once.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from nlp_models.errors import require
from nlp_models.recurrent import through_time
from nlp_models.recurrent.cells import Cell, inputs, state_size

BACKWARDS = ('custom', 'autodiff')


def start(cell: Cell, batch_size: int, hidden_size: int, dtype=jnp.float32) -> Any:
    """The base case h_0 (and C_0): zeros.

    Args:
      cell: the cell.
      batch_size: B.
      hidden_size: N.
      dtype: of the carry.

    Returns:
      One `[B, N]` array, or a tuple of them where the cell carries several.
    """
    zeros = jnp.zeros((batch_size, hidden_size), dtype)
    return zeros if cell.carries == 1 else (zeros,) * cell.carries


def scan(
    cell: Cell,
    params: dict,
    carry: Any,
    x: Float[Array, 'B T D'],
    *,
    lengths: Int[Array, 'B'] | None = None,
    reverse: bool = False,
    backward: str = 'custom',
) -> tuple[Any, Float[Array, 'B T N']]:
    """Run a cell over a sequence from a given carry.

    Args:
      cell: the cell.
      params: its parameters.
      carry: the carry before the first step read, arrays `[B, N]`.
      x: inputs `[B, T, D]`.
      lengths: how many of the T inputs of each row are real; all of them by default.
      reverse: read each row from its last real input to its first. y stays in x's order, and the
        carry returned is that after the first input.
      backward: 'custom' for the hand-derived backward pass where the cell has one (`adjoints`), in
        reverse mode only; 'autodiff' for JAX's own of the plain scan, which forward-mode
        differentiation (`jax.jvp`, `jacfwd`, `hessian`) needs.

    Returns:
      (carry after the last step read, y `[B, T, N]`). Where an input is not real the carry passes
      unchanged and y is zero.
    """
    require(backward in BACKWARDS, 'backward', backward, f'must be one of {", ".join(BACKWARDS)}')
    if backward == 'custom' and cell.adjoint is not None and x.shape[1] > 1:
        return through_time.scan(cell.adjoint, params, carry, x, lengths, reverse)
    recurrent = {name: array for name, array in params.items() if name not in ('U', 'b')}
    # One [B·T, D] product in place of T small ones; time first, so that a step is contiguous.
    u = inputs(params, jnp.swapaxes(x, 0, 1))  # [T, B, G·N]

    def step(carry, u_t):
        return cell.step(recurrent, carry, u_t)

    def masked_step(carry, inputs_t):
        u_t, real = inputs_t  # real [B, 1]
        new, y = cell.step(recurrent, carry, u_t)
        keep = jax.tree.map(lambda a, b: jnp.where(real, a, b), new, carry)
        return keep, jnp.where(real, y, 0)

    if lengths is None:
        carry, y = lax.scan(step, carry, u, reverse=reverse)
    else:
        real = (jnp.arange(x.shape[1])[:, None] < lengths)[..., None]  # [T, B, 1]
        carry, y = lax.scan(masked_step, carry, (u, real), reverse=reverse)
    return carry, jnp.swapaxes(y, 0, 1)


def bidirectional(
    cell: Cell,
    params: dict,
    x: Float[Array, 'B T D'],
    *,
    lengths: Int[Array, 'B'] | None = None,
    evaluate: Callable = scan,
) -> Float[Array, 'B T N2']:
    """Read a sequence both ways from zeros: y_t = [→h_t ; ←h_t] (Schuster & Paliwal 1997).

    Args:
      cell: the cell.
      params: `{'forward': …, 'backward': …}`, one cell's parameters each.
      x: inputs `[B, T, D]`.
      lengths: real inputs of each row; the backward pass starts at each row's own last one.
      evaluate: runs the cell over a sequence: `scan`, or a function with its signature.

    Returns:
      y `[B, T, 2N]`.
    """
    hidden_size = state_size(cell, params['forward'])
    zeros = start(cell, x.shape[0], hidden_size, x.dtype)
    _, forward = evaluate(cell, params['forward'], zeros, x, lengths=lengths)
    _, backward = evaluate(cell, params['backward'], zeros, x, lengths=lengths, reverse=True)
    return jnp.concatenate([forward, backward], axis=-1)
