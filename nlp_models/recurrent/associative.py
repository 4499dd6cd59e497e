"""A cell that is linear in its carry over a whole sequence at once, with `lax.associative_scan`.

The twin of `sequential` for the cells of `linear`: the same signature, the same results. Steps
h ↦ a ⊙ h + b compose to a step of the same form, (a, b) then (a′, b′) being (a a′, a′ b + b′), and
composition is associative; so all of h_1 … h_T are found in about 2 log₂ T rounds of element-wise
work (Blelloch 1990, "Prefix Sums and Their Applications"; Martin & Cundy 2018, "Parallelizing
Linear Recurrent Neural Nets Over Sequence Length").

The backward pass is one more such recurrence, read from the end: with g_t the gradient that reaches
h_t from its own output, λ_t = g_t + a_{t+1} ⊙ λ_{t+1} is all of its gradient, and then

    ∂b_t = λ_t      ∂a_t = λ_t ⊙ h_{t−1}      ∂h_0 = a_1 ⊙ λ_1

That is what `backward='custom'` does; 'autodiff' differentiates through the rounds, which keeps
something of each of them in memory but has forward-mode derivatives too.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from nlp_models.errors import require
from nlp_models.recurrent import sequential
from nlp_models.recurrent.cells import Cell, inputs

Steps = Float[Array, 'T B N']
Hidden = Float[Array, 'B N']


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
    """Run a cell that is linear in its carry over a sequence, in parallel over time.

    A single step (T = 1) is the cell's own. The recurrence is computed in at least float32.

    Args:
      cell: the cell; it must have `terms`.
      params: its parameters.
      carry: h_0 `[B, N]`, of any sign.
      x: inputs `[B, T, D]`.
      lengths: how many of the T inputs of each row are real; all of them by default.
      reverse: read each row from its last real input to its first.
      backward: 'custom', the recurrence above; or 'autodiff', which forward-mode differentiation
        (`jvp`, `jacfwd`) needs.

    Returns:
      (carry after the last step read, y `[B, T, N]`), as `sequential.scan` does.

    Raises:
      InputError: for a cell without `terms`.
    """
    require(cell.terms is not None, 'cell', cell.step, 'must be linear in its carry')
    assert cell.terms is not None  # what `require` has said, for the type checker
    if x.shape[1] == 1:
        return sequential.scan(cell, params, carry, x, lengths=lengths, reverse=reverse)
    # Time first: the rounds then cut between whole steps, which is up to three times as fast.
    u = inputs(params, jnp.swapaxes(x, 0, 1))  # [T, B, G·N]
    dtype = jnp.promote_types(u.dtype, jnp.float32)
    a, b = cell.terms(params, u.astype(dtype))
    real = None
    if lengths is not None:
        # What is not real is the step h ↦ 1 ⊙ h + 0, so every row's last h is at the same place.
        real = (jnp.arange(x.shape[1])[:, None] < lengths)[..., None]  # [T, B, 1]
        one, zero = (0.0, -jnp.inf) if cell.log_space else (1.0, 0.0)
        a, b = jnp.where(real, a, one), jnp.where(real, b, zero)
    recurrence = log_diagonal if cell.log_space else diagonal
    h = recurrence(a, b, carry.astype(dtype), reverse=reverse, backward=backward)
    y = h if real is None else jnp.where(real, h, 0)
    return h[_first(not reverse)].astype(carry.dtype), jnp.swapaxes(y, 0, 1).astype(x.dtype)


def diagonal(
    a: Steps, b: Steps, h0: Hidden, *, reverse: bool = False, backward: str = 'custom'
) -> Steps:
    """All of h_t = a_t ⊙ h_{t−1} + b_t, of any sign.

    Args:
      a: a_1 … a_T `[T, B, N]`.
      b: b_1 … b_T `[T, B, N]`.
      h0: h_0 `[B, N]`.
      reverse: from the last step to the first: h_t = a_t ⊙ h_{t+1} + b_t, with h0 after the last.
      backward: see `scan`.

    Returns:
      h_1 … h_T `[T, B, N]`.
    """
    run = _diagonal if backward == 'custom' else _run_diagonal
    return run(reverse, a, b, h0)


def log_diagonal(
    log_a: Steps, log_b: Steps, h0: Hidden, *, reverse: bool = False, backward: str = 'custom'
) -> Steps:
    """All of h_t = a_t ⊙ h_{t−1} + b_t, from log a and log b.

    As products of many a and sums of their multiples of b never leave the logarithms, nothing
    underflows on the way (Feng et al. 2024, appendix B.2, after Heinsen 2023, "Efficient
    Parallelization of a Ubiquitous Sequential Computation"). They sum prefixes of log a over the
    whole sequence and subtract them again, which in float32 loses digits as T grows; here two
    neighbouring stretches are joined as log b ← logaddexp(log a′ + log b, log b′), where what is
    large is also without effect. h_0 can have any sign: it enters as exp(Σ log a) ⊙ h_0.

    Args:
      log_a: `[T, B, N]`.
      log_b: `[T, B, N]`; −∞ for b = 0.
      h0: h_0 `[B, N]`.
      reverse: see `diagonal`.
      backward: see `scan`.

    Returns:
      h_1 … h_T `[T, B, N]`.
    """
    run = _log_diagonal if backward == 'custom' else _run_log_diagonal
    return run(reverse, log_a, log_b, h0)


def _first(reverse: bool) -> int:
    """The index of the step that is read first."""
    return -1 if reverse else 0


def _run_diagonal(reverse: bool, a: Steps, b: Steps, h0: Hidden) -> Steps:
    first = _first(reverse)
    b = b.at[first].add(a[first] * h0)

    def then(earlier, later):
        (a1, b1), (a2, b2) = earlier, later
        return a1 * a2, a2 * b1 + b2

    return lax.associative_scan(then, (a, b), reverse=reverse)[1]


def _run_log_diagonal(reverse: bool, log_a: Steps, log_b: Steps, h0: Hidden) -> Steps:
    def then(earlier, later):
        (a1, b1), (a2, b2) = earlier, later
        return a1 + a2, jnp.logaddexp(a2 + b1, b2)

    log_a, log_b = lax.associative_scan(then, (log_a, log_b), reverse=reverse)
    return jnp.exp(log_b) + jnp.exp(log_a) * h0


def before(steps: jax.Array, edge: jax.Array, *, reverse: bool = False) -> jax.Array:
    """What was read one step earlier: at t the entry of t−1, and `edge` at the first.

    Args:
      steps: `[T, …]`.
      edge: `[…]`.
      reverse: whether the last step is read first.

    Returns:
      `[T, …]`.
    """
    if reverse:
        return jnp.concatenate([steps[1:], edge[None]])
    return jnp.concatenate([edge[None], steps[:-1]])


def _adjoint(reverse: bool, a: Steps, g: Steps) -> Steps:
    """λ_t = g_t + a_{t+1} ⊙ λ_{t+1}, read against the direction of the recurrence."""
    zeros = jnp.zeros_like(a[0])
    return _run_diagonal(not reverse, before(a, zeros, reverse=not reverse), g, zeros)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _diagonal(reverse: bool, a: Steps, b: Steps, h0: Hidden) -> Steps:
    return _run_diagonal(reverse, a, b, h0)


def _diagonal_forward(reverse, a, b, h0):
    h = _run_diagonal(reverse, a, b, h0)
    return h, (a, h, h0)


def _diagonal_backward(reverse, kept, g):
    a, h, h0 = kept
    adjoint = _adjoint(reverse, a, g)
    first = _first(reverse)
    return adjoint * before(h, h0, reverse=reverse), adjoint, a[first] * adjoint[first]


_diagonal.defvjp(_diagonal_forward, _diagonal_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _log_diagonal(reverse: bool, log_a: Steps, log_b: Steps, h0: Hidden) -> Steps:
    return _run_log_diagonal(reverse, log_a, log_b, h0)


def _log_diagonal_forward(reverse, log_a, log_b, h0):
    h = _run_log_diagonal(reverse, log_a, log_b, h0)
    return h, (log_a, log_b, h, h0)


def _log_diagonal_backward(reverse, kept, g):
    log_a, log_b, h, h0 = kept
    a = jnp.exp(log_a)
    by_a, by_b, by_h0 = _diagonal_backward(reverse, (a, h, h0), g)
    return a * by_a, jnp.exp(log_b) * by_b, by_h0


_log_diagonal.defvjp(_log_diagonal_forward, _log_diagonal_backward)
