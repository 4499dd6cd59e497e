"""A cell's steps over a whole sequence as one function, its Jacobians, their recurrences.

What `newton` iterates with. A state is a cell's carries side by side, S wide; all functions take
the states of all steps at once, since a step that is given its state needs no other step.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from nlp_models.recurrent.associative import diagonal
from nlp_models.recurrent.cells import Cell

States = Float[Array, 'T B S']
Gates = Float[Array, 'T B GN']
Real = Bool[Array, 'T B 1'] | None

# Where a recurrence amplifies rounding, rounding is what is left before the tolerance is reached:
# changes below 100 tolerances that have not shrunk for so many iterations are taken to be that,
_PATIENCE = 3
_STUCK = 5  # and up to so many tolerances they are accepted.


def join(carry: Any) -> jax.Array:
    """The arrays of a carry side by side, `[…, S]`."""
    return jnp.concatenate(jax.tree.leaves(carry), axis=-1)


def part(cell: Cell, state: jax.Array) -> Any:
    """The carry that `join` made a state of."""
    return state if cell.carries == 1 else tuple(jnp.split(state, cell.carries, axis=-1))


def step(
    cell: Cell, recurrent: dict, state: jax.Array, u: jax.Array, real: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """(s_t, y_t) from s_{t−1}, for any number of steps at once.

    Args:
      cell: the cell.
      recurrent: its parameters without `U` and `b`.
      state: s_{t−1} `[…, S]`.
      u: U x_t + b `[…, G·N]`.
      real: which inputs are real, `[…, 1]`; all of them where None. At the others the state
        passes unchanged and y is zero.

    Returns:
      s_t `[…, S]` and y_t `[…, N]`.
    """
    rows = state.reshape(-1, state.shape[-1])
    new, y = cell.step(recurrent, part(cell, rows), u.reshape(-1, u.shape[-1]))
    new, y = join(new).reshape(state.shape), y.reshape(*state.shape[:-1], -1)
    if real is None:
        return new, y
    return jnp.where(real, new, state), jnp.where(real, y, 0)


def jacobians(push: Callable, states: States) -> Float[Array, 'T B S S']:
    """∂s_t/∂s_{t−1} of every step; entry [i, j] is ∂s_t[i]/∂s_{t−1}[j].

    Args:
      push: pushes tangents of all s_{t−1} through the steps. As no step looks at another, one
        tangent for all of them gives a column of each of their Jacobians.
      states: for their shape.
    """
    size = states.shape[-1]
    columns = jnp.eye(size, dtype=states.dtype)[:, None, None]  # [S, 1, 1, S]
    return jax.vmap(push, out_axes=-1)(jnp.broadcast_to(columns, (size, *states.shape)))


def diagonals(
    cell: Cell, recurrent: dict, push: Callable, previous: States, u: Gates, real: Real
) -> States:
    """The diagonals of those Jacobians, without keeping what is beside them in memory.

    Args:
      cell: the cell, which may have them by hand (`cell.diagonal`).
      recurrent: its parameters without `U` and `b`.
      push: as for `jacobians`.
      previous: s_0 … s_{T−1}.
      u: U x_t + b.
      real: which inputs are real.
    """
    if cell.diagonal is not None:
        rows = previous.reshape(-1, previous.shape[-1])
        own = cell.diagonal(recurrent, part(cell, rows), u.reshape(-1, u.shape[-1]))
        own = join(own).reshape(previous.shape)
        return own if real is None else jnp.where(real, own, 1)

    def entry(i):
        return push(jnp.zeros_like(previous).at[..., i].set(1))[..., i]

    return jnp.moveaxis(lax.map(entry, jnp.arange(previous.shape[-1])), 0, -1)


def recurrence(a: jax.Array, b: States, *, reverse: bool = False) -> States:
    """All of δ_t = a_t δ_{t−1} + b_t from δ_0 = 0, in parallel over time.

    Args:
      a: matrices `[T, B, S, S]`, or diagonals `[T, B, S]`.
      b: `[T, B, S]`.
      reverse: δ_t = a_t δ_{t+1} + b_t, from the last step to the first.

    Returns:
      δ_1 … δ_T.
    """
    if a.ndim == b.ndim:
        return diagonal(a, b, jnp.zeros_like(b[0]), reverse=reverse, backward='autodiff')

    def then(earlier, later):
        (a1, b1), (a2, b2) = earlier, later
        return a2 @ a1, (a2 @ b1[..., None])[..., 0] + b2

    return lax.associative_scan(then, (a, b), reverse=reverse)[1]


def iterate(
    guess: States, correct: Callable, size: Callable, tolerance: float, max_iterations: int
) -> tuple[States, jax.Array, jax.Array]:
    """Add `correct(guess)` until it is small, for a bounded number of times.

    Args:
      guess: where to start.
      correct: `(guess) -> correction`.
      size: `(guess, correction) -> number`, how large a correction is.
      tolerance: the size that is small.
      max_iterations: the most corrections there may be.

    Returns:
      (result, iterations, whether it was small in the end).
    """

    def go_on(loop):
        _, change, least, stale, count = loop
        stuck = (least < 100 * tolerance) & (stale >= _PATIENCE)
        done = (change <= tolerance) | stuck | ~jnp.isfinite(change)
        return ~done & (count < max_iterations)

    def body(loop):
        result, _, least, stale, count = loop
        correction = correct(result)
        result = result + correction
        change = size(result, correction)
        stale = jnp.where(change < least, 0, stale + 1)
        return result, change, jnp.minimum(change, least), stale, count + 1

    most, none = jnp.asarray(jnp.finfo(guess.dtype).max, guess.dtype), jnp.zeros((), jnp.int32)
    loop = (guess, most, most, none, none)
    result, change, _, _, count = lax.while_loop(go_on, body, loop)
    # Of what is not finite no comparison is true.
    return result, count, change <= _STUCK * tolerance
