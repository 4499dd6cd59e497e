"""How a recurrence hands gradients back: the Jacobian of every step, and their products.

    ∂c_T/∂c_{T−k} = J_T J_{T−1} … J_{T−k+1},   J_t = ∂c_t/∂c_{t−1}

c is the carry: h of an RNN or a GRU, h and C side by side of an LSTM. Everything is computed in
float64, and products are divided by their size at every step, so that norms of 1e−300 and below are
as exact as any: what is returned are logarithms. What is not finite, as of a training that
diverged, makes NaN of the logarithms it enters, and of no others.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from nlp_models.recurrent import sequential
from nlp_models.recurrent.cells import Cell, inputs, state_size

Matrices = Float[np.ndarray, '*rows T M M']


def step_jacobians(cell: Cell, params: dict, x: Any) -> tuple[np.ndarray, np.ndarray]:
    """The Jacobian of every step of trajectories that begin at zero.

    Args:
      cell: the cell; its `step` is differentiated in reverse mode, one row at a time.
      params: its parameters, leaves `[R, …]`: R sets of them.
      x: inputs `[R, B, T, D]`.

    Returns:
      (J `[R, B, T, M, M]` float64 with J[…, t, i, j] = ∂c_t,i/∂c_{t−1},j, the carries c_{t−1} they
      were taken at `[R, B, T, M]`); M is N times the carries the cell has.
    """

    def along(params: dict, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        size = state_size(cell, params)

        def step(flat: jax.Array, x_t: jax.Array) -> jax.Array:
            parts = tuple(part[None] for part in jnp.split(flat, cell.carries))
            new, _ = cell.step(params, parts if cell.carries > 1 else parts[0], x_t[None])
            return jnp.concatenate(jax.tree.leaves(new), axis=1)[0]

        def run(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            zero = jnp.zeros(cell.carries * size, x.dtype)
            _, before = lax.scan(lambda c, x_t: (step(c, x_t), c), zero, x)
            return jax.vmap(jax.jacrev(step))(before, x), before

        return jax.vmap(run)(x)

    with jax.enable_x64(True):
        wide = jax.tree.map(_to_float64, (params, x))
        jacobians, before = jax.device_get(jax.jit(jax.vmap(along))(*wide))
    return jacobians, before


def log_products(
    jacobians: Matrices, blocks: Sequence[tuple[slice, slice]] = ()
) -> Float[np.ndarray, 'blocks *rows K']:
    """Log ‖J_T J_{T−1} … J_{T−k+1}‖₂ for k = 1, …, T, and of blocks of that product.

    Args:
      jacobians: `[…, T, M, M]` float64.
      blocks: (rows, columns) of the product, such as those of ∂C_T/∂C_{T−k}.

    Returns:
      Natural logarithms of spectral norms `[1 + blocks, …, T]`, the whole product's first; −∞ where
      it is zero, NaN from the first step on, seen from T, whose Jacobian is not finite.
    """
    steps = jacobians.shape[-3]
    product = np.broadcast_to(np.eye(jacobians.shape[-1]), jacobians[..., 0, :, :].shape)
    whole, scale = (slice(None), slice(None)), np.zeros(product.shape[:-2])
    logs = []
    for k in range(1, steps + 1):
        product = product @ _only_finite(jacobians[..., steps - k, :, :])
        size = np.max(np.abs(product), axis=(-2, -1))
        size = np.where(size == 0, 1.0, size)
        product, scale = product / size[..., None, None], scale + np.log(size)
        parts = [product[..., rows, columns] for rows, columns in (whole, *blocks)]
        logs.append([scale + _log(spectral_norms(part)) for part in parts])
    return np.moveaxis(np.array(logs), 0, -1)


def spectral_norms(matrices: np.ndarray) -> np.ndarray:
    """‖A‖₂ of matrices `[…, M, N]`, NaN of those that are not finite: their SVD would raise."""
    finite = np.asarray(np.isfinite(matrices).all(axis=(-2, -1)))
    kept = np.where(finite[..., None, None], matrices, 0.0)
    return np.where(finite, np.linalg.norm(kept, 2, axis=(-2, -1)), np.nan)


def rnn_derivatives(
    activation: Callable[..., jax.Array], params: dict, x: Any, before: np.ndarray
) -> np.ndarray:
    """f′ of every step of an RNN, at its pre-activations h_{t−1} W + x_t U + b.

    Args:
      activation: f, of numbers.
      params: `W`, `U` and `b` of R cells, leaves `[R, …]`.
      x: inputs `[R, B, T, D]`.
      before: h_{t−1} `[R, B, T, N]`, of `step_jacobians`.

    Returns:
      f′ `[R, B, T, N]` float64.
    """

    def derivatives(params: dict, x: jax.Array, before: jax.Array) -> jax.Array:
        pre = inputs(params, x) + before @ params['W']
        _, change = jax.jvp(activation, (pre,), (jnp.ones_like(pre),))
        return change

    with jax.enable_x64(True):
        wide = jax.tree.map(_to_float64, (params, x, before))
        return jax.device_get(jax.jit(jax.vmap(derivatives))(*wide))


def with_weights(derivatives: np.ndarray, weights: Any) -> np.ndarray:
    """diag(f′_t) W of every step, the RNN's Jacobian by the chain rule.

    Args:
      derivatives: f′ `[R, B, T, N]`.
      weights: W `[R, N, N]` in the form h W, so that the tutorial's W is its transpose.

    Returns:
      `[R, B, T, N, N]` float64.
    """
    transposed = np.swapaxes(np.asarray(weights, np.float64), -2, -1)
    return derivatives[..., None] * transposed[:, None, None]


def log_derivative_products(derivatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The product of activation derivatives alone, ∏ f′, as the tutorial's section 3.1 prints it.

    Read as diagonal matrices its spectral norm is that of the unit whose product is largest; read
    as one number, it is that of a typical unit.

    Args:
      derivatives: f′ `[…, T, N]`, above 0.

    Returns:
      (log of the largest over units, mean over units of the log), over the last k steps, each
      `[…, T]` for k = 1, …, T.
    """
    sums = np.cumsum(_log(derivatives)[..., ::-1, :], axis=-2)
    return sums.max(axis=-1), sums.mean(axis=-1)


def lstm_blocks(hidden_size: int) -> dict[str, tuple[slice, slice]]:
    """Which block of an LSTM's product is which path: rows are of what it goes to.

    Args:
      hidden_size: N.

    Returns:
      Path to (rows, columns): `h to h` is ∂h_T/∂h_{T−k}, `C to C` is ∂C_T/∂C_{T−k}, and so on.
    """
    h, c = slice(0, hidden_size), slice(hidden_size, 2 * hidden_size)
    return {'h to h': (h, h), 'C to C': (c, c), 'C to h': (h, c), 'h to C': (c, h)}


def log_input_jacobians(apply: Callable[..., jax.Array], params: Any, x: Any) -> np.ndarray:
    """Log ‖∂y_T/∂x_t‖₂ of any sequence model, by reverse-mode differentiation of the whole of it.

    Args:
      apply: `(params, x [B, T, D]) -> y [B, T, width]`.
      params: leaves `[R, …]`.
      x: `[R, B, T, D]`.

    Returns:
      Natural logarithms `[R, B, T]` for distances T − t = 0, …, T − 1: the last input first. They
      are computed in the model's dtype, float32 of a transformer; −∞ where a norm is zero, NaN
      where a Jacobian is not finite.
    """

    def last(params: Any, x: jax.Array) -> jax.Array:
        return apply(params, x[None])[0, -1]

    def jacobian(params: Any, x: jax.Array) -> jax.Array:
        return jax.vmap(lambda row: jax.jacrev(last, argnums=1)(params, row))(x)

    with jax.default_matmul_precision('highest'):
        found = jax.device_get(jax.jit(jax.vmap(jacobian))(params, x))  # [R, B, width, T, D]
    norms = spectral_norms(np.moveaxis(found.astype(np.float64), -2, -3))
    return _log(norms)[..., ::-1]


def log_loss_gradients(loss: Callable[..., jax.Array], params: Any, x: Any) -> np.ndarray:
    """Log ‖∂L/∂x_t‖₂, what of a loss at the end reaches each input.

    Args:
      loss: `(params, x [B, T, D]) -> losses [B]`.
      params: leaves `[R, …]`.
      x: `[R, B, T, D]`.

    Returns:
      Natural logarithms `[R, B, T]` for distances 0, …, T − 1, computed in float64 where the model
      computes in its input's dtype; −∞ where a gradient is zero.
    """

    def gradient(params: Any, x: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.sum(loss(params, x)))(x)

    with jax.enable_x64(True), jax.default_matmul_precision('highest'):
        wide = jax.tree.map(_to_float64, (params, x))
        found = jax.device_get(jax.jit(jax.vmap(gradient))(*wide))
    return _log(np.linalg.norm(found, axis=-1))[..., ::-1]


def linear_error(params: dict, x: Any, radii: np.ndarray | None = None) -> Float[np.ndarray, 'R']:
    """How far measured norms are from the closed form where there is one: f(z) = z, J = W.

    Both instruments are asked: the product of the steps' Jacobians, against ‖W^k‖₂; and the
    gradient of g · h_T with respect to the inputs through the whole scan, against ‖g W^k U‖₂.

    Args:
      params: `W`, `U`, `b` of R cells.
      x: inputs `[R, B, T, D]`.
      radii: ρ `[R]`, where each W is orthogonal times ρ; the closed form is then ρ^k.

    Returns:
      The largest relative error over distances and both measures `[R]`.
    """
    cell = Cell(_linear_rnn, gates=1)
    jacobians, _ = step_jacobians(cell, params, x)
    measured = log_products(jacobians)[0]
    runs, _, steps, _ = np.shape(x)
    w, u = (np.swapaxes(np.asarray(params[name], np.float64), 1, 2) for name in ('W', 'U'))
    g = np.random.default_rng(0).normal(size=w.shape[-1])

    def loss(params: dict, x: jax.Array) -> jax.Array:
        zeros = sequential.start(cell, x.shape[0], w.shape[-1], x.dtype)
        end, _ = sequential.scan(cell, params, zeros, x)
        return end @ jnp.asarray(g, x.dtype)

    gradients = log_loss_gradients(loss, params, x)
    errors = np.zeros(runs)
    power = np.broadcast_to(np.eye(w.shape[-1]), w.shape)
    for k in range(steps):
        exact = np.log(np.linalg.norm(np.einsum('i,rij,rjk->rk', g, power, u), axis=-1))
        errors = np.maximum(errors, _worst(gradients[..., k] - exact[:, None]))
        power = power @ w
        norms = np.log(np.linalg.norm(power, 2, axis=(-2, -1)))
        exact = norms if radii is None else (k + 1) * np.log(radii)
        errors = np.maximum(errors, _worst(measured[..., k] - exact[:, None]))
    return errors


def _linear_rnn(params: dict, carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    h = inputs(params, x) + carry @ params['W']
    return h, h


def _worst(log_ratios: np.ndarray) -> np.ndarray:
    return np.max(np.abs(np.expm1(log_ratios)), axis=-1)


def _only_finite(matrices: np.ndarray) -> np.ndarray:
    """NaN throughout where a matrix holds a number that is not finite: ∞ · 0 would warn."""
    finite = np.isfinite(matrices).all(axis=(-2, -1), keepdims=True)
    return np.where(finite, matrices, np.nan)


def _log(values: Any) -> np.ndarray:
    with np.errstate(divide='ignore'):
        return np.asarray(np.log(values))


def _to_float64(array: Any) -> jax.Array:
    return jnp.asarray(np.asarray(array), jnp.float64)
